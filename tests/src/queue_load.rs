//! What many jobs cost a coordinator and its Redis: fake workers and watchers
//! over the real ports.

use std::time::Duration;

use proto::pb;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::cluster::Cluster;
use crate::fake_worker::FakeWorker;
use crate::timing::median;

/// How many of everything.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Jobs that are queued.
    pub n_jobs: usize,
    /// Workers that ask at once.
    pub n_workers: usize,
    /// Clients that watch the jobs of these workers.
    pub n_watchers: usize,
    /// How long each state is looked at.
    pub seconds: u64,
}

/// What was measured.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Jobs submitted a second, by 32 clients at once.
    pub submitted_per_second: f64,
    /// One page of 50 jobs: the median.
    pub page: Duration,
    /// The same, newest first and only queued jobs.
    pub filtered_page: Duration,
    /// Jobs queued, nobody asks.
    pub idle: Use,
    /// From the asking to the lease, when all workers ask at once: the median.
    pub lease: Duration,
    /// The same: the longest.
    pub slowest_lease: Duration,
    /// All workers train and twice a second say how far they are; watchers
    /// watch.
    pub busy: Use,
    /// As many workers more wait beside them, with an empty queue.
    pub waiting: Use,
    /// Bytes of the store for a job that has ended, with twenty epochs.
    pub bytes_of_a_job: u64,
    /// The same, with 360 epochs.
    pub bytes_of_a_long_job: u64,
}

/// What a coordinator uses for a while.
#[derive(Debug, Clone, Copy)]
pub struct Use {
    /// Share of a core.
    pub cores: f64,
    /// Commands of its Redis.
    pub commands_per_second: f64,
}

/// Clients that submit at once.
const N_CLIENTS: usize = 32;
/// Pages that are read.
const N_PAGES: usize = 41;
/// Between two heartbeats of a worker.
const BEAT: Duration = Duration::from_millis(500);

/// Queues jobs on a cluster without workers, and measures what that costs.
pub async fn measure_queue(
    cluster: &mut Cluster,
    dataset: &str,
    sizes: Sizes,
) -> Figures {
    // It asks the same Redis for labels.
    cluster.scorer.kill();
    let short = Ended {
        n_jobs: 100,
        n_epochs: 20,
    };
    let bytes_of_a_job = short.bytes_of_one(cluster, dataset).await;
    let long = Ended {
        n_jobs: 20,
        n_epochs: 360,
    };
    let bytes_of_a_long_job = long.bytes_of_one(cluster, dataset).await;
    let submitted_per_second = submit(cluster, dataset, sizes.n_jobs).await;
    let page = page(cluster, pb::ListJobsRequest::default()).await;
    let filter = pb::ListJobsRequest {
        state: pb::job::State::Queued.into(),
        newest_first: true,
        ..Default::default()
    };
    let filtered_page = self::page(cluster, filter).await;
    let watch = Duration::from_secs(sizes.seconds);
    let idle = used(cluster, tokio::time::sleep(watch)).await;
    let workers = workers(cluster, "worker", sizes.n_workers).await;
    let (mut taken, lease, slowest_lease) = ask_at_once(workers).await;
    let running = Running::start(cluster, &taken, sizes.n_watchers).await;
    let busy = used(cluster, tokio::time::sleep(watch)).await;
    let unwatched = Running::start(cluster, &taken, 0).await;
    drop(running);
    cancel_queued(cluster).await;
    let waiting = wait_for_nothing(cluster, sizes).await;
    drop(unwatched);
    for (worker, leased) in &mut taken {
        worker.fail(leased).await.unwrap();
    }

    Figures {
        submitted_per_second,
        page,
        filtered_page,
        idle,
        lease,
        slowest_lease,
        busy,
        waiting,
        bytes_of_a_job,
        bytes_of_a_long_job,
    }
}

