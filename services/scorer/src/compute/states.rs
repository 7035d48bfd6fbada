//! User states that were computed before: in memory, then in the cache that
//! replicas share. A key holds everything that the state depends on, so a
//! cached state is never stale.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::ModelVersion;
use model::{ScoringTables, Token, UserState};
use storage::Cache;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::admission::caller::Caller;
use crate::compute::language_model::LanguageModel;
use crate::compute::state_key::{StateKey, group_of_user};
use crate::error::Error;

/// States that may wait to be written; more are left out: they are a saving,
/// not a promise.
const MAX_UNWRITTEN: usize = 4_096;
/// States that are written in one round trip.
const WRITTEN_AT_ONCE: usize = 64;
/// What the cache in memory needs for an entry beside its key and state, in
/// bytes, about.
const ENTRY_BYTES: usize = 200;

/// The two levels of cached states; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct UserStates {
    memory: moka::future::Cache<StateKey, UserState>,
    shared: Cache,
    latest_looks: Arc<LatestLooks>,
    /// States that are written to the shared level when there is time.
    unwritten: mpsc::Sender<UnwrittenState>,
}

/// A computed state that the shared level does not have yet.
#[derive(Debug)]
pub(crate) struct UnwrittenState {
    key: StateKey,
    state: UserState,
}

/// A state that is looked for, and how to compute it where it is not found.
#[derive(Debug)]
pub(crate) struct WantedState<'a> {
    pub(crate) key: &'a StateKey,
    pub(crate) prompt: &'a [Token],
    pub(crate) language: &'a LanguageModel,
    pub(crate) caller: &'a Caller,
}

#[derive(Debug)]
pub(crate) struct FoundState {
    pub(crate) state: UserState,
    pub(crate) origin: StateOrigin,
}

/// Where a state came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StateOrigin {
    Memory,
    /// It was in the cache that replicas share.
    Shared,
    /// It was computed for this request.
    Computed,
    /// It was computed for another request, while this one waited.
    Joined,
}

impl StateOrigin {
    /// Whether the state was there before anybody asked.
    pub(crate) fn is_cache(self) -> bool {
        matches!(self, Self::Memory | Self::Shared)
    }
}

impl UserStates {
    /// Both levels, and the states that [`Self::write_until`] will be given.
    pub(crate) fn new(
        max_bytes: u64,
        shared: Cache,
    ) -> (Self, mpsc::Receiver<UnwrittenState>) {
        let memory = moka::future::Cache::builder()
            .weigher(entry_bytes)
            .max_capacity(max_bytes)
            .support_invalidation_closures()
            .build();
        let (unwritten, received) = mpsc::channel(MAX_UNWRITTEN);
        let states = Self {
            memory,
            shared,
            latest_looks: Arc::default(),
            unwritten,
        };
        (states, received)
    }

    pub(crate) async fn in_memory(&self, key: &StateKey) -> Option<UserState> {
        self.memory.get(key).await
    }

    /// The state of a prompt, from either level, or computed: once for all
    /// requests that want it meanwhile.
    pub(crate) async fn get_or_compute(
        &self,
        wanted: &WantedState<'_>,
    ) -> Result<FoundState, Error> {
        loop {
            let mut origin = StateOrigin::Joined;
            let find = self.find(wanted, &mut origin);
            let found = self.memory.try_get_with_by_ref(wanted.key, find).await;
            let error = match found {
                Ok(state) => return Ok(FoundState { state, origin }),
                Err(error) => (*error).clone(),
            };
            // Where it was another request that had not the time, this one
            // tries itself.
            let is_anothers = origin == StateOrigin::Joined;
            if !(is_anothers && matches!(error, Error::Overloaded { .. })) {
                return Err(error);
            }
        }
    }

    /// Takes the state from the shared level or the model. `origin` says which
    /// as soon as this is polled: it stays what it was where another request
    /// computes the state.
    async fn find(
        &self,
        wanted: &WantedState<'_>,
        origin: &mut StateOrigin,
    ) -> Result<UserState, Error> {
        *origin = StateOrigin::Computed;
        let WantedState {
            key,
            prompt,
            language,
            caller,
        } = *wanted;
        // A look costs both programs a round trip, which an overload of new
        // histories would pay for each refusal.
        if self.latest_looks.found_nothing() {
            language.forward.admits(prompt.len(), caller)?;
        }
        if let Some(state) = self.look_up_shared(key, &language.scoring).await {
            *origin = StateOrigin::Shared;
            return Ok(state);
        }
        let state = language.forward.state(prompt.to_vec(), caller).await?;
        let unwritten = UnwrittenState {
            key: key.clone(),
            state: state.clone(),
        };
        // A full channel loses a saving.
        drop(self.unwritten.try_send(unwritten));
        Ok(state)
    }

    async fn look_up_shared(
        &self,
        key: &StateKey,
        scoring: &ScoringTables,
    ) -> Option<UserState> {
        let bytes = self.shared.get(&key.group, &key.field).await;
        self.latest_looks.note(bytes.is_some());
        scoring.state_of_bytes(&bytes?)
    }

    /// Writes computed states to the shared level until `shutdown`.
    pub(crate) async fn write_until(
        &self,
        mut unwritten: mpsc::Receiver<UnwrittenState>,
        shutdown: CancellationToken,
    ) {
        let mut states = Vec::new();
        loop {
            let received = unwritten.recv_many(&mut states, WRITTEN_AT_ONCE);
            let Some(1..) = shutdown.run_until_cancelled(received).await else {
                return;
            };
            let fields = states.iter().map(|UnwrittenState { key, state }| {
                (&*key.group, &*key.field, state.to_bytes())
            });
            self.shared.put_all(fields).await;
            states.clear();
        }
    }

    /// Forgets the states with a user's own token in one version.
    pub(crate) async fn forget(&self, version: &ModelVersion, user: u32) {
        let group = group_of_user(version, user);
        let forgotten = group.clone();
        let in_memory = self
            .memory
            .invalidate_entries_if(move |key, _| key.group == forgotten);
        if let Err(error) = in_memory {
            tracing::error!(%error, "cannot forget a user's states in memory");
        }
        self.shared.remove(&group).await;
    }
}

fn entry_bytes(key: &StateKey, state: &UserState) -> u32 {
    let bytes = ENTRY_BYTES + key.n_bytes() + state.n_bytes();
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Whether the latest 64 looks into the shared level found a state.
#[derive(Debug)]
struct LatestLooks {
    /// One bit a look, the latest is the lowest: 1 when the state was there.
    bits: AtomicU64,
}

impl Default for LatestLooks {
    /// Before the first look, all are hoped for.
    fn default() -> Self {
        Self {
            bits: AtomicU64::new(u64::MAX),
        }
    }
}

impl LatestLooks {
    fn note(&self, has_found: bool) {
        let before = self.bits.load(Ordering::Relaxed);
        let after = before << 1 | u64::from(has_found);
        // Of two at the same time one may be lost: it is a tendency.
        self.bits.store(after, Ordering::Relaxed);
    }

    fn found_nothing(&self) -> bool {
        self.bits.load(Ordering::Relaxed) == 0
    }
}
