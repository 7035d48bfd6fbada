//! User and item rows in the shared cache: a replica that starts takes them
//! from there, and what it finds is only used when its hash is the one in the
//! model's manifest.

use domain::ModelVersion;
use model::{Artifact, Table, TokenTables, rows_hash};
use storage::Cache;

/// Rows in one cached value.
const CHUNK_ROWS: usize = 1_024;
/// The field that is written last: all rows are there.
const COMPLETE: &str = "complete";

pub(super) struct SharedRows<'a> {
    cache: &'a Cache,
    version: &'a ModelVersion,
    group: String,
}

impl<'a> SharedRows<'a> {
    pub(super) fn new(cache: &'a Cache, version: &'a ModelVersion) -> Self {
        Self {
            cache,
            version,
            group: format!("rows:{version}"),
        }
    }

    /// Takes the rows that another replica offers, or else offers the
    /// artifact's own.
    pub(super) async fn exchange(&self, artifact: &mut Artifact) {
        match self.fetch(artifact).await {
            Some(tables) => artifact.tables.collaborative = tables,
            None => self.offer(&artifact.tables.collaborative).await,
        }
    }

    /// Offers the rows to other replicas, unless somebody did already.
    async fn offer(&self, tables: &TokenTables) {
        if self.are_complete().await {
            return;
        }
        self.put("users", &tables.users).await;
        self.put("items", &tables.items).await;
        self.cache.put(&self.group, COMPLETE, b"1").await;
    }

    /// The rows that another replica offered; `None` when anything is missing
    /// or different.
    async fn fetch(&self, artifact: &Artifact) -> Option<TokenTables> {
        if !self.are_complete().await {
            return None;
        }
        let width = artifact.tables.collaborative.items.width();
        let users = self.table("users", artifact.users.len(), width).await?;
        let items = self.table("items", artifact.items.len(), width).await?;
        let tables = TokenTables { users, items };
        // Hashing takes a second a gigabyte: not on an async thread.
        let hashed =
            tokio::task::spawn_blocking(move || (rows_hash(&tables), tables))
                .await;
        let (found, tables) = hashed.ok()?;
        if found != artifact.manifest.rows_sha256 {
            let version = self.version;
            tracing::warn!(%version, found, "the rows in the cache are not this version's; taking the artifact's");
            return None;
        }
        Some(tables)
    }

    async fn are_complete(&self) -> bool {
        self.cache.get(&self.group, COMPLETE).await.is_some()
    }

    async fn put(&self, kind: &str, table: &Table) {
        let values = table.values();
        let chunks = values.chunks(CHUNK_ROWS * table.width());
        for (number, chunk) in chunks.enumerate() {
            let bytes: Vec<u8> =
                chunk.iter().flat_map(|value| value.to_le_bytes()).collect();
            let field = format!("{kind}:{number}");
            self.cache.put(&self.group, &field, &bytes).await;
        }
    }

    async fn table(
        &self,
        kind: &str,
        n_rows: usize,
        width: usize,
    ) -> Option<Table> {
        let mut values: Vec<f32> = Vec::with_capacity(n_rows * width);
        for number in 0..n_rows.div_ceil(CHUNK_ROWS) {
            let field = format!("{kind}:{number}");
            let bytes = self.cache.get(&self.group, &field).await?;
            let (words, _) = bytes.as_chunks();
            values.extend(words.iter().map(|&word| f32::from_le_bytes(word)));
        }
        (values.len() == n_rows * width).then(|| Table::new(values, width))
    }
}
