//! `console`: pages for people who look after the services.

use std::path::PathBuf;

use clap::Parser;
use console::{Console, DEFAULTS, Settings};
use tokio_util::sync::CancellationToken;

/// Shows jobs, models, data sets and lists in a browser.
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
        service::load("console", DEFAULTS, arguments.config.as_deref())?;
    service::telemetry::start(&settings.log);
    let shutdown = CancellationToken::new();
    let signalled = service::shutdown_on_signal(shutdown.clone())?;
    let console = Console::bind(&settings).await?;
    tokio::try_join!(console.run(shutdown), async {
        signalled.await;
        Ok(())
    })?;
    Ok(())
}
