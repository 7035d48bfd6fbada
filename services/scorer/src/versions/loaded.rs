//! A model version that is ready to serve.
//!
//! It has three parts that know nothing of each other: the vocabulary, which
//! turns ids into rows; the language model, which turns a prompt into scores;
//! and the ranking, which makes the served scores of these.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::{Catalog, Item, ItemId, ModelVersion, ScoredItem, Source, UserId};
use model::{Artifact, TextReader};

use crate::compute::language_model::LanguageModel;
use crate::compute::shared_backbone::SharedBackbone;
use crate::error::Error;
use crate::settings::Settings;
use crate::versions::ranking::{LightModel, Ranking};
use crate::versions::vocabulary_bytes;

/// A version that is ready to serve.
#[derive(Debug)]
pub(crate) struct LoadedModel {
    pub(crate) version: ModelVersion,
    pub(crate) catalog: Catalog,
    pub(crate) language: LanguageModel,
    pub(crate) ranking: Ranking,
    pub(crate) items: Arc<Vec<Item>>,
    /// Reads queries and new items; absent in versions that read no texts.
    pub(crate) texts: Option<TextReader>,
    item_rows: HashMap<ItemId, u32>,
    user_rows: HashMap<UserId, u32>,
    /// Users who took each item in the training data; absent in older versions.
    popularity: Option<Vec<u32>>,
    /// Memory that is this version's alone, in bytes, about: rows, light
    /// weights, ids, titles, what filters look at.
    pub(crate) n_bytes: u64,
    /// The place of the latest request for it in the order of all requests.
    last_used: AtomicU64,
}

impl LoadedModel {
    /// Makes a version of its files, and starts its thread on its backbone's
    /// device.
    pub(super) fn start(
        version: ModelVersion,
        artifact: Artifact,
        shared: Arc<SharedBackbone>,
        settings: &Settings,
    ) -> Result<Self, model::Error> {
        artifact.check_backbone(&shared.backbone)?;
        let Artifact {
            manifest,
            tables,
            light,
            popularity,
            texts,
            users,
            items,
        } = artifact;
        let rows = tables.collaborative;
        let language = LanguageModel::start(rows, &manifest, shared, settings)?;
        let light_bytes = light.as_ref().map_or(0, |weights| weights.n_bytes());
        let light = light
            .map(|weights| LightModel::new(weights, manifest.light_weight));
        let ranking = Ranking::new(light, popularity.as_deref(), items.len());
        let text_bytes = texts.as_ref().map_or(0, TextReader::n_bytes);
        let vocabulary = vocabulary_bytes::of_users(&users)
            + vocabulary_bytes::of_items(&items);
        let popularity_bytes = popularity
            .as_ref()
            .map_or(0, |counts| size_of_val(&**counts));
        let n_bytes = language.n_bytes()
            + light_bytes
            + text_bytes
            + vocabulary
            + popularity_bytes;
        let item_ids = items.iter().map(|item| item.id.clone());
        Ok(Self {
            version,
            catalog: manifest.catalog,
            language,
            ranking,
            item_rows: item_ids.zip(0..).collect(),
            items: Arc::new(items),
            texts,
            user_rows: users.into_iter().zip(0..).collect(),
            popularity,
            n_bytes: n_bytes as u64,
            last_used: AtomicU64::new(0),
        })
    }

    /// A user's row; none for somebody who was not in the training data.
    pub(crate) fn user_row(&self, user: &UserId) -> Option<u32> {
        self.user_rows.get(user).copied()
    }

    pub(crate) fn item_row(&self, item: &ItemId) -> Option<u32> {
        self.item_rows.get(item).copied()
    }

    pub(crate) fn item(&self, row: u32) -> &Item {
        &self.items[row as usize]
    }

    /// How many users took an item in the training data; `None` where the
    /// version does not say.
    pub(crate) fn n_users_of(&self, row: u32) -> Option<u64> {
        let counts = self.popularity.as_ref()?;
        counts.get(row as usize).map(|&n| u64::from(n))
    }

    /// What reads texts; an error for a version that reads none.
    pub(crate) fn texts(&self) -> Result<&TextReader, Error> {
        let texts = self.texts.as_ref();
        texts.ok_or_else(|| Error::ReadsNoTexts(self.version.clone()))
    }

    pub(crate) fn n_items(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn scored_item(
        &self,
        row: u32,
        score: f32,
        source: Source,
    ) -> ScoredItem {
        let item = self.item(row);
        ScoredItem {
            item: item.id.clone(),
            title: item.title.clone(),
            score,
            source,
            query_contribution: 0.0,
            reasons: Vec::new(),
        }
    }

    /// Notes that a request asked for it, at a place in the order of requests.
    pub(super) fn use_now(&self, clock: &AtomicU64) {
        let now = clock.fetch_add(1, Ordering::Relaxed);
        self.last_used.store(now, Ordering::Relaxed);
    }

    pub(super) fn last_used(&self) -> u64 {
        self.last_used.load(Ordering::Relaxed)
    }
}
