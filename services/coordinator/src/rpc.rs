//! The coordinator's RPC methods: decode, call, encode.

use std::pin::Pin;
use std::time::Duration;

use domain::{Invalid, Label, TrainSpec};
use futures::{Stream, StreamExt};
use proto::{EndOfAttempt, job_id, job_name, pb, timestamp, version_id, version_name};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::Error;
use crate::models::Models;
use crate::train_job::TrainJobs;

/// `TrainingService`.
pub(crate) struct Training {
    pub(crate) jobs: TrainJobs,
    pub(crate) shutdown: CancellationToken,
}

#[tonic::async_trait]
impl pb::training_service_server::TrainingService for Training {
    async fn train_job(
        &self,
        request: Request<pb::TrainJobRequest>,
    ) -> Result<Response<pb::Job>, Status> {
        let request = request.into_inner();
        let spec = request
            .spec
            .ok_or_else(|| Error::from(Invalid::one("spec", "must be given")))?;
        let spec =
            TrainSpec::try_from(spec).map_err(|invalid| Error::from(invalid.under("spec")))?;
        let id = checked_request_id(&request.request_id)?;
        if request.validate_only {
            let notes = self.jobs.costs(&spec).await?;
            return Ok(Response::new(pb::Job {
                spec: Some((&spec).into()),
                notes,
                ..pb::Job::default()
            }));
        }
        let job = self.jobs.submit(spec, id).await?;
        Ok(Response::new((&job).into()))
    }

    async fn get_job(
        &self,
        request: Request<pb::GetJobRequest>,
    ) -> Result<Response<pb::Job>, Status> {
        let id = job_id("name", &request.get_ref().name).map_err(Error::from)?;
        Ok(Response::new((&self.jobs.get(&id).await?).into()))
    }

    async fn list_jobs(
        &self,
        request: Request<pb::ListJobsRequest>,
    ) -> Result<Response<pb::ListJobsResponse>, Status> {
        let request = request.into_inner();
        let jobs = self.jobs.list().await?;
        let page = Page::of(
            jobs,
            |job| job.id.to_string(),
            request.page_size,
            &request.page_token,
        )?;
        let next_page_token = page.next_token;
        Ok(Response::new(pb::ListJobsResponse {
            jobs: page.entries.iter().map(Into::into).collect(),
            next_page_token,
        }))
    }

    async fn cancel_job(
        &self,
        request: Request<pb::CancelJobRequest>,
    ) -> Result<Response<pb::Job>, Status> {
        let id = job_id("name", &request.get_ref().name).map_err(Error::from)?;
        Ok(Response::new((&self.jobs.cancel(&id).await?).into()))
    }

    type WatchJobStream = Pin<Box<dyn Stream<Item = Result<pb::JobEvent, Status>> + Send>>;

    async fn watch_job(
        &self,
        request: Request<pb::WatchJobRequest>,
    ) -> Result<Response<Self::WatchJobStream>, Status> {
        let request = request.into_inner();
        let id = job_id("name", &request.name).map_err(Error::from)?;
        self.jobs.get(&id).await?;
        let events = self
            .jobs
            .watch(id, request.from_number, self.shutdown.clone())
            .map(|event| {
                let event = event?;
                Ok(pb::JobEvent {
                    number: event.number,
                    time: Some(timestamp(event.at_ms)),
                    message: event.message,
                    job: Some((&event.job).into()),
                })
            });
        Ok(Response::new(Box::pin(events)))
    }
}

fn checked_request_id(id: &str) -> Result<Option<&str>, Error> {
    const LONGEST: usize = 256;
    if id.len() > LONGEST {
        return Err(Invalid::one(
            "request_id",
            format!("must be at most {LONGEST} bytes, has {}", id.len()),
        )
        .into());
    }
    Ok(Some(id).filter(|id| !id.is_empty()))
}

/// One page of a list whose entries have unique, stable keys.
struct Page<T> {
    entries: Vec<T>,
    next_token: String,
}

impl<T> Page<T> {
    /// The entries after the one that the token names; a token is the key of the last entry shown.
    fn of(all: Vec<T>, key: impl Fn(&T) -> String, size: i32, token: &str) -> Result<Self, Error> {
        const DEFAULT: usize = 50;
        const MOST: usize = 1_000;
        let size = match usize::try_from(size) {
            Ok(0) => DEFAULT,
            Ok(size) => size.min(MOST),
            Err(_) => {
                return Err(
                    Invalid::one("page_size", format!("must not be negative, is {size}")).into(),
                );
            }
        };
        let start = if token.is_empty() {
            0
        } else {
            let unknown = || {
                Error::from(Invalid::one(
                    "page_token",
                    "is not a token of this list; start again",
                ))
            };
            all.iter()
                .position(|entry| key(entry) == token)
                .ok_or_else(unknown)?
                + 1
        };
        let has_more = all.len() > start + size;
        let entries: Vec<T> = all.into_iter().skip(start).take(size).collect();
        let next_token = entries
            .last()
            .filter(|_| has_more)
            .map(key)
            .unwrap_or_default();
        Ok(Self {
            entries,
            next_token,
        })
    }
}

/// `ModelService`.
pub(crate) struct Registry {
    pub(crate) models: Models,
}

