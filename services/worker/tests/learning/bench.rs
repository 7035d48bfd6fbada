//! A small data set with something to learn, and jobs on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dataset::{Dataset, ImportOptions, import};
use domain::{
    Backbone, DatasetId, Light, RandomBackbone, TableInit, TrainSpec,
};
use model::{Artifact, Device, Precision, compute_device};
use tempfile::TempDir;
use worker::{Backbones, EarlierVersion, Input, Progress, train};

const N_USERS: usize = 80;
pub(crate) const N_ITEMS: usize = 30;

/// Users and items come in three groups; titles tell the group, and one item in
/// the middle is everybody's.
fn three_groups(folder: &Path) -> Dataset {
    let mut rows = "user_id,item_id,timestamp,split\n".to_owned();
    for user in 0..N_USERS {
        for place in 0..8 {
            let item = (user % 3) * 10 + (user / 3 + place) % 10;
            let split = [
                "train", "train", "train", "train", "train", "train", "valid",
                "test",
            ][place];
            rows.push_str(&format!("u{user:02},i{item:02},{place},{split}\n"));
        }
    }
    std::fs::write(folder.join("interactions.csv"), rows).unwrap();
    let items: String = (0..N_ITEMS)
        .map(|item| {
            let words = [
                "space ship battle in the stars",
                "quiet garden of flowers",
                "fast cars on the road",
            ][item / 10];
            format!("{{\"item_id\": \"i{item:02}\", \"title\": \"{words} {item}\"}}\n")
        })
        .collect();
    std::fs::write(folder.join("items.jsonl"), items).unwrap();
    import(folder, &ImportOptions::default()).unwrap().0
}

/// A spec without any stage: tests switch on what they look at.
pub(crate) fn nothing() -> TrainSpec {
    let mut spec = TrainSpec::new(DatasetId::new("d").unwrap());
    spec.init = TableInit::Normal;
    spec.backbone = Backbone::Random(RandomBackbone {
        n_embd: 48,
        n_head: 2,
        n_positions: 48,
        ..Default::default()
    });
    (
        spec.pretraining.content_epochs,
        spec.pretraining.epochs,
        spec.finetuning.epochs,
    ) = (0, 0, 0);
    spec.pretraining.learning_rate = 5e-3;
    spec.finetuning.learning_rate = 5e-3;
    spec.evaluation.patience = 0;
    spec.hybrid.light = Light::None;
    spec.finetuning.distilled_share = 0.0;
    spec
}

/// What a job left.
pub(crate) struct Outcome {
    pub(crate) artifact: Artifact,
    pub(crate) backbone: model::Backbone,
    pub(crate) metrics: BTreeMap<String, f64>,
    pub(crate) tables_file: Vec<u8>,
    /// The folder of its model.
    pub(crate) model: PathBuf,
    /// The folder of its backbone.
    pub(crate) backbone_folder: PathBuf,
    _folder: TempDir,
}

/// The fastest that this build has.
pub(crate) fn device() -> Device {
    compute_device("auto").unwrap().device
}

/// A data set in a folder, and where its backbones come from.
pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    pub(crate) data: PathBuf,
    pub(crate) hub_url: String,
}

impl Outcome {
    /// The version as a later job starts from it.
    pub(crate) fn version(&self, trained_on: &Bench) -> EarlierVersion {
        EarlierVersion {
            model: self.model.clone(),
            dataset: trained_on.data.clone(),
        }
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(crate) fn with(change: impl FnOnce(&mut Dataset)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let mut dataset = three_groups(folder.path());
        change(&mut dataset);
        dataset.write(&data).unwrap();
        Self {
            folder,
            data,
            hub_url: String::new(),
        }
    }

    /// The data set without one item and whoever took only that.
    pub(crate) fn without_item(item: u32) -> Self {
        Self::with(|dataset| {
            let rows = &mut dataset.interactions;
            let mut kept = dataset::Interactions::default();
            for place in 0..rows.users.len() {
                if rows.items[place] != item {
                    kept.users.push(rows.users[place]);
                    kept.items.push(rows.items[place]);
                    kept.at_ms.push(rows.at_ms[place]);
                    kept.splits.push(rows.splits[place]);
                }
            }
            dataset.manifest.n_interactions = kept.users.len();
            dataset.interactions = kept;
            // It is the last one: no other moves up.
            dataset.items.truncate(item as usize);
            dataset.manifest.n_items = dataset.items.len();
            let texts = &mut dataset.texts;
            texts.retain(|text| text.item != Some(item));
            dataset.manifest.n_texts = dataset.texts.len();
        })
    }

    pub(crate) fn input(
        &self,
        spec: &TrainSpec,
        scratch: &Path,
        resume: Option<PathBuf>,
    ) -> Input {
        Input {
            job: "job-test".to_owned(),
            spec: spec.clone(),
            dataset: self.data.clone(),
            backbones: Backbones {
                root: self.folder.path().to_owned(),
                hub_url: self.hub_url.clone(),
                artifact: None,
            },
            earlier: None,
            resume,
            token_files: self.folder.path().join("tokens"),
            scratch: scratch.to_owned(),
            device: device(),
            precision: Precision::F32,
            checkpoint_every: Duration::MAX,
        }
    }

    pub(crate) fn train(&self, spec: &TrainSpec) -> Outcome {
        self.train_from(None, spec)
    }

    /// Trains from the rows of a version that was trained on another bench.
    pub(crate) fn train_from(
        &self,
        earlier: Option<EarlierVersion>,
        spec: &TrainSpec,
    ) -> Outcome {
        let scratch = tempfile::tempdir().unwrap();
        let (mut progress, _watch) =
            Progress::new("flex", tokio_util::sync::CancellationToken::new());
        let mut input = self.input(spec, scratch.path(), None);
        input.earlier = earlier;
        let trained = train(&input, &mut progress).unwrap();
        let artifact = Artifact::read(&trained.model).unwrap();
        let backbone =
            model::Backbone::read(&trained.backbone, &device()).unwrap();
        let tables_file =
            std::fs::read(trained.model.join("tables.safetensors")).unwrap();
        Outcome {
            artifact,
            backbone,
            metrics: trained.metrics,
            tables_file,
            model: trained.model,
            backbone_folder: trained.backbone,
            _folder: scratch,
        }
    }
}
