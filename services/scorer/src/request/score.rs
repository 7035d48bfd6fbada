//! `ScoreItems`: the served scores of given items.

use std::sync::Arc;

use domain::{ItemId, ItemScores, ScoreQuery};

use crate::admission::gate::Call;
use crate::compute::rankers::RankingRequest;
use crate::error::Error;
use crate::request::recommend::Recommender;
use crate::versions::loaded::LoadedModel;
use crate::versions::ranking::CatalogueScores;

impl Recommender {
    pub(crate) async fn score(
        &self,
        query: ScoreQuery,
        call: &Call,
    ) -> Result<ItemScores, Error> {
        let user = query.reader.user.as_ref();
        let model = self.models.choose(&query.reader.model, user, call).await?;
        let reader = self.reader(&query.reader, &model, call).await?;
        let found = self.user_state(&reader, &model, call).await?;
        let request = RankingRequest {
            scoring: &model.language.scoring,
            state: &found.state,
            caller: &call.caller,
        };
        let ranker = Arc::clone(&model);
        let listener = Arc::clone(&reader.listener);
        let scores = self.rankers.scored(request, move |language| {
            let scores = ranker.ranking.scores(language, &listener);
            of_items(query.items, &scores, &ranker)
        });
        Ok(ItemScores {
            scores: scores.await?,
            version: model.version.clone(),
            degradations: reader.degradations,
        })
    }
}

/// The score of each item; `None` for one that the version does not know.
fn of_items(
    items: Vec<ItemId>,
    scores: &CatalogueScores,
    model: &LoadedModel,
) -> Vec<(ItemId, Option<f32>)> {
    let mut scored = Vec::with_capacity(items.len());
    for item in items {
        let row = model.item_row(&item);
        let score = row.map(|row| scores.values[row as usize]);
        scored.push((item, score));
    }
    scored
}
