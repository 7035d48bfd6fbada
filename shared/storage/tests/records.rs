//! Records that earlier versions wrote (`records/v1`, and in `records/v2` what
//! was added) are read with all their values, records of a newer one as far as this one knows them, and a damaged
//! one hides no other.
//!
//! A fixture's folder is its space and its name its key:
//! `job-events/job-a/1.json` is the record `1` of the space `job-events:job-a`.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use domain::{
    Backbone, BackboneLocation, Catalog, CauseKind, ColdItems, DatasetId,
    Event, Interaction, Item, JobId, Label, Light, ModelManifest, ModelVersion,
    Optimizer, Part, ReadTexts, State, TableInit, Target, UserId, UserToken,
    ValuePath,
};
use redb::{Database, TableDefinition};
use storage::{JobFilter, JobQuery, Order, Settings, Storage};

const ENTRIES: TableDefinition<'_, (&str, &str), &[u8]> =
    TableDefinition::new("entries");
const VERSION: &str = "5f1c0e6a9b3d47e28c05d1a4f7b2960e";

/// A stored record before it is put into a store.
#[derive(Clone)]
struct Record {
    space: String,
    key: String,
    value: Vec<u8>,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/records/v1")
}

/// All records below a folder.
fn records() -> Vec<Record> {
    let mut records = Vec::new();
    for space in [
        "histories:default",
        "job-events:job-queued",
        "job-events:job-succeeded",
        "job-requests",
        "jobs",
        "jobs-open",
        "model-labels",
        "model-versions",
    ] {
        let folder = fixtures().join(space.replace(':', "/"));
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            records.push(Record {
                space: space.to_owned(),
                key: path.file_stem().unwrap().to_str().unwrap().to_owned(),
                value: std::fs::read(&path).unwrap(),
            });
        }
    }
    records
}

fn record(space: &str, key: &str) -> Record {
    records()
        .into_iter()
        .find(|record| record.space == space && record.key == key)
        .unwrap()
}

/// A record with parts of its text replaced.
fn changed(record: &Record, key: &str, replaced: &[(&str, &str)]) -> Record {
    let mut text = String::from_utf8(record.value.clone()).unwrap();
    for (old, new) in replaced {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, new);
    }
    Record {
        key: key.to_owned(),
        value: text.into_bytes(),
        space: record.space.clone(),
    }
}

/// A store with these records, as if somebody had written them.
async fn storage(folder: &Path, records: &[Record]) -> Storage {
    let path = folder.join("store.redb");
    let database = Database::create(&path).unwrap();
    let write = database.begin_write().unwrap();
    let mut table = write.open_table(ENTRIES).unwrap();
    for Record { space, key, value } in records {
        table
            .insert((space.as_str(), key.as_str()), value.as_slice())
            .unwrap();
    }
    drop(table);
    write.commit().unwrap();
    drop(database);
    let settings = Settings {
        store: format!("embedded:{}", path.display()),
        cache: String::new(),
        artifacts: folder.join("artifacts").display().to_string(),
        allow_volatile_store: false,
        key_prefix: "test".to_owned(),
        store_timeout_ms: 1_000,
        cache_timeout_ms: 50,
        state_ttl_s: 60,
        max_events_per_user: 100,
        max_event_age_days: 0,
    };
    Storage::open(&settings).await.unwrap()
}

fn job_id(name: &str) -> JobId {
    JobId::new(name).unwrap()
}

