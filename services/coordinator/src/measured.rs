//! What a coordinator measures beside its calls: how many jobs wait and run, and
//! how many workers wait for one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use service::{Kind, Measure, Measurement, Reading};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::train_job::TrainJobs;

/// How often jobs are counted.
const COUNT: Duration = Duration::from_secs(5);
/// Jobs of a queue that are counted: more are as many.
const MOST: usize = 100_000;

/// The jobs as they were counted last; clones share the counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Measured {
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Clone, Default)]
struct Counts {
    /// Queued jobs by the name of their queue.
    queued: Vec<Reading>,
    n_running: usize,
    n_waiting_workers: usize,
}

impl Measured {
    /// Counts now and then until `shutdown`.
    pub(crate) async fn count_until(
        &self,
        jobs: &TrainJobs,
        shutdown: CancellationToken,
    ) {
        loop {
            match counted(jobs).await {
                Ok(counts) => *self.lock() = counts,
                Err(error) => {
                    let error = service::chain(&error);
                    tracing::debug!(error, "jobs cannot be counted");
                }
            }
            let pause = tokio::time::sleep(COUNT);
            if shutdown.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn counted(train_jobs: &TrainJobs) -> Result<Counts, Error> {
    let jobs = &train_jobs.storage.jobs;
    let mut names: Vec<_> = jobs.lanes().await?;
    names.sort_by(|a, b| a.queue.cmp(&b.queue));
    names.dedup_by(|a, b| a.queue == b.queue);
    let mut queued = Vec::new();
    for lane in names {
        let n = jobs.n_queued(&lane.queue, MOST).await?;
        queued.push(Reading {
            labels: vec![("queue", lane.queue.to_string())],
            value: n as f64,
        });
    }
    Ok(Counts {
        queued,
        n_running: jobs.leased().await?.len(),
        n_waiting_workers: train_jobs.queue.n_askers(),
    })
}

impl Measure for Measured {
    fn measurements(&self) -> Vec<Measurement> {
        let counts = self.lock().clone();
        vec![
            Measurement {
                name: "cllm4rec_jobs_queued",
                help: "Jobs that wait, by queue, as counted within the last seconds",
                kind: Kind::Gauge,
                readings: counts.queued,
            },
            Measurement::gauge(
                "cllm4rec_jobs_running",
                "Jobs that a worker has",
                counts.n_running as f64,
            ),
            Measurement::gauge(
                "cllm4rec_workers_waiting",
                "Workers that wait for a job at this coordinator",
                counts.n_waiting_workers as f64,
            ),
        ]
    }
}
