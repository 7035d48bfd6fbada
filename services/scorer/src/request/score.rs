//! `ScoreItems`: the served scores of given items.

use std::collections::HashMap;
use std::sync::Arc;

use domain::{ItemId, ItemScores, ScoreQuery};

use crate::admission::gate::Call;
use crate::compute::rankers::RankingRequest;
use crate::error::Error;
use crate::request::new_items::{NewItems, ScoredNewItem};
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
        let new_ids = query.new_items.iter().map(|new| new.item.id.clone());
        let ids = query.items.into_iter().chain(new_ids).collect();
        let new = NewItems {
            items: query.new_items,
            ..NewItems::default()
        };
        let new = self.read_new_items(new, &model).await?;
        let mut degradations = reader.degradations;
        degradations.extend(new.degradation());
        let new = new.scored(&found.state);
        let request = RankingRequest {
            scoring: &model.language.scoring,
            state: &found.state,
            caller: &call.caller,
        };
        let ranker = Arc::clone(&model);
        let listener = Arc::clone(&reader.listener);
        let scores = self.rankers.scored(request, move |language| {
            let scores = ranker.ranking.scores(language, &listener);
            let wanted = Wanted { ids, new };
            wanted.scores(&scores, &ranker)
        });
        Ok(ItemScores {
            scores: scores.await?,
            version: model.version.clone(),
            degradations,
        })
    }
}

/// The items that are to be scored.
struct Wanted {
    ids: Vec<ItemId>,
    /// Those of them that the version learns of from the request.
    new: Vec<ScoredNewItem>,
}

impl Wanted {
    /// The score of each item; `None` for one that the version does not know.
    fn scores(
        self,
        scores: &CatalogueScores,
        model: &LoadedModel,
    ) -> Vec<(ItemId, Option<f32>)> {
        let mut of_new = HashMap::new();
        for new in self.new {
            let score = scores.own_of_new_item(new.language_score);
            of_new.insert(new.read.item.id, score);
        }
        let mut scored = Vec::with_capacity(self.ids.len());
        for item in self.ids {
            let score = match model.item_row(&item) {
                Some(row) => Some(scores.values[row as usize]),
                None => of_new.get(&item).copied(),
            };
            scored.push((item, score));
        }
        scored
    }
}
