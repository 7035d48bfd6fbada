//! What is asked: users by popularity rank, items, and the mix of requests; the
//! same seed asks the same.

use std::cmp::Reverse;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use dataset::Dataset;
use proto::pb;
use proto::pb::recommend_request::Model;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Zipf};

use crate::workload::{RequestKind, Workload};

/// An endless stream of requests.
pub(crate) struct Requests {
    workload: Workload,
    /// Ids of the users, the most active first.
    users: Vec<String>,
    /// Ids of the items.
    items: Vec<String>,
    rank: Zipf<f64>,
    rng: ChaCha8Rng,
}

impl Requests {
    /// Requests of the users and for the items of an imported data set.
    pub(crate) fn new(
        workload: Workload,
        dataset: &Path,
    ) -> anyhow::Result<Self> {
        let dataset = Dataset::read_without_texts(dataset)?;
        let users = by_activity(&dataset);
        let items = dataset.items.iter().map(|item| item.id.to_string());
        let rank = Zipf::new(users.len() as f64, workload.zipf);
        Ok(Self {
            rank: rank.context("the data set has no users")?,
            rng: ChaCha8Rng::seed_from_u64(workload.seed),
            items: items.collect(),
            users,
            workload,
        })
    }

    /// How long an answer may take.
    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_millis(self.workload.deadline_ms)
    }

    /// Every user once, to warm what serves them.
    pub(crate) fn each_user(
        &self,
    ) -> impl Iterator<Item = pb::RecommendRequest> + '_ {
        (0..self.users.len()).map(|user| self.warming(user))
    }

    fn warming(&self, user: usize) -> pb::RecommendRequest {
        let history = match self.workload.kinds.first() {
            Some(kind) => self.own_history(kind, user),
            None => Vec::new(),
        };
        pb::RecommendRequest {
            user_id: self.users[user].clone(),
            history,
            model: Some(self.model()),
            ..Default::default()
        }
    }

    /// Draws the next request.
    pub(crate) fn next(&mut self) -> pb::RecommendRequest {
        let kind = self.kind();
        let user = self.rank.sample(&mut self.rng) as usize - 1;
        let has_exclusions = kind.excluded_one_in > 0
            && self.rng.random_range(0..kind.excluded_one_in) == 0;
        let n_excluded = if has_exclusions { kind.n_excluded } else { 0 };
        let mut request = pb::RecommendRequest {
            k: Some(kind.k),
            exclude_seen: Some(kind.exclude_seen),
            priority: priority(&kind).into(),
            model: Some(self.model()),
            ..Default::default()
        };

        // The order of the draws is part of what a seed asks.
        if kind.fresh_history > 0 {
            let items = drawn(&self.items, kind.fresh_history, &mut self.rng);
            request.history = inline(items);
        } else {
            request.user_id = self.users[user].clone();
            request.history = self.own_history(&kind, user);
        }

        request.excluded_item_ids =
            drawn(&self.items, n_excluded, &mut self.rng);
        request
    }

    /// One of the kinds, each as often as its weight says.
    fn kind(&mut self) -> RequestKind {
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

    /// The items that a kind of request says a user has.
    fn own_history(
        &self,
        kind: &RequestKind,
        user: usize,
    ) -> Vec<pb::InlineInteraction> {
        if kind.own_history == 0 {
            return Vec::new();
        }
        let mut rng = ChaCha8Rng::seed_from_u64(user as u64);
        inline(drawn(&self.items, kind.own_history, &mut rng))
    }

    fn model(&self) -> Model {
        Model::Label(self.workload.label.clone())
    }
}

/// Ids of a data set's users, those with the most interactions first.
fn by_activity(dataset: &Dataset) -> Vec<String> {
    let mut n_interactions = vec![0_usize; dataset.users.len()];
    for &user in &dataset.interactions.users {
        n_interactions[user as usize] += 1;
    }

    let mut users: Vec<usize> = (0..n_interactions.len()).collect();
    users.sort_by_key(|&user| Reverse(n_interactions[user]));
    let ids = users
        .into_iter()
        .map(|user| dataset.users[user].to_string());
    ids.collect()
}

fn priority(kind: &RequestKind) -> pb::Priority {
    if kind.is_batch {
        pb::Priority::Batch
    } else {
        pb::Priority::Interactive
    }
}

/// Draws `n` items at random.
fn drawn(items: &[String], n: usize, rng: &mut ChaCha8Rng) -> Vec<String> {
    let mut drawn = Vec::with_capacity(n);
    for _ in 0..n {
        drawn.push(items[rng.random_range(0..items.len())].clone());
    }
    drawn
}

fn inline(items: Vec<String>) -> Vec<pb::InlineInteraction> {
    let mut history = Vec::with_capacity(items.len());
    for item_id in items {
        history.push(pb::InlineInteraction {
            item_id,
            time: None,
        });
    }
    history
}
