//! What a Prometheus scrapes: the calls of a process, the process itself, and
//! whatever the service measures beside them. On a port of its own, which says
//! nothing that a user sent.

/// What the operating system knows of the process.
mod process;
/// Numbers that are read when somebody asks for them.
mod reading;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::port::Port;
use crate::serve::{Bound, Health, Lifecycle, serve_pages};
use crate::traffic::Traffic;

pub use reading::{Kind, Measure, Measurement, Reading};

/// The settings of the port for metrics.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsSettings {
    /// Where `GET /metrics` is answered, in plain text and without a token;
    /// nowhere where absent.
    #[serde(default)]
    pub address: Option<SocketAddr>,
}

/// The metrics of a process.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

/// What is answered, as OpenMetrics calls it.
const OPEN_METRICS: &str =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Time for a scrape that is under way when the process leaves.
const GRACE: Duration = Duration::from_secs(1);

impl Metrics {
    /// The metrics of a service: its calls, and what the operating system knows
    /// of the process.
    pub fn new(traffic: &Traffic) -> Self {
        let mut registry = Registry::default();
        traffic.register(&mut registry);
        registry.register_collector(Box::new(reading::Collected(
            process::Process::started_now(),
        )));
        Self {
            registry: Arc::new(Mutex::new(registry)),
        }
    }

    /// Adds what a service measures.
    pub fn add(&self, measure: impl Measure) {
        let collector: Box<dyn Collector> =
            Box::new(reading::Collected(measure));
        let mut registry = self.registry();
        registry.register_collector(collector);
    }

    fn registry(&self) -> std::sync::MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of it as text.
    fn text(&self) -> String {
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry()) {
            tracing::warn!(%error, "the metrics cannot be written");
        }
        text
    }

    /// Opens the port for metrics, if there is to be one.
    ///
    /// # Errors
    /// The address is taken.
    pub async fn bind(
        self,
        settings: &MetricsSettings,
    ) -> anyhow::Result<BoundMetrics> {
        let mut bound = None;
        if let Some(address) = settings.address {
            let port = Port {
                address,
                token: String::new(),
                tokens: std::collections::BTreeMap::new(),
                tls: None,
                // It holds no secret, and Prometheus comes from elsewhere.
                insecure: true,
            };
            bound = Some(Bound::bind_pages(&port).await?);
        }
        Ok(BoundMetrics {
            bound,
            metrics: self,
        })
    }
}

/// Metrics whose port is open, if there is one.
#[derive(Debug)]
pub struct BoundMetrics {
    bound: Option<Bound>,
    metrics: Metrics,
}

impl BoundMetrics {
    /// Where they are found.
    pub fn address(&self) -> Option<SocketAddr> {
        self.bound.as_ref().map(Bound::address)
    }

    /// Answers scrapes until `shutdown`.
    ///
    /// # Errors
    /// The port fails.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Some(bound) = self.bound else {
            // As long as the others: a service that ends takes them with it.
            shutdown.cancelled().await;
            return Ok(());
        };
        let metrics = self.metrics;
        let answer = move || {
            let text = metrics.text();
            async move { ([(CONTENT_TYPE, OPEN_METRICS)], text) }
        };
        let router = Router::new().route("/metrics", get(answer));
        let lifecycle = Lifecycle {
            health: Health::new().await,
            shutdown,
            grace: GRACE,
        };
        serve_pages(bound, router.into(), lifecycle).await
    }
}
