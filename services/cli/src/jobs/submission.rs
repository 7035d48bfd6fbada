//! The arguments of `train submit`, and the specification that they make.

use std::path::PathBuf;

use anyhow::bail;
use domain::TrainSpec;
use service::client::Target;
use toml::{Table, Value};

use crate::import::reading::Reading;
use crate::jobs::preset::Preset;
use crate::jobs::schedule::ScheduleArguments;
use crate::jobs::spec::{checked, merge, read_spec, set};
use crate::jobs::start::StartVersion;
use crate::lookup;
use crate::settings::Settings;

#[derive(clap::Args)]
pub(crate) struct Submit {
    /// Id of the data set, the beginning of it, or its name; over the
    /// specification's.
    #[arg(long, conflicts_with = "data")]
    dataset: Option<String>,

    /// Import this first (any form that `dataset import` reads), follow the job
    /// and write a report. Without running services they are started for it,
    /// and the model gets the label `live`; on services that run it does where
    /// nothing is live yet.
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) reading: Reading,

    /// Start from the rows and choices of this version, or of the one that a
    /// label such as `live` points to: for the same users and items next week,
    /// in a third of the time. Its specification takes the preset's place, with
    /// fewer epochs.
    #[arg(long, conflicts_with = "preset", value_name = "VERSION")]
    pub(crate) from: Option<String>,

    /// What the job starts from; the specification and single fields go over
    /// it.
    #[arg(long, default_value = "small")]
    preset: Preset,

    /// Where the report of a job with `--data` goes; `report.html` when absent.
    #[arg(long)]
    pub(crate) report: Option<PathBuf>,

    /// A specification (TOML); every field but the data set has a default.
    #[arg(long)]
    spec: Option<PathBuf>,

    /// One field over the specification, such as `finetuning.epochs=3`; may be
    /// repeated.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    fields: Vec<String>,

    /// A label that moves to the new version; may be repeated.
    #[arg(long)]
    label: Vec<String>,

    #[command(flatten)]
    pub(crate) schedule: ScheduleArguments,

    /// The same id gives the same job.
    #[arg(long, default_value = "")]
    pub(crate) request_id: String,

    /// Only check, and say what the job will cost; with `--data`, what would be
    /// read.
    #[arg(long)]
    pub(crate) validate_only: bool,

    /// Follow the job to its end.
    #[arg(long)]
    pub(crate) watch: bool,
}

/// The data set that `--data` became.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ImportedData<'a> {
    pub(crate) id: &'a str,
    /// Nobody else's `live` is moved: the services are this command's own, or
    /// nothing is live yet.
    pub(crate) may_go_live: bool,
}

impl Submit {
    /// Refuses options that say how `--data` is read where there is none.
    pub(crate) fn refuse_options_without_effect(&self) -> anyhow::Result<()> {
        if self.data.is_some() {
            return Ok(());
        }
        if self.report.is_some() {
            bail!("`--report` has no effect without `--data`");
        }
        if let Some(option) = self.reading.unusual() {
            bail!(
                "`{option}` has no effect without `--data`: a data set is as it was read by `dataset import`, \
                 which takes the same option"
            );
        }
        Ok(())
    }

    /// Whether labels are asked for, or none at all.
    pub(crate) fn names_labels(
        &self,
        start: Option<&StartVersion>,
    ) -> anyhow::Result<bool> {
        let is_labels = |field: &String| field.starts_with("labels=");
        let is_set = self.fields.iter().any(is_labels);
        let of_file = self.base_and_file(start)?.contains_key("labels");
        Ok(is_set || of_file || !self.label.is_empty())
    }

    /// The specification of a job on the data set that `--dataset` or the
    /// specification file names.
    pub(crate) async fn spec(
        &self,
        start: Option<&StartVersion>,
        settings: &Settings,
    ) -> anyhow::Result<TrainSpec> {
        let mut table = self.base_and_file(start)?;
        if let Some(typed) = &self.dataset {
            table.insert("dataset".to_owned(), typed.as_str().into());
        }
        let mut table = self.with_single_fields(table)?;
        find_dataset(&mut table, settings).await?;
        checked(table)
    }

    /// The specification of a job on the data set of `--data`.
    pub(crate) fn spec_on(
        &self,
        imported: ImportedData<'_>,
        start: Option<&StartVersion>,
    ) -> anyhow::Result<TrainSpec> {
        let mut table = self.base_and_file(start)?;
        table.insert("dataset".to_owned(), imported.id.into());
        if imported.may_go_live && !table.contains_key("labels") {
            table.insert("labels".to_owned(), vec!["live"].into());
        }
        checked(self.with_single_fields(table)?)
    }

    /// The version that `--from` names.
    pub(crate) async fn start_version(
        &self,
        coordinator: &Target,
    ) -> anyhow::Result<Option<StartVersion>> {
        match &self.from {
            Some(typed) => {
                Ok(Some(StartVersion::find(typed, coordinator).await?))
            }
            None => Ok(None),
        }
    }

    /// The specification file's fields over the preset's, or over those of the
    /// version that the job starts from.
    fn base_and_file(
        &self,
        start: Option<&StartVersion>,
    ) -> anyhow::Result<Table> {
        let mut table = match start {
            Some(start) => start.fields()?,
            None => self.preset.fields(),
        };
        if let Some(path) = &self.spec {
            merge(&mut table, read_spec(path)?);
        }
        Ok(table)
    }

    /// `--label` and each `--set` over everything else.
    fn with_single_fields(&self, mut table: Table) -> anyhow::Result<Table> {
        if !self.label.is_empty() {
            table.insert("labels".to_owned(), self.label.clone().into());
        }
        for field in &self.fields {
            set(&mut table, field)?;
        }
        Ok(table)
    }
}

/// Puts the id in the place of what was typed for the data set.
pub(crate) async fn find_dataset(
    spec: &mut Table,
    settings: &Settings,
) -> anyhow::Result<()> {
    if let Some(Value::String(typed)) = spec.get("dataset") {
        let id = lookup::dataset(settings, typed).await?;
        spec.insert("dataset".to_owned(), id.into());
    }
    Ok(())
}
