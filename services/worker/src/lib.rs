//! The worker: turns a `TrainSpec` into an artifact.
//!
//! [`attempt`] is the conversation with the coordinator about one job, [`train()`] is the work
//! itself.

mod attempt;
mod backbone;
mod baselines;
mod calibrate;
mod checkpoint;
mod choose;
mod corpus;
mod error;
mod evaluate;
mod input;
mod plan;
mod progress;
mod report;
mod run;
mod stages;
mod token_file;
mod train;

use std::path::PathBuf;
use std::time::Duration;

use domain::Calibration;
use model::{Device, Precision};
use proto::pb;
use proto::pb::worker_service_client::WorkerServiceClient;
use serde::Deserialize;
use service::client::{Connection, Target, connect};
use storage::Artifacts;
use tokio_util::sync::CancellationToken;

pub use calibrate::calibrate;
pub use error::Error;
pub use input::{Backbones, Input, Trained};
pub use progress::{Progress, Watch};
pub use train::train;

/// The worker's settings; `config.toml` beside this crate says what each is and holds the defaults.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// In jobs and logs.
    pub name: String,
    /// What computes.
    pub device: String,
    /// In which precision.
    pub precision: Precision,
    /// Where backbones are.
    pub backbone_root: PathBuf,
    /// Where `hf://` backbones are fetched from.
    pub hub_url: String,
    /// For files in the making.
    pub scratch: PathBuf,
    /// What `cllm4rec worker calibrate` measured here, if it was run.
    pub calibration: PathBuf,
    /// Between two checkpoints, in seconds.
    pub checkpoint_every_s: u64,
    /// Between two heartbeats, in milliseconds.
    pub heartbeat_ms: u64,
    /// To give a job back, in seconds.
    pub grace_s: u64,
    /// The coordinator's port for workers.
    pub coordinator: Target,
    /// Logs.
    pub log: service::telemetry::Settings,
    /// Where things are kept; a worker uses the artifacts alone.
    pub storage: storage::Settings,
}

/// Defaults of [`Settings`].
pub const DEFAULTS: &str = include_str!("../config.toml");

/// Pause after the coordinator could not be reached; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long the coordinator may hold a question for work.
const WAIT_FOR_WORK: Duration = Duration::from_secs(20);
/// On top of that before the call is given up.
const CALL_MARGIN: Duration = Duration::from_secs(5);

/// A worker that is ready to ask for work.
#[derive(Debug)]
pub struct Worker {
    settings: Settings,
    artifacts: Artifacts,
    device: Device,
    calibration: Option<Calibration>,
    coordinator: WorkerServiceClient<Connection>,
}

impl Worker {
    /// Checks the device and the folders; connects when there is something to say.
    pub fn new(mut settings: Settings, artifacts: Artifacts) -> anyhow::Result<Self> {
        if settings.name.is_empty() {
            settings.name = format!("worker-{}", uuid::Uuid::now_v7().simple());
        }
        let computing = model::compute_device(&settings.device)?;
        computing.check(settings.precision)?;
        tracing::info!(device = computing.name, precision = ?settings.precision, reason = computing.reason, "computing");
        settings.device = computing.name;
        std::fs::create_dir_all(&settings.backbone_root)?;
        std::fs::create_dir_all(&settings.scratch)?;
        let coordinator = WorkerServiceClient::new(connect(&settings.coordinator)?);
        let calibration =
            calibrate::read(&settings.calibration, &settings.device, settings.precision);
        Ok(Self {
            settings,
            artifacts,
            device: computing.device,
            calibration,
            coordinator,
        })
    }

    /// Takes one job after the other until `shutdown`; a job at hand is given back then.
    pub async fn run(mut self, shutdown: CancellationToken) {
        tracing::info!(
            worker = self.settings.name,
            device = self.settings.device,
            "asking for work"
        );
        let mut pause = FIRST_PAUSE;
        while !shutdown.is_cancelled() {
            match shutdown.run_until_cancelled(self.lease()).await {
                None => return,
                Some(Ok(leased)) => {
                    pause = FIRST_PAUSE;
                    if let Some(leased) = leased {
                        attempt::run(&self, leased, &shutdown).await;
                    }
                }
                Some(Err(status)) => {
                    tracing::warn!(code = ?status.code(), message = status.message(), ?pause, "cannot ask for work");
                    shutdown
                        .run_until_cancelled(tokio::time::sleep(pause))
                        .await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn lease(&mut self) -> Result<Option<pb::LeasedJob>, tonic::Status> {
        let mut request = tonic::Request::new(pb::LeaseRequest {
            worker: self.settings.name.clone(),
            device: self.settings.device.clone(),
            wait_ms: u32::try_from(WAIT_FOR_WORK.as_millis()).unwrap_or(u32::MAX),
            calibration: self.calibration.as_ref().map(Into::into),
        });
        request.set_timeout(WAIT_FOR_WORK + CALL_MARGIN);
        Ok(self.coordinator.lease(request).await?.into_inner().leased)
    }
}
