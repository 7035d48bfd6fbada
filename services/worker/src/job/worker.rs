//! Asks the coordinator for work and takes one job after the other.

use std::sync::Arc;
use std::time::Duration;

use domain::{Calibration, SeenBackbone};
use proto::pb;
use proto::pb::worker_service_client::WorkerServiceClient;
use service::client::connect;
use service::{BoundMetrics, Metrics, Traffic};
use storage::Artifacts;
use tokio_util::sync::CancellationToken;

use crate::calibrate;
use crate::error::Error;
use crate::job::attempt;
use crate::job::equipment::Equipment;
use crate::job::measured::AtHand;
use crate::job::pauses::Pauses;
use crate::material::seen::{self, Look, SizesRead};
use crate::memory::memory_bytes;
use crate::scratch::{self, Scratch};
use crate::settings::Settings;

/// The first pause after the coordinator could not be reached.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause after the coordinator could not be reached.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long the coordinator may hold a question for work.
const WAIT_FOR_WORK: Duration = Duration::from_secs(20);
/// On top of that before the call is given up.
const CALL_MARGIN: Duration = Duration::from_secs(5);

/// A worker that is ready to ask for work.
#[derive(Debug)]
pub struct Worker {
    equipment: Equipment,
    calibration: Option<Calibration>,
    /// Sizes of the backbones here that were told before.
    sizes_read: SizesRead,
}

impl Worker {
    /// Checks the device and the folders; connects when there is something to
    /// say.
    pub fn new(
        mut settings: Settings,
        artifacts: Artifacts,
    ) -> anyhow::Result<Self> {
        if settings.name.is_empty() {
            settings.name = format!("worker-{}", uuid::Uuid::now_v7().simple());
        }
        let precision = settings.precision;
        let computing = model::compute_device(&settings.device)?;
        computing.check(precision)?;
        tracing::info!(
            device = computing.name,
            ?precision,
            reason = computing.reason,
            "computing"
        );
        settings.device = computing.name;
        proto::worker_labels("labels", settings.labels())?;
        let is_host = !model::has_own_memory(&computing.device);
        if settings.memory_gib == 0 && is_host {
            settings.memory_gib = memory_gib();
        }
        let scratch = Arc::new(Scratch::open(&settings.scratch)?);
        scratch::sweep_unfinished(&settings.backbone_root);
        let calibration =
            calibrate::read(&settings.calibration, &settings.device, precision);
        let coordinator =
            WorkerServiceClient::new(connect(&settings.coordinator)?);
        let equipment = Equipment {
            settings,
            artifacts,
            scratch,
            device: computing.device,
            coordinator,
            at_hand: AtHand::default(),
        };
        Ok(Self {
            equipment,
            calibration,
            sizes_read: SizesRead::new(),
        })
    }

    /// Opens the port on which a Prometheus finds what the worker measures, if
    /// there is to be one.
    ///
    /// # Errors
    /// The address is taken.
    pub async fn metrics(&self) -> anyhow::Result<BoundMetrics> {
        let metrics = Metrics::new(&Traffic::of(&[]));
        metrics.add(self.equipment.at_hand.clone());
        metrics.bind(&self.equipment.settings.metrics).await
    }

    /// Takes one job after the other until `shutdown`; a job at hand is given
    /// back then.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let Settings { name, device, .. } = &self.equipment.settings;
        tracing::info!(worker = name, device, "asking for work");
        let mut pauses = Pauses::new(FIRST_PAUSE, LONGEST_PAUSE);
        while !shutdown.is_cancelled() {
            if let Err(error) = self.check_scratch().await {
                // A job would only come back from here.
                let error = service::chain(&error);
                tracing::warn!(error, "not asking for work: no place for it");
                let pause = tokio::time::sleep(pauses.next());
                shutdown.run_until_cancelled(pause).await;
                continue;
            }
            let Some(answer) = shutdown.run_until_cancelled(self.lease()).await
            else {
                return;
            };
            match answer {
                Ok(leased) => {
                    pauses = Pauses::new(FIRST_PAUSE, LONGEST_PAUSE);
                    if let Some(leased) = leased {
                        attempt::run(&self.equipment, leased, &shutdown).await;
                    }
                }
                Err(_) if shutdown.is_cancelled() => return,
                Err(status) => {
                    let (code, message, pause) =
                        (status.code(), status.message(), pauses.next());
                    tracing::warn!(
                        ?code,
                        message,
                        ?pause,
                        "cannot ask for work"
                    );
                    let pause = tokio::time::sleep(pause);
                    shutdown.run_until_cancelled(pause).await;
                }
            }
        }
    }

    /// Removes what dead workers left; an error where no job has a place.
    async fn check_scratch(&self) -> Result<(), Error> {
        let scratch = Arc::clone(&self.equipment.scratch);
        let checking = tokio::task::spawn_blocking(move || {
            scratch.sweep();
            scratch.check()
        });
        checking.await.expect("a look at files does not panic")
    }

    /// Asks for a job, and waits a while where there is none.
    async fn lease(&mut self) -> Result<Option<pb::LeasedJob>, tonic::Status> {
        let backbones = self.seen_backbones().await;
        let Equipment {
            settings,
            coordinator,
            ..
        } = &mut self.equipment;
        let mut request = tonic::Request::new(pb::LeaseRequest {
            worker: settings.name.clone(),
            device: settings.device.clone(),
            wait_ms: u32::try_from(WAIT_FOR_WORK.as_millis())
                .unwrap_or(u32::MAX),
            calibration: self.calibration.as_ref().map(Into::into),
            backbones: backbones.iter().map(Into::into).collect(),
            labels: settings.labels(),
            memory_gib: settings.memory_gib,
        });
        request.set_timeout(WAIT_FOR_WORK + CALL_MARGIN);
        Ok(coordinator.lease(request).await?.into_inner().leased)
    }

    /// Looks which backbones a job here may name now.
    async fn seen_backbones(&mut self) -> Vec<SeenBackbone> {
        let root = self.equipment.settings.backbone_root.clone();
        let before = std::mem::take(&mut self.sizes_read);
        let looking =
            tokio::task::spawn_blocking(move || seen::look(&root, &before));
        let Look { backbones, read } =
            looking.await.expect("a look at files does not panic");
        self.sizes_read = read;
        backbones
    }
}

/// The memory that this process may take, in whole GiB; 0 where nobody says.
fn memory_gib() -> u32 {
    let gib = memory_bytes().unwrap_or_default() >> 30;
    u32::try_from(gib).unwrap_or(u32::MAX)
}
