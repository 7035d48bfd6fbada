//! The state of a training attempt: what it starts from, how it is validated, what it leaves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dataset::Dataset;
use domain::{Backbone, TableInit, TrainSpec};
use model::metrics::RankingMetrics;
use model::{
    Artifact, Device, Gpt2, Gpt2Config, Tables, load_backbone, new_manifest, random_backbone, save_backbone,
    spectral_tables,
};

use crate::corpus::Corpus;
use crate::evaluate::{Holdout, evaluate};
use crate::progress::Progress;
use crate::stages::{Learned, PairMoments};
use crate::{Error, baselines};

/// What a training attempt works from.
#[derive(Debug, Clone)]
pub struct Input {
    /// Which job it is for.
    pub job: String,
    /// What to do.
    pub spec: TrainSpec,
    /// Folder of the data set.
    pub dataset: PathBuf,
    /// Backbones named by a path are below this folder and nowhere else.
    pub backbone_root: PathBuf,
    /// Folder of the checkpoint to go on from.
    pub resume: Option<PathBuf>,
    /// An empty folder for checkpoints and the result.
    pub scratch: PathBuf,
    /// What computes.
    pub device: Device,
    /// At most one checkpoint in this time.
    pub checkpoint_every: Duration,
}

/// What a training attempt leaves in its scratch folder.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The model's files.
    pub model: PathBuf,
    /// The backbone's files.
    pub backbone: PathBuf,
    /// Ranking metrics.
    pub metrics: BTreeMap<String, f64>,
}

/// The state of a training attempt between two epochs.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) config: Gpt2Config,
    pub(crate) learned: Learned,
    /// The best validated tables so far.
    pub(crate) best: Option<Best>,
    /// Validation before finetuning.
    pub(crate) pretrained: Option<RankingMetrics>,
    pub(crate) n_epochs_done: usize,
    /// Validations since the best.
    pub(crate) n_without_better: usize,
}

/// Tables and how well they rank.
#[derive(Debug)]
pub(crate) struct Best {
    pub(crate) metrics: RankingMetrics,
    pub(crate) tables: Tables,
}

/// How many validations have passed without a better one.
pub(crate) struct Patience(usize);

impl Patience {
    pub(crate) fn is_worse_for(&self, patience: usize) -> bool {
        patience > 0 && self.0 >= patience
    }
}

impl Run {
    /// Backbone, corpus and fresh tables.
    pub(crate) fn start(input: &Input, dataset: &Dataset) -> Result<(Self, Corpus), Error> {
        let spec = &input.spec;
        let (config, gpt2) = start_backbone(input)?;
        let corpus = Corpus::new(dataset, spec, config.n_positions);
        let tables = start_tables(spec, &corpus, config.n_embd, dataset.items.len());
        let learned = Learned {
            content: PairMoments::zeros(&tables.content),
            collaborative: PairMoments::zeros(&tables.collaborative),
            gpt2,
            tables,
        };
        let run = Self { config, learned, best: None, pretrained: None, n_epochs_done: 0, n_without_better: 0 };
        Ok((run, corpus))
    }

    /// Measures the pretrained tables and gives the collaborative ones a fresh optimiser (published: a new Adam).
    pub(crate) fn begin_finetuning(&mut self, corpus: &Corpus, progress: &Progress) -> Result<(), Error> {
        self.validate(corpus, progress)?;
        self.pretrained = self.best.as_ref().map(|best| best.metrics);
        self.learned.collaborative = PairMoments::zeros(&self.learned.tables.collaborative);
        Ok(())
    }

    /// Ranks the validation split; keeps the tables when they are the best so far.
    pub(crate) fn validate(&mut self, corpus: &Corpus, progress: &Progress) -> Result<Patience, Error> {
        let Learned { gpt2, tables, .. } = &self.learned;
        let metrics = evaluate(gpt2, &tables.collaborative, corpus, Holdout::Valid, progress)?;
        if Holdout::Valid.users(corpus).is_empty() {
            // Nothing to choose by: the latest tables count.
            self.best = Some(Best { metrics, tables: tables.clone() });
            return Ok(Patience(0));
        }
        let RankingMetrics { recall_20, recall_40, ndcg_100 } = metrics;
        tracing::info!(recall_20, recall_40, ndcg_100, "validated");
        if self.best.as_ref().is_none_or(|best| metrics.sum() > best.metrics.sum()) {
            self.best = Some(Best { metrics, tables: tables.clone() });
            self.n_without_better = 0;
        } else {
            self.n_without_better += 1;
        }
        Ok(Patience(self.n_without_better))
    }

