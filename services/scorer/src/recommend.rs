//! ★ `Recommend`: model → history → prompt → user state → scores (mixed with a light model's in a hybrid) → top k.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use domain::{Catalog, Degradation, History, Interaction, Query, Recommendation, ScoredItem, Source, UserId};
use model::hybrid::{Mixed, Origin};
use model::metrics::top_k;
use storage::Storage;

use crate::Error;
use crate::batcher::StateSource;
use crate::live_model::{Loaded, Models};
use crate::states::{Key, States};

/// Answers queries and keeps histories.
#[derive(Debug, Clone)]
pub(crate) struct Recommender {
    models: Models,
    states: States,
    storage: Storage,
    /// Histories as they were last read: they answer while the store is out of reach.
    remembered: moka::sync::Cache<(Catalog, UserId), Arc<History>>,
}

/// How long a history may stand in for the stored one.
const REMEMBERED_FOR: Duration = Duration::from_secs(60 * 60);

/// A history, and what had to be done without to get it.
struct Known {
    history: Arc<History>,
    /// The user's row may be used: nobody deleted the user.
    row_is_allowed: bool,
    degradations: Vec<Degradation>,
}

impl Recommender {
    pub(crate) fn new(models: Models, states: States, storage: Storage, history_bytes: u64) -> Self {
        let remembered = moka::sync::Cache::builder()
            .weigher(|_, history: &Arc<History>| {
                let bytes = 64 + history.interactions().iter().map(|i| 64 + i.item.as_str().len()).sum::<usize>();
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .max_capacity(history_bytes)
            .time_to_live(REMEMBERED_FOR)
            .build();
        Self { models, states, storage, remembered }
    }

    /// Ranks the catalogue for one user. Seen is the whole history; the prompt is its latest part that fits.
    pub(crate) async fn recommend(&self, query: Query) -> Result<Recommendation, Error> {
        let model = self.models.choose(&query.model).await?;
        let Known { history, row_is_allowed, mut degradations } = self.history(&query, &model).await?;
        let user = query.user.as_ref().filter(|_| row_is_allowed).and_then(|user| model.user_row(user));
        let seen = item_rows(&model, &history);
        let latest = &seen[seen.len().saturating_sub(model.max_history())..];
        degradations.extend(missing(&query, user, &history, (seen.len(), latest.len())));

        let token = model.token(user);
        let key = Key::new(&model.version, token, latest);
        let known = self.states.get(&key, model.width).await;
        let cached = known.is_some();
        let source = known.map_or_else(|| StateSource::Prompt(model.prompt(token, latest)), StateSource::Known);
        let scored = model.batcher.score(source).await?;
        if !cached {
            self.states.put(&key, &scored.state).await;
        }

        let mut left_out: HashSet<u32> = query.excluded.iter().filter_map(|item| model.item_row(item)).collect();
        if query.exclude_seen {
            left_out.extend(&seen);
        }
        let (k, history_length, ranker) = (query.k.get(), latest.len(), Arc::clone(&model));
        // A large catalogue takes milliseconds: not on an async thread.
        let ranked = tokio::task::spawn_blocking(move || rank(&ranker, &scored.scores, &seen, &left_out, k));
        let items = ranked.await.map_err(|_| Error::ModelStopped)?;
        if items.len() < query.k.get() {
            degradations.push(Degradation::FewerThanAsked);
        }
        let version = model.version.clone();
        Ok(Recommendation { items, version, history_length, cached, degradations })
    }

    /// The history to go by: the inline one, or the stored one, or the one that is remembered. An unknown history is
    /// never passed off as empty, and a user who may have been deleted is a stranger.
    async fn history(&self, query: &Query, model: &Loaded) -> Result<Known, Error> {
        let stored = match &query.user {
            Some(user) => self.stored_or_remembered(query, user, model).await,
            None => Ok(Known { history: Arc::default(), row_is_allowed: false, degradations: Vec::new() }),
        };
        let Some(inline) = &query.inline else { return stored };
        let history = Arc::new(inline.clone());
        match stored {
            Ok(stored) => Ok(Known { history, ..stored }),
            Err(Error::HistoryUnavailable(_)) => {
                let degradations = vec![Degradation::HistoryStoreUnavailable];
                Ok(Known { history, row_is_allowed: false, degradations })
            }
            Err(error) => Err(error),
        }
    }

    async fn stored_or_remembered(&self, query: &Query, user: &UserId, model: &Loaded) -> Result<Known, Error> {
        let place = (query.catalog.clone().unwrap_or_else(|| model.catalog.clone()), user.clone());
        let (history, degradations) = match self.storage.histories.of(&place.0, user).await {
            Ok(history) => (self.remember(place, Arc::new(history)), Vec::new()),
            Err(error @ storage::Error::Unavailable { .. }) => match self.remembered.get(&place) {
                Some(history) => (history, vec![Degradation::HistoryStoreUnavailable]),
                None => return Err(Error::HistoryUnavailable(Arc::new(error))),
            },
            Err(error) => return Err(error.into()),
        };
        Ok(Known { row_is_allowed: !history.is_deleted(), history, degradations })
    }

    /// Remembers a history, unless a deletion was seen since it was read; returns it.
    fn remember(&self, place: (Catalog, UserId), history: Arc<History>) -> Arc<History> {
        let read = Arc::clone(&history);
        self.remembered.entry(place).and_upsert_with(|known| match known.map(moka::Entry::into_value) {
            Some(known) if known.is_deleted() && !read.is_deleted() => known,
            Some(_) | None => read,
        });
        history
    }

    /// Records interactions; all are stored when this returns. Returns how many were new.
    pub(crate) async fn record(&self, catalog: &Catalog, batch: &[(UserId, Vec<Interaction>)]) -> Result<usize, Error> {
        /// Users in one commit of the store.
        const USERS_A_COMMIT: usize = 200;
        let mut n_new = 0;
        for part in batch.chunks(USERS_A_COMMIT) {
            n_new += self.storage.histories.record_all(catalog, part).await?;
            // What is remembered lacks these: better to say "out of reach" than to recommend what was just bought.
            part.iter().for_each(|(user, _)| self.remembered.invalidate(&(catalog.clone(), user.clone())));
        }
        Ok(n_new)
    }

    /// A user's stored history.
    pub(crate) async fn stored(&self, catalog: &Catalog, user: &UserId) -> Result<History, Error> {
        Ok(self.storage.histories.of(catalog, user).await?)
    }

    /// Forgets a user, here and in the caches.
    pub(crate) async fn delete(&self, catalog: &Catalog, user: &UserId) -> Result<(), Error> {
        self.storage.histories.delete(catalog, user).await?;
        let deleted = self.storage.histories.of(catalog, user).await?;
        self.remember((catalog.clone(), user.clone()), Arc::new(deleted));
        for model in self.models.loaded() {
            if let Some(row) = model.user_row(user) {
                self.states.forget(&model.version, row).await;
            }
        }
        Ok(())
    }
}

/// The rows of the items that the model knows, in prompt order.
fn item_rows(model: &Loaded, history: &History) -> Vec<u32> {
    history.items().into_iter().filter_map(|item| model.item_row(item)).collect()
}

/// What the prompt has to do without.
fn missing(
    query: &Query,
    user: Option<u32>,
    history: &History,
    (n_known, n_in_prompt): (usize, usize),
) -> Vec<Degradation> {
    let mut missing = Vec::new();
    if query.user.is_some() && user.is_none() {
        missing.push(Degradation::UnknownUser);
    }
    let n_items = history.items().len();
    if n_items == 0 {
        missing.push(Degradation::EmptyHistory);
    }
    if n_known < n_items {
        missing.push(Degradation::UnknownItems(n_items - n_known));
    }
    if n_in_prompt < n_known {
        missing.push(Degradation::TruncatedHistory);
    }
    missing
}

/// The best items that are not left out. `history` is all of it, as the light model was measured.
fn rank(model: &Loaded, scores: &[f32], history: &[u32], left_out: &HashSet<u32>, k: usize) -> Vec<ScoredItem> {
    let mixed = model.mixed(scores, history);
    let mixed_scores = mixed.as_ref().map(Mixed::scores);
    let best = top_k(mixed_scores.as_deref().unwrap_or(scores), k, |row| !left_out.contains(&row));
    let source_of = |row| mixed.as_ref().map_or(Source::Model, |mixed| source(mixed.origin(row)));
    best.into_iter().map(|(row, score)| scored_item(model, row, score, source_of(row))).collect()
}

fn source(origin: Origin) -> Source {
    match origin {
        Origin::LanguageModel => Source::Model,
        Origin::CoOccurrence => Source::CoOccurrence,
        Origin::Both => Source::Both,
    }
}

fn scored_item(model: &Loaded, row: u32, score: f32, source: Source) -> ScoredItem {
    let item = model.item(row);
    ScoredItem { item: item.id.clone(), title: item.title.clone(), score, source }
}
