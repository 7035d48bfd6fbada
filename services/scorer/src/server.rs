//! A scorer from its open port to its end: everything is built here, and
//! everything that runs is awaited here.

use std::net::SocketAddr;
use std::time::Duration;

use proto::pb::history_service_server::HistoryServiceServer;
use proto::pb::recommendation_service_server::RecommendationServiceServer;
use service::{Bound, BoundMetrics, Health, Lifecycle, Metrics, Traffic};
use storage::Storage;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::admission::gate::Gate;
use crate::compute::bounded_work::BoundedWork;
use crate::compute::rankers::Rankers;
use crate::compute::states::UserStates;
use crate::counters::Counters;
use crate::histories::RememberedHistories;
use crate::measured::Measured;
use crate::request::filter::Filters;
use crate::request::follow_up::FollowUps;
use crate::request::recommend::Recommender;
use crate::rpc::{HistoryRpc, RecommendationRpc, StatusSource, WayIn};
use crate::settings::Settings;
use crate::upkeep::Upkeep;
use crate::upkeep::shadow::ShadowReports;
use crate::versions::live_model::Models;

/// Time of a history call that names no deadline: one that records for ten
/// thousand users reads and writes as many histories.
const HISTORY_TIME: Duration = Duration::from_secs(30);

/// Requests whose queries or new items are read at once: each takes a core for
/// some milliseconds.
const TEXTS_AT_ONCE: usize = 4;

/// A scorer whose port is open.
#[derive(Debug)]
pub struct Scorer {
    api: Bound,
    recommendations: RecommendationRpc,
    histories: HistoryRpc,
    upkeep: Upkeep,
    traffic: Traffic,
    metrics: BoundMetrics,
    /// Time that calls get to end after `shutdown`.
    grace: Duration,
}

impl Scorer {
    /// Builds a scorer and opens its port; nothing is answered before
    /// [`Self::run`].
    pub async fn bind(
        settings: &Settings,
        storage: Storage,
    ) -> anyhow::Result<Self> {
        let models = Models::new(settings, storage.clone())?;
        let state_bytes = settings.state_cache_mb << 20;
        let (states, unwritten) =
            UserStates::new(state_bytes, storage.cache.clone());
        let (follow_ups, waiting) = FollowUps::new(settings.shadow_share);
        let history_bytes = settings.history_cache_mb << 20;
        let recommender = Recommender {
            models,
            histories: RememberedHistories::new(storage, history_bytes),
            states,
            filters: Filters::default(),
            texts: BoundedWork::new(TEXTS_AT_ONCE),
            rankers: Rankers::start(settings.n_ranking_threads())?,
            counters: Counters::default(),
            follow_ups,
        };
        let shadow_reports = ShadowReports::default();
        let upkeep = Upkeep {
            recommender: recommender.clone(),
            follow_ups: waiting,
            unwritten,
            shadow_reports: shadow_reports.clone(),
            every: Duration::from_millis(settings.follow_ms),
        };
        let traffic = Traffic::of(proto::ACCESS);
        let status = StatusSource {
            shadow_reports,
            traffic: traffic.clone(),
            canary_share: settings.canary_share,
        };
        let recommendations =
            recommendation_rpc(settings, recommender.clone(), status.clone());
        let metrics = Metrics::new(&traffic);
        metrics.add(Measured {
            recommender: recommender.clone(),
            status,
            gate: recommendations.way_in.gate.clone(),
        });
        Ok(Self {
            api: Bound::bind(&settings.api).await?,
            metrics: metrics.bind(&settings.metrics).await?,
            recommendations,
            histories: history_rpc(settings, recommender),
            upkeep,
            traffic,
            grace: Duration::from_secs(settings.grace_s),
        })
    }

    /// Where clients find it.
    pub fn address(&self) -> SocketAddr {
        self.api.address()
    }

    /// Serves until `shutdown`; ready once the label `live` has a model.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let recommendations =
            RecommendationServiceServer::new(self.recommendations);
        let histories = HistoryServiceServer::new(self.histories);
        let routes = Routes::new(recommendations).add_service(histories);
        let health = Health::new().await;
        let lifecycle = Lifecycle {
            health: health.clone(),
            shutdown: shutdown.clone(),
            grace: self.grace,
        };
        let what = service::Api {
            descriptors: proto::DESCRIPTORS,
            access: proto::ACCESS,
            traffic: self.traffic,
        };
        let serving = service::serve(self.api, routes, what, lifecycle);
        let metrics = self.metrics.run(shutdown.clone());
        let upkeep = Box::pin(self.upkeep.run(health, shutdown));
        tokio::try_join!(serving, metrics, async {
            upkeep.await;
            Ok(())
        })?;
        Ok(())
    }
}

fn recommendation_rpc(
    settings: &Settings,
    recommender: Recommender,
    status: StatusSource,
) -> RecommendationRpc {
    let way_in = WayIn {
        gate: Gate::new(settings.max_requests, settings.n_running()),
        counters: recommender.counters.clone(),
        default_deadline: Duration::from_millis(settings.default_deadline_ms),
    };
    RecommendationRpc {
        recommender,
        way_in,
        streams: Gate::new(settings.max_streams, settings.max_streams),
        stream_idle: Duration::from_secs(settings.stream_idle_s),
        status,
    }
}

fn history_rpc(settings: &Settings, recommender: Recommender) -> HistoryRpc {
    let way_in = WayIn {
        gate: Gate::new(settings.max_requests, settings.max_requests),
        counters: recommender.counters.clone(),
        default_deadline: HISTORY_TIME,
    };
    HistoryRpc {
        recommender,
        way_in,
    }
}
