//! ★ `Recommend`: model → history → prompt → user state → scores (mixed with a
//! light model's in a hybrid) → the page of the list that was asked for.

use std::sync::Arc;
use std::time::Instant;

use domain::{
    Catalog, Degradation, ModelChoice, Page, Query, Reader, Recommendation,
    ScoredItem, UserId,
};
use model::UserState;

use crate::admission::gate::Call;
use crate::compute::bounded_work::BoundedWork;
use crate::compute::rankers::{Rankers, RankingRequest};
use crate::compute::states::{
    FoundState, StateOrigin, UserStates, WantedState,
};
use crate::counters::Counters;
use crate::error::Error;
use crate::histories::RememberedHistories;
use crate::request::allowed::AllowedRows;
use crate::request::explain::reasons;
use crate::request::filter::Filters;
use crate::request::follow_up::{FollowUps, LiveAnswer};
use crate::request::new_items::NewItems;
use crate::request::page::{Material, PageRequest, RankedPage};
use crate::request::reader::KnownReader;
use crate::versions::live_model::Models;
use crate::versions::loaded::LoadedModel;

/// Everything that answering a query needs. Clones use the same models, caches
/// and counters.
#[derive(Debug, Clone)]
pub(crate) struct Recommender {
    pub(crate) models: Models,
    pub(crate) histories: RememberedHistories,
    pub(crate) states: UserStates,
    pub(crate) filters: Filters,
    /// Reads queries and new items.
    pub(crate) texts: BoundedWork,
    pub(crate) rankers: Rankers,
    pub(crate) counters: Counters,
    pub(crate) follow_ups: FollowUps,
}

impl Recommender {
    /// Ranks the catalogue for one user, by the version that serves them.
    pub(crate) async fn recommend(
        &self,
        mut query: Query,
        call: &Call,
    ) -> Result<Recommendation, Error> {
        let started = Instant::now();
        if let Some(page) = &query.page {
            go_on_from(page, &mut query.reader);
        }
        let Reader { model, user, .. } = &query.reader;
        let model = self.models.choose(model, user.as_ref(), call).await?;
        let answer = self.answer(&query, &model, call).await?;
        self.counters.add_degradations(&answer.degradations);
        if let Some(shadow) = self.models.shadow_of(&model.version) {
            let live = LiveAnswer {
                answer: &answer,
                took: started.elapsed(),
            };
            self.follow_ups.compare(&query, live, &shadow);
        }
        Ok(answer)
    }

    /// The list of one version. Seen is the whole history; the prompt is its
    /// latest part that fits.
    pub(crate) async fn answer(
        &self,
        query: &Query,
        model: &Arc<LoadedModel>,
        call: &Call,
    ) -> Result<Recommendation, Error> {
        let reader = self.reader(&query.reader, model, call).await?;
        let found = self.user_state(&reader, model, call).await?;
        let mut degradations = reader.degradations.clone();
        let text = query.text_query.as_ref();
        let part = self.query_part(text, model, call).await?;
        if text.is_some() && part.is_none() {
            degradations.push(Degradation::UnknownWords);
        }
        let seen = &reader.listener.seen;
        // Checks the filter, before it is asked of new items.
        let allowed =
            AllowedRows::new(model, &query.allowed, seen, &self.filters)
                .await?;
        let new = NewItems::of(query, &reader.unknown);
        let new = self.read_new_items(new, model).await?;
        degradations.extend(new.degradation());
        let material = Material {
            allowed,
            query: part,
            new_items: new.scored(&found.state),
        };
        let n_new = material.new_items.len();
        let page = PageRequest::new(query, model, &reader, material);
        let offset = page.offset;
        let page = self.rank(page, &found.state, call).await?;
        let items = scored_items(&page, &reader, model, call).await?;
        if let Some(key) = reader.to_refresh {
            self.follow_ups.refresh(key, model);
        }
        let next = Page {
            version: model.version.clone(),
            at_ms: reader.until_ms,
            offset: offset + items.len(),
        };
        let has_next = page.has_more && next.offset < Page::LAST;
        Ok(Recommendation {
            items,
            offset,
            next: has_next.then_some(next),
            version: model.version.clone(),
            history_length: reader.n_in_prompt,
            cached: found.origin.is_cache(),
            n_scored: model.n_items() + n_new,
            degradations: [degradations, page.degradations].concat(),
        })
    }

    /// A reader's history and user token in the rows of a version.
    pub(crate) async fn reader(
        &self,
        reader: &Reader,
        model: &LoadedModel,
        call: &Call,
    ) -> Result<KnownReader, Error> {
        let by = call.caller.by;
        let history = self.histories.of(reader, &model.catalog, by).await?;
        Ok(KnownReader::new(reader, history, model))
    }

    /// The user state of a reader, cached or computed.
    pub(crate) async fn user_state(
        &self,
        reader: &KnownReader,
        model: &LoadedModel,
        call: &Call,
    ) -> Result<FoundState, Error> {
        let key = reader.state_key(model);
        let found = match self.states.in_memory(&key).await {
            Some(state) => FoundState {
                state,
                origin: StateOrigin::Memory,
            },
            None => {
                let wanted = WantedState {
                    key: &key,
                    prompt: reader.prompt(model),
                    language: &model.language,
                    caller: &call.caller,
                };
                let _aside = call.aside();
                self.states.get_or_compute(&wanted).await?
            }
        };
        self.counters.add(counter_of(found.origin));
        Ok(found)
    }

    /// Scores the catalogue for a user state, and makes the page where the
    /// scores are.
    async fn rank(
        &self,
        page: PageRequest,
        state: &UserState,
        call: &Call,
    ) -> Result<RankedPage, Error> {
        let scoring = Arc::clone(&page.model.language.scoring);
        let request = RankingRequest {
            scoring: &scoring,
            state,
            caller: &call.caller,
        };
        let ranked = self
            .rankers
            .scored(request, move |language| page.rank(language));
        ranked.await
    }

    pub(crate) async fn delete(
        &self,
        catalog: &Catalog,
        user: &UserId,
    ) -> Result<(), Error> {
        self.histories.delete(catalog, user).await?;
        for model in self.models.in_memory() {
            if let Some(row) = model.user_row(user) {
                self.states.forget(&model.version, row).await;
            }
        }
        Ok(())
    }
}

/// A further page is ranked by the version that served the first, on the
/// history as it was at that time.
fn go_on_from(page: &Page, reader: &mut Reader) {
    reader.model = ModelChoice::Version(page.version.clone());
    let until = match reader.at_ms {
        Some(at_ms) => at_ms.min(page.at_ms),
        None => page.at_ms,
    };
    reader.at_ms = Some(until);
}

/// The items of a page with their titles, and with reasons where they were
/// asked for.
async fn scored_items(
    page: &RankedPage,
    reader: &KnownReader,
    model: &LoadedModel,
    call: &Call,
) -> Result<Vec<ScoredItem>, Error> {
    let mut items = page.items(model);
    let Some(language_scores) = &page.language_scores else {
        return Ok(items);
    };
    let scored = page.explained(language_scores);
    let reasons = reasons(scored, reader, model, call).await?;
    page.add_reasons(&mut items, reasons);
    Ok(items)
}

fn counter_of(origin: StateOrigin) -> &'static str {
    match origin {
        StateOrigin::Memory => "states.memory",
        StateOrigin::Shared => "states.shared",
        StateOrigin::Computed => "states.computed",
        StateOrigin::Joined => "states.joined",
    }
}
