//! ★ `Recommend`: model → history → prompt → user state → scores (mixed with a light model's in a
//! hybrid) → the page of the list that was asked for.

use std::sync::Arc;
use std::time::Instant;

use domain::{
    Catalog, Degradation, ItemScores, ModelChoice, ModelVersion, Page, Query, Recommendation,
    ScoreQuery, ScoredItem, SimilarQuery, Source, UserId,
};
use model::UserState;
use model::metrics::top_k;

use crate::Error;
use crate::allowed::Rows;
use crate::behind::Behind;
use crate::counters::Counters;
use crate::explain::explained;
use crate::filter::Filters;
use crate::gate::Call;
use crate::histories::Histories;
use crate::live_model::Models;
use crate::loaded::Loaded;
use crate::rankers::Rankers;
use crate::reader::Read;
use crate::states::{Found, States};

/// Answers queries and keeps histories.
#[derive(Debug, Clone)]
pub(crate) struct Recommender {
    pub(crate) models: Models,
    pub(crate) states: States,
    pub(crate) histories: Histories,
    pub(crate) filters: Filters,
    pub(crate) rankers: Rankers,
    pub(crate) counters: Counters,
    pub(crate) behind: Behind,
}

/// A page of a list, as rows.
struct Ranked {
    page: Vec<(u32, f32, Source)>,
    /// Items of the page that do not pass the filter.
    n_relaxed: usize,
    has_more: bool,
    /// The language model's scores, for an explanation.
    language: Option<Vec<f32>>,
}

impl Recommender {
    /// Ranks the catalogue for one user.
    pub(crate) async fn recommend(
        &self,
        mut query: Query,
        call: &Call,
    ) -> Result<Recommendation, Error> {
        let started = Instant::now();
        if let Some(page) = &query.page {
            query.reader.model = ModelChoice::Version(page.version.clone());
            query.reader.at_ms = Some(
                query
                    .reader
                    .at_ms
                    .map_or(page.at_ms, |at_ms| at_ms.min(page.at_ms)),
            );
        }
        let model = self
            .models
            .choose(&query.reader.model, query.reader.user.as_ref(), call)
            .await?;
        let recommendation = self.answer(&query, &model, call).await?;
        self.counters.degraded(&recommendation.degradations);
        if let Some(shadow) = self.models.shadow_of(&model.version) {
            self.behind
                .compare(&query, &recommendation, started.elapsed(), &shadow);
        }
        Ok(recommendation)
    }

    /// The list of one version. Seen is the whole history; the prompt is its latest part that fits.
    pub(crate) async fn answer(
        &self,
        query: &Query,
        model: &Arc<Loaded>,
        call: &Call,
    ) -> Result<Recommendation, Error> {
        let mut read = Read::new(&self.histories, &query.reader, model, call.caller.by).await?;
        let (state, found) = self.state(&read, model, call).await?;
        let mut rows = Rows::new(model, &query.allowed, &read.seen, &self.filters).await?;
        let mut degradations = std::mem::take(&mut read.degradations);
        degradations.append(&mut rows.degradations);
        let (offset, k) = (
            query.page.as_ref().map_or(0, |page| page.offset),
            query.k.get(),
        );
        let (ranker, seen, is_stranger) = (Arc::clone(model), read.seen.clone(), read.is_stranger);
        let explain = query.explain && !seen.is_empty(); // reasons are items of the history
        let ranked =
            self.rankers
                .scored((&model.catalogue, &state), &call.caller, move |language| {
                    let ranked = rank(&ranker, language, (&seen, is_stranger), &rows, (offset, k));
                    Ranked {
                        language: explain.then(|| language.to_vec()),
                        ..ranked
                    }
                });
        let ranked = ranked.await?;
        if ranked.n_relaxed > 0 {
            degradations.push(Degradation::FilterRelaxed(ranked.n_relaxed));
        }
        if ranked.page.len() < k {
            degradations.push(Degradation::FewerThanAsked);
        }
        let mut items: Vec<ScoredItem> = ranked
            .page
            .iter()
            .map(|&ranked| scored_item(model, ranked))
            .collect();
        if let Some(language) = ranked.language {
            let page: Vec<u32> = ranked.page.iter().map(|(row, ..)| *row).collect();
            let aside = call.aside();
            let contributions = model
                .forward
                .explanation((read.prompt(model), page.clone()), &call.caller)
                .await?;
            drop(aside);
            explained(model, &read, (&page, contributions), &language, &mut items);
        }
        let next = Page {
            version: model.version.clone(),
            at_ms: read.until_ms,
            offset: offset + items.len(),
        };
        if let Some(place) = read.to_refresh {
            self.behind.refresh(place, model);
        }
        Ok(Recommendation {
            next: Some(next).filter(|next| ranked.has_more && next.offset < Page::LAST),
            items,
            offset,
            version: model.version.clone(),
            history_length: read.n_in_prompt,
            cached: found.is_from_cache(),
            n_scored: model.n_items(),
            degradations,
        })
    }

