//! What is known about an item besides who interacted with it.

use serde::{Deserialize, Serialize};

use crate::ids::ItemId;

/// One item of a catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// The id that the customer's systems give it.
    pub id: ItemId,
    /// Empty when it has none.
    #[serde(default)]
    pub title: String,
    /// Its categories, from broad to narrow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Anything else that is known.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}
