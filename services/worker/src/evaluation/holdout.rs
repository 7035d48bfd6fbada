//! What is to be found on a held-out split, and how near a full-catalogue
//! ranking comes to it (REFERENCE: evaluation).
//!
//! Whatever is chosen (epoch, rank, λ, user token, weight) is chosen on
//! [`Holdout::valid`]. The test split is a value of its own, [`TestSplit`],
//! that only the measurement at the end is given.

use std::collections::HashSet;

use model::metrics::{LONGEST, RankingMetrics, top_k};
use rayon::prelude::*;

use crate::material::corpus::TestSplit;
use crate::material::histories::Histories;

/// What is to be found, and what may not appear in a ranking.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holdout<'a> {
    pub(crate) histories: &'a Histories,
    truth: &'a [Vec<u32>],
    /// Not to be ranked, beside the training items.
    excluded: Option<&'a [Vec<u32>]>,
    /// The only items that are ranked, ascending; all where absent.
    among: Option<&'a [u32]>,
}

impl<'a> Holdout<'a> {
    /// The validation split; training items are not ranked.
    pub(crate) fn valid(histories: &'a Histories) -> Self {
        Self {
            histories,
            truth: &histories.valid,
            excluded: None,
            among: None,
        }
    }

    /// The test split; training and validation items are not ranked.
    pub(crate) fn test(histories: &'a Histories, test: &'a TestSplit) -> Self {
        Self {
            histories,
            truth: &test.items,
            excluded: Some(&histories.valid),
            among: None,
        }
    }

    /// The same, with only some items to be found and ranked.
    pub(crate) fn among(self, truth: &'a [Vec<u32>], items: &'a [u32]) -> Self {
        Self {
            truth,
            among: Some(items),
            ..self
        }
    }

    /// What each user has to find among some items, ascending.
    pub(crate) fn truth_among(&self, items: &[u32]) -> Vec<Vec<u32>> {
        let mut all = Vec::with_capacity(self.truth.len());
        for truth in self.truth {
            let mut wanted = truth.clone();
            wanted.retain(|item| items.binary_search(item).is_ok());
            all.push(wanted);
        }
        all
    }

    /// The users that have something to be found.
    pub(crate) fn users(&self) -> Vec<u32> {
        (0u32..)
            .zip(self.truth)
            .filter(|(_, truth)| !truth.is_empty())
            .map(|(user, _)| user)
            .collect()
    }

    /// True when nobody has anything to be found.
    pub(crate) fn is_empty(&self) -> bool {
        self.truth.iter().all(Vec::is_empty)
    }

    /// A user's training items: the input of a ranking.
    pub(crate) fn history(&self, user: u32) -> &'a [u32] {
        &self.histories.train[user as usize]
    }

    /// Mean metrics of any way to score the catalogue for a user.
    pub(crate) fn ranked(
        &self,
        scores_of: impl Fn(u32) -> Vec<f32> + Sync,
    ) -> RankingMetrics {
        let metrics: Vec<RankingMetrics> = self
            .users()
            .par_iter()
            .filter_map(|&user| self.metrics(user, &scores_of(user)))
            .collect();
        RankingMetrics::mean(&metrics)
    }

    /// One user's metrics for given catalogue scores; `None` where nothing is
    /// to be found.
    pub(super) fn metrics(
        &self,
        user: u32,
        scores: &[f32],
    ) -> Option<RankingMetrics> {
        let excluded = self.excluded_for(user);
        let ranking = top_k(scores, LONGEST, |item| {
            !excluded.contains(&item) && self.is_among(item)
        });
        let ranking: Vec<u32> =
            ranking.into_iter().map(|(item, _)| item).collect();
        RankingMetrics::of(&ranking, &self.truth[user as usize])
    }

    fn excluded_for(&self, user: u32) -> HashSet<u32> {
        let mut excluded: HashSet<u32> =
            self.history(user).iter().copied().collect();
        if let Some(also) = self.excluded {
            excluded.extend(&also[user as usize]);
        }
        excluded
    }

    fn is_among(&self, item: u32) -> bool {
        match self.among {
            Some(items) => items.binary_search(&item).is_ok(),
            None => true,
        }
    }
}