    /// Scores given items, in the order given.
    pub(crate) async fn score(&self, query: ScoreQuery, call: &Call) -> Result<ItemScores, Error> {
        let model = self
            .models
            .choose(&query.reader.model, query.reader.user.as_ref(), call)
            .await?;
        let read = Read::new(&self.histories, &query.reader, &model, call.caller.by).await?;
        let (state, _) = self.state(&read, &model, call).await?;
        let (ranker, seen, is_stranger) = (Arc::clone(&model), read.seen.clone(), read.is_stranger);
        let scores =
            self.rankers
                .scored((&model.catalogue, &state), &call.caller, move |language| {
                    let scores = ranker.scores(language, &seen, is_stranger).values;
                    let of_item = |item: domain::ItemId| {
                        let score = ranker.item_row(&item).map(|row| scores[row as usize]);
                        (item, score)
                    };
                    query.items.into_iter().map(of_item).collect()
                });
        Ok(ItemScores {
            scores: scores.await?,
            version: model.version.clone(),
            degradations: read.degradations,
        })
    }

    /// The items whose rows are most alike.
    pub(crate) async fn similar(
        &self,
        query: SimilarQuery,
        call: &Call,
    ) -> Result<(Vec<ScoredItem>, ModelVersion), Error> {
        let model = self.models.choose(&query.model, None, call).await?;
        let row = model
            .item_row(&query.item)
            .ok_or_else(|| Error::NoSuchItem(query.item.to_string()))?;
        let passing = match &*query.filter {
            "" => None,
            filter => Some(self.filters.rows(&model, filter).await?),
        };
        let state = model
            .catalogue
            .state(&model.catalogue.tables().items.row(row));
        let (ranker, k) = (Arc::clone(&model), query.k.get());
        let alike =
            self.rankers
                .scored((&model.catalogue, &state), &call.caller, move |products| {
                    let lengths = ranker.item_lengths();
                    let cosine = |(product, length): (&f32, &f32)| {
                        product / (length * lengths[row as usize]).max(f32::MIN_POSITIVE)
                    };
                    let cosines: Vec<f32> = products.iter().zip(lengths).map(cosine).collect();
                    let is_wanted = |other: u32| {
                        other != row
                            && passing
                                .as_ref()
                                .is_none_or(|rows| rows.contains(other as usize))
                    };
                    top_k(&cosines, k, is_wanted)
                });
        let items = alike
            .await?
            .into_iter()
            .map(|(row, cosine)| scored_item(&model, (row, cosine, Source::Model)));
        Ok((items.collect(), model.version.clone()))
    }

    /// The user state of a reader, cached or computed.
    pub(crate) async fn state(
        &self,
        read: &Read,
        model: &Loaded,
        call: &Call,
    ) -> Result<(UserState, Found), Error> {
        let key = read.key(model);
        let (state, found) = match self.states.remembered(&key).await {
            Some(state) => (state, Found::Memory),
            None => {
                let _aside = call.aside();
                self.states
                    .get_or_compute(&key, model, read.prompt(model), &call.caller)
                    .await?
            }
        };
        self.counters.add(match found {
            Found::Memory => "states.memory",
            Found::Shared => "states.shared",
            Found::Computed => "states.computed",
            Found::Joined => "states.joined",
        });
        Ok((state, found))
    }

    /// Forgets a user, here and in the caches.
    pub(crate) async fn delete(&self, catalog: &Catalog, user: &UserId) -> Result<(), Error> {
        self.histories.delete(catalog, user).await?;
        for (model, _) in self.models.overview().loaded {
            if let Some(row) = model.user_row(user) {
                self.states.forget(&model.version, row).await;
            }
        }
        Ok(())
    }
}

/// One page: the best rows that are allowed, then, where the request is not strict, the best of the
/// others.
fn rank(
    model: &Loaded,
    language: &[f32],
    (history, is_stranger): (&[u32], bool),
    rows: &Rows,
    (offset, k): (usize, usize),
) -> Ranked {
    let scores = model.scores(language, history, is_stranger);
    let most = offset + k + 1; // one more tells whether there is a next page
    let mut best = top_k(&scores.values, most, |row| {
        rows.allowed.contains(row as usize)
    });
    let n_allowed = best.len();
    if let Some(relaxed) = &rows.relaxed {
        best.extend(top_k(&scores.values, most - n_allowed, |row| {
            relaxed.contains(row as usize)
        }));
    }
    let has_more = best.len() == most;
    best.truncate(offset + k);
    let n_relaxed = best.len().saturating_sub(n_allowed.max(offset));
    let page = best.get(offset..).unwrap_or_default();
    let page = page
        .iter()
        .map(|&(row, score)| (row, score, model.source(&scores, row)))
        .collect();
    Ranked {
        page,
        n_relaxed,
        has_more,
        language: None,
    }
}

fn scored_item(model: &Loaded, (row, score, source): (u32, f32, Source)) -> ScoredItem {
    let item = model.item(row);
    ScoredItem {
        item: item.id.clone(),
        title: item.title.clone(),
        score,
        source,
        reasons: Vec::new(),
    }
}