#[tokio::test]
async fn jobs_of_every_state_are_read_with_all_their_values() {
    let folder = tempfile::tempdir().unwrap();
    let storage = storage(folder.path(), &records()).await;
    let listed = storage.jobs.list().await.unwrap();
    assert!(listed.unreadable.is_empty());
    let states: Vec<(&str, State)> = listed
        .records
        .iter()
        .map(|job| (job.id.as_str(), job.state))
        .collect();
    assert_eq!(
        states,
        [
            ("job-cancelled", State::Cancelled),
            ("job-cancelling", State::Cancelling),
            ("job-failed", State::Failed),
            ("job-queued", State::Queued),
            ("job-running", State::Running),
            ("job-succeeded", State::Succeeded),
        ]
    );
    let [_, cancelling, failed, queued, _, _] = &listed.records[..] else {
        panic!("six jobs");
    };
    let location =
        BackboneLocation::new("hf://openai-community/gpt2@607a30d").unwrap();
    assert_eq!(cancelling.spec.backbone, Backbone::Path(location));
    let location =
        BackboneLocation::new("artifact://9e8d7c6b5a49382716050f1e2d3c4b5a")
            .unwrap();
    assert_eq!(failed.spec.backbone, Backbone::Path(location));
    let cause = failed.cause.as_ref().unwrap();
    assert_eq!(cause.kind, CauseKind::BadBackbone);
    assert_eq!(cause.message, "backbone `x` does not exist");
    let dataset = DatasetId::new("0a1b2c3d4e5f60718293a4b5c6d7e8f9").unwrap();
    let mut defaults = domain::TrainSpec::new(dataset);
    // What was stored before texts were read does not read them.
    defaults.reading.texts = ReadTexts::None;
    assert_eq!(queued.spec, defaults);
}

#[tokio::test]
async fn a_lease_and_progress_are_read_with_all_their_values() {
    let folder = tempfile::tempdir().unwrap();
    let storage = storage(folder.path(), &records()).await;
    let running = storage.jobs.get(&job_id("job-running")).await.unwrap();
    let lease = running.lease.as_ref().unwrap();
    assert_eq!((lease.worker.as_str(), lease.epoch), ("worker-1", 1));
    assert_eq!(lease.until_ms, 1_750_000_012_000);
    let checkpoint = running.checkpoint.as_ref().unwrap();
    assert_eq!(checkpoint.as_str(), "c0ffee00c0ffee00c0ffee00c0ffee00");
    let progress = &running.progress;
    assert_eq!((progress.stage.as_str(), progress.step), ("finetuning", 7));
    assert_eq!(progress.loss.to_bits(), std::f64::consts::TAU.to_bits());
    assert_eq!(progress.epochs[1].valid_ndcg_100, Some(0.1875));
    assert_eq!(progress.parts[&Part::Finetuning].n_tokens, 250_000.0);
    assert_eq!(progress.stages[1].last_loss, 5.5);
}

#[tokio::test]
async fn a_job_that_waits_for_its_store_is_read_with_all_its_values() {
    let path = fixtures()
        .with_file_name("v2")
        .join("jobs/job-waiting.json");
    let waiting = Record {
        space: "jobs".to_owned(),
        key: "job-waiting".to_owned(),
        value: std::fs::read(path).unwrap(),
    };
    let folder = tempfile::tempdir().unwrap();
    let storage = storage(folder.path(), &[waiting]).await;
    let job = storage.jobs.get(&job_id("job-waiting")).await.unwrap();
    assert_eq!(job.cause.unwrap().kind, CauseKind::Unavailable);
    let outage = job.outage.unwrap();
    assert_eq!((outage.n_attempts, outage.spent_ms), (4, 7_000));
    assert_eq!(outage.until_ms, 1_750_003_600_000);
    let losses = job.losses.unwrap();
    assert_eq!((losses.stage.as_str(), losses.done), ("finetuning", 0.5));
    assert_eq!((losses.in_stage, losses.in_all), (1, 1));
    assert_eq!(losses.checkpoint, job.checkpoint);
}

