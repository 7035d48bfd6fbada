//! All model versions, one of them, and its labels: what customers get.

use axum::Form;
use axum::extract::{Path, Query};
use domain::{Metric, RankedBy};
use maud::{Markup, html};
use proto::pb;
use serde::Deserialize;
use tonic::Status;
use wording::duration;

use crate::failure::Failure;
use crate::view::job::field_rows;
use crate::view::layout::{self, form_key};
use crate::view::metrics::{lift, table, value};
use crate::view::written::{id, minute, query, short};
use crate::visitor::Visitor;

/// Labels that scorers act on by themselves, and what each does.
const LABELS: [(&str, &str); 3] = [
    ("live", "all who ask for no other version get its lists"),
    (
        "canary",
        "a share of the users get its lists (the scorer's setting canary_share)",
    ),
    (
        "shadow",
        "its lists are compared with the live ones, and nobody gets them",
    ),
];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Shown {
    page: String,
}

pub(crate) async fn page(
    visitor: Visitor,
    Query(shown): Query<Shown>,
) -> Result<Markup, Failure> {
    let listed = visitor.services.versions(&shown.page).await?;
    let next = query(&[("page", &listed.next_page_token)]);
    Ok(layout::page(
        &visitor,
        "Models",
        &html! {
            h1 { "Models" }
            @if !listed.unreadable.is_empty() {
                p.wrong {
                    "The records of these cannot be read; the coordinator's log says why: "
                    (listed.unreadable.join(", "))
                }
            }
            @if listed.model_versions.is_empty() {
                p.hint {
                    "There is no model. " a href="/jobs/new" { "Train one" } "."
                }
            } @else {
                (versions(&listed.model_versions))
            }
            @if !next.is_empty() {
                p { a href=(format!("/models?{next}")) { "Older ones" } }
            }
        },
    ))
}

fn versions(versions: &[pb::ModelVersion]) -> Markup {
    html! {
        form action="/models/compare" {
            div.wide tabindex="0" role="group" aria-label="Model versions" {
                table {
                    thead {
                        tr {
                            th scope="col" { "From" }
                            th scope="col" { "To" }
                            th scope="col" { "Version" }
                            th scope="col" { "Labels" }
                            th scope="col" { "Data set" }
                            th scope="col" { "Trained" }
                            th scope="col" { "Took" }
                            th scope="col" { "NDCG@100 on its test split" }
                        }
                    }
                    tbody {
                        @let chosen = Chosen::of(versions);
                        @for version in versions { (row(version, &chosen)) }
                    }
                }
            }
            button { "Compare the two" }
        }
    }
}

/// The two that are chosen at first: of this page's versions the live one, or
/// the oldest, and the newest other.
struct Chosen<'a> {
    from: &'a str,
    to: &'a str,
}

impl<'a> Chosen<'a> {
    fn of(versions: &'a [pb::ModelVersion]) -> Self {
        let is_live = |it: &&pb::ModelVersion| {
            it.labels.iter().any(|label| label == "live")
        };
        let from = versions.iter().find(is_live).or(versions.last());
        let from = from.map_or("", |it| it.name.as_str());
        let to = versions.iter().find(|it| it.name != from);
        Self {
            from,
            to: to.map_or(from, |it| it.name.as_str()),
        }
    }
}

fn row(version: &pb::ModelVersion, chosen: &Chosen<'_>) -> Markup {
    let this = id(&version.name);
    let shown = short(this);
    html! {
        tr {
            td { input type="radio" name="one" value=(this) checked[version.name == chosen.from] aria-label=(format!("From {shown}")); }
            td { input type="radio" name="other" value=(this) checked[version.name == chosen.to] aria-label=(format!("To {shown}")); }
            td { a href=(format!("/models/{this}")) { (shown) } }
            td { @for label in &version.labels { span.badge data-state=(label) { (label) } " " } }
            td { (dataset_name(version)) }
            td.nowrap { (minute(version.create_time)) }
            td.nowrap { (cost(version)) }
            td {
                (value(&version.metrics, RankedBy::Served, Metric::Ndcg100))
                ", " (lift(&version.metrics))
            }
        }
    }
}

