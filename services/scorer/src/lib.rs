//! The scorer: keeps histories and answers `Recommend`. Stateless but for caches; any replica can answer.

mod batcher;
mod error;
mod live_model;
mod recommend;
mod rows;
mod rpc;
mod states;

use std::net::SocketAddr;
use std::time::Duration;

use proto::pb;
use serde::Deserialize;
use service::{Bound, Health, Port};
use storage::Storage;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub use error::Error;

use crate::live_model::Models;
use crate::recommend::Recommender;
use crate::states::States;

/// The scorer's settings; `config.toml` beside this crate says what each is and holds the defaults.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What computes.
    pub device: String,
    /// Between two looks at the labels, in milliseconds.
    pub follow_ms: u64,
    /// Model versions in memory.
    pub max_models: usize,
    /// Requests that may wait.
    pub max_queue: usize,
    /// Prompts in one forward pass.
    pub max_batch: usize,
    /// How long a prompt waits for others, in milliseconds.
    pub max_wait_ms: u64,
    /// For user states, in MiB.
    pub state_cache_mb: u64,
    /// For histories, in MiB.
    pub history_cache_mb: u64,
    /// Time to drain, in seconds.
    pub grace_s: u64,
    /// Recommend and histories.
    pub api: Port,
    /// Logs.
    pub log: service::telemetry::Settings,
    /// Where things are kept.
    pub storage: storage::Settings,
}

/// Defaults of [`Settings`].
pub const DEFAULTS: &str = include_str!("../config.toml");

/// A scorer whose port is open.
#[derive(Debug)]
pub struct Scorer {
    api: Bound,
    models: Models,
    recommender: Recommender,
    follow: Duration,
    grace: Duration,
}

impl Scorer {
    /// Opens the port.
    pub async fn bind(settings: &Settings, storage: Storage) -> anyhow::Result<Self> {
        let models = Models::new(settings, storage.clone())?;
        let states = States::new(settings.state_cache_mb << 20, storage.cache.clone());
        Ok(Self {
            api: Bound::bind(&settings.api).await?,
            recommender: Recommender::new(models.clone(), states, storage, settings.history_cache_mb << 20),
            models,
            follow: Duration::from_millis(settings.follow_ms),
            grace: Duration::from_secs(settings.grace_s),
        })
    }

    /// Where clients find it.
    pub fn address(&self) -> SocketAddr {
        self.api.address()
    }

    /// Serves until `shutdown`; ready once the label `live` has a model.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        use pb::history_service_server::HistoryServiceServer;
        use pb::recommendation_service_server::RecommendationServiceServer;
        let token = self.api.token();
        let recommendations = rpc::Recommendations { recommender: self.recommender.clone() };
        let routes =
            Routes::new(RecommendationServiceServer::with_interceptor(recommendations, token.clone())).add_service(
                HistoryServiceServer::with_interceptor(rpc::Histories { recommender: self.recommender }, token),
            );
        let health = Health::new().await;
        let serving =
            service::serve(self.api, routes, (health.clone(), proto::DESCRIPTORS), shutdown.clone(), self.grace);
        tokio::try_join!(serving, async {
            self.models.follow_until(self.follow, health, shutdown).await;
            Ok(())
        })?;
        Ok(())
    }
}
