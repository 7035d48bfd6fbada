//! The coordinator: owns jobs, leases and the model registry. Links no tensor library.

mod costs;
mod error;
mod machines;
mod models;
mod rpc;
mod train_job;

use std::net::SocketAddr;
use std::time::Duration;

use proto::pb;
use serde::Deserialize;
use service::{Bound, Health, Port};
use storage::Storage;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub use error::Error;

use crate::models::Models;
use crate::train_job::TrainJobs;

/// The coordinator's settings; `config.toml` beside this crate says what each is and holds the
/// defaults.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// TrainJob and the model registry.
    pub api: Port,
    /// Workers.
    pub workers: Port,
    /// Length of a lease, in seconds.
    pub lease_term_s: u64,
    /// Time to drain, in seconds.
    pub grace_s: u64,
    /// Logs.
    pub log: service::telemetry::Settings,
    /// Where things are kept.
    pub storage: storage::Settings,
}

/// Defaults of [`Settings`].
pub const DEFAULTS: &str = include_str!("../config.toml");

/// A coordinator whose ports are open.
#[derive(Debug)]
pub struct Coordinator {
    api: Bound,
    workers: Bound,
    jobs: TrainJobs,
    models: Models,
    grace: Duration,
}

impl Coordinator {
    /// Opens both ports.
    pub async fn bind(settings: &Settings, storage: Storage) -> anyhow::Result<Self> {
        Ok(Self {
            api: Bound::bind(&settings.api).await?,
            workers: Bound::bind(&settings.workers).await?,
            jobs: TrainJobs::new(storage.clone(), Duration::from_secs(settings.lease_term_s)),
            models: Models::new(storage),
            grace: Duration::from_secs(settings.grace_s),
        })
    }

    /// Where clients and workers find it.
    pub fn addresses(&self) -> (SocketAddr, SocketAddr) {
        (self.api.address(), self.workers.address())
    }

    /// Serves until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        use pb::model_service_server::ModelServiceServer;
        use pb::training_service_server::TrainingServiceServer;
        use pb::worker_service_server::WorkerServiceServer;
        let (token, worker_token) = (self.api.token(), self.workers.token());
        let api = Routes::new(TrainingServiceServer::with_interceptor(
            rpc::Training {
                jobs: self.jobs.clone(),
                shutdown: shutdown.clone(),
            },
            token.clone(),
        ))
        .add_service(ModelServiceServer::with_interceptor(
            rpc::Registry {
                models: self.models,
            },
            token,
        ));
        let workers = Routes::new(WorkerServiceServer::with_interceptor(
            rpc::Workers {
                jobs: self.jobs.clone(),
                shutdown: shutdown.clone(),
            },
            worker_token,
        ));
        let health = Health::new().await;
        health.set_ready(true).await;
        let lifecycle = service::Lifecycle {
            health,
            shutdown: shutdown.clone(),
            grace: self.grace,
        };
        let descriptors = proto::DESCRIPTORS;
        tokio::try_join!(
            service::serve(self.api, api, descriptors, lifecycle.clone()),
            service::serve(self.workers, workers, descriptors, lifecycle),
            async {
                self.jobs.sweep_until(shutdown).await;
                Ok(())
            }
        )?;
        Ok(())
    }
}
