//! Histories in both stores, without services: what is recorded, by how many
//! writers at once, and what earlier versions wrote.
#![allow(clippy::unwrap_used, reason = "tests")]

use domain::{
    Catalog, EventId, History, Interaction, ItemId, Retention, UserId,
};
use e2e::Redis;
use storage::{Error, Histories, Settings, Storage, UsersPage, now_ms};
use tempfile::TempDir;

const HOUR_MS: i64 = 60 * 60 * 1_000;
const MAX_EVENTS: usize = 6;

/// A store of one backend, which ends with the test.
struct Stored {
    histories: Histories,
    /// Absent where the store is embedded.
    redis: Option<Redis>,
    _folder: TempDir,
}

/// Both backends keep the latest six events, none older than a day.
async fn both() -> [Stored; 2] {
    [embedded().await, on_redis().await]
}

async fn embedded() -> Stored {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("embedded:{}/store.redb", folder.path().display());
    Stored {
        histories: open(&folder, store).await,
        redis: None,
        _folder: folder,
    }
}

async fn on_redis() -> Stored {
    let folder = tempfile::tempdir().unwrap();
    let redis = Redis::store(&folder.path().join("redis")).await;
    Stored {
        histories: open(&folder, redis.url()).await,
        redis: Some(redis),
        _folder: folder,
    }
}

async fn open(folder: &TempDir, store: String) -> Histories {
    let settings = Settings {
        store,
        cache: String::new(),
        artifacts: folder.path().join("artifacts").display().to_string(),
        allow_volatile_store: false,
        key_prefix: "test".to_owned(),
        store_timeout_ms: 20_000,
        cache_timeout_ms: 50,
        state_ttl_s: 60,
        max_events_per_user: MAX_EVENTS,
        max_event_age_days: 1,
    };
    Storage::open(&settings).await.unwrap().histories
}

impl Stored {
    async fn record(
        &self,
        name: &str,
        events: Vec<Interaction>,
    ) -> Result<usize, Error> {
        let batch = [(user(name), events)];
        self.histories.record_all(&Catalog::default(), &batch).await
    }

    async fn history(&self, name: &str) -> History {
        let (catalog, user) = (Catalog::default(), user(name));
        self.histories.of(&catalog, &user).await.unwrap()
    }

    async fn items(&self, name: &str) -> Vec<String> {
        let history = self.history(name).await;
        history
            .items()
            .into_iter()
            .map(ToString::to_string)
            .collect()
    }

    async fn delete(&self, name: &str) {
        let (catalog, user) = (Catalog::default(), user(name));
        self.histories.delete(&catalog, &user).await.unwrap();
    }

    fn command(&self, arguments: &[&str]) -> String {
        self.redis.as_ref().unwrap().command(arguments)
    }

    /// Writes a user's record as a program of an earlier version does.
    fn write_old_record(&self, user: &str, record: &str) {
        self.command(&["HSET", OLD_RECORDS, user, record]);
    }

    fn old_record(&self, user: &str) -> String {
        self.command(&["HGET", OLD_RECORDS, user]).trim().to_owned()
    }
}

const OLD_RECORDS: &str = "{test}:histories:default";

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn event(item: &str, at_ms: i64) -> Interaction {
    Interaction {
        item: ItemId::new(item).unwrap(),
        at_ms,
        event: None,
    }
}

fn with_id(item: &str, at_ms: i64, id: &str) -> Interaction {
    Interaction {
        event: Some(EventId::new(id).unwrap()),
        ..event(item, at_ms)
    }
}

#[tokio::test]
async fn events_are_taken_back_one_by_one_and_may_come_again() {
    for stored in both().await {
        let now = now_ms();
        let events =
            vec![event("a", now), event("b", now), with_id("c", now, "e")];
        assert_eq!(stored.record("u", events).await.unwrap(), 3);
        let batch = [(
            user("u"),
            vec![
                event("a", now),
                event("a", now - 1),
                with_id("c", now, "e"),
                event("b", now + 1),
            ],
        )];
        let catalog = Catalog::default();
        let forgotten = stored.histories.forget_all(&catalog, &batch).await;
        assert_eq!(forgotten.unwrap(), 2, "those of other times stay");
        assert_eq!(stored.items("u").await, ["b"]);
        let again = vec![event("a", now), with_id("c", now, "e")];
        assert_eq!(stored.record("u", again).await.unwrap(), 2);
        assert_eq!(stored.items("u").await, ["a", "b", "c"]);
    }
}

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % end
    }

    /// An event of the last hours or of the day before yesterday, often one
    /// that was there already.
    fn event(&mut self, now_ms: i64) -> Interaction {
        let item = ["a", "b", "a\0b", "ä"][self.below(4) as usize];
        let hours = [1, 2, 3, 4, 5, 6, 7, 8, 50][self.below(9) as usize];
        let at_ms = now_ms - hours * HOUR_MS;
        match self.below(3) {
            0 => with_id(item, at_ms, &format!("e{}", self.below(12))),
            _ => event(item, at_ms),
        }
    }
}

