//! Ranks a held-out split with a language model, alone or mixed with a light
//! model.

use domain::UserToken;
use model::hybrid::Mixed;
use model::metrics::RankingMetrics;
use model::{Backbone, ItemWeights, TokenTables, recommender};
use rayon::prelude::*;

use crate::contract::progress::Progress;
use crate::error::Error;
use crate::evaluation::holdout::Holdout;

/// The models that rank, and the user token of their prompts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ranker<'a> {
    pub(crate) backbone: &'a Backbone,
    /// The collaborative tables; with the mean user as their last row, where
    /// the token asks for it.
    pub(crate) tables: &'a TokenTables,
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
        alone.evaluate_mix(0.0, holdout, progress)
    }

    pub(crate) fn evaluate_mix(
        self,
        weight: f64,
        holdout: Holdout<'_>,
        progress: &Progress,
    ) -> Result<RankingMetrics, Error> {
        let metrics = self.evaluate_mixes(&[weight], holdout, progress)?;
        Ok(metrics[0])
    }

    /// The metrics for each weight of the light model; the language model is
    /// run once.
    pub(crate) fn evaluate_mixes(
        self,
        weights: &[f64],
        holdout: Holdout<'_>,
        progress: &Progress,
    ) -> Result<Vec<RankingMetrics>, Error> {
        let head =
            recommender::ItemHead::new(self.backbone, &self.tables.items);
        let unknown = self.light.map(ItemWeights::unknown_items);
        let unknown = unknown.unwrap_or_default();
        let mixes = Mixes {
            weights,
            light: self.light,
            unknown,
            holdout,
        };
        let mut of_users: Vec<Vec<RankingMetrics>> = Vec::new();
        for users in holdout.users().chunks(BATCH) {
            progress.check()?;
            let mut prompts = Vec::with_capacity(users.len());
            for &user in users {
                prompts.push(
                    holdout.corpus.ranking_prompt(user, self.token(user)),
                );
            }
            let states =
                recommender::user_states(self.backbone, self.tables, &prompts)?;
            let scores = head.scores(&states);
            let rows = users.par_iter().zip(scores.par_chunks(head.n_items()));
            of_users.par_extend(
                rows.map(|(&user, scores)| mixes.metrics(user, scores)),
            );
        }
        Ok((0..weights.len())
            .map(|place| mean_at(place, &of_users))
            .collect())
    }

    /// The row of the user token in a prompt.
    fn token(self, user: u32) -> Option<u32> {
        match self.user_token {
            UserToken::Own => Some(user),
            UserToken::Absent => None,
            UserToken::Mean => {
                u32::try_from(self.tables.users.n_rows() - 1).ok()
            }
        }
    }
}

fn mean_at(place: usize, of_users: &[Vec<RankingMetrics>]) -> RankingMetrics {
    let metrics: Vec<RankingMetrics> = of_users
        .iter()
        .filter_map(|of_user| of_user.get(place).copied())
        .collect();
    RankingMetrics::mean(&metrics)
}

/// Several weights of a light model beside one language model.
struct Mixes<'a> {
    weights: &'a [f64],
    light: Option<&'a ItemWeights>,
    /// Items that the light model does not know.
    unknown: Vec<u32>,
    holdout: Holdout<'a>,
}

impl Mixes<'_> {
    /// One user's metrics for each weight, from the language model's scores of
    /// the catalogue.
    fn metrics(&self, user: u32, scores: &[f32]) -> Vec<RankingMetrics> {
        let Some(light) = self.light else {
            let metrics = self.holdout.metrics(user, scores);
            let n = self.weights.len();
            return metrics.map_or(Vec::new(), |metrics| vec![metrics; n]);
        };
        let light = light.scores(self.holdout.history(user));
        let mut metrics = Vec::with_capacity(self.weights.len());
        for &weight in self.weights {
            let language = scores.to_vec();
            let mixed =
                Mixed::new(language, light.clone(), weight, &self.unknown);
            metrics.extend(self.holdout.metrics(user, &mixed.scores()));
        }
        metrics
    }
}
