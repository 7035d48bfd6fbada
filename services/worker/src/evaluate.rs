//! Full-catalogue ranking on a held-out split (REFERENCE: evaluation).
//!
//! Whatever is chosen (epoch, rank, λ, user token, weight) is chosen on [`Holdout::valid`]. The
//! test split is a value of its own, [`TestSplit`], that only the report at the end is given.

use std::collections::HashSet;

use domain::UserToken;
use model::hybrid::Mixed;
use model::metrics::{LONGEST, RankingMetrics, top_k};
use model::{Gpt2, ItemWeights, TokenTables, recommender};
use rayon::prelude::*;

use crate::Error;
use crate::corpus::{Corpus, TestSplit};
use crate::progress::Progress;

/// What is to be found, and what may not appear in a ranking.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holdout<'a> {
    pub(crate) corpus: &'a Corpus,
    truth: &'a [Vec<u32>],
    /// Not to be ranked, beside the training items.
    excluded: Option<&'a [Vec<u32>]>,
    /// The only items that are ranked, ascending; all where absent.
    among: Option<&'a [u32]>,
}

impl<'a> Holdout<'a> {
    /// Training items excluded.
    pub(crate) fn valid(corpus: &'a Corpus) -> Self {
        Self {
            corpus,
            truth: &corpus.valid,
            excluded: None,
            among: None,
        }
    }

    /// Training and validation items excluded.
    pub(crate) fn test(corpus: &'a Corpus, test: &'a TestSplit) -> Self {
        Self {
            corpus,
            truth: &test.0,
            excluded: Some(&corpus.valid),
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
        let wanted = |item: &u32| items.binary_search(item).is_ok();
        self.truth
            .iter()
            .map(|truth| truth.iter().copied().filter(wanted).collect())
            .collect()
    }

    /// The users that have something to be found.
    pub(crate) fn users(&self) -> Vec<u32> {
        (0u32..)
            .zip(self.truth)
            .filter(|(_, truth)| !truth.is_empty())
            .map(|(user, _)| user)
            .collect()
    }

    /// A user's training items: the input of a ranking.
    pub(crate) fn history(&self, user: u32) -> &'a [u32] {
        &self.corpus.train[user as usize]
    }

    /// Mean metrics of any way to score the catalogue for a user.
    pub(crate) fn ranked(&self, scores_of: impl Fn(u32) -> Vec<f32> + Sync) -> RankingMetrics {
        let users = self.users();
        let metrics: Vec<RankingMetrics> = users
            .par_iter()
            .filter_map(|&user| self.metrics(user, &scores_of(user)))
            .collect();
        RankingMetrics::mean(&metrics)
    }

    /// One user's metrics for given catalogue scores.
    fn metrics(&self, user: u32, scores: &[f32]) -> Option<RankingMetrics> {
        let place = user as usize;
        let also = self.excluded.map_or(&[][..], |excluded| &excluded[place]);
        let excluded: HashSet<u32> = self.corpus.train[place]
            .iter()
            .chain(also)
            .copied()
            .collect();
        let is_among = |item: u32| {
            self.among
                .is_none_or(|items| items.binary_search(&item).is_ok())
        };
        let ranking = top_k(scores, LONGEST, |item| {
            !excluded.contains(&item) && is_among(item)
        });
        let ranking: Vec<u32> = ranking.into_iter().map(|(item, _)| item).collect();
        RankingMetrics::of(&ranking, &self.truth[place])
    }
}

/// Who ranks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ranker<'a> {
    pub(crate) gpt2: &'a Gpt2,
    /// With the mean user as their last row, where the token asks for it.
    pub(crate) tables: &'a TokenTables,
    /// The light model of a hybrid.
    pub(crate) light: Option<&'a ItemWeights>,
    pub(crate) user_token: UserToken,
}

/// Users ranked in one forward pass.
const BATCH: usize = 128;

impl Ranker<'_> {
    /// The language model's metrics: the prompt is the user's training history.
    pub(crate) fn evaluate(
        self,
        holdout: Holdout<'_>,
        progress: &Progress,
    ) -> Result<RankingMetrics, Error> {
        let alone = Ranker {
            light: None,
            ..self
        };
        Ok(alone
            .evaluate_mixes(&[0.0], holdout, progress)?
            .into_iter()
            .next()
            .unwrap_or_default())
    }

    /// The metrics for each weight of the light model; the language model is run once.
    pub(crate) fn evaluate_mixes(
        self,
        weights: &[f64],
        holdout: Holdout<'_>,
        progress: &Progress,
    ) -> Result<Vec<RankingMetrics>, Error> {
        let head = recommender::ItemHead::new(self.gpt2, &self.tables.items);
        let unknown = self
            .light
            .map(ItemWeights::unknown_items)
            .unwrap_or_default();
        let mut of_users: Vec<Vec<RankingMetrics>> = Vec::new();
        for users in holdout.users().chunks(BATCH) {
            progress.check()?;
            let prompts: Vec<_> = users
                .iter()
                .map(|&user| holdout.corpus.ranking_prompt(user, self.token(user)))
                .collect();
            let states = recommender::user_states(self.gpt2, self.tables, &prompts)?;
            let scores = head.scores(&states);
            let rows = users.par_iter().zip(scores.par_chunks(head.n_items()));
            of_users.par_extend(rows.map(|(&user, scores)| {
                let light = self.light.map(|light| light.scores(holdout.history(user)));
                let ranked = |&weight: &f64| match &light {
                    Some(light) => {
                        let mixed = Mixed::new(scores.to_vec(), light.clone(), weight, &unknown);
                        holdout.metrics(user, &mixed.scores())
                    }
                    None => holdout.metrics(user, scores),
                };
                weights.iter().filter_map(ranked).collect()
            }));
        }
        let of_weight = |place: usize| {
            of_users
                .iter()
                .filter_map(|metrics: &Vec<_>| metrics.get(place).copied())
                .collect()
        };
        Ok((0..weights.len())
            .map(|place| RankingMetrics::mean(&Vec::from_iter::<Vec<_>>(of_weight(place))))
            .collect())
    }

    fn token(self, user: u32) -> Option<u32> {
        match self.user_token {
            UserToken::Own => Some(user),
            UserToken::Absent => None,
            UserToken::Mean => u32::try_from(self.tables.users.n_rows() - 1).ok(),
        }
    }
}