/// What people call a version's data set.
pub(crate) fn dataset_name(version: &pb::ModelVersion) -> String {
    if version.dataset_name.is_empty() {
        return short(&version.dataset);
    }
    version.dataset_name.clone()
}

fn cost(version: &pb::ModelVersion) -> String {
    if version.train_seconds > 0.0 {
        duration(version.train_seconds)
    } else {
        "not known".to_owned()
    }
}

pub(crate) async fn version(
    visitor: Visitor,
    Path(wanted): Path<String>,
) -> Result<Markup, Failure> {
    let version = visitor.services.version(&wanted).await?;
    let title = format!("Model {}", short(&version.name));
    let job = id(&version.job);
    Ok(layout::page(
        &visitor,
        &title,
        &html! {
            h1 { (title) }
            p.hint { (version.name) }
            p.big { (lift(&version.metrics)) }
            dl.facts {
                div { dt { "Labels" } dd { (labels(&version)) } }
                div { dt { "Trained" } dd { (minute(version.create_time)) ", took " (cost(&version)) } }
                div { dt { "Data set" } dd { a href=(format!("/datasets/{}", id(&version.dataset))) { (dataset_name(&version)) } } }
                div { dt { "Job" } dd { a href=(format!("/jobs/{job}")) { (short(job)) } } }
                div { dt { "Catalog" } dd { (version.catalog) } }
                (field_rows(version.spec.as_ref()))
            }
            h2 { "Test split" }
            (table(&version.metrics))
            @if version.final_fit {
                p.hint {
                    "It was fitted once more on all interactions after it was measured; the metrics are those of the fit before."
                }
            }
            h2 { "Let it serve" }
            (moves(&version))
            p { a href=(format!("/try?version={wanted}")) { "Try its lists" } }
        },
    ))
}

fn labels(version: &pb::ModelVersion) -> Markup {
    html! {
        @if version.labels.is_empty() { "none" }
        @for label in &version.labels {
            span.badge data-state=(label) { (label) } " "
            a href=(format!("/labels/{label}/remove")) { "Take " (label) " away" } " "
        }
    }
}

fn moves(version: &pb::ModelVersion) -> Markup {
    let this = id(&version.name);
    html! {
        ul.plain {
            @for (label, effect) in LABELS {
                @if !version.labels.iter().any(|it| it == label) {
                    li {
                        a.button href=(format!("/models/{this}/labels/{label}")) { "Move " (label) " here" }
                        " " (effect)
                    }
                }
            }
        }
    }
}

/// Asks whether a label is really to move, and says what that does.
pub(crate) async fn confirm(
    visitor: Visitor,
    Path((wanted, label)): Path<(String, String)>,
) -> Result<Markup, Failure> {
    let version = visitor.services.version(&wanted).await?;
    let now = labelled(&visitor, &label).await?;
    let title = format!("Move {label} to {}?", short(&version.name));
    let effect = LABELS.iter().find(|(name, _)| *name == label);
    Ok(layout::page(
        &visitor,
        &title,
        &html! {
            h1 { (title) }
            @if let Some((_, effect)) = effect {
                p { "With " b { (label) } ", " (effect) ". Scorers follow within two seconds." }
            }
            dl.facts {
                div {
                    dt { "Now" }
                    dd { (summary(now.as_ref())) }
                }
                div { dt { "Then" } dd { (summary(Some(&version))) } }
            }
            form method="post" {
                (form_key(&visitor))
                input type="hidden" name="from" value=(now.as_ref().map_or("", |it| id(&it.name)));
                button.main { "Move " (label) }
                " " a href=(format!("/models/{wanted}")) { "Leave it" }
            }
        },
    ))
}

fn summary(version: Option<&pb::ModelVersion>) -> String {
    let Some(version) = version else {
        return "no version".to_owned();
    };
    format!(
        "{}, trained {} on {}: {}",
        short(&version.name),
        minute(version.create_time),
        dataset_name(version),
        lift(&version.metrics)
    )
}

