//! Coordinator, worker and scorer, running in this process on embedded storage,
//! and the console beside them.

use std::net::SocketAddr;

use anyhow::{Context, anyhow};
use console::{Console, Settings as ConsoleSettings};
use coordinator::Coordinator;
use scorer::Scorer;
use service::client::Target;
use storage::Storage;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker::Worker;

use crate::local::settings::LocalSettings;

/// The three services, running, and where they are reached.
pub(crate) struct LocalServices {
    pub(crate) coordinator: Target,
    pub(crate) scorer: Target,
    pub(crate) storage: Storage,
    tasks: JoinSet<anyhow::Result<()>>,
    shutdown: CancellationToken,
}

impl LocalServices {
    /// Opens storage and ports, then starts everything.
    pub(crate) async fn start(
        settings: LocalSettings,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let LocalSettings {
            coordinator: coordinator_settings,
            worker: mut worker_settings,
            scorer: scorer_settings,
            console: _,
        } = settings;
        let storage = Storage::open(&coordinator_settings.storage).await?;
        let coordinator =
            Coordinator::bind(&coordinator_settings, storage.clone()).await?;
        let scorer = Scorer::bind(&scorer_settings, storage.clone()).await?;
        let (api, workers) = coordinator.addresses();
        let ours = &coordinator_settings;
        let coordinator_target =
            target(api, ours.api.token_with(&["train", "publish"]));
        let scorer_token =
            scorer_settings.api.token_with(&["recommend", "record"]);
        let scorer_target = target(scorer.address(), scorer_token);
        worker_settings.coordinator =
            target(workers, ours.workers.token_with(&["worker"]));
        let worker = Worker::new(worker_settings, storage.artifacts.clone())?;

        let metrics = worker.metrics().await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(metrics.run(shutdown.clone()));
        tasks.spawn(coordinator.run(shutdown.clone()));
        tasks.spawn(scorer.run(shutdown.clone()));
        tasks.spawn(run_worker(worker, shutdown.clone()));
        Ok(Self {
            coordinator: coordinator_target,
            scorer: scorer_target,
            storage,
            tasks,
            shutdown,
        })
    }

    /// Starts the console in front of these services; returns its address.
    pub(crate) async fn add_console(
        &mut self,
        mut settings: ConsoleSettings,
    ) -> anyhow::Result<SocketAddr> {
        // What a visitor may do is what their own token may do.
        settings.coordinator = without_token(&self.coordinator);
        settings.scorer = without_token(&self.scorer);
        let console = Console::bind(&settings).await?;
        let address = console.address();
        self.tasks.spawn(console.run(self.shutdown.clone()));
        Ok(address)
    }

    /// Everything on free ports, for one piece of work; stopped whatever comes
    /// of it.
    pub(crate) async fn during<T>(
        settings: LocalSettings,
        work: impl AsyncFnOnce(&Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let shutdown = CancellationToken::new();
        let signalled = service::shutdown_on_signal(shutdown.clone())?;
        // On the heap: the settings of all services, and whatever the work is,
        // would make every command's future large.
        let starting = Self::start(settings.on_free_ports(), shutdown);
        let services = Box::pin(starting).await?;
        let result = tokio::select! {
            result = Box::pin(work(&services)) => result,
            () = signalled => Err(anyhow!("stopped")),
        };
        services.stop().await?;
        result
    }

    /// Waits until all have ended; one that fails takes the others with it.
    pub(crate) async fn wait(mut self) -> anyhow::Result<()> {
        let mut first_failure = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            self.shutdown.cancel();
            let result = ended.context("a service panicked")?;
            if first_failure.is_ok() {
                first_failure = result;
            }
        }
        first_failure
    }

    /// Asks all to leave and waits for them.
    async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        self.wait().await
    }
}

async fn run_worker(
    worker: Worker,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    worker.run(shutdown).await;
    Ok(())
}

fn without_token(target: &Target) -> Target {
    Target {
        token: String::new(),
        ..target.clone()
    }
}

fn target(address: SocketAddr, token: &str) -> Target {
    Target {
        url: format!("http://{address}"),
        token: token.to_owned(),
        ca: None,
    }
}
