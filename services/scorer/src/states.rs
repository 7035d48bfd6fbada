//! User states that were computed before: in memory, then in the shared cache. A key holds everything that the state
//! depends on, so a cached state is never stale.

use domain::ModelVersion;
use model::prompt::TEMPLATE_VERSION;
use sha2::{Digest, Sha256};
use storage::Cache;

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

/// (model version, row of the user token or none, ordered item rows of the effective history, prompt template).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    group: String,
    field: String,
}

impl Key {
    /// States with users' own tokens lie together by user, so that deleting a user forgets them; the others belong to a
    /// history, whoever has it.
    pub(crate) fn new(version: &ModelVersion, token: TokenRow, items: &[u32]) -> Self {
        let mut hash = Sha256::new();
        hash.update(TEMPLATE_VERSION.to_le_bytes());
        items.iter().for_each(|item| hash.update(item.to_le_bytes()));
        let history = hex::encode(hash.finalize());
        let shared =
            |whose: &str| Self { group: format!("states:{version}:{whose}:{history}"), field: "state".to_owned() };
        match token {
            TokenRow::Own(row) => Self { group: Self::of_user(version, row), field: history },
            TokenRow::Absent => shared("none"),
            TokenRow::Mean(_) => shared("mean"),
        }
    }

    /// All states of one user in one version.
    fn of_user(version: &ModelVersion, row: u32) -> String {
        format!("states:{version}:{row}")
    }
}

/// The two levels.
#[derive(Debug, Clone)]
pub(crate) struct States {
    memory: moka::sync::Cache<Key, Vec<f32>>,
    shared: Cache,
}

impl States {
    pub(crate) fn new(max_bytes: u64, shared: Cache) -> Self {
        let memory = moka::sync::Cache::builder()
            .weigher(|key: &Key, state: &Vec<f32>| {
                let bytes = key.group.len() + key.field.len() + size_of_val(state.as_slice());
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .max_capacity(max_bytes)
            .support_invalidation_closures()
            .build();
        Self { memory, shared }
    }

    /// A state of the right width, from either level.
    pub(crate) async fn get(&self, key: &Key, width: usize) -> Option<Vec<f32>> {
        if let Some(state) = self.memory.get(key) {
            return Some(state);
        }
        let bytes = self.shared.get(&key.group, &key.field).await?;
        let state: Vec<f32> = bytes.as_chunks().0.iter().map(|&word| f32::from_le_bytes(word)).collect();
        if state.len() != width {
            return None;
        }
        self.memory.insert(key.clone(), state.clone());
        Some(state)
    }

    /// Remembers a state on both levels.
    pub(crate) async fn put(&self, key: &Key, state: &[f32]) {
        self.memory.insert(key.clone(), state.to_vec());
        let bytes: Vec<u8> = state.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.shared.put(&key.group, &key.field, &bytes).await;
    }

    /// Forgets a user's states in one version.
    pub(crate) async fn forget(&self, version: &ModelVersion, user: u32) {
        let group = Key::of_user(version, user);
        let wanted = group.clone();
        if let Err(error) = self.memory.invalidate_entries_if(move |key, _| key.group == wanted) {
            tracing::error!(%error, "cannot forget a user's states in memory");
        }
        self.shared.remove(&group).await;
    }
}
