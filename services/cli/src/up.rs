//! `up`: all three services in one process on embedded storage.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use coordinator::Coordinator;
use scorer::Scorer;
use service::client::Target;
use storage::Storage;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker::Worker;

/// Coordinator, worker and scorer in one process, everything kept in one folder.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where everything is kept.
    #[arg(long, default_value = "data")]
    data_dir: PathBuf,
}

/// The settings of all three services, as one process needs them.
#[derive(Debug)]
pub(crate) struct UpSettings {
    pub(crate) coordinator: coordinator::Settings,
    pub(crate) worker: worker::Settings,
    pub(crate) scorer: scorer::Settings,
}

impl UpSettings {
    /// The services' own settings with everything below one folder.
    pub(crate) fn below(folder: &Path) -> anyhow::Result<Self> {
        let mut settings = Self {
            coordinator: service::load("coordinator", coordinator::DEFAULTS, None)?,
            worker: service::load("worker", worker::DEFAULTS, None)?,
            scorer: service::load("scorer", scorer::DEFAULTS, None)?,
        };
        let usual: coordinator::Settings = toml::from_str(coordinator::DEFAULTS)?;
        let storage = &mut settings.coordinator.storage;
        if storage.store != usual.storage.store || storage.artifacts != usual.storage.artifacts {
            anyhow::bail!(
                "`up` keeps everything in --data-dir: unset COORDINATOR__STORAGE__STORE and …__ARTIFACTS"
            );
        }
        storage.store = format!("embedded:{}", folder.join("store.redb").display());
        storage.artifacts = folder.join("artifacts").display().to_string();
        if settings.coordinator.workers.tls.is_some() {
            anyhow::bail!(
                "COORDINATOR__WORKERS__TLS: `up`'s worker is in the same process; leave its port in plain text"
            );
        }
        settings.worker.storage = storage.clone();
        settings.scorer.storage = storage.clone();
        settings.worker.backbone_root = folder.join("backbones");
        settings.worker.scratch = folder.join("scratch");
        settings.worker.calibration = folder.join("calibration.json");
        Ok(settings)
    }

    /// Any free ports instead of the usual ones.
    pub(crate) fn on_free_ports(mut self) -> Self {
        for port in [
            &mut self.coordinator.api,
            &mut self.coordinator.workers,
            &mut self.scorer.api,
        ] {
            port.address.set_port(0);
        }
        self
    }
}

/// The three services, running.
pub(crate) struct Up {
    pub(crate) coordinator: Target,
    pub(crate) scorer: Target,
    pub(crate) storage: Storage,
    tasks: JoinSet<anyhow::Result<()>>,
    shutdown: CancellationToken,
}

impl Up {
    /// Opens storage and ports, then starts everything.
    pub(crate) async fn start(
        mut settings: UpSettings,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let storage = Storage::open(&settings.coordinator.storage).await?;
        let coordinator = Coordinator::bind(&settings.coordinator, storage.clone()).await?;
        let scorer = Scorer::bind(&settings.scorer, storage.clone()).await?;
        let (api, workers) = coordinator.addresses();
        settings.worker.coordinator = target(workers, &settings.coordinator.workers.token);
        let worker = Worker::new(settings.worker, storage.artifacts.clone())?;
        let scorer_target = target(scorer.address(), &settings.scorer.api.token);
        let mut tasks = JoinSet::new();
        tasks.spawn(coordinator.run(shutdown.clone()));
        tasks.spawn(scorer.run(shutdown.clone()));
        let stop = shutdown.clone();
        tasks.spawn(async move {
            worker.run(stop).await;
            Ok(())
        });
        let coordinator = target(api, &settings.coordinator.api.token);
        Ok(Self {
            coordinator,
            scorer: scorer_target,
            storage,
            tasks,
            shutdown,
        })
    }

    /// Everything in a folder, on free ports, for one piece of work; stopped whatever comes of it.
    pub(crate) async fn during<T>(
        folder: &Path,
        work: impl AsyncFnOnce(&Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let shutdown = CancellationToken::new();
        let signalled = service::shutdown_on_signal(shutdown.clone())?;
        let up = Self::start(UpSettings::below(folder)?.on_free_ports(), shutdown).await?;
        let result = tokio::select! {
            result = work(&up) => result,
            () = signalled => Err(anyhow::anyhow!("stopped")),
        };
        up.stop().await?;
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
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        self.wait().await
    }
}

fn target(address: SocketAddr, token: &str) -> Target {
    Target {
        url: format!("http://{address}"),
        token: token.to_owned(),
        ca: None,
    }
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = UpSettings::below(&arguments.data_dir)?;
    service::telemetry::start(&settings.coordinator.log);
    let shutdown = CancellationToken::new();
    let signalled = service::shutdown_on_signal(shutdown.clone())?;
    let up = Up::start(settings, shutdown).await?;
    eprintln!(
        "coordinator {}   scorer {}   data {}",
        up.coordinator.url,
        up.scorer.url,
        arguments.data_dir.display()
    );
    tokio::try_join!(up.wait(), async {
        signalled.await;
        Ok(())
    })?;
    Ok(())
}
