//! `--from`: the version that a job starts from, and what its specification is
//! then.

use anyhow::Context;
use domain::{Backbone, TrainSpec};
use proto::pb;
use service::client::Target;
use toml::Table;

use crate::jobs::spec::merge;
use crate::lookup;
use crate::names::dataset_id;

/// A version that a job starts from.
#[derive(Debug)]
pub(crate) struct StartVersion {
    name: String,
    /// Namespace of its item ids.
    pub(crate) catalog: String,
    /// Id of the data set that it was trained on.
    pub(crate) dataset: String,
    /// How it was trained.
    spec: TrainSpec,
}

/// What its job does less than one that begins with nothing: the rows have been
/// pretrained, and a few epochs on the new interactions are enough
/// (docs/training.md has the measurement).
const FEWER_EPOCHS: &str = "
pretraining = { content_epochs = 0, epochs = 0 }
finetuning = { epochs = 2 }
";

impl StartVersion {
    /// Finds a version by its name or by a label that points to it.
    pub(crate) async fn find(
        typed: &str,
        coordinator: &Target,
    ) -> anyhow::Result<Self> {
        let model = lookup::version(coordinator, typed).await;
        Self::of(model.with_context(|| {
            format!(
                "--from {typed}: `cllm4rec models list` shows the versions and labels"
            )
        })?)
    }

    fn of(model: pb::ModelVersion) -> anyhow::Result<Self> {
        let spec = model.spec.unwrap_or_default();
        Ok(Self {
            name: model.name,
            catalog: model.catalog,
            dataset: dataset_id(&model.dataset).to_owned(),
            spec: TrainSpec::try_from(spec)
                .context("--from: the version's specification")?,
        })
    }

    /// The language model that its rows belong to.
    pub(crate) fn backbone(&self) -> &Backbone {
        &self.spec.backbone
    }

    /// The fields of a job that goes on from the version: those of its own job,
    /// with fewer epochs, for another data set and without its labels.
    pub(crate) fn fields(&self) -> anyhow::Result<Table> {
        let mut table = Table::try_from(&self.spec)?;
        table.remove("dataset");
        table.remove("labels");
        let fewer: Table = FEWER_EPOCHS.parse()?;
        merge(&mut table, fewer);
        let version = self.name.trim_start_matches("modelVersions/");
        table.insert("start_from".to_owned(), version.into());
        Ok(table)
    }
}