#[tokio::test]
async fn a_specification_without_defaults_is_read_with_all_its_values() {
    let folder = tempfile::tempdir().unwrap();
    let storage = storage(folder.path(), &records()).await;
    let succeeded = storage.jobs.get(&job_id("job-succeeded")).await.unwrap();
    let spec = &succeeded.spec;
    let Backbone::Random(shape) = &spec.backbone else {
        panic!("a random backbone");
    };
    assert_eq!((shape.n_embd, shape.warmup_epochs), (64, 2));
    assert_eq!(shape.value_path, ValuePath::Random);
    assert_eq!(spec.init, TableInit::Normal);
    assert_eq!(spec.optimizer, Optimizer::Dense);
    assert_eq!(spec.cold_items, ColdItems::Rows);
    assert_eq!(spec.finetuning.target, Target::Hidden);
    assert_eq!((spec.hybrid.light, spec.hybrid.n_kept), (Light::None, 50));
    assert_eq!(spec.labels, [Label::live(), Label::canary()]);
    let version = ModelVersion::new(VERSION).unwrap();
    assert!(succeeded.was_committed(2, &version));
    assert_eq!(succeeded.metrics["ndcg@100"], 0.30000000000000004);
}

#[tokio::test]
async fn open_jobs_requests_and_events_go_on_where_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let storage = storage(folder.path(), &records()).await;
    let open = storage.jobs.open().await.unwrap();
    let open: Vec<&str> = open.iter().map(|job| job.id.as_str()).collect();
    assert_eq!(open, ["job-cancelling", "job-queued", "job-running"]);

    let queued = storage.jobs.get(&job_id("job-queued")).await.unwrap();
    let again = storage.jobs.create(queued.clone(), Some("request-1")).await;
    assert_eq!(again.unwrap(), storage::Created::Before(queued));

    let id = job_id("job-succeeded");
    let events = storage.jobs.events(&id, 1).await.unwrap().records;
    let messages: Vec<&str> =
        events.iter().map(|event| event.message.as_str()).collect();
    assert_eq!(messages[0], "queued");
    assert_eq!(messages[5], format!("model version {VERSION} published"));
    assert_eq!((events[2].number, events[2].at_ms), (3, 1_750_000_020_000));
    assert_eq!(events[5].job, storage.jobs.get(&id).await.unwrap());

    let leased = Event::Leased {
        worker: "worker-2".to_owned(),
        term: std::time::Duration::from_secs(10),
    };
    let change = |job: &mut domain::Job| {
        let taken = job.apply(leased.clone(), 1_750_000_040_000);
        Ok::<_, storage::Error>(Some(format!("{taken:?}")))
    };
    let id = job_id("job-queued");
    storage.jobs.update(&id, change).await.unwrap();
    let events = storage.jobs.events(&id, 1).await.unwrap().records;
    assert_eq!(events.len(), 2);
    assert_eq!(events[1].job.state, State::Running);
}

#[tokio::test]
async fn versions_labels_and_histories_are_read_with_all_their_values() {
    let folder = tempfile::tempdir().unwrap();
    let storage = storage(folder.path(), &records()).await;
    let version = ModelVersion::new(VERSION).unwrap();
    let info = storage.registry.get(&version).await.unwrap();
    let listed = storage.registry.list().await.unwrap();
    assert_eq!(listed.records.first(), Some(&info));
    assert_eq!(info.job, job_id("job-succeeded"));
    assert_eq!(info.created_ms, 1_750_000_032_000);
    assert_eq!(info.metrics["recall@20"], 0.1);
    assert_eq!(info.spec.seed, 7);
    let labels = storage.registry.labels().await.unwrap();
    assert_eq!(labels.versions[&Label::live()], version);
    assert_eq!(labels.versions[&Label::canary()], version);

    let catalog = Catalog::default();
    let user = UserId::new("user-1").unwrap();
    let history = storage.histories.of(&catalog, &user).await.unwrap();
    assert!(history.is_deleted());
    let first = &history.interactions()[0];
    assert_eq!(
        (first.item.as_str(), first.at_ms),
        ("film-1", 1_750_000_000_001)
    );
    assert_eq!(first.event.as_ref().unwrap().as_str(), "click-17");
    assert_eq!(history.interactions().len(), 3);
}

