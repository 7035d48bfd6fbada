//! Whether a job can be accepted, what it will cost, and putting it into the queue;
//! for the first time, or again.

use std::collections::BTreeSet;

use domain::{
    ArtifactId, Backbone, BackboneLocation, Counts, Event, Invalid, Job, JobId,
    Schedule, State, TrainSpec,
};
use storage::{Created, Kind};
use tokio::time::Instant;

use crate::about_dataset::About;
use crate::body::KnownBody;
use crate::error::Error;
use crate::machines::Known;
use crate::step::step;
use crate::train_job::TrainJobs;
use crate::{about_dataset, body, costs, placement};

/// Coordinators that meet while they add to a queue with a limit.
const N_TRIES: usize = 20;

/// What is to be done, when and where.
#[derive(Debug, Clone)]
pub(crate) struct Submission {
    pub(crate) spec: TrainSpec,
    pub(crate) schedule: Schedule,
}

impl From<TrainSpec> for Submission {
    fn from(spec: TrainSpec) -> Self {
        Self {
            spec,
            schedule: Schedule::default(),
        }
    }
}

/// What the workers have said that are there.
struct KnownWorkers {
    known: Known,
    /// One holds a job and has said nothing to this coordinator.
    has_stranger: bool,
}

impl TrainJobs {
    /// Queues a job for what `proto` has checked; the same request id gives the
    /// same job.
    pub(crate) async fn submit(
        &self,
        submission: impl Into<Submission>,
        request: Option<&str>,
    ) -> Result<Job, Error> {
        if let Some(request) = request
            && let Some(job) = self.storage.jobs.requested(request).await?
        {
            return Ok(job);
        }

        let Submission { spec, schedule } = submission.into();
        self.hold(&spec).await;
        self.check(&spec, &schedule).await?;
        let awaited = self.awaited_by(&schedule).await?;
        let id = JobId::new(format!("job-{}", uuid::Uuid::now_v7().simple()))?;
        let job = Job::queued(id, spec, self.clock.now_ms())
            .scheduled(schedule, awaited);
        let created = self.add(job, request).await?;
        self.queue.wake();
        let job = match created {
            Created::New(job) => job,
            Created::Before(job) => return Ok(job),
        };
        tracing::info!(job = %job.id, dataset = %job.spec.dataset, "job queued");
        for before in &job.waits.jobs {
            // It may have ended before this job was stored.
            self.tell_followers(&self.get(before).await?).await?;
        }

        if job.waits.jobs.is_empty() {
            return Ok(job);
        }
        self.get(&job.id).await
    }

    /// Stores a job, unless its queue is full.
    async fn add(
        &self,
        job: Job,
        request: Option<&str>,
    ) -> Result<Created, Error> {
        let queue = &job.schedule.queue;
        let most = self.queues.limits(queue).max_queued;
        let jobs = &self.storage.jobs;
        if most == 0 {
            return Ok(jobs.create(job, request).await?);
        }

        let _alone = self.queues.adding.lock().await;
        for _ in 0..N_TRIES {
            let turn = jobs.turn(queue).await?;
            if jobs.n_queued(queue, most).await? >= most {
                let queue = queue.clone();
                return Err(Error::QueueFull { queue, most });
            }

            let created =
                jobs.create_in_turn(job.clone(), request, Some(&turn)).await;
            match created {
                Err(storage::Error::Contended(_)) => {}
                created => return Ok(created?),
            }
        }

        Err(storage::Error::Contended(format!("queue {queue}")).into())
    }

    /// Keeps what a job needs from being removed as garbage before the job is
    /// stored that names it. Whoever calls this looks afterwards whether it is
    /// there.
    async fn hold(&self, spec: &TrainSpec) {
        let artifacts = &self.storage.artifacts;
        let dataset = ArtifactId::from(&spec.dataset);
        artifacts.touch(Kind::Dataset, &dataset).await;
        if let Backbone::Path(BackboneLocation::Artifact(id)) = &spec.backbone {
            artifacts.touch(Kind::Backbone, id).await;
        }
        if let Some(version) = &spec.start_from {
            artifacts.touch(Kind::Model, &version.into()).await;
        }
    }

    /// Checks what can be known before a worker has the job: the data set and
    /// the queue exist, and the deadline is to come.
    async fn check(
        &self,
        spec: &TrainSpec,
        schedule: &Schedule,
    ) -> Result<(), Error> {
        self.check_schedule(schedule)?;
        self.require_dataset(spec).await?;
        self.require_start(spec).await
    }

    fn check_schedule(&self, schedule: &Schedule) -> Result<(), Error> {
        self.queues.require(&schedule.queue)?;
        let now_ms = self.clock.now_ms();
        if let Some(deadline_ms) = schedule.deadline_ms
            && deadline_ms <= now_ms
        {
            let late_s = (now_ms - deadline_ms) / 1_000;
            let reason = format!("has passed, {late_s} s ago");
            return Err(Invalid::one("schedule.deadline", reason).into());
        }

        Ok(())
    }

