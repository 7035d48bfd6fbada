//! `models compare`: versions side by side, measured on the same interactions.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use domain::{ArtifactId, Metric, ModelManifest, TrainSpec};
use proto::pb;
use serde_json::{Value, json};
use storage::{Artifacts, Kind};
use worker::{ComparedVersion, Comparison, EarlierVersion};

use crate::lists::source::Source;
use crate::lookup;
use crate::output::writer::Output;
use crate::output::{comparison, json};
use crate::settings::Settings;

/// Which versions are compared, and on what.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Versions or labels, two or more.
    #[arg(required = true, num_args = 2.., value_name = "VERSION")]
    versions: Vec<String>,

    /// The data set on whose test split they are measured; that of the newest
    /// version when absent.
    #[arg(long)]
    dataset: Option<String>,
}

pub(crate) async fn run(
    arguments: Arguments,
    settings: &Settings,
    output: Output,
) -> anyhow::Result<()> {
    Source::during(settings, async |source| {
        compare(&arguments, source, output).await
    })
    .await
}

async fn compare(
    arguments: &Arguments,
    source: &Source,
    output: Output,
) -> anyhow::Result<()> {
    let mut models = Vec::new();
    let mut names = BTreeSet::new();
    for typed in &arguments.versions {
        let model = lookup::version(&source.coordinator, typed).await?;
        if !names.insert(model.name.clone()) {
            bail!("`{typed}` is {}, which is named already", model.name);
        }
        models.push(model);
    }
    let newest = models.iter().max_by_key(|model| created(model));
    let of_newest = newest.map(|model| model.dataset.clone());
    let typed = arguments.dataset.clone().or(of_newest).unwrap_or_default();
    let on = lookup::dataset_in(&source.artifacts, &typed).await?;
    let on = ArtifactId::new(on).context("--dataset")?;
    let folder = source.artifacts.open_verified(Kind::Dataset, &on).await?;
    let manifest = dataset::Manifest::read(&folder)?;
    if let Some(other) = models
        .iter()
        .find(|model| model.catalog != *manifest.catalog.as_str())
    {
        bail!(
            "{} ranks the catalog `{}`, the data set {on} is of `{}`",
            other.name,
            other.catalog,
            manifest.catalog
        );
    }
    let mut compared = Vec::new();
    for model in &models {
        compared.push(files(model, &source.artifacts).await?);
    }
    let settings = service::load("worker", worker::DEFAULTS, None)?;
    let measuring = tokio::task::spawn_blocking(move || {
        worker::compare(&folder, &compared, &settings)
    });
    let measured = measuring.await??;
    let differing = differing_fields(&models)?;
    let shown = comparison::Shown {
        models: &models,
        measured: &measured,
        dataset: &manifest.name,
        differing: &differing,
    };
    output.write(&as_json(&shown, &on), || comparison::text(&shown));
    Ok(())
}

fn created(model: &pb::ModelVersion) -> i64 {
    model.create_time.unwrap_or_default().seconds
}

/// The folders of a version.
async fn files(
    model: &pb::ModelVersion,
    artifacts: &Artifacts,
) -> anyhow::Result<ComparedVersion> {
    let id = model.name.trim_start_matches("modelVersions/");
    let folder = artifacts
        .open_verified(Kind::Model, &ArtifactId::new(id)?)
        .await?;
    let manifest: ModelManifest =
        serde_json::from_slice(&std::fs::read(folder.join("model.json"))?)?;
    let Some(backbone) = manifest.backbone else {
        bail!("{} has no language model to rank with", model.name);
    };
    let dataset = ArtifactId::from(&manifest.dataset);
    let dataset = artifacts
        .open_verified(Kind::Dataset, &dataset)
        .await
        .with_context(|| {
            format!(
                "the data set of {} says what it has learned from",
                model.name
            )
        })?;
    Ok(ComparedVersion {
        files: EarlierVersion {
            model: folder,
            dataset,
        },
        backbone: artifacts.open_verified(Kind::Backbone, &backbone).await?,
    })
}

/// The fields of the specifications in which the versions differ, but for the
/// data set and the labels.
fn differing_fields(
    models: &[pb::ModelVersion],
) -> anyhow::Result<Vec<comparison::Field>> {
    let mut specs = Vec::new();
    for model in models {
        let spec = model.spec.clone().unwrap_or_default();
        let spec = json!(TrainSpec::try_from(spec)?);
        let mut fields = Vec::new();
        flatten(String::new(), &spec, &mut fields);
        specs.push(fields);
    }
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for field in specs.iter().flatten() {
        names.insert(&field.name);
    }
    let mut differing = Vec::new();
    for name in names {
        let mut values = Vec::new();
        for spec in &specs {
            let field = spec.iter().find(|field| field.name == name);
            values.push(field.map_or("-", |field| field.value.as_str()));
        }
        let is_same = values.iter().all(|value| *value == values[0]);
        if !is_same && name != "dataset" && !name.starts_with("labels") {
            differing.push(comparison::Field {
                name: name.to_owned(),
                values: values.into_iter().map(str::to_owned).collect(),
            });
        }
    }
    Ok(differing)
}

/// A field of a specification, as it is typed.
struct TypedField {
    name: String,
    value: String,
}

/// Adds a value's fields, with the path to each.
fn flatten(path: String, value: &Value, fields: &mut Vec<TypedField>) {
    if let Value::Object(inner) = value {
        for (name, value) in inner {
            let dot = if path.is_empty() { "" } else { "." };
            flatten(format!("{path}{dot}{name}"), value, fields);
        }
        return;
    }
    fields.push(TypedField {
        name: path,
        value: value.to_string(),
    });
}

fn as_json(shown: &comparison::Shown<'_>, on: &ArtifactId) -> Value {
    let Comparison {
        n_users,
        n_held_out,
        n_learned,
        metrics,
    } = shown.measured;
    let mut versions = Vec::new();
    for (model, metrics) in shown.models.iter().zip(metrics) {
        let mut measured = serde_json::Map::new();
        for metric in Metric::ALL {
            let value = metrics.value(metric);
            measured.insert(metric.name().to_owned(), json!(value));
        }
        versions.push(json!({
            "model": json::model(model),
            "measured": measured,
        }));
    }
    let mut differing = serde_json::Map::new();
    for field in shown.differing {
        differing.insert(field.name.clone(), json!(field.values));
    }
    json!({
        "dataset": on,
        "n_users": n_users,
        "n_held_out": n_held_out,
        "n_learned_left_out": n_learned,
        "versions": versions,
        "differing": differing,
    })
}