#[tokio::test]
async fn a_history_is_taken_over_when_the_users_next_event_arrives() {
    let folder = tempfile::tempdir().unwrap();
    let storage = storage(folder.path(), &records()).await;
    let catalog = Catalog::default();
    let user = UserId::new("user-1").unwrap();
    let before = storage.histories.of(&catalog, &user).await.unwrap();
    let repeat = before.interactions()[0].clone();
    let old = Interaction {
        at_ms: 1_750_000_000_000,
        ..before.interactions()[1].clone()
    };
    let new = Interaction {
        at_ms: 1_750_000_000_004,
        ..old.clone()
    };
    let batch = [(user.clone(), vec![repeat, old, new.clone()])];
    let n_new = storage.histories.record_all(&catalog, &batch).await;
    assert_eq!(
        n_new.unwrap(),
        1,
        "one is known, one from before a deletion"
    );
    let after = storage.histories.of(&catalog, &user).await.unwrap();
    assert_eq!(after.interactions()[..3], *before.interactions());
    assert_eq!(after.interactions()[3..], [new]);
    assert_eq!(after.deleted_at_ms(), before.deleted_at_ms());

    let other = UserId::new("user-2").unwrap();
    storage.histories.delete(&catalog, &other).await.unwrap();
    drop(storage);
    let path = folder.path().join("store.redb");
    let database = Database::open(path).unwrap();
    let read = redb::ReadableDatabase::begin_read(&database).unwrap();
    let table = read.open_table(ENTRIES).unwrap();
    for user in ["user-1", "user-2"] {
        let old = table.get(("histories:default", user)).unwrap();
        assert!(old.is_none(), "{user}");
    }
}

/// A history in the form that is written since events are stored one by one.
fn write_events(folder: &Path) {
    const EVENTS: TableDefinition<'_, (&str, &str, i64, &str, &str), &[u8]> =
        TableDefinition::new("history-events");
    const IDS: TableDefinition<'_, (&str, &str, &str), ()> =
        TableDefinition::new("history-event-ids");
    const ABOUT: TableDefinition<'_, (&str, &str), &[u8]> =
        TableDefinition::new("history-about");
    let database = Database::create(folder.join("store.redb")).unwrap();
    let write = database.begin_write().unwrap();
    let events = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/records/v2/history-events/default");
    let mut table = write.open_table(EVENTS).unwrap();
    let mut ids = write.open_table(IDS).unwrap();
    let lines = std::fs::read_to_string(events.join("user-1.jsonl")).unwrap();
    for line in lines.lines() {
        let (at_ms, item, id): (i64, String, String) =
            serde_json::from_str(line).unwrap();
        let key = ("default", "user-1", at_ms, &*item, &*id);
        table.insert(key, [].as_slice()).unwrap();
        if !id.is_empty() {
            ids.insert(("default", "user-1", &*id), ()).unwrap();
        }
    }
    let mut about = write.open_table(ABOUT).unwrap();
    let record = std::fs::read(events.join("user-1.about.json")).unwrap();
    about.insert(("default", "user-1"), &*record).unwrap();
    drop((table, ids, about));
    write.commit().unwrap();
}

#[tokio::test]
async fn events_that_are_stored_one_by_one_are_read_with_all_their_values() {
    let folder = tempfile::tempdir().unwrap();
    write_events(folder.path());
    let storage = storage(folder.path(), &[]).await;
    let catalog = Catalog::default();
    let user = UserId::new("user-1").unwrap();
    let history = storage.histories.of(&catalog, &user).await.unwrap();
    assert_eq!(history.deleted_at_ms(), Some(1_750_000_000_000));
    let [first, second, third] = history.interactions() else {
        panic!("three events");
    };
    assert_eq!(first.event.as_ref().unwrap().as_str(), "click-17");
    assert_eq!(
        (second.item.as_str(), second.at_ms),
        ("film-2", 1_750_000_000_002)
    );
    let repeats = vec![first.clone(), second.clone(), third.clone()];
    let batch = [(user, repeats)];
    let n_new = storage.histories.record_all(&catalog, &batch).await;
    assert_eq!(n_new.unwrap(), 0);
}

