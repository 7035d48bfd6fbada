//! `scorer`: keeps histories and answers `Recommend`.

use std::path::PathBuf;

use clap::Parser;
use scorer::{DEFAULTS, Scorer, Settings};
use storage::Storage;
use tokio_util::sync::CancellationToken;

/// The system's allocator took a fifth of a request's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps histories and answers `Recommend`.
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
        service::load("scorer", DEFAULTS, arguments.config.as_deref())?;
    settings.storage.allow_volatile_store |= arguments.allow_volatile_store;
    service::telemetry::start(&settings.log);
    let storage = Storage::open(&settings.storage).await?;
    let shutdown = CancellationToken::new();
    let signalled = service::shutdown_on_signal(shutdown.clone())?;
    let scorer = Scorer::bind(&settings, storage).await?;
    tokio::try_join!(scorer.run(shutdown), async {
        signalled.await;
        Ok(())
    })?;
    Ok(())
}
