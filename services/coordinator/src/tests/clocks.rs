//! Two coordinators on one store whose wall clocks are wrong. Time is tokio's,
//! which jumps to the next thing that somebody waits for.

use std::time::Duration;

use domain::{
    Cause, CauseKind, DatasetId, EndOfAttempt, Job, JobId, Progress, State,
    TrainSpec,
};
use storage::Kind;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{open_storage, put};
use crate::train_job::{Leased, TrainJobs};

const TERM: Duration = Duration::from_secs(10);
const TEN_MINUTES_MS: i64 = 600_000;
/// Long enough for a lease where there is a job.
const SOON: Duration = Duration::from_secs(5);

/// Two coordinators' jobs on one store.
struct Pair {
    _folder: tempfile::TempDir,
    one: TrainJobs,
    other: TrainJobs,
    spec: TrainSpec,
    tasks: JoinSet<()>,
}

impl Pair {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = open_storage(folder.path()).await;
        let artifacts = &storage.artifacts;
        let dataset = put(artifacts, Kind::Dataset, "dataset.json", "{}").await;
        let dataset = DatasetId::new(dataset.as_str()).unwrap();
        let mut tasks = JoinSet::new();
        let one =
            coordinator(TrainJobs::new(storage.clone(), TERM), &mut tasks);
        let other = coordinator(TrainJobs::new(storage, TERM), &mut tasks);
        Self {
            _folder: folder,
            one,
            other,
            spec: TrainSpec::new(dataset),
            tasks,
        }
    }

    async fn submit(&self) -> JobId {
        let job = self.one.submit(self.spec.clone(), None).await;
        job.unwrap().id
    }

    async fn job(&self, id: &JobId) -> Job {
        self.one.get(id).await.unwrap()
    }
}

/// Lets a coordinator give out jobs and end leases.
fn coordinator(jobs: TrainJobs, tasks: &mut JoinSet<()>) -> TrainJobs {
    let never = CancellationToken::new();
    let (giving, until) = (jobs.clone(), never.clone());
    tasks.spawn(async move { giving.hand_out_until(until).await });
    let sweeping = jobs.clone();
    tasks.spawn(async move { sweeping.sweep_until(never).await });
    jobs
}

async fn lease(jobs: &TrainJobs) -> Leased {
    let leased = jobs.lease("w", SOON).await.unwrap();
    leased.expect("there is a job")
}

async fn beat(jobs: &TrainJobs, leased: &Leased) {
    let (id, epoch) = (&leased.job.id, leased.job.epoch());
    let progress = Progress::default();
    jobs.heartbeat(id, epoch, progress).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn clocks_that_are_ten_minutes_wrong_or_jump_end_no_lease() {
    for ahead_ms in [TEN_MINUTES_MS, -TEN_MINUTES_MS] {
        let pair = Pair::start().await;
        let id = pair.submit().await;
        let leased = lease(&pair.one).await;
        pair.other.clock.jump(ahead_ms);
        for second in 0..60 {
            beat(&pair.one, &leased).await;
            if second % 20 == 10 {
                pair.one.clock.jump(TEN_MINUTES_MS);
            } else if second % 20 == 15 {
                pair.one.clock.jump(-TEN_MINUTES_MS);
            }
            sleep(Duration::from_secs(1)).await;
        }
        let job = pair.job(&id).await;
        assert_eq!((job.state, job.attempts), (State::Running, 1));
        assert_eq!((job.failures, job.cause), (0, None));
        drop(pair.tasks);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_worker_is_noticed_and_its_job_leased_whatever_the_clocks_say() {
    for ahead_ms in [TEN_MINUTES_MS, 0, -TEN_MINUTES_MS] {
        let pair = Pair::start().await;
        pair.other.clock.jump(ahead_ms);
        let id = pair.submit().await;
        let leased = lease(&pair.one).await;
        beat(&pair.one, &leased).await;
        let lost = Instant::now();
        let again = pair.other.lease("x", Duration::from_secs(60)).await;
        let again = again.unwrap().expect("the job goes on");
        assert_eq!((&again.job.id, again.job.epoch()), (&id, 2));
        let took = lost.elapsed();
        assert!(took > TERM, "a whole term: {took:?}");
        assert!(took < TERM + SOON, "{took:?}");
        drop(pair.tasks);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_lasts_as_long_as_it_was_meant_to_whoever_wrote_it() {
    for ahead_ms in [TEN_MINUTES_MS, 0, -TEN_MINUTES_MS] {
        let pair = Pair::start().await;
        pair.one.clock.jump(ahead_ms);
        let id = pair.submit().await;
        let leased = lease(&pair.one).await;
        let failed = EndOfAttempt::Failed(Cause {
            kind: CauseKind::Internal,
            message: "a disk was full".to_owned(),
        });
        pair.one.end_attempt(&id, 1, failed).await.unwrap();
        let pause = pair.job(&id).await.pause();
        assert!(!pause.is_zero());
        let began = Instant::now();
        let again = pair.other.lease("x", Duration::from_secs(60)).await;
        assert_eq!(again.unwrap().unwrap().job.id, leased.job.id);
        let took = began.elapsed();
        assert!(took >= pause, "{took:?}");
        assert!(took < pause + SOON, "{took:?}");
        drop(pair.tasks);
    }
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_could_not_look_takes_no_lease_away() {
    let pair = Pair::start().await;
    let id = pair.submit().await;
    let leased = lease(&pair.one).await;
    // Nobody runs for an hour, as when a machine sleeps: one long look.
    tokio::time::advance(Duration::from_secs(3_600)).await;
    beat(&pair.one, &leased).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(pair.job(&id).await.state, State::Running);
}
