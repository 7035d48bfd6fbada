//! Ranks a held-out split with a language model, alone or mixed with a light
//! model.

use domain::UserToken;
use model::hybrid::Mixed;
use model::metrics::RankingMetrics;
use model::{Backbone, ItemWeights, TokenTables, recommender};
use rayon::prelude::*;

use crate::contract::progress::Progress;
use crate::error::Error;
use crate::evaluation::baselines::ease::LightWeights;
use crate::evaluation::holdout::Holdout;

/// The language model that ranks, and the user token of its prompts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ranker<'a> {
    pub(crate) backbone: &'a Backbone,
    /// The collaborative tables; with the mean user as their last row, where
    /// the token asks for it.
    pub(crate) tables: &'a TokenTables,
    pub(crate) user_token: UserToken,
}

/// Light models, each mixed in with each of the weights.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mixes<'a> {
    pub(crate) lights: &'a [LightWeights],
    pub(crate) weights: &'a [f64],
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
        let of_users = self.rank(holdout, progress, |user, scores| {
            holdout.metrics(user, scores).into_iter().collect()
        })?;
        Ok(mean_at(0, &of_users))
    }

    /// The metrics of each mix: all weights of the first light model, then
    /// those of the next. The language model is run once.
    pub(crate) fn evaluate_mixes(
        self,
        mixes: Mixes<'_>,
        holdout: Holdout<'_>,
        progress: &Progress,
    ) -> Result<Vec<RankingMetrics>, Error> {
        let mut partners = Vec::with_capacity(mixes.lights.len());
        for light in mixes.lights {
            let light = &light.weights;
            partners.push(LightPartner {
                light,
                unknown: light.unknown_items(),
                weights: mixes.weights,
                holdout,
            });
        }
        let of_users = self.rank(holdout, progress, |user, scores| {
            let partners = partners.iter();
            partners
                .flat_map(|partner| partner.metrics(user, scores))
                .collect()
        })?;
        let n_mixes = mixes.lights.len() * mixes.weights.len();
        let means = (0..n_mixes).map(|place| mean_at(place, &of_users));
        Ok(means.collect())
    }

    /// What is made of each user's scores of the catalogue.
    fn rank(
        self,
        holdout: Holdout<'_>,
        progress: &Progress,
        metrics_of: impl Fn(u32, &[f32]) -> Vec<RankingMetrics> + Sync,
    ) -> Result<Vec<Vec<RankingMetrics>>, Error> {
        let head =
            recommender::ItemHead::new(self.backbone, &self.tables.items);
        let mut of_users: Vec<Vec<RankingMetrics>> = Vec::new();
        for users in holdout.users().chunks(BATCH) {
            progress.check()?;
            let mut prompts = Vec::with_capacity(users.len());
            for &user in users {
                prompts.push(
                    holdout.histories.ranking_prompt(user, self.token(user)),
                );
            }
            let states =
                recommender::user_states(self.backbone, self.tables, &prompts)?;
            let scores = head.scores(&states);
            let rows = users.par_iter().zip(scores.par_chunks(head.n_items()));
            of_users.par_extend(
                rows.map(|(&user, scores)| metrics_of(user, scores)),
            );
        }
        Ok(of_users)
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

/// A light model beside the language model, with several weights.
struct LightPartner<'a> {
    light: &'a ItemWeights,
    /// Items that the light model does not know.
    unknown: Vec<u32>,
    weights: &'a [f64],
    holdout: Holdout<'a>,
}

impl LightPartner<'_> {
    /// One user's metrics for each weight, from the language model's scores of
    /// the catalogue.
    fn metrics(&self, user: u32, scores: &[f32]) -> Vec<RankingMetrics> {
        let light = self.light.scores(self.holdout.history(user));
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
