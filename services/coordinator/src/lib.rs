//! The coordinator: owns jobs, leases and the model registry. Links no tensor
//! library.

/// The wall clock, for what is written down.
mod clock;
/// What is refused, and with which code.
mod error;
/// The settings and their defaults.
mod settings;

/// The methods of the three services: decode, call, encode.
mod rpc;

// Jobs, from the specification to the version.
/// What is read of a data set's manifest.
mod about_dataset;
/// The sizes of a job's backbone, where they can be known.
mod body;
/// What a job will cost, said before it is queued.
mod costs;
/// Lets workers leave first.
mod farewell;
/// Jobs that begin when others have succeeded.
mod followers;
/// How long each lease has gone without a heartbeat.
mod leases;
/// Removes what attempts left behind.
mod leftovers;
/// How fast the workers are, and which backbones they see.
mod machines;
/// Start times and deadlines.
mod moments;
/// Tells those who follow a job how it is now.
mod news;
/// Which workers can take a job.
mod placement;
/// What a worker's model must be before it is published.
mod publication;
/// Gives queued jobs to workers that ask for work.
mod queue;
/// The queues that jobs name, and what each may have.
mod queues;
/// One step of a job, and what it says to people.
mod step;
/// Whether a job can be accepted, and putting it into the queue.
mod submission;
/// Ends the leases of lost workers, and puts indexes right.
mod sweep;
/// A job's way from `Queued` to its end.
mod train_job;
/// Makes data sets of small files that clients send.
mod upload;
/// Follows a job's events.
mod watch;

/// Removes what nothing needs any more.
mod gc;
/// What a Prometheus is told.
mod measured;
/// Model versions and labels as clients see them.
mod models;

use std::net::SocketAddr;
use std::time::Duration;

use proto::pb::dataset_service_server::DatasetServiceServer;
use proto::pb::model_service_server::ModelServiceServer;
use proto::pb::training_service_server::TrainingServiceServer;
use proto::pb::upkeep_service_server::UpkeepServiceServer;
use proto::pb::worker_service_server::WorkerServiceServer;
use service::{Bound, BoundMetrics, Health, Metrics, Traffic};
use storage::Storage;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

use crate::gc::collector::Collector;
use crate::measured::Measured;
use crate::models::Models;
use crate::queues::Queues;
use crate::rpc::datasets::Datasets;
use crate::rpc::registry::Registry;
use crate::rpc::training::Training;
use crate::rpc::upkeep::Upkeep;
use crate::rpc::workers::Workers;
use crate::train_job::TrainJobs;

pub use error::{BadModel, Error};
pub use gc::keep::Keep;
pub use queues::QueueLimits;
pub use settings::{DEFAULTS, Settings};

/// Longest message of a client, in bytes: what half a message of each of its
/// calls can hold in memory.
const LONGEST_REQUEST: usize = 256 << 10;
/// Longest message of a worker: its progress has all epochs.
const LONGEST_OF_WORKER: usize = 1 << 20;

/// A coordinator whose ports are open.
#[derive(Debug)]
pub struct Coordinator {
    api: Bound,
    workers: Bound,
    jobs: TrainJobs,
    models: Models,
    keep_checkpoints: Duration,
    collector: Collector,
    /// Files that become data sets.
    imports: TaskTracker,
    traffic: Traffic,
    measured: Measured,
    metrics: BoundMetrics,
    grace: Duration,
}

impl Coordinator {
    /// Opens the ports for clients and for workers.
    pub async fn bind(
        settings: &Settings,
        storage: Storage,
    ) -> anyhow::Result<Self> {
        let lease_term = Duration::from_secs(settings.lease_term_s);
        let n_mended = storage.jobs.mend_indexes().await?;
        if n_mended > 0 {
            tracing::info!(n_mended, "jobs of an earlier program were indexed");
        }

        if let Err(error) = storage.claim_artifacts().await {
            let error = service::chain(&error);
            tracing::warn!(
                error,
                "garbage is not collected until the next start"
            );
        }

        let traffic = Traffic::of(proto::ACCESS);
        let measured = Measured::default();
        let metrics = Metrics::new(&traffic);
        metrics.add(measured.clone());
        Ok(Self {
            metrics: metrics.bind(&settings.metrics).await?,
            measured,
            traffic,
            api: Bound::bind(&settings.api).await?,
            workers: Bound::bind(&settings.workers).await?,
            jobs: TrainJobs::new(storage.clone(), lease_term)
                .with_queues(Queues::new(&settings.queues)?)
                .waiting_for_outages(Duration::from_secs(settings.retry_for_s)),
            keep_checkpoints: Duration::from_secs(
                settings.keep_checkpoints_h.saturating_mul(3_600),
            ),
            collector: Collector {
                models: Models::new(storage.clone()),
                storage: storage.clone(),
                keep: settings.keep,
            },
            models: Models::new(storage),
            imports: TaskTracker::new(),
            grace: Duration::from_secs(settings.grace_s),
        })
    }

