//! Redis in the role `cache`: user states and table rows that replicas share.
//! It may be slow, empty or gone at any time; every call is bounded and answers
//! "not here" then.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands, Client};
use tokio::sync::OnceCell;

use crate::breaker::{Breaker, Turn};
use crate::clock::stopwatch_ms;
use crate::error::Error;
use crate::settings::Settings;

/// After a failure the cache is left alone for this long, after each further
/// one for twice as long.
const FIRST_PAUSE_MS: i64 = 1_000;
const LONGEST_PAUSE_MS: i64 = 32_000;

/// A shared cache, or none.
#[derive(Clone, Debug)]
pub struct Cache {
    shared: Option<Arc<Shared>>,
}

struct Shared {
    client: Client,
    connection: OnceCell<ConnectionManager>,
    prefix: String,
    timeout: Duration,
    ttl_s: u64,
    /// While it fails, one call tries it now and then; the others go on without
    /// it.
    breaker: Breaker,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cache({})", self.prefix)
    }
}

impl Cache {
    pub(crate) fn open(settings: &Settings) -> Result<Self, Error> {
        if settings.cache.is_empty() {
            return Ok(Self { shared: None });
        }

        let client = Client::open(settings.cache.as_str()).map_err(|e| {
            Error::Setting {
                setting: "storage.cache",
                reason: e.to_string(),
            }
        })?;
        let shared = Shared {
            client,
            connection: OnceCell::new(),
            prefix: format!("{}:cache", settings.key_prefix),
            timeout: settings.cache_timeout(),
            ttl_s: settings.state_ttl_s,
            breaker: Breaker::new(FIRST_PAUSE_MS, LONGEST_PAUSE_MS),
        };

        Ok(Self {
            shared: Some(Arc::new(shared)),
        })
    }

    /// Reads one field of a group; `None` when it is not there or the cache
    /// cannot say in time.
    pub async fn get(&self, group: &str, field: &str) -> Option<Vec<u8>> {
        let shared = self.shared.as_ref()?;
        let key = shared.key(group);
        shared
            .call(async move |connection: &mut ConnectionManager| {
                connection.hget(key, field).await
            })
            .await
            .flatten()
    }

    /// Sets one field of a group, which then lives for the configured time.
    pub async fn put(&self, group: &str, field: &str, value: &[u8]) {
        self.put_all([(group, field, value)]).await;
    }

    /// Sets fields of groups, all in one round trip.
    pub async fn put_all(
        &self,
        fields: impl IntoIterator<Item = (&str, &str, impl AsRef<[u8]>)>,
    ) {
        let Some(shared) = self.shared.as_ref() else {
            return;
        };

        let (mut commands, ttl_s) = (redis::pipe(), shared.ttl_s.cast_signed());
        for (group, field, value) in fields {
            let key = shared.key(group);
            commands
                .hset(&key, field, value.as_ref())
                .ignore()
                .expire(&key, ttl_s)
                .ignore();
        }

        let put = async |connection: &mut ConnectionManager| {
            commands.query_async::<()>(connection).await
        };
        shared.call(put).await;
    }

    /// Forgets a group with all its fields.
    pub async fn remove(&self, group: &str) {
        let Some(shared) = self.shared.as_ref() else {
            return;
        };

        let key = shared.key(group);
        shared
            .call(async move |connection: &mut ConnectionManager| {
                connection.del::<_, ()>(key).await
            })
            .await;
    }
}

impl Shared {
    fn key(&self, group: &str) -> String {
        format!("{}:{group}", self.prefix)
    }

    /// Makes one bounded call; a failure pauses the cache.
    async fn call<T>(
        &self,
        command: impl AsyncFnOnce(
            &mut ConnectionManager,
        ) -> Result<T, redis::RedisError>,
    ) -> Option<T> {
        let turn = self.breaker.turn(stopwatch_ms());
        if turn == Turn::Closed {
            return None;
        }

        let attempt = async {
            let mut connection = self
                .connection
                .get_or_try_init(|| self.connect())
                .await?
                .clone();
            command(&mut connection).await
        };

        let failure = match tokio::time::timeout(self.timeout, attempt).await {
            Ok(Ok(value)) => {
                if turn == Turn::Trial {
                    tracing::info!("the cache is back");
                }

                self.breaker.succeeded();
                return Some(value);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {:?}", self.timeout),
        };

        if self.breaker.failed(turn, stopwatch_ms()) {
            tracing::warn!(
                failure,
                "the cache is out of reach; going on without it"
            );
        }

        None
    }

    async fn connect(&self) -> Result<ConnectionManager, redis::RedisError> {
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        self.client.get_connection_manager_with_config(config).await
    }
}