/// The version that a label points to.
pub(crate) async fn labelled(
    visitor: &Visitor,
    label: &str,
) -> Result<Option<pb::ModelVersion>, Status> {
    let mut page = String::new();
    loop {
        let listed = visitor.services.versions(&page).await?;
        let mut versions = listed.model_versions.into_iter();
        let has_it =
            |it: &pb::ModelVersion| it.labels.iter().any(|it| it == label);
        if let Some(version) = versions.find(has_it) {
            return Ok(Some(version));
        }
        if listed.next_page_token.is_empty() {
            return Ok(None);
        }
        page = listed.next_page_token;
    }
}

/// Refuses where a label has moved since the page was shown; a move in the same
/// moment wins.
async fn refuse_if_moved(
    visitor: &Visitor,
    label: &str,
    from: &str,
) -> Result<(), Status> {
    let now = labelled(visitor, label).await?;
    if now.as_ref().map_or("", |it| id(&it.name)) == from {
        return Ok(());
    }
    Err(Status::aborted(format!(
        "somebody else moved {label} meanwhile: load the page again and look what it points to now"
    )))
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Move {
    form_key: String,
    /// The version that had the label when the page was shown; empty: none.
    from: String,
}

/// Moves a label, and offers the way back.
pub(crate) async fn move_label(
    visitor: Visitor,
    Path((wanted, label)): Path<(String, String)>,
    Form(form): Form<Move>,
) -> Result<Markup, Failure> {
    visitor.check(&form.form_key)?;
    refuse_if_moved(&visitor, &label, &form.from).await?;
    visitor.services.set_label(&label, &wanted).await?;
    let title = format!("{label} was moved");
    Ok(layout::page(
        &visitor,
        &title,
        &html! {
            h1 { (title) }
            p.fine role="status" { (label) " points to " (short(&wanted)) " now. Scorers follow within two seconds." }
            @if form.from.is_empty() {
                p { "It pointed to no version before." }
            } @else if form.from != wanted {
                (way_back(&visitor, &label, &form.from, &wanted))
            }
            p { a href="/models" { "All models" } }
        },
    ))
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Removal {
    form_key: String,
    /// The version that had the label when the page was shown; empty: none.
    from: String,
}

/// Asks whether a label is really to go, and says what that does.
pub(crate) async fn confirm_removal(
    visitor: Visitor,
    Path(label): Path<String>,
) -> Result<Markup, Failure> {
    let now = labelled(&visitor, &label).await?;
    let title = format!("Take {label} away?");
    Ok(layout::page(
        &visitor,
        &title,
        &html! {
            h1 { (title) }
            @if label == "live" {
                p.wrong { "Nothing is live then: whoever asks for no other version gets no list." }
            }
            dl.facts { div { dt { "Now" } dd { (summary(now.as_ref())) } } }
            form method="post" {
                (form_key(&visitor))
                input type="hidden" name="from" value=(now.as_ref().map_or("", |it| id(&it.name)));
                button.main { "Take " (label) " away" }
                " " a href="/models" { "Leave it" }
            }
        },
    ))
}

/// Takes a label away, and offers the way back.
pub(crate) async fn remove_label(
    visitor: Visitor,
    Path(label): Path<String>,
    Form(form): Form<Removal>,
) -> Result<Markup, Failure> {
    visitor.check(&form.form_key)?;
    refuse_if_moved(&visitor, &label, &form.from).await?;
    visitor.services.remove_label(&label).await?;
    let title = format!("{label} was taken away");
    Ok(layout::page(
        &visitor,
        &title,
        &html! {
            h1 { (title) }
            @if !form.from.is_empty() {
                (way_back(&visitor, &label, &form.from, ""))
            }
            p { a href="/models" { "All models" } }
        },
    ))
}

/// A button that points a label to the version it had, from the one it has;
/// empty: none.
fn way_back(
    visitor: &Visitor,
    label: &str,
    version: &str,
    from: &str,
) -> Markup {
    html! {
        form method="post" action=(format!("/models/{version}/labels/{label}")) {
            (form_key(visitor))
            input type="hidden" name="from" value=(from);
            button { "Back to " (short(version)) }
        }
    }
}
