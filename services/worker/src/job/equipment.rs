//! What every attempt of a worker works with.

use std::sync::Arc;

use model::Device;
use proto::pb::worker_service_client::WorkerServiceClient;
use service::client::Connection;
use storage::Artifacts;

use crate::job::measured::AtHand;
use crate::scratch::Scratch;
use crate::settings::Settings;

/// The way to the coordinator's port for workers.
pub(super) type Coordinator = WorkerServiceClient<Connection>;

/// What every attempt of a worker works with.
#[derive(Debug)]
pub(super) struct Equipment {
    pub(super) settings: Settings,
    pub(super) artifacts: Artifacts,
    pub(super) scratch: Arc<Scratch>,
    pub(super) device: Device,
    pub(super) coordinator: Coordinator,
    /// What is measured of the job at hand.
    pub(super) at_hand: AtHand,
}
