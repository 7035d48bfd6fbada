//! The settings of all services, as one process needs them.

use std::path::Path;

use anyhow::bail;
use console::Settings as ConsoleSettings;
use coordinator::Settings as CoordinatorSettings;
use scorer::Settings as ScorerSettings;
use worker::Settings as WorkerSettings;

/// The services' own settings, from their defaults and the environment.
#[derive(Debug)]
pub(crate) struct LocalSettings {
    pub(crate) coordinator: CoordinatorSettings,
    pub(crate) worker: WorkerSettings,
    pub(crate) scorer: ScorerSettings,
    pub(crate) console: ConsoleSettings,
}

impl LocalSettings {
    /// Reads the settings and puts everything that is kept below one folder.
    pub(crate) fn below(folder: &Path) -> anyhow::Result<Self> {
        let mut settings = Self {
            coordinator: service::load(
                "coordinator",
                coordinator::DEFAULTS,
                None,
            )?,
            worker: service::load("worker", worker::DEFAULTS, None)?,
            scorer: service::load("scorer", scorer::DEFAULTS, None)?,
            console: service::load("console", console::DEFAULTS, None)?,
        };
        refuse_what_cannot_be_kept(&settings.coordinator)?;
        let storage = &mut settings.coordinator.storage;
        storage.store =
            format!("embedded:{}", folder.join("store.redb").display());
        storage.artifacts = folder.join("artifacts").display().to_string();
        settings.worker.storage = storage.clone();
        settings.scorer.storage = storage.clone();
        settings.worker.backbone_root = folder.join("backbones");
        settings.worker.scratch = folder.join("scratch");
        settings.worker.calibration = folder.join("calibration.json");
        Ok(settings)
    }

    /// The backbones that were added for this machine's worker instead of the
    /// folder's own: for a folder that does not stay.
    pub(crate) fn with_added_backbones(mut self) -> anyhow::Result<Self> {
        let usual: WorkerSettings =
            service::load("worker", worker::DEFAULTS, None)?;
        self.worker.backbone_root = usual.backbone_root;
        Ok(self)
    }

    /// Any free ports instead of the usual ones.
    pub(crate) fn on_free_ports(mut self) -> Self {
        self.coordinator.api.address.set_port(0);
        self.coordinator.workers.address.set_port(0);
        self.scorer.api.address.set_port(0);
        // Nobody scrapes what lives as long as a command.
        for metrics in [
            &mut self.coordinator.metrics,
            &mut self.scorer.metrics,
            &mut self.worker.metrics,
        ] {
            metrics.address = None;
        }
        self
    }
}

/// A setting that one process in one folder could not follow is an error, not
/// ignored.
fn refuse_what_cannot_be_kept(
    settings: &CoordinatorSettings,
) -> anyhow::Result<()> {
    let usual: CoordinatorSettings = toml::from_str(coordinator::DEFAULTS)?;
    let (storage, usual) = (&settings.storage, &usual.storage);
    if storage.store != usual.store || storage.artifacts != usual.artifacts {
        bail!(
            "`up` keeps everything in --data-dir: unset COORDINATOR__STORAGE__STORE and …__ARTIFACTS"
        );
    }

    if settings.workers.tls.is_some() {
        bail!(
            "COORDINATOR__WORKERS__TLS: `up`'s worker is in the same process; leave its port in plain text"
        );
    }

    Ok(())
}
