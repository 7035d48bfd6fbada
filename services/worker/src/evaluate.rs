//! Full-catalogue ranking on a held-out split (REFERENCE: evaluation).

use std::collections::HashSet;

use model::metrics::{LONGEST, RankingMetrics, top_k};
use model::{Gpt2, TokenTables, recommender};
use rayon::prelude::*;

use crate::Error;
use crate::corpus::Corpus;
use crate::progress::Progress;

/// Which split is ranked, and what may not appear in the ranking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holdout {
    /// Training items excluded.
    Valid,
    /// Training and validation items excluded.
    Test,
}

impl Holdout {
    fn truth(self, corpus: &Corpus) -> &[Vec<u32>] {
        match self {
            Self::Valid => &corpus.valid,
            Self::Test => &corpus.test,
        }
    }

    /// The items that may not appear in a user's ranking.
    fn excluded(self, corpus: &Corpus, user: u32) -> HashSet<u32> {
        let user = user as usize;
        let mut excluded: HashSet<u32> = corpus.train[user].iter().copied().collect();
        if self == Self::Test {
            excluded.extend(&corpus.valid[user]);
        }
        excluded
    }

    /// The users that have something to be found.
    pub(crate) fn users(self, corpus: &Corpus) -> Vec<u32> {
        (0u32..).zip(self.truth(corpus)).filter(|(_, truth)| !truth.is_empty()).map(|(user, _)| user).collect()
    }

    /// One user's metrics for given catalogue scores.
    pub(crate) fn metrics(self, corpus: &Corpus, user: u32, scores: &[f32]) -> Option<RankingMetrics> {
        let excluded = self.excluded(corpus, user);
        let ranking = top_k(scores, LONGEST, |item| !excluded.contains(&item));
        let ranking: Vec<u32> = ranking.into_iter().map(|(item, _)| item).collect();
        RankingMetrics::of(&ranking, &self.truth(corpus)[user as usize])
    }
}

/// Users ranked in one forward pass.
const BATCH: usize = 128;

/// The model's metrics: the prompt is the user's training history.
pub(crate) fn evaluate(
    gpt2: &Gpt2,
    tables: &TokenTables,
    corpus: &Corpus,
    holdout: Holdout,
    progress: &Progress,
) -> Result<RankingMetrics, Error> {
    let head = recommender::ItemHead::new(gpt2, &tables.items);
    let mut all = Vec::new();
    for users in holdout.users(corpus).chunks(BATCH) {
        progress.check()?;
        let prompts: Vec<_> = users.iter().map(|&user| corpus.ranking_prompt(user)).collect();
        let states = recommender::user_states(gpt2, tables, &prompts);
        let scores = head.scores(&states);
        let rows = users.par_iter().zip(scores.par_chunks(head.n_items()));
        let metrics: Vec<RankingMetrics> =
            rows.filter_map(|(&user, scores)| holdout.metrics(corpus, user, scores)).collect();
        all.extend(metrics);
    }
    Ok(RankingMetrics::mean(&all))
}
