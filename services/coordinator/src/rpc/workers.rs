//! What workers ask for and tell.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use domain::{
    ArtifactId, EndOfAttempt, Equipment, Invalid, ModelVersion, SeenBackbone,
    at_most,
};
use proto::{job_id, job_name, pb, version_name};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::machines::Machine;
use crate::train_job::{Committed, Leased, TrainJobs};

/// Serves `WorkerService` to workers.
pub(crate) struct Workers {
    pub(crate) jobs: TrainJobs,
    pub(crate) shutdown: CancellationToken,
}

/// Longest name of a worker or a metric, in bytes.
const LONGEST_NAME: usize = 256;
/// Longest wait for work.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// So long before the caller's deadline the answer is given.
const ANSWER_TIME: Duration = Duration::from_millis(100);

#[tonic::async_trait]
impl pb::worker_service_server::WorkerService for Workers {
    async fn lease(
        &self,
        request: Request<pb::LeaseRequest>,
    ) -> Result<Response<pb::LeaseResponse>, Status> {
        let deadline = service::deadline(request.metadata());
        let mut request = request.into_inner();
        let n = request.worker.len();
        if !(1..=LONGEST_NAME).contains(&n) {
            let reason = format!(
                "must name the worker in at most {LONGEST_NAME} bytes, has {n}"
            );
            return Err(Error::from(Invalid::one("worker", reason)).into());
        }

        let wait = Duration::from_millis(request.wait_ms.into()).min(MAX_WAIT);
        let wait = deadline.map_or(wait, |deadline| {
            wait.min(deadline.saturating_sub(ANSWER_TIME))
        });
        tracing::debug!(
            worker = request.worker,
            device = request.device,
            "a worker asks for work"
        );
        let machine = machine(&mut request)?;
        self.jobs
            .machines
            .note(&request.worker, machine, Instant::now());

        let leased = self.jobs.lease(&request.worker, wait).await?.map(encoded);
        if leased.is_none() && self.shutdown.is_cancelled() {
            // Not "no work": the worker would ask again at once and keep the
            // connection open.
            return Err(Status::unavailable("this coordinator is leaving"));
        }

        Ok(Response::new(pb::LeaseResponse { leased }))
    }

    async fn heartbeat(
        &self,
        request: Request<pb::HeartbeatRequest>,
    ) -> Result<Response<pb::HeartbeatResponse>, Status> {
        let request = request.into_inner();
        let id = job_id("job", &request.job).map_err(Error::from)?;
        let progress = request.progress.unwrap_or_default().into();
        let cancel = self.jobs.heartbeat(&id, request.epoch, progress).await?;
        Ok(Response::new(pb::HeartbeatResponse { cancel }))
    }

    async fn commit_checkpoint(
        &self,
        request: Request<pb::CommitCheckpointRequest>,
    ) -> Result<Response<pb::CommitCheckpointResponse>, Status> {
        let request = request.into_inner();
        let id = job_id("job", &request.job).map_err(Error::from)?;
        let checkpoint = ArtifactId::new(request.checkpoint)
            .map_err(|invalid| Error::from(invalid.under("checkpoint")))?;
        self.jobs
            .commit_checkpoint(&id, request.epoch, checkpoint)
            .await?;
        Ok(Response::new(pb::CommitCheckpointResponse {}))
    }

    async fn commit_model(
        &self,
        request: Request<pb::CommitModelRequest>,
    ) -> Result<Response<pb::CommitModelResponse>, Status> {
        let request = request.into_inner();
        let id = job_id("job", &request.job).map_err(Error::from)?;
        let version = ModelVersion::new(request.model)
            .map_err(|invalid| Error::from(invalid.under("model")))?;
        let committed = Committed {
            epoch: request.epoch,
            version,
            metrics: metrics(request.metrics).map_err(Error::from)?,
        };

        self.jobs.commit_model(&id, &committed).await?;
        Ok(Response::new(pb::CommitModelResponse {
            model_version: version_name(&committed.version),
        }))
    }

    async fn end_attempt(
        &self,
        request: Request<pb::EndAttemptRequest>,
    ) -> Result<Response<pb::EndAttemptResponse>, Status> {
        let request = request.into_inner();
        let id = job_id("job", &request.job).map_err(Error::from)?;
        let epoch = request.epoch;
        let end = EndOfAttempt::try_from(request).map_err(Error::from)?;
        self.jobs.end_attempt(&id, epoch, end).await?;
        Ok(Response::new(pb::EndAttemptResponse {}))
    }
}

/// Most metrics of a model.
const MOST_METRICS: usize = 1_000;

/// The metrics of a model. A number that no record can hold is refused: the
/// model's and the job's could never be read again.
fn metrics(
    sent: HashMap<String, f64>,
) -> Result<BTreeMap<String, f64>, Invalid> {
    let mut many = Vec::new();
    at_most(&mut many, "metrics", sent.len(), MOST_METRICS);
    Invalid::check(many)?;
    let wrong = sent
        .iter()
        .find(|(name, value)| !value.is_finite() || name.len() > LONGEST_NAME);
    match wrong {
        Some((name, value)) => Err(Invalid::one(
            "metrics",
            format!(
                "`{name}` is {value}: names are at most {LONGEST_NAME} bytes, values finite"
            ),
        )),
        None => Ok(sent.into_iter().collect()),
    }
}

/// Most labels that a worker has.
const MOST_LABELS: usize = 32;
/// Most backbones that it tells of; fewer are remembered of it.
const MOST_BACKBONES: usize = 1_000;

/// Takes what a worker says of itself out of its request. A backbone that only
/// a newer worker could name is left out.
fn machine(request: &mut pb::LeaseRequest) -> Result<Machine, Error> {
    let calibration = match request.calibration.take() {
        Some(calibration) => Some(calibration.try_into()?),
        None => None,
    };
    let mut many = Vec::new();
    let n_backbones = request.backbones.len();
    at_most(&mut many, "backbones", n_backbones, MOST_BACKBONES);
    at_most(&mut many, "labels", request.labels.len(), MOST_LABELS);
    Invalid::check(many)?;
    let mut backbones = Vec::new();
    for seen in std::mem::take(&mut request.backbones) {
        backbones.extend(SeenBackbone::try_from(seen));
    }
    let labels = std::mem::take(&mut request.labels);
    let equipment = Equipment {
        labels: proto::worker_labels("labels", labels)?,
        memory_gib: request.memory_gib,
    };
    Ok(Machine {
        calibration,
        backbones,
        equipment,
    })
}

fn encoded(leased: Leased) -> pb::LeasedJob {
    let Leased { job, term } = leased;
    pb::LeasedJob {
        job: job_name(&job.id),
        spec: Some((&job.spec).into()),
        epoch: job.epoch(),
        term_ms: u32::try_from(term.as_millis()).unwrap_or(u32::MAX),
        checkpoint: job.checkpoint.map(String::from).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_that_no_record_holds_is_refused() {
        let sent =
            |name: &str, value| HashMap::from([(name.to_owned(), value)]);
        assert!(metrics(sent("ndcg@100", 0.25)).is_ok());
        for (name, value) in [
            ("ndcg@100", f64::NAN),
            ("ndcg@100", f64::INFINITY),
            (&*"n".repeat(257), 0.0),
        ] {
            assert!(metrics(sent(name, value)).is_err(), "{value}");
        }
        let many = (0..1_001).map(|n| (n.to_string(), 0.0)).collect();
        assert!(metrics(many).is_err());
    }
}