#[tokio::test]
async fn both_stores_do_what_the_domain_says() {
    let retention = Retention {
        max_events: MAX_EVENTS,
        max_age_ms: Some(24 * HOUR_MS),
    };
    for stored in both().await {
        let mut numbers = Numbers(7);
        let now_ms = now_ms();
        let mut expected = [History::default(), History::default()];
        for round in 0..150 {
            let nth = numbers.below(2) as usize;
            let name = ["one", "other"][nth];
            if round % 40 == 39 {
                stored.delete(name).await;
                let deleted = stored.history(name).await;
                expected[nth].delete(deleted.deleted_at_ms().unwrap());
            } else {
                let n_events = 1 + numbers.below(4);
                let mut events = Vec::new();
                for _ in 0..n_events {
                    events.push(numbers.event(now_ms));
                }
                if numbers.below(2) == 0 {
                    // So that there are events after a deletion, too.
                    let at_ms = storage::now_ms() + 1 + round % 3;
                    events.push(event("later", at_ms));
                }
                let n_new = expected[nth].record(&events, retention, now_ms);
                let found = stored.record(name, events.clone()).await;
                assert_eq!(found.unwrap(), n_new, "{round}: {events:?}");
            }
            let found = stored.history(name).await;
            assert_eq!(found, expected[nth], "{round}, {:?}", stored.redis);
        }
    }
}

#[tokio::test]
async fn writers_of_one_user_never_hinder_each_other() {
    for stored in both().await {
        let stored = std::sync::Arc::new(stored);
        let mut writers = tokio::task::JoinSet::new();
        let now_ms = now_ms();
        for writer in 0..20_i64 {
            let stored = std::sync::Arc::clone(&stored);
            writers.spawn(async move {
                let mut n_new = 0;
                for number in 0..10_i64 {
                    let newest = number + 10 * (writer / 2);
                    let item = format!("i{newest}");
                    let event = event(&item, now_ms - 1_000 + newest);
                    n_new += stored.record("u", vec![event]).await.unwrap();
                }
                n_new
            });
        }
        let n_new: usize = writers.join_all().await.into_iter().sum();
        assert!((MAX_EVENTS..=100).contains(&n_new), "{n_new}");
        let latest = ["i94", "i95", "i96", "i97", "i98", "i99"];
        assert_eq!(stored.items("u").await, latest);
    }
}

#[tokio::test]
async fn a_user_who_is_there_twice_in_a_call_keeps_both_parts() {
    for stored in both().await {
        let now_ms = now_ms();
        let batch = [
            (user("u"), vec![event("a", now_ms)]),
            (user("v"), vec![event("a", now_ms)]),
            (user("u"), vec![event("a", now_ms), event("b", now_ms)]),
        ];
        let catalog = Catalog::default();
        let n_new = stored.histories.record_all(&catalog, &batch).await;
        assert_eq!(n_new.unwrap(), 3);
        assert_eq!(stored.items("u").await, ["a", "b"]);
    }
}

