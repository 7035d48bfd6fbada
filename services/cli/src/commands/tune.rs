//! `train tune`: a job for each combination of values, the best by validation.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use proto::pb;
use proto::pb::model_service_client::ModelServiceClient;
use serde_json::json;
use service::client::connect;
use toml::Table;

use crate::jobs::client::training_client;
use crate::jobs::exit::NO_MODEL;
use crate::jobs::preset::Preset;
use crate::jobs::schedule::{ScheduleArguments, now_ms};
use crate::jobs::spec::{checked, merge, read_spec, set};
use crate::jobs::submission::find_dataset;
use crate::output::writer::{self, Output};
use crate::settings::Settings;
use crate::tuning::axis::Axis;
use crate::tuning::combinations::{Combination, grid, random};
use crate::tuning::ranking::{self, Measure};
use crate::tuning::sweep::{Sweep, Trial};

#[derive(clap::Args)]
pub(crate) struct Tune {
    /// Id of the data set, the beginning of it, or its name; over the
    /// specification's.
    #[arg(long)]
    dataset: Option<String>,

    /// What the jobs start from.
    #[arg(long, default_value = "small")]
    preset: Preset,

    /// A specification (TOML); every field but the data set has a default.
    #[arg(long)]
    spec: Option<PathBuf>,

    /// A field and the values that it is tried with:
    /// `finetuning.learning_rate=1e-4,1e-3`; with `--random` also a range,
    /// `1e-4..1e-2`. May be repeated; a single value is the same in all jobs.
    #[arg(long = "set", value_name = "FIELD=VALUES", required = true)]
    fields: Vec<String>,

    /// Draw so many combinations instead of trying all.
    #[arg(long, value_name = "N")]
    random: Option<usize>,

    /// What is drawn follows from it.
    #[arg(long, default_value_t = 0)]
    draw_seed: u64,

    /// What the jobs are compared by, on the validation split.
    #[arg(long, default_value = "ndcg@100")]
    by: Measure,

    /// A label that moves to the best job's version at the end; may be repeated.
    #[arg(long)]
    label: Vec<String>,

    #[command(flatten)]
    schedule: ScheduleArguments,

    /// The same id gives the same jobs: a command that was interrupted goes on.
    #[arg(long, default_value = "")]
    request_id: String,

    /// Only check every combination, and list them.
    #[arg(long)]
    validate_only: bool,
}

pub(crate) async fn run(
    tune: &Tune,
    settings: &Settings,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let trials = tune.trials(settings).await?;
    if tune.validate_only {
        return validate(trials, settings, output).await;
    }

    let mut client = training_client(&settings.coordinator)?;
    writer::note(format_args!(
        "{} jobs; they go on when this command is interrupted",
        trials.len()
    ));
    let mut sweep = Sweep {
        client: &mut client,
        trials,
        measure: tune.by,
    };
    sweep.run().await?;
    let mut trials = sweep.trials;
    ranking::rank(&mut trials, tune.by);
    output.write(&ranking::as_json(&trials, tune.by), || {
        ranking::table(&trials, tune.by)
    });
    let Some(best) = ranking::best(&trials, tune.by) else {
        let key = tune.by.key();
        writer::note(format_args!(
            "no job has a {key}: none left a model, or the data set holds nothing out for validation"
        ));
        return Ok(ExitCode::from(NO_MODEL));
    };
    tune.label_best(best, settings).await?;
    Ok(ExitCode::SUCCESS)
}

/// Lets the coordinator check every trial.
async fn validate(
    trials: Vec<Trial>,
    settings: &Settings,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let mut client = training_client(&settings.coordinator)?;
    for trial in trials {
        let request = pb::TrainJobRequest {
            validate_only: true,
            ..trial.request.clone()
        };
        let job = client.train_job(request).await?.into_inner();
        let shown = trial.shown();
        output.write(&json!({ "valid": shown, "notes": job.notes }), || {
            format!("valid: {shown}")
        });
    }

    Ok(ExitCode::SUCCESS)
}

impl Tune {
    /// A job for each combination, checked before anything is sent.
    async fn trials(&self, settings: &Settings) -> anyhow::Result<Vec<Trial>> {
        let mut axes = Vec::new();
        for field in &self.fields {
            let axis = Axis::parse(field)?;
            if axes.iter().any(|seen: &Axis| seen.field == axis.field) {
                bail!("{} is given twice", axis.field);
            }

            axes.push(axis);
        }

        let combinations = match self.random {
            Some(n) => random(&axes, n, self.draw_seed)?,
            None => grid(&axes)?,
        };
        let mut client = training_client(&settings.coordinator)?;
        let schedule = self.schedule.found(&mut client, now_ms()?).await?;
        let mut trials = Vec::new();
        for (place, combination) in combinations.into_iter().enumerate() {
            let mut table = self.table(&combination)?;
            find_dataset(&mut table, settings).await?;
            let spec = checked(table)?;
            let request = pb::TrainJobRequest {
                spec: Some((&spec).into()),
                request_id: self.request_id_of(place),
                validate_only: false,
                schedule: schedule.clone(),
                counts: None,
            };
            let mut fields = combination;
            fields.retain(|(field, _)| {
                let axis = axes.iter().find(|axis| axis.field == *field);
                axis.is_some_and(Axis::varies)
            });
            trials.push(Trial {
                fields,
                request,
                job: None,
            });
        }

        Ok(trials)
    }

    fn table(&self, combination: &Combination) -> anyhow::Result<Table> {
        let mut table = self.preset.fields();
        if let Some(path) = &self.spec {
            merge(&mut table, read_spec(path)?);
        }

        if let Some(typed) = &self.dataset {
            table.insert("dataset".to_owned(), typed.as_str().into());
        }

        for (field, value) in combination {
            set(&mut table, &format!("{field}={value}"))?;
        }

        Ok(table)
    }

    fn request_id_of(&self, place: usize) -> String {
        if self.request_id.is_empty() {
            return String::new();
        }

        format!("{}-{place}", self.request_id)
    }

    async fn label_best(
        &self,
        best: &pb::Job,
        settings: &Settings,
    ) -> anyhow::Result<()> {
        let mut client =
            ModelServiceClient::new(connect(&settings.coordinator)?);
        for label in &self.label {
            let request = pb::SetLabelRequest {
                label: label.clone(),
                model_version: best.model_version.clone(),
            };
            client.set_label(request).await?;
            writer::note(format_args!(
                "{label} points to {}",
                best.model_version
            ));
        }

        Ok(())
    }
}
