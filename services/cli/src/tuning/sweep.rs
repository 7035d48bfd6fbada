//! Queues the jobs of a sweep, and waits until all have ended.

use std::time::Duration;

use proto::pb;
use service::client::is_passing;
use tonic::{Code, Status};

use crate::jobs::client::TrainingClient;
use crate::jobs::reconnects::Reconnects;
use crate::output::writer;
use crate::tuning::combinations::Combination;
use crate::tuning::ranking::Measure;

/// Time between two looks at the jobs.
const PAUSE: Duration = Duration::from_secs(1);

/// One combination and its job.
#[derive(Debug)]
pub(crate) struct Trial {
    /// The fields that the trials differ in.
    pub(crate) fields: Combination,
    pub(crate) request: pb::TrainJobRequest,
    /// Absent until its queue takes it.
    pub(crate) job: Option<pb::Job>,
}

/// All jobs of a sweep.
pub(crate) struct Sweep<'a> {
    pub(crate) client: &'a mut TrainingClient,
    pub(crate) trials: Vec<Trial>,
    /// What is told of each trial that has ended.
    pub(crate) measure: Measure,
}

impl Trial {
    pub(crate) fn has_ended(&self) -> bool {
        let job = self.job.as_ref();
        job.is_some_and(|job| job.state().is_final())
    }

    /// The fields as they are typed.
    pub(crate) fn shown(&self) -> String {
        let mut shown = Vec::new();
        for (field, value) in &self.fields {
            shown.push(format!("{field}={value}"));
        }

        shown.join(" ")
    }
}

impl Sweep<'_> {
    /// Waits until all jobs have ended; those that a full queue refuses are
    /// queued when others have begun.
    pub(crate) async fn run(&mut self) -> anyhow::Result<()> {
        let mut reconnects = Reconnects::default();
        loop {
            match self.look().await {
                Ok(()) => reconnects.saw_event(),
                Err(status) => {
                    let may_go_on = reconnects.may_follow_failure();
                    if !is_passing(&status) || !may_go_on {
                        return Err(status.into());
                    }
                }
            }

            if self.trials.iter().all(Trial::has_ended) {
                return Ok(());
            }

            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Queues what is not queued yet, and looks at what has not ended.
    async fn look(&mut self) -> Result<(), Status> {
        for place in 0..self.trials.len() {
            let trial = &self.trials[place];
            if trial.has_ended() {
                continue;
            }

            let name = trial.job.as_ref().map(|job| job.name.clone());
            let job = match name {
                Some(name) => self.job(name).await?,
                None => match self.submit(place).await? {
                    Some(job) => job,
                    None => break, // nor do those behind it have room
                },
            };
            let trial = &mut self.trials[place];
            trial.job = Some(job);
            if trial.has_ended() {
                self.tell(place);
            }
        }

        Ok(())
    }

    /// Queues a job; `None` while its queue is full of this sweep's own.
    async fn submit(
        &mut self,
        place: usize,
    ) -> Result<Option<pb::Job>, Status> {
        let request = self.trials[place].request.clone();
        let is_waiting = self
            .trials
            .iter()
            .any(|trial| trial.job.is_some() && !trial.has_ended());
        match self.client.train_job(request).await {
            Ok(job) => Ok(Some(job.into_inner())),
            Err(status)
                if status.code() == Code::ResourceExhausted && is_waiting =>
            {
                Ok(None)
            }
            Err(status) => Err(status),
        }
    }

    async fn job(&mut self, name: String) -> Result<pb::Job, Status> {
        let request = pb::GetJobRequest { name };
        Ok(self.client.get_job(request).await?.into_inner())
    }

    /// Says on stderr how a trial ended.
    fn tell(&self, place: usize) {
        let trial = &self.trials[place];
        let n_ended = self.trials.iter().filter(|t| t.has_ended()).count();
        let n = self.trials.len();
        let Some(job) = &trial.job else { return };
        let came = match self.measure.of(job) {
            Some(value) => format!("{} {value:.4}", self.measure.key()),
            None => job.state().as_str_name().to_owned(),
        };
        writer::note(format_args!(
            "{n_ended} of {n}: {came}  {}  {}",
            trial.shown(),
            job.name
        ));
    }
}