#[test]
fn files_of_artifacts_and_workers_are_read() {
    let read = |name: &str| {
        std::fs::read(fixtures().join("artifacts").join(name)).unwrap()
    };
    let bytes = read("model.json");
    let manifest: ModelManifest = serde_json::from_slice(&bytes).unwrap();
    let backbone = manifest.backbone.as_ref().unwrap();
    assert_eq!(backbone.as_str(), "9e8d7c6b5a49382716050f1e2d3c4b5a");
    assert_eq!((manifest.format, manifest.new_user), (2, UserToken::Mean));
    assert_eq!(
        serde_json::to_vec(&manifest).unwrap(),
        bytes,
        "the same bytes"
    );
    let text = String::from_utf8(bytes).unwrap();
    let without =
        text.replace(r#""backbone":"9e8d7c6b5a49382716050f1e2d3c4b5a","#, "");
    let light: ModelManifest = serde_json::from_str(&without).unwrap();
    assert_eq!(light.backbone, None);
    assert_eq!(serde_json::to_string(&light).unwrap(), without);

    let calibration: domain::Calibration =
        serde_json::from_slice(&read("calibration.json")).unwrap();
    assert_eq!(calibration.rates[0].part, Part::Finetuning);
    let newer = r#"{ "id": "a", "title": "A", "rating": 3 }"#;
    assert_eq!(serde_json::from_str::<Item>(newer).unwrap().title, "A");
}

#[tokio::test]
async fn fields_and_kinds_of_a_newer_version_are_ignored() {
    let mut records = records();
    let newer = |space: &str, key: &str, replaced: &[(&str, &str)]| {
        let old = record(space, key);
        let mut replaced = replaced.to_vec();
        if old.value.starts_with(b"{\"id\"") {
            replaced.push(("{\"id\"", "{\"format\":2,\"id\""));
        }
        changed(&old, key, &replaced)
    };
    records.push(newer(
        "jobs",
        "job-failed",
        &[
            ("\"finetuning\":{", "\"finetuning\":{\"added\":[1],"),
            ("\"seed\":0,", "\"seed\":0,\"added\":{\"a\":1},"),
            ("bad_backbone", "a_kind_of_tomorrow"),
        ],
    ));
    records.push(newer(
        "jobs",
        "job-running",
        &[
            ("\"parts\":{", "\"parts\":{\"compiling\":{\"seconds\":1},"),
            ("\"random\":{", "\"random\":{\"added\":1,"),
        ],
    ));
    let added = [("\"seed\":7,", "\"seed\":7,\"added\":1,")];
    records.push(newer("model-versions", VERSION, &added));
    records.push(newer(
        "histories:default",
        "user-2",
        &[("{\"n\"", "{\"x\":1,\"n\"")],
    ));
    let folder = tempfile::tempdir().unwrap();
    let storage = storage(folder.path(), &records).await;

    let listed = storage.jobs.list().await.unwrap();
    assert_eq!((listed.records.len(), listed.unreadable.len()), (6, 0));
    let failed = storage.jobs.get(&job_id("job-failed")).await.unwrap();
    assert_eq!(failed.cause.unwrap().kind, CauseKind::Internal);
    let running = storage.jobs.get(&job_id("job-running")).await.unwrap();
    assert_eq!(running.progress.parts.len(), 2);
    assert_eq!(storage.registry.list().await.unwrap().records.len(), 1);
    let user = UserId::new("user-2").unwrap();
    let history = storage.histories.of(&Catalog::default(), &user).await;
    assert_eq!(history.unwrap().interactions().len(), 1);
}

#[tokio::test]
async fn a_record_that_cannot_be_understood_is_named_and_hides_no_other() {
    let mut records = records();
    let job = record("jobs", "job-running");
    let damaged = Record {
        value: job.value[..40].to_vec(),
        ..job.clone()
    };
    records.push(damaged);
    let state = [("\"state\":\"running\"", "\"state\":\"paused\"")];
    records.push(changed(&job, "job-paused", &state));
    let version = record("model-versions", VERSION);
    let dense = [("\"optimizer\":\"dense\"", "\"optimizer\":\"sparse\"")];
    records.push(changed(&version, "0123", &dense));
    let label = record("model-labels", "canary");
    records.push(changed(&label, "canary", &[(VERSION, "no version!")]));
    let event = record("job-events:job-succeeded", "00000000000000000002");
    records.push(changed(&event, &event.key, &[("\"message\"", "message")]));
    let folder = tempfile::tempdir().unwrap();
    let storage = storage(folder.path(), &records).await;

    let listed = storage.jobs.list().await.unwrap();
    assert_eq!(listed.records.len(), 5);
    assert_eq!(listed.unreadable, ["job-paused", "job-running"]);
    let open = storage.jobs.open().await.unwrap();
    let open: Vec<&str> = open.iter().map(|job| job.id.as_str()).collect();
    assert_eq!(open, ["job-cancelling", "job-queued"]);
    let single = storage.jobs.get(&job_id("job-running")).await.unwrap_err();
    assert!(matches!(single, storage::Error::Corrupt { .. }));

    let versions = storage.registry.list().await.unwrap();
    assert_eq!(versions.records.len(), 1);
    assert_eq!(versions.unreadable, ["0123"]);
    let labels = storage.registry.labels().await.unwrap();
    assert!(labels.versions.contains_key(&Label::live()));
    assert_eq!(labels.unreadable, ["canary"]);
    storage
        .registry
        .remove_label(&Label::canary())
        .await
        .unwrap();
    let labels = storage.registry.labels().await.unwrap();
    assert!(labels.unreadable.is_empty());

    let id = job_id("job-succeeded");
    let events = storage.jobs.events(&id, 1).await.unwrap();
    assert_eq!(events.unreadable, ["00000000000000000002"]);
    assert_eq!(events.records.len(), 5);
}

/// A record that was written since events hold what changed.
fn second_record(space: &str, key: &str) -> Record {
    let folder = space.replace(':', "/");
    let file = format!("tests/records/v2/{folder}/{key}.json");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    Record {
        space: space.to_owned(),
        key: key.to_owned(),
        value: std::fs::read(path).unwrap(),
    }
}

#[tokio::test]
async fn columns_of_epochs_and_events_that_say_what_changed_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let events = "job-events:job-running";
    let records = [
        second_record("jobs", "job-running"),
        second_record(events, "00000000000000000001"),
        second_record(events, "00000000000000000002"),
    ];
    let first = storage(folder.path(), &records).await;
    let job = first.jobs.get(&job_id("job-running")).await.unwrap();
    let other = tempfile::tempdir().unwrap();
    let before = storage(other.path(), &self::records()).await;
    let before = before.jobs.get(&job_id("job-running")).await.unwrap();
    assert_eq!(job.progress, before.progress);
    assert_eq!(job.lease.as_ref().unwrap().n_beats, 6);
    assert_eq!(before.lease.unwrap().n_beats, 0);

    let events = first.jobs.events(&job.id, 1).await.unwrap().records;
    let then = &events[0];
    assert_eq!((then.number, then.at_ms), (1, 1_750_000_001_000));
    let progress = &then.job.progress;
    assert_eq!((progress.epoch, progress.done), (1, 0.541));
    assert_eq!(progress.epochs, job.progress.epochs[..1]);
    assert_eq!(events[1].job, job);
}

