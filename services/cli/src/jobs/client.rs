//! The connection to the coordinator.

use proto::pb::training_service_client::TrainingServiceClient;
use service::client::{Connection, Target, TargetError, connect};

pub(crate) type TrainingClient = TrainingServiceClient<Connection>;

/// A client of the coordinator's training service; it connects at the first
/// call.
pub(crate) fn training_client(
    target: &Target,
) -> Result<TrainingClient, TargetError> {
    Ok(TrainingServiceClient::new(connect(target)?))
}
