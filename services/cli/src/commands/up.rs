//! `up`: all services in one process on embedded storage, until a signal.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use crate::local::services::LocalServices;
use crate::local::settings::LocalSettings;
use crate::output::writer;

/// Coordinator, worker, scorer and console in one process, everything kept in one
/// folder.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where everything is kept.
    #[arg(long, default_value = "data")]
    data_dir: PathBuf,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = LocalSettings::below(&arguments.data_dir)?;
    service::telemetry::start(&settings.coordinator.log);
    let shutdown = CancellationToken::new();
    let signalled = service::shutdown_on_signal(shutdown.clone())?;
    let pages = settings.console.clone();
    let starting = LocalServices::start(settings, shutdown);
    // On the heap: the settings of all services are large.
    let mut services = Box::pin(starting).await?;
    writer::note(format_args!(
        "coordinator {}   scorer {}   data {}",
        services.coordinator.url,
        services.scorer.url,
        arguments.data_dir.display()
    ));
    match services.add_console(pages).await {
        Ok(address) => writer::note(format_args!("console http://{address}")),
        // Nothing else needs it.
        Err(error) => writer::note(format_args!(
            "no console: {error:#}; CONSOLE__PAGES__ADDRESS names another port"
        )),
    }
    tokio::try_join!(services.wait(), async {
        signalled.await;
        Ok(())
    })?;
    Ok(())
}