    /// The version to start from is there, with its files and its data set, and
    /// was trained on the job's backbone.
    async fn require_start(&self, spec: &TrainSpec) -> Result<(), Error> {
        let Some(version) = &spec.start_from else {
            return Ok(());
        };
        let info = self.storage.registry.get(version).await?;
        if info.spec.backbone != spec.backbone {
            let reason = format!(
                "is not the one of modelVersions/{version}, whose rows mean nothing in another language model"
            );
            return Err(Invalid::one("spec.backbone", reason).into());
        }
        let artifacts = &self.storage.artifacts;
        let own: About = about_dataset::read(artifacts, &spec.dataset).await?;
        if own.catalog != info.catalog {
            let reason = format!(
                "ranks the catalog `{}`; the data set is of `{}`, whose items may have the same ids",
                info.catalog, own.catalog
            );
            return Err(Invalid::one("spec.start_from", reason).into());
        }
        artifacts.require(Kind::Model, &version.into()).await?;
        // It says what the version has learned from.
        let dataset = ArtifactId::from(&info.dataset);
        artifacts.touch(Kind::Dataset, &dataset).await;
        Ok(artifacts.require(Kind::Dataset, &dataset).await?)
    }

    async fn require_dataset(&self, spec: &TrainSpec) -> Result<(), Error> {
        let dataset = ArtifactId::from(&spec.dataset);
        let artifacts = &self.storage.artifacts;
        Ok(artifacts.require(Kind::Dataset, &dataset).await?)
    }

    /// Checks a submission without queueing it; says what its parts will cost,
    /// and who can take it.
    pub(crate) async fn notes(
        &self,
        submission: &Submission,
    ) -> Result<Vec<String>, Error> {
        let spec = &submission.spec;
        self.check(spec, &submission.schedule).await?;
        let artifacts = &self.storage.artifacts;
        let counts = about_dataset::read(artifacts, &spec.dataset).await?;
        self.notes_on(submission, &counts).await
    }

    /// Says what a submission will cost, and who can take it, for a data set that
    /// need not be stored, by what it holds.
    pub(crate) async fn notes_on(
        &self,
        submission: &Submission,
        counts: &Counts,
    ) -> Result<Vec<String>, Error> {
        let Submission { spec, schedule } = submission;
        self.check_schedule(schedule)?;
        let awaited = self.awaited_by(schedule).await?;
        let artifacts = &self.storage.artifacts;
        let known = self.known_workers().await?.known;
        let work = costs::Work {
            spec,
            counts,
            body: body::find(spec, &known.backbones, artifacts).await?,
        };
        let mut notes = costs::notes(&work, &known.calibrations);
        notes.push(placement::note(&schedule.needs, &known.equipment));
        if let KnownBody::Sizes(body) = &work.body {
            notes.extend(placement::too_small(body, &known.equipment));
        }
        for before in awaited {
            notes.push(format!("it waits until jobs/{before} has succeeded"));
        }

        Ok(notes)
    }

    /// Why no worker that is there can take a queued job that could begin;
    /// `None` where it waits for its turn, or for something else.
    pub(crate) async fn no_taker(
        &self,
        job: &Job,
    ) -> Result<Option<String>, Error> {
        let waits = !job.may_begin() || !job.pause().is_zero();
        if job.state != State::Queued || waits {
            return Ok(None);
        }

        let workers = self.known_workers().await?;
        if workers.has_stranger {
            return Ok(None);
        }

        let needs = &job.schedule.needs;
        Ok(placement::no_taker(needs, &workers.known.equipment))
    }

    async fn known_workers(&self) -> Result<KnownWorkers, Error> {
        let jobs = &self.storage.jobs;
        let leased = jobs.get_all(&jobs.leased().await?).await?;
        let leases = leased.iter().filter_map(|job| job.lease.as_ref());
        let busy: BTreeSet<&str> = leases.map(|lease| &*lease.worker).collect();
        let known = self.machines.known(&busy, Instant::now());
        let has_stranger = busy
            .iter()
            .any(|worker| !known.equipment.contains_key(*worker));
        Ok(KnownWorkers {
            known,
            has_stranger,
        })
    }

    /// Puts a job that ended without a model back into the queue. Those of the
    /// jobs that it follows which it still waited for must have been tried
    /// again, too.
    pub(crate) async fn retry(&self, id: &JobId) -> Result<Job, Error> {
        let job = self.get(id).await?;
        let mut waits = job.waits.clone();
        if job.state.is_final() {
            self.hold(&job.spec).await;
            self.require_dataset(&job.spec).await?;
            self.require_start(&job.spec).await?;
            let unmet = Schedule {
                after: std::mem::take(&mut waits.jobs),
                ..job.schedule.clone()
            };
            waits.jobs = self.awaited_by(&unmet).await?;
        }

        let event = Event::RetryRequested;
        let now_ms = self.clock.now_ms();
        let change = |job: &mut Job| {
            job.waits.jobs = waits.jobs.clone();
            step(job, &event, now_ms)
        };
        let job = self.storage.jobs.update(id, change).await?;
        self.note(&job);
        for before in &job.waits.jobs {
            self.tell_followers(&self.get(before).await?).await?;
        }

        Ok(job)
    }
}