#[tokio::test]
async fn jobs_without_indexes_are_found_once_these_are_mended() {
    let folder = tempfile::tempdir().unwrap();
    let storage = storage(folder.path(), &records()).await;
    let jobs = &storage.jobs;
    assert_eq!(jobs.mend_indexes().await.unwrap(), 6);
    assert_eq!(jobs.mend_indexes().await.unwrap(), 0);
    let page = async |filter: JobFilter| {
        let query = JobQuery {
            filter,
            order: Order::Descending,
            after: None,
            size: 50,
        };
        let page = jobs.page(&query).await.unwrap();
        assert_eq!(page.next, None);
        let ids = page.jobs.into_iter().map(|job| job.id.to_string());
        ids.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        page(JobFilter::default()).await,
        "job-succeeded job-running job-queued job-failed job-cancelling \
         job-cancelled"
    );
    let running = JobFilter {
        state: Some(State::Running),
        ..JobFilter::default()
    };
    assert_eq!(page(running).await, "job-running");
    let live = JobFilter {
        label: Some(Label::live()),
        ..JobFilter::default()
    };
    assert_eq!(page(live).await, "job-succeeded job-running");
    let ready = jobs.ready(&storage::Lane::default(), 10).await.unwrap();
    assert_eq!(ready[0].id, job_id("job-queued"));
    assert_eq!(ready.len(), 1);
    let leased = jobs.leased().await.unwrap();
    assert_eq!(leased, [job_id("job-running"), job_id("job-cancelling")]);
}