#[tonic::async_trait]
impl pb::model_service_server::ModelService for Registry {
    async fn get_model_version(
        &self,
        request: Request<pb::GetModelVersionRequest>,
    ) -> Result<Response<pb::ModelVersion>, Status> {
        let version = version_id("name", &request.get_ref().name).map_err(Error::from)?;
        let (info, labels) = self.models.get(&version).await?;
        Ok(Response::new(pb::ModelVersion::of(&info, &labels)))
    }

    async fn list_model_versions(
        &self,
        request: Request<pb::ListModelVersionsRequest>,
    ) -> Result<Response<pb::ListModelVersionsResponse>, Status> {
        let request = request.into_inner();
        let versions = self.models.list().await?;
        let page = Page::of(
            versions,
            |(info, _)| info.version.to_string(),
            request.page_size,
            &request.page_token,
        )?;
        Ok(Response::new(pb::ListModelVersionsResponse {
            model_versions: page
                .entries
                .iter()
                .map(|(info, labels)| pb::ModelVersion::of(info, labels))
                .collect(),
            next_page_token: page.next_token,
        }))
    }

    async fn delete_model_version(
        &self,
        request: Request<pb::DeleteModelVersionRequest>,
    ) -> Result<Response<pb::DeleteModelVersionResponse>, Status> {
        let version = version_id("name", &request.get_ref().name).map_err(Error::from)?;
        self.models.delete(&version).await?;
        Ok(Response::new(pb::DeleteModelVersionResponse {}))
    }

    async fn set_label(
        &self,
        request: Request<pb::SetLabelRequest>,
    ) -> Result<Response<pb::ModelVersion>, Status> {
        let request = request.into_inner();
        let label =
            Label::new(request.label).map_err(|invalid| Error::from(invalid.under("label")))?;
        let version = version_id("model_version", &request.model_version).map_err(Error::from)?;
        let (info, labels) = self.models.set_label(&label, &version).await?;
        Ok(Response::new(pb::ModelVersion::of(&info, &labels)))
    }

    async fn remove_label(
        &self,
        request: Request<pb::RemoveLabelRequest>,
    ) -> Result<Response<pb::RemoveLabelResponse>, Status> {
        let label = Label::new(request.into_inner().label)
            .map_err(|invalid| Error::from(invalid.under("label")))?;
        self.models.remove_label(&label).await?;
        Ok(Response::new(pb::RemoveLabelResponse {}))
    }
}

/// `WorkerService`.
pub(crate) struct Workers {
    pub(crate) jobs: TrainJobs,
    pub(crate) shutdown: CancellationToken,
}

/// Longest wait for work.
const MAX_WAIT: Duration = Duration::from_secs(60);

#[tonic::async_trait]
impl pb::worker_service_server::WorkerService for Workers {
    async fn lease(
        &self,
        request: Request<pb::LeaseRequest>,
    ) -> Result<Response<pb::LeaseResponse>, Status> {
        let request = request.into_inner();
        if request.worker.is_empty() {
            return Err(Error::from(Invalid::one("worker", "must name the worker")).into());
        }
        let wait = Duration::from_millis(request.wait_ms.into()).min(MAX_WAIT);
        tracing::debug!(
            worker = request.worker,
            device = request.device,
            "a worker asks for work"
        );
        if let Some(calibration) = request.calibration {
            self.jobs
                .machines
                .note(calibration.try_into().map_err(Error::from)?);
        }
        let leased = self
            .jobs
            .lease(&request.worker, wait, &self.shutdown)
            .await?
            .map(|leased| pb::LeasedJob {
                job: job_name(&leased.job.id),
                spec: Some((&leased.job.spec).into()),
                epoch: leased.job.epoch(),
                term_ms: u32::try_from(leased.term.as_millis()).unwrap_or(u32::MAX),
                checkpoint: leased.job.checkpoint.unwrap_or_default(),
            });
        if leased.is_none() && self.shutdown.is_cancelled() {
            // Not "no work": the worker would ask again at once and keep the connection open.
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
        self.jobs
            .commit_checkpoint(&id, request.epoch, &request.checkpoint)
            .await?;
        Ok(Response::new(pb::CommitCheckpointResponse {}))
    }

    async fn commit_model(
        &self,
        request: Request<pb::CommitModelRequest>,
    ) -> Result<Response<pb::CommitModelResponse>, Status> {
        let request = request.into_inner();
        let id = job_id("job", &request.job).map_err(Error::from)?;
        let metrics = request.metrics.into_iter().collect();
        let version = self
            .jobs
            .commit_model(&id, request.epoch, &request.model, metrics)
            .await?;
        Ok(Response::new(pb::CommitModelResponse {
            model_version: version_name(&version),
        }))
    }

    async fn end_attempt(
        &self,
        request: Request<pb::EndAttemptRequest>,
    ) -> Result<Response<pb::EndAttemptResponse>, Status> {
        let request = request.into_inner();
        let id = job_id("job", &request.job).map_err(Error::from)?;
        let end = EndOfAttempt::try_from(request.reason).map_err(Error::from)?;
        self.jobs.end_attempt(&id, request.epoch, end).await?;
        Ok(Response::new(pb::EndAttemptResponse {}))
    }
}
