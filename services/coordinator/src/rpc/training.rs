//! What clients ask about jobs.

use std::pin::Pin;

use domain::{Invalid, JobId, Label, Schedule, TrainSpec};
use futures::{Stream, StreamExt};
use proto::{dataset_id, job_id, pb, state, timestamp};
use storage::{JobFilter, JobQuery, Order};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::rpc::page::page_size;
use crate::submission::Submission;
use crate::train_job::TrainJobs;

/// Serves `TrainingService` to clients.
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
        let spec = checked_spec(request.spec)?;
        let schedule = checked_schedule(request.schedule)?;
        let id = checked_request_id(&request.request_id)?;
        let submission = Submission { spec, schedule };
        if request.validate_only {
            let notes = self.jobs.notes(&submission).await?;
            return Ok(Response::new(pb::Job {
                spec: Some((&submission.spec).into()),
                schedule: Some((&submission.schedule).into()),
                notes,
                ..pb::Job::default()
            }));
        }

        let job = self.jobs.submit(submission, id).await?;
        Ok(Response::new((&job).into()))
    }

    async fn get_job(
        &self,
        request: Request<pb::GetJobRequest>,
    ) -> Result<Response<pb::Job>, Status> {
        let id =
            job_id("name", &request.get_ref().name).map_err(Error::from)?;
        Ok(Response::new((&self.jobs.get(&id).await?).into()))
    }

    async fn list_jobs(
        &self,
        request: Request<pb::ListJobsRequest>,
    ) -> Result<Response<pb::ListJobsResponse>, Status> {
        let query = job_query(request.into_inner()).map_err(Error::from)?;
        let page = self.jobs.page(&query).await?;
        Ok(Response::new(pb::ListJobsResponse {
            jobs: page.jobs.iter().map(Into::into).collect(),
            next_page_token: page.next.unwrap_or_default(),
            unreadable: page.unreadable,
        }))
    }

    async fn cancel_job(
        &self,
        request: Request<pb::CancelJobRequest>,
    ) -> Result<Response<pb::Job>, Status> {
        let id =
            job_id("name", &request.get_ref().name).map_err(Error::from)?;
        Ok(Response::new((&self.jobs.cancel(&id).await?).into()))
    }

    async fn retry_job(
        &self,
        request: Request<pb::RetryJobRequest>,
    ) -> Result<Response<pb::Job>, Status> {
        let id =
            job_id("name", &request.get_ref().name).map_err(Error::from)?;
        Ok(Response::new((&self.jobs.retry(&id).await?).into()))
    }

    type WatchJobStream =
        Pin<Box<dyn Stream<Item = Result<pb::JobEvent, Status>> + Send>>;

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

/// Reads which jobs are wanted. A page's token is the id of the job before it.
fn job_query(request: pb::ListJobsRequest) -> Result<JobQuery, Invalid> {
    let size = page_size(request.page_size)?;
    let mut after = None;
    if !request.page_token.is_empty() {
        let Ok(id) = JobId::new(request.page_token) else {
            let reason = "is not a token of this list; start again";
            return Err(Invalid::one("page_token", reason));
        };
        after = Some(id.into());
    }

    let mut filter = JobFilter {
        state: state("state", request.state)?,
        ..JobFilter::default()
    };
    if !request.dataset.is_empty() {
        filter.dataset = Some(dataset_id("dataset", &request.dataset)?);
    }

    if !request.label.is_empty() {
        let label = Label::new(request.label);
        filter.label = Some(label.map_err(|invalid| invalid.under("label"))?);
    }

    let order = if request.newest_first {
        Order::Descending
    } else {
        Order::Ascending
    };
    Ok(JobQuery {
        filter,
        order,
        after,
        size,
    })
}

fn checked_spec(spec: Option<pb::TrainSpec>) -> Result<TrainSpec, Error> {
    let Some(spec) = spec else {
        return Err(Invalid::one("spec", "must be given").into());
    };

    TrainSpec::try_from(spec).map_err(|invalid| invalid.under("spec").into())
}

fn checked_schedule(schedule: Option<pb::Schedule>) -> Result<Schedule, Error> {
    let schedule = Schedule::try_from(schedule.unwrap_or_default());
    schedule.map_err(|invalid| invalid.under("schedule").into())
}

fn checked_request_id(id: &str) -> Result<Option<&str>, Error> {
    const LONGEST: usize = 256;
    if id.len() > LONGEST {
        let reason =
            format!("must be at most {LONGEST} bytes, has {}", id.len());
        return Err(Invalid::one("request_id", reason).into());
    }

    Ok(Some(id).filter(|id| !id.is_empty()))
}
