//! `worker`: trains models for the coordinator.

use std::path::PathBuf;

use clap::Parser;
use storage::Artifacts;
use tokio_util::sync::CancellationToken;
use worker::{DEFAULTS, Settings, Worker};

/// Trains models for the coordinator.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Settings over the defaults (TOML).
    #[arg(long)]
    config: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    service::install_tls_provider();
    let arguments = Arguments::parse();
    let settings: Settings =
        service::load("worker", DEFAULTS, arguments.config.as_deref())?;
    service::telemetry::start(&settings.log);
    let artifacts = Artifacts::open(&settings.storage)?;
    let worker = Worker::new(settings, artifacts)?;
    let shutdown = CancellationToken::new();
    let signalled = service::shutdown_on_signal(shutdown.clone())?;
    let metrics = worker.metrics().await?;
    let metrics = metrics.run(shutdown.clone());
    let work = async {
        worker.run(shutdown.clone()).await;
        shutdown.cancel();
    };
    let (metrics, (), ()) = tokio::join!(metrics, work, signalled);
    metrics
}
