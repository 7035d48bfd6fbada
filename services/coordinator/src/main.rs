//! `coordinator`: schedules training jobs and keeps the model registry.

use std::path::PathBuf;

use clap::Parser;
use coordinator::{Coordinator, DEFAULTS, Settings};
use storage::Storage;
use tokio_util::sync::CancellationToken;

/// Schedules training jobs and keeps the model registry.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Settings over the defaults (TOML).
    #[arg(long)]
    config: Option<PathBuf>,
    /// Start even though the store may lose what it acknowledged; for
    /// development.
    #[arg(long)]
    allow_volatile_store: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    service::install_tls_provider();
    let arguments = Arguments::parse();
    let mut settings: Settings =
        service::load("coordinator", DEFAULTS, arguments.config.as_deref())?;
    settings.storage.allow_volatile_store |= arguments.allow_volatile_store;
    service::telemetry::start(&settings.log);
    let storage = Storage::open(&settings.storage).await?;
    let shutdown = CancellationToken::new();
    let signalled = service::shutdown_on_signal(shutdown.clone())?;
    let coordinator = Coordinator::bind(&settings, storage).await?;
    tokio::try_join!(coordinator.run(shutdown), async {
        signalled.await;
        Ok(())
    })?;
    Ok(())
}
