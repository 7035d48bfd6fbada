//! Two versions or more measured on the same interactions, which none of them
//! has learned from.
//!
//! What a version keeps of its measured fit ranks, as it would be served: with
//! its own user tokens and its light model. A version that was fitted on all
//! interactions and kept nothing else has learned from all of its data set.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use dataset::{Dataset, Split};
use domain::{ModelVersion, UserToken};
use model::metrics::RankingMetrics;
use model::{
    Artifact, Backbone, Device, FitKind, ItemWeights, PromptTexts, TokenTables,
    has_measured, read_measured_light, read_tables,
};
use storage::{Artifacts, Kind};
use tokio_util::sync::CancellationToken;

use crate::contract::input::EarlierVersion;
use crate::contract::progress::Progress;
use crate::error::Error;
use crate::evaluation::baselines::ease::{self, LightWeights};
use crate::evaluation::holdout::Holdout;
use crate::evaluation::ranker::{Mixes, Ranker};
use crate::material::corpus::TestSplit;
use crate::material::histories::Histories;
use crate::settings::Settings;
use crate::training::earlier::Earlier;

/// A version that is compared.
#[derive(Debug, Clone)]
pub struct ComparedVersion {
    /// Its model and the data set that it was trained on.
    pub files: EarlierVersion,
    /// The folder of its backbone.
    pub backbone: PathBuf,
}

impl ComparedVersion {
    /// Opens the files of a version, verified.
    ///
    /// # Errors
    /// When its model, data set or backbone is not there or damaged, or when it
    /// has no language model.
    pub async fn open(
        artifacts: &Artifacts,
        version: &ModelVersion,
    ) -> Result<Self, Error> {
        let files = EarlierVersion::open(artifacts, version).await?;
        let manifest =
            model::read_manifest(&files.model).map_err(Error::Earlier)?;
        let Some(backbone) = manifest.backbone else {
            return Err(Error::Spec(
                "it has no language model to rank with".to_owned(),
            ));
        };
        let backbone =
            artifacts.open_verified(Kind::Backbone, &backbone).await?;
        Ok(Self { files, backbone })
    }
}

/// What a comparison came to.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Users that have something to be found.
    pub n_users: usize,
    /// Held-out interactions that none of the versions has learned from.
    pub n_held_out: usize,
    /// Held-out interactions of the data set that one of them has learned from:
    /// they are left out.
    pub n_learned: usize,
    /// The metrics of each version, in their order.
    pub metrics: Vec<RankingMetrics>,
}

/// Measures each version on the test split of a data set, without what any of
/// them has learned from.
///
/// # Errors
/// When a file cannot be read, or when nothing is left to measure on.
pub fn compare(
    dataset: &Path,
    versions: &[ComparedVersion],
    settings: &Settings,
) -> Result<Comparison, Error> {
    let computing = model::compute_device(&settings.device)?;
    let device = &computing.device;
    let (progress, _watch) =
        Progress::new(&computing.name, CancellationToken::new());
    let mut dataset =
        Dataset::read_without_texts(dataset).map_err(Error::Data)?;
    let n_test = dataset.manifest.n_test;
    for version in versions {
        let earlier = Earlier::open(&version.files)?;
        // What it has learned from is no part of the test split any more.
        earlier.learn_again(&mut dataset)?;
    }
    let n_held_out = dataset.manifest.n_test;
    if n_held_out == 0 {
        return Err(Error::Spec(format!(
            "nothing to compare on: of the {n_test} held-out interactions each was learned from by one of the versions. Name a data set with later interactions, or train a version anew from this program on: it keeps what it was before its final fit"
        )));
    }
    let tested = Tested::of(&dataset);
    let mut metrics = Vec::with_capacity(versions.len());
    for version in versions {
        let ranking = RankingVersion::read(version, device)?;
        metrics.push(ranking.measure(&tested, &progress)?);
    }
    Ok(Comparison {
        n_users: tested.test.iter().filter(|test| !test.is_empty()).count(),
        n_held_out,
        n_learned: n_test - n_held_out,
        metrics,
    })
}

/// What each user did, by the ids of the items.
struct Tested<'a> {
    dataset: &'a Dataset,
    train: Vec<Vec<u32>>,
    valid: Vec<Vec<u32>>,
    test: Vec<Vec<u32>>,
}

impl<'a> Tested<'a> {
    fn of(dataset: &'a Dataset) -> Self {
        Self {
            dataset,
            train: dataset.histories(Split::Train),
            valid: dataset.histories(Split::Valid),
            test: dataset.histories(Split::Test),
        }
    }
}

/// A version, ready to rank.
struct RankingVersion {
    artifact: Artifact,
    /// The served table of the fit that was measured, with the mean user as its
    /// last row.
    tables: TokenTables,
    light: Option<LightWeights>,
    backbone: Backbone,
}

impl RankingVersion {
    fn read(version: &ComparedVersion, device: &Device) -> Result<Self, Error> {
        let folder = &version.files.model;
        let mut artifact = Artifact::read(folder).map_err(Error::Earlier)?;
        let backbone = Backbone::read(&version.backbone, device)
            .map_err(Error::Backbone)?;
        let tables =
            read_tables(folder, FitKind::Measured).map_err(Error::Earlier)?;
        let mut tables = tables.collaborative;
        tables.push_mean_user();
        let light = if has_measured(folder) {
            read_measured_light(folder, artifact.items.len())
                .map_err(Error::Earlier)?
        } else {
            artifact.light.take()
        };
        Ok(Self {
            artifact,
            tables,
            light: light.map(unread),
            backbone,
        })
    }

