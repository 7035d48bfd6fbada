//! A worker that holds leases and trains nothing.

use proto::pb;
use proto::pb::end_attempt_request::{Reason, Released};
use proto::pb::worker_service_client::WorkerServiceClient;
use service::client::Connection;
use tonic::Status;

/// A worker with a connection of its own, which the test plays.
#[derive(Debug, Clone)]
pub struct FakeWorker {
    name: String,
    coordinator: WorkerServiceClient<Connection>,
}

impl FakeWorker {
    /// A worker of this name that speaks to a coordinator.
    pub fn new(
        name: impl Into<String>,
        coordinator: WorkerServiceClient<Connection>,
    ) -> Self {
        Self {
            name: name.into(),
            coordinator,
        }
    }

    /// Asks for a job and waits for one so long.
    pub async fn lease(
        &mut self,
        wait_ms: u32,
    ) -> Result<Option<pb::LeasedJob>, Status> {
        let request = pb::LeaseRequest {
            worker: self.name.clone(),
            wait_ms,
            ..Default::default()
        };
        let answer = self.coordinator.lease(request).await?;
        Ok(answer.into_inner().leased)
    }

    /// Renews a lease; true when the job is to stop.
    pub async fn beat(
        &mut self,
        leased: &pb::LeasedJob,
        progress: pb::Progress,
    ) -> Result<bool, Status> {
        let request = pb::HeartbeatRequest {
            job: leased.job.clone(),
            epoch: leased.epoch,
            progress: Some(progress),
        };
        let answer = self.coordinator.heartbeat(request).await?;
        Ok(answer.into_inner().cancel)
    }

    /// Gives a job back in good order.
    pub async fn release(
        &mut self,
        leased: &pb::LeasedJob,
    ) -> Result<(), Status> {
        self.end(leased, Reason::Released(Released {})).await
    }

    /// Says that a job cannot be done, which ends it.
    pub async fn fail(&mut self, leased: &pb::LeasedJob) -> Result<(), Status> {
        let cause = pb::Cause {
            kind: pb::cause::Kind::BadData.into(),
            message: "the data set has no rows".to_owned(),
        };
        self.end(leased, Reason::Failed(cause)).await
    }

    async fn end(
        &mut self,
        leased: &pb::LeasedJob,
        reason: Reason,
    ) -> Result<(), Status> {
        let request = pb::EndAttemptRequest {
            job: leased.job.clone(),
            epoch: leased.epoch,
            reason: Some(reason),
        };
        self.coordinator.end_attempt(request).await?;
        Ok(())
    }
}
