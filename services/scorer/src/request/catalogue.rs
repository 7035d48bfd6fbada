//! What a version knows of its catalogue: an item, and the fields that filters
//! can ask for.

use std::sync::Arc;

use domain::{ItemQuery, ModelChoice};

use crate::admission::gate::Call;
use crate::error::Error;
use crate::request::filter::FieldSummary;
use crate::request::recommend::Recommender;
use crate::versions::loaded::LoadedModel;

/// An item of a version's catalogue.
pub(crate) struct FoundItem {
    pub(crate) model: Arc<LoadedModel>,
    pub(crate) row: u32,
}

/// The fields of a version's catalogue.
pub(crate) struct FoundFields {
    pub(crate) model: Arc<LoadedModel>,
    pub(crate) fields: Arc<Vec<FieldSummary>>,
}

impl Recommender {
    /// An item as a version knows it.
    pub(crate) async fn item(
        &self,
        query: ItemQuery,
        call: &Call,
    ) -> Result<FoundItem, Error> {
        let model = self.models.choose(&query.model, None, call).await?;
        let Some(row) = model.item_row(&query.item) else {
            return Err(Error::NoSuchItem(query.item.to_string()));
        };
        Ok(FoundItem { model, row })
    }

    /// The fields that filters can ask for.
    pub(crate) async fn fields(
        &self,
        choice: &ModelChoice,
        call: &Call,
    ) -> Result<FoundFields, Error> {
        let model = self.models.choose(choice, None, call).await?;
        let fields = self.filters.fields(&model).await?;
        Ok(FoundFields { model, fields })
    }
}