    /// Measures the best tables on the test split, beside the baselines, and writes the model's files.
    pub(crate) fn finish(
        mut self,
        input: &Input,
        dataset: &Dataset,
        corpus: &Corpus,
        progress: &Progress,
    ) -> Result<Trained, Error> {
        if self.best.is_none() {
            self.validate(corpus, progress)?;
        }
        progress.enters("evaluation");
        let Some(Best { metrics: valid, tables }) = self.best else {
            return Err(Error::Spec("no tables were validated".to_owned()));
        };
        let gpt2 = &self.learned.gpt2;
        let test = evaluate(gpt2, &tables.collaborative, corpus, Holdout::Test, progress)?;
        let mut metrics: BTreeMap<String, f64> = test.named("").into_iter().chain(valid.named("valid_")).collect();
        metrics.extend(self.pretrained.iter().flat_map(|pretrained| pretrained.named("valid_pretrained_")));
        progress.check()?;
        metrics.extend(baselines::measure(input.spec.evaluation.baselines, corpus, dataset.items.len()));
        let backbone = new_folder(&input.scratch, "backbone")?;
        save_backbone(&backbone, &self.config, gpt2)?;
        let backbone_id = storage::content_id(&backbone)?;
        let catalog = dataset.manifest.catalog.clone();
        let manifest = new_manifest(catalog, input.spec.clone(), backbone_id, &tables, metrics.clone());
        let model = new_folder(&input.scratch, "model")?;
        Artifact { manifest, tables, users: dataset.users.clone(), items: dataset.items.clone() }.write(&model)?;
        Ok(Trained { model, backbone, metrics })
    }
}

pub(crate) fn new_folder(parent: &Path, name: &str) -> Result<PathBuf, Error> {
    let folder = parent.join(name);
    std::fs::create_dir(&folder).map_err(Error::file(&folder))?; // the parent is gone when the attempt was given up
    Ok(folder)
}

/// The backbone is the job's own work, not somebody's file or seed.
pub(crate) fn is_warmed_up(spec: &TrainSpec) -> bool {
    matches!(&spec.backbone, Backbone::Random(shape) if shape.warmup_epochs > 0)
}

/// The backbone: a checkpoint's own when it was warmed up, a folder below the root, or drawn at random.
fn start_backbone(input: &Input) -> Result<(Gpt2Config, Gpt2), Error> {
    match (&input.spec.backbone, &input.resume) {
        (Backbone::Random(_), Some(folder)) if is_warmed_up(&input.spec) => {
            load_backbone(folder, &input.device).map_err(Error::Backbone)
        }
        (Backbone::Random(shape), _) => Ok(random_backbone(shape, &input.device)),
        (Backbone::Path(path), _) => {
            let folder = confined(&input.backbone_root, path)?;
            let (config, gpt2) = load_backbone(&folder, &input.device).map_err(Error::Backbone)?;
            config.check_prompts(&folder).map_err(Error::Backbone)?;
            Ok((config, gpt2))
        }
    }
}

/// `path` below `root`, links resolved; anything that leads outside is refused.
fn confined(root: &Path, path: &str) -> Result<PathBuf, Error> {
    let missing = |source| {
        let path = root.join(path);
        Error::Backbone(model::Error::File { path, source })
    };
    let inside = root.canonicalize().map_err(missing)?;
    let folder = inside
        .join(path)
        .canonicalize()
        .map_err(|source| Error::Backbone(model::Error::File { path: inside.join(path), source }))?;
    if !folder.starts_with(&inside) {
        return Err(Error::Spec(format!("backbone.path `{path}` leads outside of the worker's backbone root")));
    }
    Ok(folder)
}

fn start_tables(spec: &TrainSpec, corpus: &Corpus, width: usize, n_items: usize) -> Tables {
    match spec.init {
        TableInit::Normal => Tables::normal(corpus.train.len(), n_items, width, spec.seed),
        TableInit::Spectral => {
            let pair = spectral_tables(&corpus.train, n_items, width, spec.seed);
            Tables { collaborative: pair.clone(), content: pair }
        }
    }
}