    /// Tells where clients and workers find it.
    pub fn addresses(&self) -> (SocketAddr, SocketAddr) {
        (self.api.address(), self.workers.address())
    }

    /// Serves both ports until `shutdown`; the workers' one until they have
    /// given their jobs back or the grace period is over. Gives out jobs and
    /// ends leases meanwhile.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let api_routes = self.api_routes(&shutdown);
        let worker_routes = self.worker_routes(&shutdown);
        let health = Health::new().await;
        health.set_ready(true).await;
        let lifecycle = service::Lifecycle {
            health,
            shutdown: shutdown.clone(),
            grace: self.grace,
        };
        let workers_gone = CancellationToken::new();
        let of_workers = service::Lifecycle {
            shutdown: workers_gone.clone(),
            grace: farewell::CALLS_END,
            ..lifecycle.clone()
        };
        let what = service::Api {
            descriptors: proto::DESCRIPTORS,
            access: proto::ACCESS,
            traffic: self.traffic.clone(),
        };
        let api = service::serve(self.api, api_routes, what.clone(), lifecycle);
        let workers =
            service::serve(self.workers, worker_routes, what, of_workers);
        let keep = self.keep_checkpoints;
        let (jobs, grace) = (self.jobs, self.grace);
        let upkeep = async {
            tokio::join!(
                jobs.hand_out_until(shutdown.clone()),
                jobs.look_for_news_until(shutdown.clone()),
                jobs.mend_until(shutdown.clone()),
                jobs.collect_until(keep, shutdown.clone()),
                self.collector.collect_until(shutdown.clone()),
                jobs.sweep_until(workers_gone.clone()),
                jobs.workers_leave(grace, &shutdown, &workers_gone),
                self.measured.count_until(&jobs, shutdown.clone()),
            );
            Ok(())
        };

        let metrics = self.metrics.run(shutdown.clone());
        tokio::try_join!(api, workers, metrics, upkeep)?;
        self.imports.close();
        let ended = tokio::time::timeout(grace, self.imports.wait()).await;
        if ended.is_err() {
            tracing::warn!("an import did not end within the grace period");
        }
        Ok(())
    }

    /// What clients call.
    fn api_routes(&self, shutdown: &CancellationToken) -> Routes {
        let training = Training {
            jobs: self.jobs.clone(),
            shutdown: shutdown.clone(),
        };
        let registry = Registry {
            models: self.models.clone(),
        };
        let datasets =
            Datasets::new(self.collector.storage.clone(), self.imports.clone());
        let upkeep = Upkeep {
            collector: self.collector.clone(),
        };
        let training = TrainingServiceServer::new(training)
            .max_decoding_message_size(LONGEST_REQUEST);
        let registry = ModelServiceServer::new(registry)
            .max_decoding_message_size(LONGEST_REQUEST);
        let upkeep = UpkeepServiceServer::new(upkeep)
            .max_decoding_message_size(LONGEST_REQUEST);
        Routes::new(training)
            .add_service(
                DatasetServiceServer::new(datasets)
                    .max_decoding_message_size(LONGEST_REQUEST),
            )
            .add_service(registry)
            .add_service(upkeep)
    }

    /// What workers call.
    fn worker_routes(&self, shutdown: &CancellationToken) -> Routes {
        let workers = Workers {
            jobs: self.jobs.clone(),
            shutdown: shutdown.clone(),
        };
        let workers = WorkerServiceServer::new(workers)
            .max_decoding_message_size(LONGEST_OF_WORKER);
        Routes::new(workers)
    }
}

#[cfg(test)]
mod tests;