fn request(dataset: &str) -> pb::TrainJobRequest {
    pb::TrainJobRequest {
        spec: Some(pb::TrainSpec {
            dataset: dataset.to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Submits jobs; returns how many a second.
async fn submit(cluster: &Cluster, dataset: &str, n_jobs: usize) -> f64 {
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..N_CLIENTS {
        let mut client = cluster.training();
        let request = request(dataset);
        let n = (n_jobs + number) / N_CLIENTS;
        clients.spawn(async move {
            for _ in 0..n {
                client.train_job(request.clone()).await.unwrap();
            }
        });
    }

    clients.join_all().await;
    n_jobs as f64 / started.elapsed().as_secs_f64()
}

/// Reads pages one after the other; the median of their times.
async fn page(cluster: &Cluster, request: pb::ListJobsRequest) -> Duration {
    let mut client = cluster.training();
    let mut request = request;
    let mut times = Vec::new();
    for _ in 0..N_PAGES {
        let started = Instant::now();
        let page = client.list_jobs(request.clone()).await.unwrap();
        times.push(started.elapsed());
        request.page_token = page.into_inner().next_page_token;
    }

    median(&times)
}

/// Workers whose connections are open.
async fn workers(cluster: &Cluster, name: &str, n: usize) -> Vec<FakeWorker> {
    let mut workers = Vec::new();
    for number in 0..n {
        let name = format!("{name}-{number}");
        let mut worker = FakeWorker::new(name, cluster.worker_service());
        let nothing = pb::LeasedJob::default();
        worker
            .beat(&nothing, pb::Progress::default())
            .await
            .expect_err("a heartbeat for no job opens the connection");
        workers.push(worker);
    }

    workers
}

/// All ask at once: who has what, the median and the longest time.
async fn ask_at_once(
    workers: Vec<FakeWorker>,
) -> (Vec<(FakeWorker, pb::LeasedJob)>, Duration, Duration) {
    let mut asking = JoinSet::new();
    for mut worker in workers {
        asking.spawn(async move {
            let started = Instant::now();
            let leased = worker.lease(5_000).await.unwrap();
            (worker, leased.expect("a job for all"), started.elapsed())
        });
    }

    let mut taken = Vec::new();
    let mut times = Vec::new();
    for (worker, leased, time) in asking.join_all().await {
        taken.push((worker, leased));
        times.push(time);
    }

    times.sort_unstable();
    let slowest = times.last().copied().unwrap_or_default();
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    (taken, middle, slowest)
}

/// Workers that send heartbeats, and clients that watch their jobs, until this
/// is dropped.
struct Running {
    _tasks: JoinSet<()>,
}

impl Running {
    async fn start(
        cluster: &Cluster,
        taken: &[(FakeWorker, pb::LeasedJob)],
        n_watchers: usize,
    ) -> Self {
        let mut tasks = JoinSet::new();
        for (worker, leased) in taken {
            tasks.spawn(send_heartbeats(worker.clone(), leased.clone()));
        }

        let mut watching = taken.iter().cycle();
        // As many clients as a few dashboards have.
        let clients = [(); 8].map(|()| cluster.training());
        for number in 0..n_watchers {
            let (_, leased) = watching.next().unwrap();
            let mut client = clients[number % clients.len()].clone();
            let request = pb::WatchJobRequest {
                name: leased.job.clone(),
                from_number: 0,
            };
            let watched = client.watch_job(request).await.unwrap();
            let mut events = watched.into_inner();
            tasks.spawn(async move {
                while let Ok(Some(_)) = events.message().await {}
            });
        }

        Self { _tasks: tasks }
    }
}

async fn send_heartbeats(mut worker: FakeWorker, leased: pb::LeasedJob) {
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for step in 1.. {
        beats.tick().await;
        let progress = progress(step / 20, step);
        worker.beat(&leased, progress).await.unwrap();
    }
}

/// How far a job is: twenty steps an epoch, and an epoch's report each.
fn progress(n_reports: u32, step: u32) -> pb::Progress {
    let mut epochs = Vec::new();
    for epoch in 1..=n_reports {
        epochs.push(pb::EpochReport {
            stage: "finetuning".to_owned(),
            epoch,
            loss: 7.0 / f64::from(epoch),
            valid_ndcg_100: (epoch % 5 == 0).then_some(0.1 / f64::from(epoch)),
        });
    }

    pb::Progress {
        stage: "finetuning".to_owned(),
        epoch: n_reports + 1,
        n_epochs: 100,
        step,
        n_steps: 2_000,
        loss: 7.0 / f64::from(step),
        done: f64::from(step) / 2_000.0,
        device: "flex".to_owned(),
        epochs,
        ..Default::default()
    }
}

/// Cancels what is queued, so that workers wait.
async fn cancel_queued(cluster: &Cluster) {
    let mut client = cluster.training();
    let request = pb::ListJobsRequest {
        page_size: 1_000,
        state: pb::job::State::Queued.into(),
        ..Default::default()
    };
    loop {
        let page = client.list_jobs(request.clone()).await.unwrap();
        let jobs = page.into_inner().jobs;
        if jobs.is_empty() {
            return;
        }

        let mut cancelling = JoinSet::new();
        for job in jobs {
            let mut client = client.clone();
            let request = pb::CancelJobRequest { name: job.name };
            cancelling.spawn(async move {
                client.cancel_job(request).await.unwrap();
            });
        }

        cancelling.join_all().await;
    }
}

/// As many workers more ask for work where there is none.
async fn wait_for_nothing(cluster: &Cluster, sizes: Sizes) -> Use {
    let watch = Duration::from_secs(sizes.seconds);
    let mut waiting = JoinSet::new();
    for mut worker in workers(cluster, "idle", sizes.n_workers).await {
        waiting.spawn(async move {
            let leased = worker.lease(60_000).await.unwrap();
            assert!(leased.is_none(), "the queue is empty");
        });
    }

    used(cluster, tokio::time::sleep(watch)).await
}

/// What the coordinator uses while something lasts.
async fn used(cluster: &Cluster, lasts: impl Future<Output = ()>) -> Use {
    let pid = cluster.coordinator.id();
    let started = Instant::now();
    let (ticks, commands) = (cpu_ticks(pid), n_commands(cluster));
    lasts.await;
    let (ticks, commands) =
        (cpu_ticks(pid) - ticks, n_commands(cluster) - commands);
    let seconds = started.elapsed().as_secs_f64();
    Use {
        // Linux counts a hundred ticks a second.
        cores: ticks as f64 / 100.0 / seconds,
        // One is the question itself.
        commands_per_second: commands.saturating_sub(1) as f64 / seconds,
    }
}

/// The time that a process has computed, in hundredths of a second.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Behind the name, which may hold anything, come the state and numbers.
    let (_, numbers) = stat.rsplit_once(')').unwrap();
    let numbers: Vec<&str> = numbers.split_whitespace().collect();
    let of = |place: usize| numbers[place].parse::<u64>().unwrap();
    of(11) + of(12)
}

fn n_commands(cluster: &Cluster) -> u64 {
    info(cluster, "stats", "total_commands_processed:")
}

fn info(cluster: &Cluster, section: &str, field: &str) -> u64 {
    let info = cluster.store.command(&["INFO", section]);
    let mut lines = info.lines();
    let value = lines.find_map(|line| line.strip_prefix(field));
    value.unwrap().trim().parse().unwrap()
}

/// Jobs that are run to their end, to see what is kept of one.
struct Ended {
    n_jobs: usize,
    n_epochs: u32,
}

impl Ended {
    /// Runs them; returns what the store has of one then.
    async fn bytes_of_one(&self, cluster: &Cluster, dataset: &str) -> u64 {
        let before = info(cluster, "memory", "used_memory_dataset:");
        submit(cluster, dataset, self.n_jobs).await;
        let mut worker = FakeWorker::new("first", cluster.worker_service());
        while let Some(leased) = worker.lease(0).await.unwrap() {
            for epoch in 0..self.n_epochs {
                let progress = progress(epoch, 20 * epoch + 1);
                worker.beat(&leased, progress).await.unwrap();
            }

            worker.fail(&leased).await.unwrap();
        }

        let after = info(cluster, "memory", "used_memory_dataset:");
        after.saturating_sub(before) / self.n_jobs as u64
    }
}
