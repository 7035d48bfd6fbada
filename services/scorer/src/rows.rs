//! User and item rows in the shared cache: a replica that starts takes them from there, and what it
//! finds is only used when its hash is the one in the model's manifest.

use domain::ModelVersion;
use model::{Table, TokenTables, rows_hash};
use storage::Cache;

/// Rows in one cached value.
const CHUNK_ROWS: usize = 1_024;
const MARK: &str = "complete";

/// Sizes that the rows must have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) n_users: usize,
    pub(crate) n_items: usize,
    pub(crate) width: usize,
}

fn group(version: &ModelVersion) -> String {
    format!("rows:{version}")
}

/// Offers the rows to other replicas, unless somebody did already.
pub(crate) async fn share(cache: &Cache, version: &ModelVersion, tables: &TokenTables) {
    let group = group(version);
    if cache.get(&group, MARK).await.is_some() {
        return;
    }
    for (kind, table) in [("users", &tables.users), ("items", &tables.items)] {
        for (number, chunk) in table
            .values()
            .chunks(CHUNK_ROWS * table.width())
            .enumerate()
        {
            let bytes: Vec<u8> = chunk.iter().flat_map(|value| value.to_le_bytes()).collect();
            cache.put(&group, &format!("{kind}:{number}"), &bytes).await;
        }
    }
    cache.put(&group, MARK, b"1").await;
}

/// The rows that another replica offered; `None` when anything is missing or different.
pub(crate) async fn fetch(
    cache: &Cache,
    version: &ModelVersion,
    sizes: Sizes,
    hash: &str,
) -> Option<TokenTables> {
    let group = group(version);
    cache.get(&group, MARK).await?;
    let users = table(cache, &group, "users", sizes.n_users, sizes.width).await?;
    let items = table(cache, &group, "items", sizes.n_items, sizes.width).await?;
    let tables = TokenTables { users, items };
    // Hashing takes a second a gigabyte: not on an async thread.
    let hashed = tokio::task::spawn_blocking(move || (rows_hash(&tables), tables)).await;
    let (found, tables) = hashed.ok()?;
    if found != hash {
        tracing::warn!(%version, found, "the rows in the cache are not this version's; taking the artifact's");
        return None;
    }
    Some(tables)
}

async fn table(
    cache: &Cache,
    group: &str,
    kind: &str,
    n_rows: usize,
    width: usize,
) -> Option<Table> {
    let mut values: Vec<f32> = Vec::with_capacity(n_rows * width);
    for number in 0..n_rows.div_ceil(CHUNK_ROWS) {
        let bytes = cache.get(group, &format!("{kind}:{number}")).await?;
        values.extend(
            bytes
                .as_chunks()
                .0
                .iter()
                .map(|&word| f32::from_le_bytes(word)),
        );
    }
    (values.len() == n_rows * width).then(|| Table::new(values, width))
}
