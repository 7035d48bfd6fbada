//! `models compare`: versions side by side, measured on the same interactions.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use domain::{ArtifactId, Metric, ModelVersion};
use proto::pb;
use serde_json::{Value, json};
use storage::Kind;
use worker::{ComparedVersion, Comparison};

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
    let mut named: BTreeMap<String, &String> = BTreeMap::new();
    for typed in &arguments.versions {
        let model = lookup::version(&source.coordinator, typed).await?;
        if let Some(first) = named.insert(model.name.clone(), typed) {
            bail!(
                "`{first}` and `{typed}` are the same version, {}: there is nothing to compare",
                model.name
            );
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
        let id = model.name.trim_start_matches("modelVersions/");
        let version = ModelVersion::new(id)?;
        let files = ComparedVersion::open(&source.artifacts, &version).await;
        compared.push(
            files.with_context(|| {
                format!("{} cannot be compared", model.name)
            })?,
        );
    }
    let settings = service::load("worker", worker::DEFAULTS, None)?;
    let measuring = tokio::task::spawn_blocking(move || {
        worker::compare(&folder, &compared, &settings)
    });
    let measured = measuring.await??;
    let differing = comparison::differing_fields(&models)?;
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