#[tokio::test]
async fn what_an_earlier_version_wrote_is_taken_over_while_it_still_runs() {
    let stored = on_redis().await;
    let now_ms = now_ms();
    let [first, second, third, fourth] = [4, 3, 2, 1].map(|n| now_ms - n);
    let record = format!(
        r#"{{"format":1,"n":[{{"i":"a","t":{first},"e":"x"}},{{"i":"b","t":{second}}}]}}"#
    );
    stored.write_old_record("u", &record);
    assert_eq!(stored.items("u").await, ["a", "b"]);
    let repeat = vec![with_id("a", third, "x"), event("b", second)];
    assert_eq!(stored.record("u", repeat).await.unwrap(), 0);
    let new = vec![event("c", third)];
    assert_eq!(stored.record("u", new.clone()).await.unwrap(), 1);
    assert_eq!(stored.items("u").await, ["a", "b", "c"]);
    assert_eq!(stored.old_record("u"), record, "an old scorer reads it on");

    // An old scorer records something, then forgets the user.
    let record = format!(
        r#"{{"format":1,"n":[{{"i":"b","t":{second}}},{{"i":"d","t":{fourth}}}]}}"#
    );
    stored.write_old_record("u", &record);
    assert_eq!(stored.items("u").await, ["a", "b", "c", "d"]);
    assert_eq!(stored.record("u", new).await.unwrap(), 0);
    assert_eq!(stored.items("u").await, ["a", "b", "c", "d"]);
    let record = format!(r#"{{"format":1,"n":[],"d":{second}}}"#);
    stored.write_old_record("u", &record);
    let history = stored.history("u").await;
    assert!(history.is_deleted());
    assert_eq!(stored.items("u").await, ["c", "d"]);
    let late = vec![event("late", second)];
    assert_eq!(stored.record("u", late).await.unwrap(), 0);
    assert_eq!(stored.history("u").await, history);

    stored.delete("u").await;
    assert!(stored.history("u").await.interactions().is_empty());
    let tombstone = stored.old_record("u");
    assert!(
        tombstone.starts_with(r#"{"format":1,"n":[],"d":"#),
        "{tombstone}"
    );
    let before = vec![event("c", third)];
    assert_eq!(stored.record("u", before).await.unwrap(), 0);
}

#[tokio::test]
async fn the_record_of_an_earlier_version_goes_a_day_after_it_was_taken_over() {
    let stored = on_redis().await;
    let at_ms = now_ms();
    let record = format!(r#"{{"format":1,"n":[{{"i":"a","t":{at_ms}}}]}}"#);
    stored.write_old_record("u", &record);
    stored
        .record("u", vec![event("b", at_ms + 1)])
        .await
        .unwrap();
    assert_eq!(stored.old_record("u"), record);
    let about = "{test}:history-about:default:u";
    stored.command(&["HINCRBY", about, "t", "-90000"]);
    stored
        .record("u", vec![event("c", at_ms + 2)])
        .await
        .unwrap();
    assert_eq!(stored.old_record("u"), "");
    assert_eq!(stored.command(&["EXISTS", about]).trim(), "0");
    assert_eq!(stored.items("u").await, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_refuses_its_own_user_alone() {
    let stored = on_redis().await;
    stored.write_old_record("bad", r#"{"n":[{"i":"a""#);
    stored.command(&["SET", "{test}:history-events:default:worse", "x"]);
    let now_ms = now_ms();
    let users = ["good", "bad", "better", "worse"];
    let batch = users.map(|name| (user(name), vec![event("a", now_ms)]));
    let catalog = Catalog::default();
    let refused = stored.histories.record_all(&catalog, &batch).await;
    let refused = refused.unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("2 of 4 users") && text.contains("(`bad`, `worse`)"));
    let Error::NotRecorded { users, source } = refused else {
        panic!("{text}");
    };
    assert_eq!(users.users, [user("bad"), user("worse")]);
    assert!(matches!(*source, Error::Corrupt { .. }), "{source}");
    for name in ["good", "better"] {
        assert_eq!(stored.items(name).await, ["a"]);
    }
    assert!(stored.histories.of(&catalog, &user("bad")).await.is_err());

    stored.delete("bad").await;
    stored.delete("worse").await;
    let again = vec![event("b", storage::now_ms() + 1)];
    assert_eq!(stored.record("bad", again).await.unwrap(), 1);
}

#[tokio::test]
async fn a_redis_that_cannot_write_is_read_on_and_says_what_to_do() {
    let stored = on_redis().await;
    let now_ms = now_ms();
    stored.record("u", vec![event("a", now_ms)]).await.unwrap();
    for (breaks, mends) in [
        (
            ["CONFIG", "SET", "maxmemory", "1"],
            ["CONFIG", "SET", "maxmemory", "0"],
        ),
        (
            ["CONFIG", "SET", "min-replicas-to-write", "1"],
            ["CONFIG", "SET", "min-replicas-to-write", "0"],
        ),
    ] {
        stored.command(&breaks);
        let refused = stored.record("u", vec![event("b", now_ms)]).await;
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("the Redis store cannot write"), "{text}");
        assert_eq!(stored.items("u").await, ["a"], "at once");
        stored.command(&mends);
    }
    assert_eq!(
        stored.record("u", vec![event("b", now_ms)]).await.unwrap(),
        1
    );
    stored.command(&["SCRIPT", "FLUSH"]);
    assert_eq!(
        stored.record("u", vec![event("c", now_ms)]).await.unwrap(),
        1
    );
}

#[tokio::test]
async fn all_users_with_a_history_are_listed_page_by_page() {
    for stored in both().await {
        let mut expected = Vec::new();
        for number in 0..250 {
            let name = format!("user-{number:03}");
            stored
                .record(&name, vec![event("i", now_ms())])
                .await
                .unwrap();
            expected.push(name);
        }
        stored
            .record("gone", vec![event("i", now_ms())])
            .await
            .unwrap();
        stored.delete("gone").await;
        let catalog = Catalog::new("other").unwrap();
        let batch = [(user("elsewhere"), vec![event("i", now_ms())])];
        stored.histories.record_all(&catalog, &batch).await.unwrap();

        let mut page = UsersPage {
            most: 40,
            ..UsersPage::default()
        };
        let (mut listed, mut n_pages) = (Vec::new(), 0);
        loop {
            let catalog = Catalog::default();
            let found = stored.histories.users(&catalog, &page).await.unwrap();
            listed.extend(found.users.into_iter().map(String::from));
            n_pages += 1;
            if found.next.is_empty() {
                break;
            }
            page.from = found.next;
        }
        assert!(n_pages > 1);
        listed.sort_unstable();
        assert_eq!(listed, expected);
    }
}
