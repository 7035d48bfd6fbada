//! `SimilarItems`: the items whose rows are most alike, by the cosine between
//! them.

use std::sync::Arc;

use domain::{ModelVersion, ScoredItem, SimilarQuery, Source};
use fixedbitset::FixedBitSet;
use model::metrics::top_k;

use crate::admission::gate::Call;
use crate::compute::rankers::RankingRequest;
use crate::error::Error;
use crate::request::recommend::Recommender;
use crate::versions::loaded::LoadedModel;

struct SimilarRows {
    model: Arc<LoadedModel>,
    row: u32,
    k: usize,
    /// The rows that pass the request's filter; all where there is none.
    passing: Option<Arc<FixedBitSet>>,
}

impl Recommender {
    /// The items whose rows are most alike, and the version that says so.
    pub(crate) async fn similar(
        &self,
        query: SimilarQuery,
        call: &Call,
    ) -> Result<(Vec<ScoredItem>, ModelVersion), Error> {
        let model = self.models.choose(&query.model, None, call).await?;
        let Some(row) = model.item_row(&query.item) else {
            return Err(Error::NoSuchItem(query.item.to_string()));
        };
        let passing = match &*query.filter {
            "" => None,
            filter => Some(self.filters.rows(&model, filter).await?),
        };
        let wanted = SimilarRows {
            model: Arc::clone(&model),
            row,
            k: query.k.get(),
            passing,
        };
        let scoring = &model.language.scoring;
        let state = scoring.state(&scoring.tables().items.row(row));
        let request = RankingRequest {
            scoring,
            state: &state,
            caller: &call.caller,
        };
        let alike = self
            .rankers
            .scored(request, move |products| wanted.rank(products))
            .await?;
        let mut items = Vec::with_capacity(alike.len());
        for (row, cosine) in alike {
            items.push(model.scored_item(row, cosine, Source::Model));
        }
        Ok((items, model.version.clone()))
    }
}

impl SimilarRows {
    /// The most alike rows with their cosines; `products` are the inner
    /// products with all rows.
    fn rank(&self, products: &[f32]) -> Vec<(u32, f32)> {
        let lengths = self.model.language.item_lengths();
        let own_length = lengths[self.row as usize];
        let mut cosines = Vec::with_capacity(products.len());
        for (product, length) in products.iter().zip(lengths) {
            let lengths = (length * own_length).max(f32::MIN_POSITIVE);
            cosines.push(product / lengths);
        }
        top_k(&cosines, self.k, |other| self.is_wanted(other))
    }

    fn is_wanted(&self, other: u32) -> bool {
        if other == self.row {
            return false;
        }
        match &self.passing {
            Some(passing) => passing.contains(other as usize),
            None => true,
        }
    }
}
