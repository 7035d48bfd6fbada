//! Which job comes when, and to whom, on the embedded store.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{
    Cause, CauseKind, Counts, DatasetId, EndOfAttempt, Equipment, Job, JobId,
    Needs, QueueName, Schedule, State, TrainSpec, WorkerLabel,
};
use storage::Kind;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{open_storage, put};
use crate::error::Error;
use crate::machines::Machine;
use crate::queues::{QueueLimits, Queues};
use crate::submission::Submission;
use crate::train_job::TrainJobs;

const TERM: Duration = Duration::from_secs(60);
/// Long enough for a lease where there is a job.
const SOON: Duration = Duration::from_secs(3);
const MINUTE_MS: i64 = 60_000;

/// A coordinator that gives out jobs and sweeps.
struct Scene {
    _folder: tempfile::TempDir,
    jobs: TrainJobs,
    spec: TrainSpec,
    tasks: JoinSet<()>,
}

impl Scene {
    async fn start() -> Self {
        Self::with_queues(&[]).await
    }

    async fn with_queues(queues: &[(&str, QueueLimits)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = open_storage(folder.path()).await;
        let artifacts = &storage.artifacts;
        let dataset = Counts::default();
        let dataset = serde_json::to_string(&dataset).unwrap();
        let dataset =
            put(artifacts, Kind::Dataset, "dataset.json", &dataset).await;
        let dataset = DatasetId::new(dataset.as_str()).unwrap();
        let mut limits = BTreeMap::new();
        for (name, given) in queues {
            limits.insert((*name).to_owned(), *given);
        }
        let jobs = TrainJobs::new(storage, TERM)
            .with_queues(Queues::new(&limits).unwrap());
        let mut scene = Self {
            _folder: folder,
            jobs,
            spec: TrainSpec::new(dataset),
            tasks: JoinSet::new(),
        };
        scene.run(scene.jobs.clone());
        scene
    }

    /// Lets a coordinator give out jobs and look around.
    fn run(&mut self, jobs: TrainJobs) {
        let never = CancellationToken::new();
        let (giving, until) = (jobs.clone(), never.clone());
        self.tasks
            .spawn(async move { giving.hand_out_until(until).await });
        let (mending, until) = (jobs.clone(), never.clone());
        self.tasks
            .spawn(async move { mending.mend_until(until).await });
        self.tasks
            .spawn(async move { jobs.sweep_until(never).await });
    }

    async fn try_to_submit(&self, schedule: Schedule) -> Result<Job, Error> {
        let spec = self.spec.clone();
        self.jobs.submit(Submission { spec, schedule }, None).await
    }

    async fn submit(&self, schedule: Schedule) -> JobId {
        self.try_to_submit(schedule).await.unwrap().id
    }

    async fn lease(&self) -> Option<JobId> {
        self.lease_for("w").await
    }

    async fn lease_for(&self, worker: &str) -> Option<JobId> {
        let leased = self.jobs.lease(worker, SOON).await.unwrap();
        leased.map(|leased| leased.job.id)
    }

    async fn fail(&self, id: &JobId) {
        let cause = Cause {
            kind: CauseKind::BadData,
            message: "no rows".to_owned(),
        };
        self.end(id, EndOfAttempt::Failed(cause)).await;
    }

    async fn end(&self, id: &JobId, end: EndOfAttempt) {
        let epoch = self.job(id).await.epoch();
        self.jobs.end_attempt(id, epoch, end).await.unwrap();
    }

    /// Ends a leased job with a model.
    async fn succeed(&self, id: &JobId) {
        let event = domain::Event::Committed {
            epoch: self.job(id).await.epoch(),
            version: domain::ModelVersion::new("v").unwrap(),
            metrics: BTreeMap::new(),
        };
        self.jobs.apply(id, &event).await.unwrap();
    }

    async fn job(&self, id: &JobId) -> Job {
        self.jobs.get(id).await.unwrap()
    }

    /// The messages of a job's events.
    async fn messages(&self, id: &JobId) -> Vec<String> {
        let events = self.jobs.storage.jobs.events(id, 1).await.unwrap();
        let messages = events.records.into_iter().map(|event| event.message);
        messages.collect()
    }
}

fn with_priority(priority: i32) -> Schedule {
    Schedule {
        priority,
        ..Schedule::default()
    }
}

fn following(jobs: &[&JobId]) -> Schedule {
    Schedule {
        after: jobs.iter().map(|id| (*id).clone()).collect(),
        ..Schedule::default()
    }
}

fn in_queue(name: &str) -> Schedule {
    Schedule {
        queue: QueueName::new(name).unwrap(),
        ..Schedule::default()
    }
}

#[tokio::test(start_paused = true)]
async fn the_larger_priority_comes_first_and_then_the_older_job() {
    let scene = Scene::start().await;
    let mut submitted = Vec::new();
    for priority in [0, -100, 7, 100, 7, 0] {
        submitted.push(scene.submit(with_priority(priority)).await);
    }
    for place in [3, 2, 4, 0, 5, 1] {
        assert_eq!(scene.lease().await.as_ref(), Some(&submitted[place]));
    }

    // It keeps its rank for the next attempt.
    scene.end(&submitted[1], EndOfAttempt::Released).await;
    scene.end(&submitted[3], EndOfAttempt::Released).await;
    assert_eq!(scene.lease().await.as_ref(), Some(&submitted[3]));
    assert_eq!(scene.lease().await.as_ref(), Some(&submitted[1]));
}

#[tokio::test(start_paused = true)]
async fn a_job_begins_at_its_moment_and_holds_up_nobody_before() {
    let scene = Scene::start().await;
    let now_ms = scene.jobs.clock.now_ms();
    let later = Schedule {
        start_after_ms: Some(now_ms + 10 * MINUTE_MS),
        ..with_priority(100)
    };
    let later = scene.submit(later).await;
    let now = scene.submit(Schedule::default()).await;
    assert_eq!(scene.lease().await, Some(now));
    assert_eq!(scene.lease().await, None);
    scene.jobs.clock.jump(9 * MINUTE_MS);
    assert_eq!(scene.lease().await, None);
    scene.jobs.clock.jump(MINUTE_MS);
    assert_eq!(scene.lease().await.as_ref(), Some(&later));
    let messages = scene.messages(&later).await;
    assert_eq!(messages[1], "its start time has come");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_has_not_ended_by_its_deadline_fails() {
    let scene = Scene::start().await;
    let now_ms = scene.jobs.clock.now_ms();
    let until = |minutes: i64| Schedule {
        deadline_ms: Some(now_ms + minutes * MINUTE_MS),
        ..Schedule::default()
    };
    let refused = scene.try_to_submit(until(-1)).await.unwrap_err();
    let refused = refused.to_string();
    assert!(
        refused.contains("schedule.deadline: has passed"),
        "{refused}"
    );

    let running = scene.submit(until(5)).await;
    assert_eq!(scene.lease().await.as_ref(), Some(&running));
    let queued = scene.submit(until(6)).await;
    let follower = scene.submit(following(&[&queued])).await;
    let fine = scene.submit(until(60)).await;
    scene.jobs.clock.jump(7 * MINUTE_MS);
    tokio::time::sleep(SOON).await;
    assert_eq!(scene.job(&running).await.state, State::Cancelling);
    scene.end(&running, EndOfAttempt::Cancelled).await;
    for id in [&running, &queued] {
        let job = scene.job(id).await;
        assert_eq!(job.state, State::Failed);
        assert_eq!(job.cause.unwrap().kind, CauseKind::DeadlinePassed);
    }
    let follower = scene.job(&follower).await;
    assert_eq!(follower.cause.unwrap().kind, CauseKind::DependencyFailed);
    assert_eq!(scene.lease().await, Some(fine), "it has time");

    // Tried again, it has no deadline any more.
    scene.jobs.retry(&queued).await.unwrap();
    assert_eq!(scene.lease().await, Some(queued));
}

#[tokio::test(start_paused = true)]
async fn a_job_follows_others_and_fails_with_them() {
    let scene = Scene::start().await;
    let [one, other] = [
        scene.submit(Schedule::default()).await,
        scene.submit(Schedule::default()).await,
    ];
    let follower = scene.submit(following(&[&one, &other])).await;
    let last = scene.submit(following(&[&follower])).await;
    for expected in [&one, &other] {
        assert_eq!(scene.lease().await.as_ref(), Some(expected));
    }
    scene.succeed(&one).await;
    assert_eq!(scene.lease().await, None, "the other one goes on");
    scene.succeed(&other).await;
    assert_eq!(scene.lease().await.as_ref(), Some(&follower));

    scene.fail(&follower).await;
    let job = scene.job(&last).await;
    assert_eq!(job.state, State::Failed);
    let why = job.cause.unwrap().message;
    assert!(why.contains(&format!("jobs/{follower}")), "{why}");

    // What has failed cannot be followed, until it is tried again.
    let refused = scene.jobs.retry(&last).await.unwrap_err().to_string();
    assert!(refused.contains("has failed"), "{refused}");
    let refused = scene.try_to_submit(following(&[&follower])).await;
    assert!(matches!(refused, Err(Error::CannotFollow { .. })));
    let nobody = JobId::new("nobody").unwrap();
    let refused = scene.try_to_submit(following(&[&nobody])).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("schedule.after[0]"), "{refused}");
    scene.jobs.retry(&follower).await.unwrap();
    scene.jobs.retry(&last).await.unwrap();
    assert_eq!(scene.lease().await.as_ref(), Some(&follower));
    assert_eq!(scene.lease().await, None);
    scene.succeed(&follower).await;
    assert_eq!(scene.lease().await, Some(last));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_chain_ends_as_a_whole() {
    let scene = Scene::start().await;
    let first = scene.submit(Schedule::default()).await;
    let mut chain = vec![first.clone()];
    for _ in 0..30 {
        let before = chain.last().unwrap();
        chain.push(scene.submit(following(&[before])).await);
    }
    scene.jobs.cancel(&first).await.unwrap();
    for id in &chain[1..] {
        let job = scene.job(id).await;
        assert_eq!(job.state, State::Failed);
        assert_eq!(job.cause.unwrap().kind, CauseKind::DependencyFailed);
    }
    let followers = scene.jobs.storage.jobs.awaited().await.unwrap();
    assert!(followers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn followers_hear_of_an_end_that_nobody_told_them() {
    let scene = Scene::start().await;
    let first = scene.submit(Schedule::default()).await;
    let follower = scene.submit(following(&[&first])).await;
    assert_eq!(scene.lease().await.as_ref(), Some(&first));
    // The coordinator that ended it was killed right after.
    let event = domain::Event::Committed {
        epoch: 1,
        version: domain::ModelVersion::new("v").unwrap(),
        metrics: BTreeMap::new(),
    };
    let change = |job: &mut Job| {
        job.apply(event.clone(), 1).unwrap();
        Ok::<_, storage::Error>(Some("published".to_owned()))
    };
    let jobs = &scene.jobs.storage.jobs;
    jobs.update(&first, change).await.unwrap();
    let waited = Instant::now();
    let leased = scene.jobs.lease("w", Duration::from_secs(90)).await;
    assert_eq!(leased.unwrap().unwrap().job.id, follower);
    assert!(waited.elapsed() < Duration::from_secs(65));
}

#[tokio::test(start_paused = true)]
async fn a_queue_keeps_to_its_limits() {
    let limits = QueueLimits {
        weight: 1.0,
        max_running: 2,
        max_queued: 5,
    };
    let scene = Scene::with_queues(&[("small", limits)]).await;
    let refused = scene.try_to_submit(in_queue("smal")).await.unwrap_err();
    let refused = refused.to_string();
    assert!(refused.contains("only default, small"), "{refused}");
    for _ in 0..5 {
        scene.submit(in_queue("small")).await;
    }
    let refused = scene.try_to_submit(in_queue("small")).await;
    assert!(matches!(refused, Err(Error::QueueFull { most: 5, .. })));
    let other = scene.submit(Schedule::default()).await;

    let mut leased = Vec::new();
    for _ in 0..3 {
        leased.push(scene.lease().await.unwrap());
    }
    assert!(leased.contains(&other));
    assert_eq!(scene.lease().await, None, "two of them run");
    scene.submit(in_queue("small")).await;
    let small = leased.iter().find(|id| **id != other).unwrap();
    scene.succeed(small).await;
    assert!(scene.lease().await.is_some());
    assert_eq!(scene.lease().await, None);
}

#[tokio::test(start_paused = true)]
async fn two_coordinators_together_keep_to_a_queues_limits() {
    let limits = QueueLimits {
        weight: 1.0,
        max_running: 3,
        max_queued: 20,
    };
    let mut scene = Scene::with_queues(&[("small", limits)]).await;
    let other = TrainJobs::new(scene.jobs.storage.clone(), TERM)
        .with_queues(scene.jobs.queues.clone());
    scene.run(other.clone());
    let mut submitting = JoinSet::new();
    for number in 0..30 {
        let (mut jobs, spec) = (scene.jobs.clone(), scene.spec.clone());
        if number % 2 == 0 {
            jobs = other.clone();
        }
        let schedule = in_queue("small");
        let submission = Submission { spec, schedule };
        submitting.spawn(async move { jobs.submit(submission, None).await });
    }
    let submitted = submitting.join_all().await;
    let accepted = submitted.iter().filter(|job| job.is_ok()).count();
    assert_eq!(accepted, 20);

    let mut asking = JoinSet::new();
    for number in 0..10 {
        let mut jobs = scene.jobs.clone();
        if number % 2 == 0 {
            jobs = other.clone();
        }
        let worker = format!("w{number}");
        asking.spawn(async move { jobs.lease(&worker, SOON).await.unwrap() });
    }
    let leased = asking.join_all().await;
    assert_eq!(leased.iter().flatten().count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_job_goes_to_a_worker_that_has_what_it_needs() {
    let scene = Scene::start().await;
    let gpu = WorkerLabel::new("gpu").unwrap();
    let needs = Needs {
        labels: [gpu.clone()].into(),
        memory_gib: 24,
    };
    let needing = |needs: Needs| Schedule {
        needs,
        ..Schedule::default()
    };
    let large = scene.submit(needing(needs.clone())).await;
    let plain = scene.submit(Schedule::default()).await;
    let equip = |worker: &str, memory_gib| {
        let equipment = Equipment {
            labels: [gpu.clone()].into(),
            memory_gib,
        };
        let machine = Machine {
            equipment,
            ..Machine::default()
        };
        scene.jobs.machines.note(worker, machine, Instant::now());
    };
    equip("small", 16);
    equip("large", 80);
    assert_eq!(scene.lease_for("small").await, Some(plain));
    assert_eq!(scene.lease_for("nobody").await, None);
    let notes = async |needs: Needs| {
        let submission = Submission {
            spec: scene.spec.clone(),
            schedule: needing(needs),
        };
        scene.jobs.notes(&submission).await.unwrap().join("; ")
    };
    let told = notes(needs).await;
    assert!(told.contains("1 of 2 workers can take it: large"), "{told}");
    let told = notes(Needs {
        memory_gib: 100,
        ..Needs::default()
    })
    .await;
    assert!(told.contains("nobody has 100 GiB"), "{told}");

    // It waits at the front of nobody's way, and goes back to where it was.
    assert_eq!(scene.lease_for("large").await.as_ref(), Some(&large));
    scene.end(&large, EndOfAttempt::Released).await;
    assert_eq!(scene.lease_for("small").await, None);
    assert_eq!(scene.lease_for("large").await, Some(large));
    let jobs = &scene.jobs.storage.jobs;
    assert_eq!(jobs.lanes().await.unwrap().len(), 2);
    jobs.drop_empty_lanes().await.unwrap();
    assert_eq!(jobs.lanes().await.unwrap().len(), 1);
    assert_eq!(jobs.mend_indexes().await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn indexes_of_scheduled_jobs_are_right_as_they_are() {
    let queue = ("small", QueueLimits::default());
    let scene = Scene::with_queues(&[queue]).await;
    let now_ms = scene.jobs.clock.now_ms();
    let first = scene.submit(in_queue("small")).await;
    scene.submit(following(&[&first])).await;
    let later = Schedule {
        start_after_ms: Some(now_ms + MINUTE_MS),
        deadline_ms: Some(now_ms + 2 * MINUTE_MS),
        ..in_queue("small")
    };
    let later = scene.submit(later).await;
    let jobs = &scene.jobs.storage.jobs;
    assert_eq!(jobs.mend_indexes().await.unwrap(), 0);

    // Mending puts each where it was.
    for job in jobs.list().await.unwrap().records {
        jobs.mend(&job.id).await.unwrap();
    }
    assert_eq!(jobs.starting().await.unwrap()[0].id, later);
    assert_eq!(jobs.with_deadline().await.unwrap().len(), 1);
    let awaited = jobs.awaited().await.unwrap();
    assert_eq!(awaited, std::slice::from_ref(&first));
    let queue = QueueName::new("small").unwrap();
    assert_eq!(jobs.n_queued(&queue, 9).await.unwrap(), 2);
    assert_eq!(scene.lease().await.as_ref(), Some(&first));
    assert_eq!(jobs.n_held(&queue, 9).await.unwrap(), 1);
    assert_eq!(jobs.n_queued(&queue, 9).await.unwrap(), 1);
}
