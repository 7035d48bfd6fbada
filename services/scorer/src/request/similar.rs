//! `SimilarItems`: the items whose rows are most alike, by the cosine between
//! them, or the items that a text is about.

use std::sync::Arc;

use domain::{
    ItemId, Likeness, ModelVersion, ScoredItem, SimilarQuery, Source,
};
use fixedbitset::FixedBitSet;
use model::metrics::top_k;

use crate::admission::gate::Call;
use crate::compute::rankers::RankingRequest;
use crate::error::Error;
use crate::request::recommend::Recommender;
use crate::request::search::cosines;
use crate::versions::loaded::LoadedModel;

struct SimilarRows {
    model: Arc<LoadedModel>,
    /// The row that the others are compared with; absent for a text.
    row: Option<u32>,
    k: usize,
    /// The rows that pass the request's filter; all where there is none.
    passing: Option<Arc<FixedBitSet>>,
}

impl Recommender {
    /// The items that are most alike, and the version that says so.
    pub(crate) async fn similar(
        &self,
        query: SimilarQuery,
        call: &Call,
    ) -> Result<(Vec<ScoredItem>, ModelVersion), Error> {
        let model = self.models.choose(&query.model, None, call).await?;
        let passing = match &*query.filter {
            "" => None,
            filter => Some(self.filters.rows(&model, filter).await?),
        };
        let wanted = SimilarRows {
            model: Arc::clone(&model),
            row: None,
            k: query.k.get(),
            passing,
        };
        let (alike, source) = match query.to {
            Likeness::Item(item) => {
                (self.alike(&item, wanted, call).await?, Source::Model)
            }
            Likeness::Text(text) => {
                (self.about(&text, wanted, call).await?, Source::Query)
            }
        };
        let mut items = Vec::with_capacity(alike.len());
        for (row, score) in alike {
            items.push(model.scored_item(row, score, source));
        }
        Ok((items, model.version.clone()))
    }

    /// The rows that are most alike to an item's, with their cosines.
    async fn alike(
        &self,
        item: &ItemId,
        wanted: SimilarRows,
        call: &Call,
    ) -> Result<Vec<(u32, f32)>, Error> {
        let model = Arc::clone(&wanted.model);
        let Some(row) = model.item_row(item) else {
            return Err(Error::NoSuchItem(item.to_string()));
        };
        let wanted = SimilarRows {
            row: Some(row),
            ..wanted
        };
        let scoring = &model.language.scoring;
        let state = scoring.state(&scoring.tables().items.row(row));
        let request = RankingRequest {
            scoring,
            state: &state,
            caller: &call.caller,
        };
        let alike = self.rankers.scored(request, move |products| {
            let lengths = wanted.model.language.item_lengths();
            let own = lengths[row as usize];
            wanted.best(&cosines(products, lengths, own))
        });
        alike.await
    }

    /// The rows that a text is about; none where the version knows none of its
    /// words.
    async fn about(
        &self,
        text: &str,
        wanted: SimilarRows,
        call: &Call,
    ) -> Result<Vec<(u32, f32)>, Error> {
        let found = self.search(text, &wanted.model, call).await?;
        Ok(found.map_or_else(Vec::new, |found| wanted.best(&found.scores)))
    }
}

impl SimilarRows {
    /// The rows with the best scores `[items]` among those that are wanted.
    fn best(&self, scores: &[f32]) -> Vec<(u32, f32)> {
        top_k(scores, self.k, |other| self.is_wanted(other))
    }

    fn is_wanted(&self, other: u32) -> bool {
        if self.row == Some(other) {
            return false;
        }
        match &self.passing {
            Some(passing) => passing.contains(other as usize),
            None => true,
        }
    }
}
