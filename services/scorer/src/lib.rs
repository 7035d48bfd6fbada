//! The scorer: keeps histories and answers `Recommend`. Stateless but for caches; any replica can
//! answer.

mod allowed;
mod backbone;
mod batch;
mod behind;
mod counters;
mod error;
mod explain;
mod filter;
mod forward;
mod gate;
mod histories;
mod live_model;
mod loaded;
mod pace;
mod queue;
mod rankers;
mod reader;
mod recommend;
mod rows;
mod rpc;
mod states;
mod unloadable;
mod upkeep;

use std::net::SocketAddr;
use std::time::Duration;

use model::Precision;
use proto::pb;
use serde::Deserialize;
use service::{Bound, Health, Port};
use storage::Storage;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub use error::Error;
pub use unloadable::{Cause, Unloadable};

use crate::behind::{Behind, Tasks};
use crate::gate::Gate;
use crate::histories::Histories;
use crate::live_model::Models;
use crate::rankers::Rankers;
use crate::recommend::Recommender;
use crate::rpc::WayIn;
use crate::states::{States, Unwritten};

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
    /// For model versions with their backbones, in MiB; 0: as much as they take.
    pub model_memory_mb: u64,
    /// Requests that may be inside at once, and as many calls of `HistoryService` beside them.
    pub max_requests: usize,
    /// Those of them that may keep the cores busy, not waiting for the model; 0: five a core.
    pub max_running: usize,
    /// Streams of `BatchRecommend` that may be open at once.
    pub max_streams: usize,
    /// A stream without a request for so long is closed, in seconds.
    pub stream_idle_s: u64,
    /// Tokens of prompts that may wait for the model.
    pub max_queue_tokens: usize,
    /// Tokens of prompts in one forward pass.
    pub max_batch_tokens: usize,
    /// Threads that rank catalogues; 0: one a core.
    pub ranking_threads: usize,
    /// Deadline of a request that names none, in milliseconds.
    pub default_deadline_ms: u64,
    /// Of item rows and user states when a catalogue is scored.
    pub scoring_precision: Precision,
    /// Share of the users of `live` who get the version of the label `canary`.
    pub canary_share: f64,
    /// Share of the users of `live` whose lists are compared with those of the label `shadow`.
    pub shadow_share: f64,
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

/// Time of a history call that names no deadline: ten thousand interactions of as many users are
/// some fifty commits.
const HISTORY_TIME: Duration = Duration::from_secs(30);

/// A scorer whose port is open.
#[derive(Debug)]
pub struct Scorer {
    api: Bound,
    recommender: Recommender,
    unwritten: Unwritten,
    tasks: Tasks,
    requests: Gate,
    streams: Gate,
    history_calls: Gate,
    follow: Duration,
    default_deadline: Duration,
    stream_idle: Duration,
    grace: Duration,
}

impl Scorer {
    /// Opens the port.
    pub async fn bind(settings: &Settings, storage: Storage) -> anyhow::Result<Self> {
        let models = Models::new(settings, storage.clone())?;
        let (states, unwritten) = States::new(settings.state_cache_mb << 20, storage.cache.clone());
        let (behind, tasks) = Behind::new(settings.shadow_share);
        let or_a_core = |set: usize, a_core: usize| {
            if set == 0 {
                a_core * model::n_cores()
            } else {
                set
            }
        };
        let n_running = or_a_core(settings.max_running, 5);
        let n_rankers = or_a_core(settings.ranking_threads, 1);
        let recommender = Recommender {
            models,
            states,
            histories: Histories::new(storage, settings.history_cache_mb << 20),
            filters: Default::default(),
            rankers: Rankers::start(n_rankers)?,
            counters: Default::default(),
            behind,
        };
        Ok(Self {
            api: Bound::bind(&settings.api).await?,
            recommender,
            unwritten,
            tasks,
            requests: Gate::new(settings.max_requests, n_running),
            streams: Gate::new(settings.max_streams, settings.max_streams),
            history_calls: Gate::new(settings.max_requests, settings.max_requests),
            follow: Duration::from_millis(settings.follow_ms),
            default_deadline: Duration::from_millis(settings.default_deadline_ms),
            stream_idle: Duration::from_secs(settings.stream_idle_s),
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
        let recommender = self.recommender;
        let way_in = |gate, default_deadline| WayIn {
            gate,
            counters: recommender.counters.clone(),
            default_deadline,
        };
        let recommendations = rpc::Recommendations {
            recommender: recommender.clone(),
            way_in: way_in(self.requests, self.default_deadline),
            streams: self.streams,
            stream_idle: self.stream_idle,
        };
        let histories = rpc::Histories {
            recommender: recommender.clone(),
            way_in: way_in(self.history_calls, HISTORY_TIME),
        };
        let routes = Routes::new(RecommendationServiceServer::with_interceptor(
            recommendations,
            token.clone(),
        ))
        .add_service(HistoryServiceServer::with_interceptor(histories, token));
        let health = Health::new().await;
        let lifecycle = service::Lifecycle {
            health: health.clone(),
            shutdown: shutdown.clone(),
            grace: self.grace,
        };
        let serving = service::serve(self.api, routes, proto::DESCRIPTORS, lifecycle);
        let beside = async {
            tokio::join!(
                recommender.follow_until(self.follow, shutdown.clone()),
                recommender.tell_readiness_until(self.follow, (health, shutdown.clone())),
                recommender
                    .states
                    .write_until(self.unwritten, shutdown.clone()),
                recommender.work_behind_until(self.tasks, shutdown.clone()),
            );
            Ok(())
        };
        tokio::try_join!(serving, beside)?;
        Ok(())
    }
}
