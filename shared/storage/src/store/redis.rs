//! Redis in the role `store`: one hash a space, commits as a script, no
//! eviction, append-only file.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands, Client, Script};

use crate::breaker::{Breaker, Turn};
use crate::clock::stopwatch_ms;
use crate::error::Error;
use crate::settings::Settings;
use crate::store::commit::{Commit, Entry, Pair, Place};
use crate::store::range::{Order, Range};
use crate::store::silence::Silence;

/// Four arguments an entry: hash, field, `1` with a value or `0` without,
/// value. Checks come first. A place in an index is `2` when it is taken and
/// `3` when it is given up: the index is a sorted set whose scores are equal.
const COMMIT: &str = r"
local at = 2
for _ = 1, tonumber(ARGV[1]) do
  local found = redis.call('HGET', ARGV[at], ARGV[at + 1])
  if ARGV[at + 2] == '0' then
    if found then return 0 end
  elseif found ~= ARGV[at + 3] then
    return 0
  end
  at = at + 4
end
while at <= #ARGV do
  if ARGV[at + 2] == '0' then
    redis.call('HDEL', ARGV[at], ARGV[at + 1])
  elseif ARGV[at + 2] == '2' then
    redis.call('ZADD', ARGV[at], 0, ARGV[at + 1])
  elseif ARGV[at + 2] == '3' then
    redis.call('ZREM', ARGV[at], ARGV[at + 1])
  else
    redis.call('HSET', ARGV[at], ARGV[at + 1], ARGV[at + 3])
  end
  at = at + 4
end
return 1
";

#[derive(Clone)]
pub(crate) struct Redis {
    connection: ConnectionManager,
    commit: Script,
    prefix: String,
    timeout: Duration,
    /// Whoever can do without the store need not wait for it.
    breaker: Arc<Breaker>,
    silence: Arc<Silence>,
}

/// How long the store is left alone after a failure.
const PAUSE_MS: i64 = 500;
/// A store that answers nothing for this long is one that does not answer.
const SLOW_MS: i64 = 200;

/// A command that waits for its answer. When its caller gives it up after a
/// while, that is a failure too.
struct Waiting<'a> {
    store: &'a Redis,
    turn: Turn,
    since_ms: i64,
    is_over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let now_ms = stopwatch_ms();
        if !self.is_over
            && self.store.silence.goes_on(self.since_ms, now_ms) > SLOW_MS
        {
            self.store.breaker.failed(self.turn, now_ms);
        }
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redis({})", self.prefix)
    }
}

impl Redis {
    pub(crate) async fn open(settings: &Settings) -> Result<Self, Error> {
        let client = Client::open(settings.store.as_str()).map_err(|e| {
            Error::Setting {
                setting: "storage.store",
                reason: e.to_string(),
            }
        })?;
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(settings.store_timeout()))
            .set_connection_timeout(Some(settings.store_timeout()));
        let connection = client
            .get_connection_manager_with_config(config)
            .await
            .map_err(unavailable)?;
        let store = Self {
            connection,
            commit: Script::new(COMMIT),
            // One hash slot for all keys of a commit.
            prefix: format!("{{{}}}", settings.key_prefix),
            timeout: settings.store_timeout(),
            breaker: Arc::new(Breaker::new(PAUSE_MS, PAUSE_MS)),
            silence: Arc::default(),
        };