#[tokio::test]
async fn an_event_holds_what_changed_and_not_the_whole_job() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let storage = storage(folder.path(), &records()).await;
    let id = job_id("job-running");
    for epoch in 2..=3 {
        let change = |job: &mut domain::Job| {
            let beat = Event::Heartbeat {
                epoch: 1,
                progress: domain::Progress {
                    stage: "finetuning".to_owned(),
                    epoch,
                    ..job.progress.clone()
                },
                term: std::time::Duration::from_secs(10),
            };
            job.apply(beat, 1_750_000_040_000).unwrap();
            Ok::<_, storage::Error>(Some(format!("epoch {epoch}")))
        };
        storage.jobs.update(&id, change).await.unwrap();
    }
    let job = storage.jobs.get(&id).await.unwrap();
    let before = job.n_events - 1;
    let events = storage.jobs.events(&id, before).await.unwrap().records;
    assert_eq!(events.len(), 2);
    let then = &events[0];
    assert_eq!((then.number, &*then.message), (before, "epoch 2"));
    assert_eq!(
        (then.job.state, then.job.progress.epoch),
        (State::Running, 2)
    );
    assert_eq!(then.job.lease.as_ref().unwrap().worker, "worker-1");
    assert_eq!(then.job.progress.epochs, job.progress.epochs);
    assert_eq!(events[1].job, job, "the latest has the whole job");

    drop(storage);
    let database = Database::open(path).unwrap();
    let read = redb::ReadableDatabase::begin_read(&database).unwrap();
    let table = read.open_table(ENTRIES).unwrap();
    let key = format!("{before:020}");
    let stored = table.get(("job-events:job-running", &*key)).unwrap();
    let stored = stored.unwrap().value().to_vec();
    let record: serde_json::Value = serde_json::from_slice(&stored).unwrap();
    assert_eq!(record["format"], 2);
    assert!(stored.len() < 300, "{record}");
}

#[tokio::test]
async fn what_is_written_says_its_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let storage = storage(folder.path(), &records()).await;
    let change = |job: &mut domain::Job| {
        let cancelled = job.apply(Event::CancelRequested, 1_750_000_040_000);
        Ok::<_, storage::Error>(Some(format!("{cancelled:?}")))
    };
    let id = job_id("job-queued");
    let job = storage.jobs.update(&id, change).await.unwrap();
    drop(storage);
    let database = Database::open(path).unwrap();
    let read = redb::ReadableDatabase::begin_read(&database).unwrap();
    let table = read.open_table(ENTRIES).unwrap();
    let stored = table.get(("jobs", "job-queued")).unwrap().unwrap();
    let record: serde_json::Value =
        serde_json::from_slice(stored.value()).unwrap();
    assert_eq!(record["format"], 1);
    assert_eq!(serde_json::from_value::<domain::Job>(record).unwrap(), job);
}