    /// Its metrics over all users: those that it knows and those that are new to
    /// it.
    fn measure(
        &self,
        tested: &Tested<'_>,
        progress: &Progress,
    ) -> Result<RankingMetrics, Error> {
        let manifest = &self.artifact.manifest;
        let split = self.by_acquaintance(tested)?;
        let known =
            self.measure_users(&split.known, manifest.known_user, progress)?;
        let new =
            self.measure_users(&split.new, manifest.new_user, progress)?;
        let share = split.known.n_users() as f64
            / (split.known.n_users() + split.new.n_users()).max(1) as f64;
        let mean = |a: f64, b: f64| share * a + (1.0 - share) * b;
        Ok(RankingMetrics {
            recall_20: mean(known.recall_20, new.recall_20),
            recall_40: mean(known.recall_40, new.recall_40),
            ndcg_100: mean(known.ndcg_100, new.ndcg_100),
        })
    }

    fn measure_users(
        &self,
        users: &Users,
        user_token: UserToken,
        progress: &Progress,
    ) -> Result<RankingMetrics, Error> {
        let test = Holdout::test(&users.histories, &users.test);
        let ranker = Ranker {
            backbone: &self.backbone,
            tables: &self.tables,
            user_token,
        };
        let Some(light) = &self.light else {
            return ranker.evaluate(test, progress);
        };
        let mix = Mixes {
            lights: std::slice::from_ref(light),
            weights: &[self.artifact.manifest.light_weight],
        };
        Ok(ranker.evaluate_mixes(mix, test, progress)?[0])
    }

    /// The users in the version's own rows, and the others, all with items in
    /// its rows. Items that it does not know cannot be in its lists: they stay to
    /// be found, and are no part of a history.
    fn by_acquaintance(
        &self,
        tested: &Tested<'_>,
    ) -> Result<ByAcquaintance, Error> {
        let own = &self.artifact.items;
        let rows: HashMap<&str, u32> =
            own.iter().map(|item| item.id.as_str()).zip(0..).collect();
        let n_items = own.len();
        let mut items = Vec::with_capacity(tested.dataset.items.len());
        for (unknown, item) in (n_items as u32..).zip(&tested.dataset.items) {
            let row = rows.get(item.id.as_str()).copied();
            items.push(row.unwrap_or(unknown));
        }
        let tokenizer = self.backbone.tokenizer().map_err(Error::Backbone)?;
        let texts = PromptTexts::new(tokenizer);
        let n_positions = self.backbone.n_positions();
        let none = || Users::none(texts.clone(), n_items, n_positions);
        let (mut known, mut new) = (none(), none());
        known.resize(self.artifact.users.len());
        for (user, id) in tested.dataset.users.iter().enumerate() {
            let done = Done {
                train: &tested.train[user],
                valid: &tested.valid[user],
                test: &tested.test[user],
                rows: &items,
            };
            match self.artifact.users.binary_search(id) {
                Ok(row) => known.set(row, done),
                Err(_) => {
                    let row = new.histories.train.len();
                    new.resize(row + 1);
                    new.set(row, done);
                }
            }
        }
        Ok(ByAcquaintance { known, new })
    }
}

/// Users by whether a version has a row for them.
struct ByAcquaintance {
    known: Users,
    new: Users,
}

/// What users did, in the rows of a version.
struct Users {
    histories: Histories,
    test: TestSplit,
}

/// What one user did, in the rows of a data set, and the version's row of each
/// of its items.
#[derive(Clone, Copy)]
struct Done<'a> {
    train: &'a [u32],
    valid: &'a [u32],
    test: &'a [u32],
    rows: &'a [u32],
}

impl Users {
    fn none(texts: PromptTexts, n_items: usize, n_positions: usize) -> Self {
        Self {
            histories: Histories {
                train: Vec::new(),
                valid: Vec::new(),
                n_items,
                texts,
                n_positions,
            },
            test: TestSplit { items: Vec::new() },
        }
    }

    fn resize(&mut self, n_users: usize) {
        self.histories.train.resize(n_users, Vec::new());
        self.histories.valid.resize(n_users, Vec::new());
        self.test.items.resize(n_users, Vec::new());
    }

    fn set(&mut self, row: usize, done: Done<'_>) {
        let n_items = self.histories.n_items;
        let own = |items: &[u32]| {
            let rows = items.iter().map(|&item| done.rows[item as usize]);
            rows.filter(|&row| (row as usize) < n_items).collect()
        };
        self.histories.train[row] = own(done.train);
        self.histories.valid[row] = own(done.valid);
        let test = done.test.iter().map(|&item| done.rows[item as usize]);
        self.test.items[row] = test.collect();
    }

    /// How many have something to be found.
    fn n_users(&self) -> usize {
        self.test
            .items
            .iter()
            .filter(|test| !test.is_empty())
            .count()
    }
}

/// A light model of which only the weights count here.
fn unread(weights: ItemWeights) -> LightWeights {
    LightWeights {
        weights,
        settings: ease::Settings::default(),
    }
}
