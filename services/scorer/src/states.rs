//! User states that were computed before: in memory, then in the shared cache. A key holds
//! everything that the state depends on, so a cached state is never stale.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::ModelVersion;
use model::prompt::TEMPLATE_VERSION;
use model::{Precision, ScoringTables, Token, UserState};
use sha2::{Digest, Sha256};
use storage::Cache;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::gate::Caller;
use crate::loaded::Loaded;

/// The user token of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenRow {
    /// The user's own row.
    Own(u32),
    /// There is none.
    Absent,
    /// The row that is the mean of all.
    Mean(u32),
}

impl TokenRow {
    /// The row in the prompt.
    pub(crate) fn row(self) -> Option<u32> {
        match self {
            Self::Own(row) | Self::Mean(row) => Some(row),
            Self::Absent => None,
        }
    }
}

/// (model version, row of the user token or none, ordered item rows of the effective history,
/// prompt template, precision).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    group: String,
    field: String,
}

impl Key {
    /// States with users' own tokens lie together by user, so that deleting a user forgets them;
    /// the others belong to a history, whoever has it.
    pub(crate) fn new(
        version: &ModelVersion,
        token: TokenRow,
        items: &[u32],
        precision: Precision,
    ) -> Self {
        let mut hash = Sha256::new();
        hash.update(TEMPLATE_VERSION.to_le_bytes());
        items
            .iter()
            .for_each(|item| hash.update(item.to_le_bytes()));
        match precision {
            Precision::F32 => {}
            Precision::Bf16 => hash.update(precision.name()),
        }
        let history = hex::encode(hash.finalize());
        let shared = |whose: &str| Self {
            group: format!("states:{version}:{whose}:{history}"),
            field: "state".to_owned(),
        };
        match token {
            TokenRow::Own(row) => Self {
                group: Self::of_user(version, row),
                field: history,
            },
            TokenRow::Absent => shared("none"),
            TokenRow::Mean(_) => shared("mean"),
        }
    }

    /// All states of one user in one version.
    fn of_user(version: &ModelVersion, row: u32) -> String {
        format!("states:{version}:{row}")
    }
}

/// Where a state came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Memory,
    Shared,
    Computed,
    /// For another request, while this one waited.
    Joined,
}

impl Found {
    /// It was there before.
    pub(crate) fn is_from_cache(self) -> bool {
        matches!(self, Self::Memory | Self::Shared)
    }
}

/// The two levels.
#[derive(Debug, Clone)]
pub(crate) struct States {
    memory: moka::future::Cache<Key, UserState>,
    shared: Cache,
    hits: Arc<Hits>,
    /// To be written to the shared level when there is time.
    unwritten: mpsc::Sender<(Key, UserState)>,
}

/// The latest 64 looks into the shared level, the latest in the lowest bit: 1 when the state was
/// there.
#[derive(Debug)]
struct Hits(AtomicU64);

impl Hits {
    /// Before the first look all are hoped for.
    fn hoped() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }

    fn note(&self, is_hit: bool) {
        let with = |latest: u64| latest << 1 | u64::from(is_hit);
        // Of two at the same time one may be lost: it is a tendency.
        self.0
            .store(with(self.0.load(Ordering::Relaxed)), Ordering::Relaxed);
    }

    fn are_none(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// What [`States`] has computed and its shared level does not have yet.
pub(crate) type Unwritten = mpsc::Receiver<(Key, UserState)>;

/// States that may wait to be written; more are left out: they are a saving, not a promise.
const MAX_UNWRITTEN: usize = 4_096;
/// States that are written in one round trip.
const AT_ONCE: usize = 64;

impl States {
    pub(crate) fn new(max_bytes: u64, shared: Cache) -> (Self, Unwritten) {
        let memory = moka::future::Cache::builder()
            .weigher(|key: &Key, state: &UserState| {
                // What the cache itself needs for an entry is about 200 bytes.
                let bytes = 200 + key.group.len() + key.field.len() + state.n_bytes();
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .max_capacity(max_bytes)
            .support_invalidation_closures()
            .build();
        let (unwritten, received) = mpsc::channel(MAX_UNWRITTEN);
        (
            Self {
                memory,
                shared,
                hits: Arc::new(Hits::hoped()),
                unwritten,
            },
            received,
        )
    }

    /// A state that is in memory.
    pub(crate) async fn remembered(&self, key: &Key) -> Option<UserState> {
        self.memory.get(key).await
    }

    /// The state of a prompt, from either level, or computed: once for all requests that want it
    /// meanwhile.
    pub(crate) async fn get_or_compute(
        &self,
        key: &Key,
        model: &Loaded,
        prompt: Vec<Token>,
        caller: &Caller,
    ) -> Result<(UserState, Found), Error> {
        loop {
            let mut found = Found::Joined;
            let find = self.find(key, model, (&prompt, caller), &mut found);
            match self
                .memory
                .try_get_with_by_ref(key, find)
                .await
                .map_err(|error: Arc<Error>| (*error).clone())
            {
                Ok(state) => return Ok((state, found)),
                // It was another request that had not the time.
                Err(Error::Overloaded { .. }) if found == Found::Joined => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// From the shared level or the model; says which, as soon as it is asked to.
    async fn find(
        &self,
        key: &Key,
        model: &Loaded,
        (prompt, caller): (&[Token], &Caller),
        found: &mut Found,
    ) -> Result<UserState, Error> {
        *found = Found::Computed;
        // A look costs both programs a round trip, which an overload of new histories would pay for
        // each refusal.
        if self.hits.are_none() {
            model.forward.admits(prompt.len(), caller)?;
        }
        if let Some(state) = self.shared(key, &model.catalogue).await {
            *found = Found::Shared;
            return Ok(state);
        }
        let state = model.forward.state(prompt.to_vec(), caller).await?;
        // A full channel loses a saving.
        drop(self.unwritten.try_send((key.clone(), state.clone())));
        Ok(state)
    }

    async fn shared(&self, key: &Key, catalogue: &ScoringTables) -> Option<UserState> {
        let bytes = self.shared.get(&key.group, &key.field).await;
        self.hits.note(bytes.is_some());
        catalogue.state_of_bytes(&bytes?)
    }

    /// Writes computed states to the shared level until `shutdown`.
    pub(crate) async fn write_until(&self, mut unwritten: Unwritten, shutdown: CancellationToken) {
        let mut states = Vec::new();
        while let Some(1..) = shutdown
            .run_until_cancelled(unwritten.recv_many(&mut states, AT_ONCE))
            .await
        {
            let fields = states
                .iter()
                .map(|(key, state)| (&*key.group, &*key.field, state.to_bytes()));
            self.shared.put_all(fields).await;
            states.clear();
        }
    }

    /// Forgets a user's states in one version.
    pub(crate) async fn forget(&self, version: &ModelVersion, user: u32) {
        let group = Key::of_user(version, user);
        let wanted = group.clone();
        if let Err(error) = self
            .memory
            .invalidate_entries_if(move |key, _| key.group == wanted)
        {
            tracing::error!(%error, "cannot forget a user's states in memory");
        }
        self.shared.remove(&group).await;
    }
}
