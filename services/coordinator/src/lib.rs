//! The coordinator: owns jobs, leases and the model registry. Links no tensor
//! library.

/// What is refused, and with which code.
mod error;
/// The settings and their defaults.
mod settings;

/// The methods of the three services: decode, call, encode.
mod rpc;

// Jobs, from the specification to the version.
/// The sizes of a job's backbone, where they can be known.
mod body;
/// What a job will cost, said before it is queued.
mod costs;
/// Removes what attempts left behind.
mod leftovers;
/// How fast the workers are, and which backbones they see.
mod machines;
/// What a worker's model must be before it is published.
mod publication;
/// One step of a job, and what it says to people.
mod step;
/// Ends the leases of lost workers.
mod sweep;
/// A job's way from `Queued` to its end.
mod train_job;
/// Follows a job's events.
mod watch;

/// Model versions and labels as clients see them.
mod models;

use std::net::SocketAddr;
use std::time::Duration;

use proto::pb::model_service_server::ModelServiceServer;
use proto::pb::training_service_server::TrainingServiceServer;
use proto::pb::worker_service_server::WorkerServiceServer;
use service::{Bound, Health};
use storage::Storage;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::models::Models;
use crate::rpc::registry::Registry;
use crate::rpc::training::Training;
use crate::rpc::workers::Workers;
use crate::train_job::TrainJobs;

pub use error::{BadModel, Error};
pub use settings::{DEFAULTS, Settings};

/// A coordinator whose ports are open.
#[derive(Debug)]
pub struct Coordinator {
    api: Bound,
    workers: Bound,
    jobs: TrainJobs,
    models: Models,
    keep_checkpoints: Duration,
    grace: Duration,
}

impl Coordinator {
    /// Opens the ports for clients and for workers.
    pub async fn bind(
        settings: &Settings,
        storage: Storage,
    ) -> anyhow::Result<Self> {
        let lease_term = Duration::from_secs(settings.lease_term_s);
        Ok(Self {
            api: Bound::bind(&settings.api).await?,
            workers: Bound::bind(&settings.workers).await?,
            jobs: TrainJobs::new(storage.clone(), lease_term)
                .waiting_for_outages(Duration::from_secs(settings.retry_for_s)),
            keep_checkpoints: Duration::from_secs(
                settings.keep_checkpoints_h.saturating_mul(3_600),
            ),
            models: Models::new(storage),
            grace: Duration::from_secs(settings.grace_s),
        })
    }

    /// Tells where clients and workers find it.
    pub fn addresses(&self) -> (SocketAddr, SocketAddr) {
        (self.api.address(), self.workers.address())
    }

    /// Serves both ports until `shutdown`, and ends leases meanwhile.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let token = self.api.token();
        let training = Training {
            jobs: self.jobs.clone(),
            shutdown: shutdown.clone(),
        };

        let registry = Registry {
            models: self.models,
        };

        let training =
            TrainingServiceServer::with_interceptor(training, token.clone());
        let registry = ModelServiceServer::with_interceptor(registry, token);
        let api_routes = Routes::new(training).add_service(registry);

        let workers = Workers {
            jobs: self.jobs.clone(),
            shutdown: shutdown.clone(),
        };

        let workers = WorkerServiceServer::with_interceptor(
            workers,
            self.workers.token(),
        );
        let worker_routes = Routes::new(workers);

        let health = Health::new().await;
        health.set_ready(true).await;
        let lifecycle = service::Lifecycle {
            health,
            shutdown: shutdown.clone(),
            grace: self.grace,
        };
        let descriptors = proto::DESCRIPTORS;
        let api = service::serve(
            self.api,
            api_routes,
            descriptors,
            lifecycle.clone(),
        );
        let workers =
            service::serve(self.workers, worker_routes, descriptors, lifecycle);
        let keep = self.keep_checkpoints;
        let collect = async {
            self.jobs.collect_until(keep, shutdown.clone()).await;
            Ok(())
        };
        let sweep = async {
            self.jobs.sweep_until(shutdown.clone()).await;
            Ok(())
        };

        tokio::try_join!(api, workers, sweep, collect)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