        store
            .check_durability(settings.allow_volatile_store)
            .await?;
        Ok(store)
    }

    /// Refuses an instance that evicts keys or keeps nothing on disk.
    async fn check_durability(
        &self,
        allow_volatile: bool,
    ) -> Result<(), Error> {
        let mut connection = self.connection.clone();
        let info: String = redis::cmd("INFO")
            .query_async(&mut connection)
            .await
            .map_err(unavailable)?;
        let policy = field(&info, "maxmemory_policy");
        let append_only = field(&info, "aof_enabled");
        let mut wrong = Vec::new();
        if policy != "noeviction" {
            wrong.push(format!(
                "maxmemory-policy is `{policy}`, must be `noeviction`"
            ));
        }

        if append_only != "1" {
            wrong.push("appendonly is off, must be `yes`".to_owned());
        }

        if wrong.is_empty() {
            return Ok(());
        }

        let reason = format!(
            "this Redis may lose what it acknowledged: {}",
            wrong.join("; ")
        );
        if allow_volatile {
            tracing::warn!(
                reason,
                "the store is volatile; allowed by storage.allow_volatile_store"
            );
            return Ok(());
        }

        let reason = format!(
            "{reason} (for development: storage.allow_volatile_store = true)"
        );
        Err(Error::Setting {
            setting: "storage.store",
            reason,
        })
    }

    /// Runs one command, reconnecting included, within the configured time.
    pub(crate) async fn bounded<T>(
        &self,
        command: impl Future<Output = redis::RedisResult<T>>,
    ) -> Result<T, Error> {
        let since_ms = stopwatch_ms();
        let turn = self.breaker.turn(since_ms);
        if turn == Turn::Closed {
            return Err(Error::unavailable("the Redis store")(
                "it failed a moment ago",
            ));
        }

        let mut waiting = Waiting {
            store: self,
            turn,
            since_ms,
            is_over: false,
        };
        let answer = tokio::time::timeout(self.timeout, command).await;
        waiting.is_over = true;
        let is_there = match &answer {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => is_refusal(error),
            Err(_) => false,
        };
        if is_there {
            self.silence.ends(stopwatch_ms());
            self.breaker.succeeded();
        } else {
            self.breaker.failed(turn, stopwatch_ms());
        }

        match answer {
            Ok(answer) => answer.map_err(unavailable),
            Err(late) => Err(Error::unavailable("the Redis store")(late)),
        }
    }

    pub(crate) fn connection(&self) -> ConnectionManager {
        self.connection.clone()
    }

    /// The key of a space, or of anything else that belongs to this deployment.
    pub(crate) fn hash(&self, space: &str) -> String {
        format!("{}:{space}", self.prefix)
    }

    pub(crate) async fn get(
        &self,
        space: &str,
        key: &str,
    ) -> Result<Option<Vec<u8>>, Error> {
        let mut connection = self.connection.clone();
        self.bounded(connection.hget(self.hash(space), key)).await
    }

    pub(crate) async fn scan(&self, space: &str) -> Result<Vec<Pair>, Error> {
        let mut connection = self.connection.clone();
        let fields: Vec<(String, Vec<u8>)> =
            self.bounded(connection.hgetall(self.hash(space))).await?;
        let mut entries: Vec<Pair> = fields
            .into_iter()
            .map(|(key, value)| Pair { key, value })
            .collect();
        entries.sort_unstable();
        Ok(entries)
    }

    pub(crate) async fn get_many(
        &self,
        space: &str,
        keys: &[String],
    ) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let mut connection = self.connection.clone();
        let mut command = redis::cmd("HMGET");
        command.arg(self.hash(space)).arg(keys);
        self.bounded(command.query_async(&mut connection)).await
    }

    pub(crate) async fn keys(&self, space: &str) -> Result<Vec<String>, Error> {
        let mut connection = self.connection.clone();
        self.bounded(connection.hkeys(self.hash(space))).await
    }

    pub(crate) async fn range(
        &self,
        index: &str,
        range: &Range,
    ) -> Result<Vec<String>, Error> {
        let after = range.after.as_ref().map(|after| format!("({after}"));
        let (first, last) = match range.order {
            Order::Ascending => ("-", "+"),
            Order::Descending => ("+", "-"),
        };
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.hash(index));
        command.arg(after.as_deref().unwrap_or(first)).arg(last);
        command.arg("BYLEX");
        if range.order == Order::Descending {
            command.arg("REV");
        }

        let most = i64::try_from(range.most).unwrap_or(i64::MAX);
        command.arg("LIMIT").arg(0).arg(most);
        let mut connection = self.connection.clone();
        self.bounded(command.query_async(&mut connection)).await
    }

    pub(crate) async fn commit(&self, commit: &Commit) -> Result<bool, Error> {
        let mut call = self.commit.prepare_invoke();
        let entries: Vec<&Entry> =
            commit.checks.iter().chain(&commit.writes).collect();
        let mut hashes: Vec<String> = entries
            .iter()
            .map(|entry| self.hash(&entry.space))
            .collect();
        for place in commit.left.iter().chain(&commit.entered) {
            hashes.push(self.hash(&place.index));
        }
        hashes.sort_unstable();
        hashes.dedup();
        for hash in &hashes {
            call.key(hash);
        }

        call.arg(commit.checks.len());
        for Entry { space, key, value } in entries {
            call.arg(self.hash(space))
                .arg(key)
                .arg(i32::from(value.is_some()))
                .arg(value.as_deref().unwrap_or_default());
        }

        for Place { index, key } in &commit.left {
            call.arg(self.hash(index)).arg(key).arg(3).arg("");
        }

        for Place { index, key } in &commit.entered {
            call.arg(self.hash(index)).arg(key).arg(2).arg("");
        }

        let mut connection = self.connection.clone();
        let done: i32 =
            self.bounded(call.invoke_async(&mut connection)).await?;
        Ok(done == 1)
    }
}

/// Finds a line `name:value` of what Redis says about itself.
fn field<'a>(info: &'a str, name: &str) -> &'a str {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .unwrap_or("")
        .trim()
}

/// True of a Redis that is there but refuses a command: others may go through.
fn is_refusal(error: &redis::RedisError) -> bool {
    error.code().is_some_and(|code| !ABSENT.contains(&code))
}

/// What a Redis says that cannot serve anybody yet.
const ABSENT: [&str; 5] =
    ["BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "TRYAGAIN"];
/// What a Redis says that cannot write for now.
const UNWRITABLE: [&str; 4] = ["MISCONF", "NOREPLICAS", "OOM", "READONLY"];

fn unavailable(error: redis::RedisError) -> Error {
    if error.code().is_some_and(|code| UNWRITABLE.contains(&code)) {
        return unwritable(error.to_string());
    }
    Error::Unavailable {
        what: "the Redis store",
        source: Box::new(error),
    }
}

/// Makes an error of what Redis said inside a script.
pub(crate) fn refused(reason: &str) -> Error {
    if UNWRITABLE.iter().any(|code| reason.starts_with(code)) {
        return unwritable(reason.to_owned());
    }
    Error::unavailable("the Redis store")(reason)
}

fn unwritable(reason: String) -> Error {
    Error::Unwritable {
        what: "the Redis store",
        reason,
        remedy: "give it memory and disk, or make it the master, and try again",
    }
}
