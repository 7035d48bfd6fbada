//! A new job, from nothing or like another one: its specification as TOML, in
//! which absent fields have their defaults.

use axum::Form;
use axum::extract::Query;
use axum::response::{IntoResponse, Redirect, Response};
use domain::TrainSpec;
use maud::{Markup, html};
use proto::pb;
use serde::Deserialize;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::failure::{Failure, said};
use crate::pages::datasets::Names;
use crate::view::job::changed_fields;
use crate::view::layout::{self, form_key};
use crate::view::written::id;
use crate::visitor::Visitor;

/// What a new job begins with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Beginning {
    /// The id of a job that is to be like it.
    like: String,
    /// The id of a data set.
    dataset: String,
}

pub(crate) async fn page(
    visitor: Visitor,
    Query(beginning): Query<Beginning>,
) -> Result<Markup, Failure> {
    let mut form = Submitted {
        request_id: Uuid::now_v7().simple().to_string(),
        dataset: format!("datasets/{}", beginning.dataset),
        ..Submitted::default()
    };
    if !beginning.like.is_empty() {
        let job = visitor.services.job(&beginning.like).await?;
        let spec = job.spec.unwrap_or_default();
        form.labels = spec.labels.join(" ");
        form.spec = written(&spec)?;
        form.dataset = spec.dataset;
    }
    Ok(filled(&visitor, &form, Markup::default()).await)
}

/// The fields that are not the defaults, a line each.
fn written(spec: &pb::TrainSpec) -> Result<String, Status> {
    let mut lines = String::new();
    for (path, value) in changed_fields(Some(spec))? {
        let is_plain = value.parse::<toml::Table>().is_err()
            && format!("x = {value}").parse::<toml::Table>().is_ok();
        let value = if is_plain {
            value
        } else {
            toml::Value::from(value).to_string()
        };
        lines.push_str(&format!("{path} = {value}\n"));
    }
    Ok(lines)
}

/// The form as it was sent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Submitted {
    form_key: String,
    /// Makes a form that is sent twice one job.
    request_id: String,
    dataset: String,
    /// With blanks or commas between.
    labels: String,
    spec: String,
    /// Which button: `check` or `submit`.
    what: String,
}

async fn filled(visitor: &Visitor, form: &Submitted, said: Markup) -> Markup {
    let names = Names::of(visitor).await;
    layout::page(
        visitor,
        "Train a model",
        &html! {
            h1 { "Train a model" }
            (said)
            form.stack method="post" action="/jobs" {
                (form_key(visitor))
                input type="hidden" name="request_id" value=(form.request_id);
                label for="dataset" { "Data set" }
                select name="dataset" id="dataset" {
                    @for (name, shown) in names.all() {
                        option value=(name) selected[name == form.dataset] { (shown) }
                    }
                }
                label for="labels" { "Labels that move to the model when it is done" }
                input name="labels" id="labels" value=(form.labels) placeholder="live";
                label for="spec" { "What differs from the defaults, as TOML" }
                textarea name="spec" id="spec" rows="10" spellcheck="false" placeholder="seed = 1\nfinetuning.epochs = 20" { (form.spec) }
                div.row {
                    button name="what" value="check" { "Say what it would cost" }
                    button.main name="what" value="submit" { "Train" }
                }
            }
        },
    )
}

pub(crate) async fn send(
    visitor: Visitor,
    Form(form): Form<Submitted>,
) -> Result<Response, Failure> {
    visitor.check(&form.form_key)?;
    let validate_only = form.what == "check";
    let sent = match spec(&form) {
        Err(wrong) => Err(Status::invalid_argument(wrong)),
        Ok(spec) => {
            let request = pb::TrainJobRequest {
                spec: Some((&spec).into()),
                request_id: form.request_id.clone(),
                validate_only,
                ..Default::default()
            };
            visitor.services.submit(request).await
        }
    };
    let told = match sent {
        Ok(job) if !validate_only => {
            let path = format!("/jobs/{}", id(&job.name));
            return Ok(Redirect::to(&path).into_response());
        }
        Ok(job) => html! {
            div.told role="status" {
                p { "The specification is valid. What the coordinator says of it:" }
                ul { @for note in &job.notes { li { (note) } } }
            }
        },
        Err(status) if status.code() == Code::Unauthenticated => {
            return Err(Failure::from(status));
        }
        // What was typed stays.
        Err(status) => html! { p.wrong role="alert" { (said(&status)) } },
    };
    Ok(filled(&visitor, &form, told).await.into_response())
}

/// The specification that a form asks for.
fn spec(form: &Submitted) -> Result<TrainSpec, String> {
    let table: Result<toml::Table, _> = form.spec.parse();
    let mut table = table.map_err(|error| error.to_string())?;
    let dataset = toml::Value::from(id(&form.dataset));
    table.insert("dataset".to_owned(), dataset);
    let labels = form.labels.split([' ', ',']).filter(|it| !it.is_empty());
    let labels: Vec<&str> = labels.collect();
    if !labels.is_empty() {
        table.insert("labels".to_owned(), labels.into());
    }
    // Without this section a specification is one from before texts were read.
    let reading = toml::Value::Table(toml::Table::new());
    table.entry("reading").or_insert(reading);
    let spec: TrainSpec =
        domain::read_strictly(table).map_err(|error| error.to_string())?;
    spec.validate().map_err(|error| error.to_string())?;
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_like_another_has_what_that_one_had() {
        let mut wanted = spec(&Submitted {
            dataset: "datasets/d".to_owned(),
            labels: "live, shadow".to_owned(),
            spec: "seed = 7\nbackbone.path = 'smollm2'\nfinetuning.epochs = 3"
                .to_owned(),
            ..Submitted::default()
        })
        .unwrap();
        assert_eq!((wanted.seed, wanted.labels.len()), (7, 2));
        let lines = written(&(&wanted).into()).unwrap();
        let again = spec(&Submitted {
            dataset: "datasets/d".to_owned(),
            spec: lines.clone(),
            ..Submitted::default()
        });
        wanted.labels.clear();
        assert_eq!(again, Ok(wanted), "{lines}");
    }

    #[test]
    fn what_is_typed_wrong_is_named() {
        let refused = |spec_: &str| {
            spec(&Submitted {
                dataset: "datasets/d".to_owned(),
                spec: spec_.to_owned(),
                ..Submitted::default()
            })
            .unwrap_err()
        };
        assert!(refused("sede = 1").contains("sede"));
        assert!(
            refused("seed = ").contains("line 1"),
            "{}",
            refused("seed =")
        );
        assert!(refused("finetuning.batch = 0").contains("finetuning.batch"));
    }
}
