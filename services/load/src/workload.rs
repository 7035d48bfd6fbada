//! What is asked: users by popularity rank, items, and the mix of requests; the same seed asks the
//! same.

use std::path::Path;

use anyhow::Context;
use dataset::Dataset;
use proto::pb;
use proto::pb::recommend_request::Model;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Zipf};
use serde::Deserialize;

/// A workload file; every field has a default.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Workload {
    /// Of all random choices.
    pub(crate) seed: u64,
    /// Requests of each kind, in proportion.
    pub(crate) kinds: Vec<Kind>,
    /// Exponent of the users' popularity: the n-th most active user asks n^-zipf as often as the
    /// first.
    pub(crate) zipf: f64,
    /// gRPC deadline of a request, in milliseconds.
    pub(crate) deadline_ms: u64,
    /// Who answers.
    pub(crate) label: String,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            seed: 0,
            kinds: vec![Kind::default()],
            zipf: 1.0,
            deadline_ms: 1_000,
            label: "live".to_owned(),
        }
    }
}

/// One kind of request.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Kind {
    /// How often, beside the other kinds.
    pub(crate) weight: f64,
    /// Items wanted.
    pub(crate) k: u32,
    /// Leave out what the history holds.
    pub(crate) exclude_seen: bool,
    /// One request in so many has `n_excluded` ids of its own; 0: none.
    pub(crate) excluded_one_in: u32,
    /// Ids that such a request leaves out.
    pub(crate) n_excluded: usize,
    /// Items of an inline history that nobody has had before, so that no state is known; 0: the
    /// stored history.
    pub(crate) fresh_history: usize,
    /// Items of an inline history that is the user's own, the same each time; 0: the stored
    /// history.
    pub(crate) own_history: usize,
    /// `INTERACTIVE` or `BATCH`.
    pub(crate) is_batch: bool,
}

impl Default for Kind {
    fn default() -> Self {
        Self {
            weight: 1.0,
            k: 20,
            exclude_seen: true,
            excluded_one_in: 10,
            n_excluded: 50,
            fresh_history: 0,
            own_history: 0,
            is_batch: false,
        }
    }
}

impl Workload {
    /// The file, or the default without one.
    pub(crate) fn read(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is no workload", path.display()))
    }
}

/// An endless stream of requests.
pub(crate) struct Requests {
    workload: Workload,
    users: Vec<String>,
    items: Vec<String>,
    rank: Zipf<f64>,
    rng: ChaCha8Rng,
}

impl Requests {
    /// Users and items of an imported data set, the most active users first.
    pub(crate) fn new(workload: Workload, dataset: &Path) -> anyhow::Result<Self> {
        let dataset = Dataset::read_without_texts(dataset)?;
        let mut n_of = vec![0_usize; dataset.users.len()];
        dataset
            .interactions
            .users
            .iter()
            .for_each(|&user| n_of[user as usize] += 1);
        let mut by_activity: Vec<usize> = (0..n_of.len()).collect();
        by_activity.sort_by_key(|&user| std::cmp::Reverse(n_of[user]));
        let users: Vec<String> = by_activity
            .into_iter()
            .map(|user| dataset.users[user].to_string())
            .collect();
        let items = dataset
            .items
            .iter()
            .map(|item| item.id.to_string())
            .collect();
        let rank =
            Zipf::new(users.len() as f64, workload.zipf).context("the data set has no users")?;
        let rng = ChaCha8Rng::seed_from_u64(workload.seed);
        Ok(Self {
            workload,
            users,
            items,
            rank,
            rng,
        })
    }

    /// Every user once, to warm what serves them.
    pub(crate) fn each_user(&self) -> impl Iterator<Item = pb::RecommendRequest> + '_ {
        let request = |(number, user): (usize, &String)| pb::RecommendRequest {
            user_id: user.clone(),
            history: self
                .workload
                .kinds
                .first()
                .map_or_else(Vec::new, |kind| self.own_history(kind, number)),
            model: Some(self.model()),
            ..Default::default()
        };
        self.users.iter().enumerate().map(request)
    }

    /// The items that a kind of request says a user has.
    fn own_history(&self, kind: &Kind, user: usize) -> Vec<pb::InlineInteraction> {
        match kind.own_history {
            0 => Vec::new(),
            n => inline(drawn(
                &self.items,
                n,
                &mut ChaCha8Rng::seed_from_u64(user as u64),
            )),
        }
    }

    pub(crate) fn next(&mut self) -> pb::RecommendRequest {
        let kind = self.kind();
        let user = self.rank.sample(&mut self.rng) as usize - 1;
        let has_exclusions =
            kind.excluded_one_in > 0 && self.rng.random_range(0..kind.excluded_one_in) == 0;
        let priority = if kind.is_batch {
            pb::Priority::Batch
        } else {
            pb::Priority::Interactive
        };
        let (user_id, history) = if kind.fresh_history > 0 {
            (
                String::new(),
                inline(drawn(&self.items, kind.fresh_history, &mut self.rng)),
            )
        } else {
            (self.users[user].clone(), self.own_history(&kind, user))
        };
        let n_excluded = if has_exclusions { kind.n_excluded } else { 0 };
        pb::RecommendRequest {
            user_id,
            history,
            k: Some(kind.k),
            exclude_seen: Some(kind.exclude_seen),
            excluded_item_ids: drawn(&self.items, n_excluded, &mut self.rng),
            priority: priority.into(),
            model: Some(self.model()),
            ..Default::default()
        }
    }

    fn kind(&mut self) -> Kind {
        let all: f64 = self.workload.kinds.iter().map(|kind| kind.weight).sum();
        let mut left = self.rng.random_range(0.0..all.max(f64::MIN_POSITIVE));
        for kind in &self.workload.kinds {
            if left < kind.weight {
                return kind.clone();
            }
            left -= kind.weight;
        }
        self.workload.kinds.last().cloned().unwrap_or_default()
    }

    fn model(&self) -> Model {
        Model::Label(self.workload.label.clone())
    }

    pub(crate) fn deadline_ms(&self) -> u64 {
        self.workload.deadline_ms
    }
}

/// Items at random.
fn drawn(items: &[String], n: usize, rng: &mut ChaCha8Rng) -> Vec<String> {
    (0..n)
        .map(|_| items[rng.random_range(0..items.len())].clone())
        .collect()
}

fn inline(items: Vec<String>) -> Vec<pb::InlineInteraction> {
    items
        .into_iter()
        .map(|item_id| pb::InlineInteraction {
            item_id,
            time: None,
        })
        .collect()
}
