//! `train`: submit, tune, watch, list, show, export, cancel, retry.

use std::collections::HashMap;
use std::process::ExitCode;

use clap::Subcommand;
use proto::pb;
use storage::Artifacts;

use crate::commands::{export, study, tune};
use crate::jobs::client::{TrainingClient, training_client};
use crate::jobs::exit::exit_code;
use crate::jobs::follow::{events_so_far, follow};
use crate::jobs::schedule::now_ms;
use crate::jobs::submission::Submit;
use crate::lookup;
use crate::names;
use crate::output::job_page::JobPage;
use crate::output::writer::{self, Output};
use crate::output::{json, text};
use crate::settings::Settings;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Queue a job; with `--watch`, follow it to its end.
    Submit(Box<Submit>),

    /// Queue a job for each combination of values (`--set a=1,2 --set b=3,4`),
    /// wait for all, and show them, the best on validation first.
    Tune(Box<tune::Tune>),

    /// Follow a job to its end.
    Watch {
        /// The job's id, or the beginning of it.
        job: String,

        /// Number of the first event wanted.
        #[arg(long, default_value_t = 1)]
        from: u64,
    },

    /// Jobs, oldest first: all, or those that are asked for.
    List(List),

    /// One job, and how good its model is.
    Show {
        /// The job's id, or the beginning of it.
        job: String,
    },

    /// Write jobs for TensorBoard, or send them to MLflow.
    Export(export::Export),

    /// Ask a job to stop.
    Cancel {
        /// The job's id, or the beginning of it.
        job: String,
    },

    /// Put a job that failed or was cancelled back into the queue; it goes on
    /// from its last checkpoint.
    Retry {
        /// The job's id, or the beginning of it.
        job: String,
    },
}

/// Which jobs `train list` shows.
#[derive(clap::Args)]
pub(crate) struct List {
    /// Only jobs in this state.
    #[arg(long)]
    state: Option<ListedState>,

    /// Only jobs on this data set: its id, the beginning of it, or its name.
    #[arg(long)]
    dataset: Option<String>,

    /// Only jobs whose model gets this label.
    #[arg(long)]
    label: Option<String>,

    /// From the newest job on.
    #[arg(long)]
    newest_first: bool,

    /// At most so many.
    #[arg(long)]
    limit: Option<usize>,
}

/// A state, as it is typed.
#[derive(Clone, Copy, clap::ValueEnum)]
enum ListedState {
    Queued,
    Running,
    Cancelling,
    Succeeded,
    Failed,
    Cancelled,
}

/// Most jobs of a page.
const MOST: usize = 1_000;

pub(crate) async fn run(
    command: Command,
    settings: &Settings,
    output: Output,
) -> anyhow::Result<ExitCode> {
    if let Command::Submit(arguments) = &command {
        arguments.refuse_options_without_effect()?;
        if arguments.data.is_some() {
            return study::run(arguments, settings, output).await;
        }
    }

    let mut client = training_client(&settings.coordinator)?;
    match command {
        Command::Tune(arguments) => {
            return tune::run(&arguments, settings, output).await;
        }
        Command::Submit(arguments) => {
            return submit(&mut client, &arguments, settings, output).await;
        }
        Command::Watch { job, from } => {
            let name = lookup::job(&mut client, &job).await?;
            return watch(&mut client, &name, from, output).await;
        }
        Command::List(arguments) => {
            list(&mut client, &arguments, settings, output).await?;
        }
        Command::Show { job } => {
            let name = lookup::job(&mut client, &job).await?;
            show(&mut client, &name, settings, output).await?;
        }
        Command::Export(arguments) => {
            export::run(&mut client, &arguments, output).await?;
        }
        Command::Cancel { job } => {
            let name = lookup::job(&mut client, &job).await?;
            let request = pb::CancelJobRequest { name };
            let job = client.cancel_job(request).await?.into_inner();
            output.write(&json::job(&job), || text::job(&job));
        }
        Command::Retry { job } => {
            let name = lookup::job(&mut client, &job).await?;
            let request = pb::RetryJobRequest { name };
            let job = client.retry_job(request).await?.into_inner();
            output.write(&json::job(&job), || text::job(&job));
        }
    }

    Ok(ExitCode::SUCCESS)
}

/// Queues a job, or only checks it; follows it where that is wanted.
async fn submit(
    client: &mut TrainingClient,
    arguments: &Submit,
    settings: &Settings,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let start = arguments.start_version(&settings.coordinator).await?;
    let request = pb::TrainJobRequest {
        request_id: arguments.request_id.clone(),
        validate_only: arguments.validate_only,
        spec: Some((&arguments.spec(start.as_ref(), settings).await?).into()),
        schedule: arguments.schedule.found(client, now_ms()?).await?,
        counts: None,
    };
    let job = client.train_job(request).await?.into_inner();
    if arguments.validate_only {
        output.write(&json::job(&job), || text::valid_spec(&job));
        return Ok(ExitCode::SUCCESS);
    }

    output.write(&json::job(&job), || job.name.clone());
    if !arguments.watch && !job.no_taker.is_empty() {
        writer::note(&job.no_taker);
    }
    if arguments.watch {
        return watch(client, &job.name, 1, output).await;
    }

    Ok(ExitCode::SUCCESS)
}

/// Shows one job: all of its record for programs, a page for people.
async fn show(
    client: &mut TrainingClient,
    name: &str,
    settings: &Settings,
    output: Output,
) -> anyhow::Result<()> {
    let request = pb::GetJobRequest {
        name: name.to_owned(),
    };
    let job = client.get_job(request).await?.into_inner();
    if output.json {
        writer::json_line(&json::job(&job));
        return Ok(());
    }

    let page = JobPage {
        events: events_so_far(client, &job).await?,
        dataset: dataset_name(settings, &job).await,
        now_ms: now_ms()?,
        job: &job,
    };
    writer::line(page.text());
    Ok(())
}

/// What a job's data set is called, where the store can be read.
async fn dataset_name(settings: &Settings, job: &pb::Job) -> Option<String> {
    let spec = job.spec.as_ref()?;
    let id = names::dataset_id(&spec.dataset);
    let artifacts = Artifacts::open(&settings.storage).ok()?;
    lookup::name_of(&artifacts, id).await
}

/// Follows a job to its end and shows its metrics.
async fn watch(
    client: &mut TrainingClient,
    name: &str,
    from: u64,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let job = follow(client, name, from, output).await?;
    if !output.json && !job.metrics.is_empty() {
        writer::line(text::metrics_table(&job));
    }

    Ok(exit_code(&job))
}

async fn list(
    client: &mut TrainingClient,
    arguments: &List,
    settings: &Settings,
    output: Output,
) -> anyhow::Result<()> {
    let mut request = arguments.request(settings).await?;
    let mut n_left = arguments.limit.unwrap_or(usize::MAX);
    // By the data set's id: many jobs have the same one.
    let mut dataset_names: HashMap<String, Option<String>> = HashMap::new();
    loop {
        let page = client.list_jobs(request.clone()).await?.into_inner();
        for job in page.jobs.iter().take(n_left) {
            let dataset = job.spec.clone().unwrap_or_default().dataset;
            if !output.json && !dataset_names.contains_key(&dataset) {
                let name = dataset_name(settings, job).await;
                dataset_names.insert(dataset.clone(), name);
            }
            output.write(&json::job(job), || {
                let name = dataset_names.get(&dataset).cloned().flatten();
                text::listed_job(job, name.as_deref())
            });
        }
        writer::unreadable("job", &page.unreadable);

        n_left = n_left.saturating_sub(page.jobs.len());
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() || n_left == 0 {
            return Ok(());
        }
    }
}

impl List {
    /// The first page's request.
    async fn request(
        &self,
        settings: &Settings,
    ) -> anyhow::Result<pb::ListJobsRequest> {
        let state = self.state.map(pb::job::State::from).unwrap_or_default();
        let mut dataset = None;
        if let Some(typed) = &self.dataset {
            let id = lookup::dataset(settings, typed).await?;
            dataset = Some(names::dataset(&id));
        }
        let page_size = self.limit.map_or(0, |limit| limit.min(MOST) as i32);
        Ok(pb::ListJobsRequest {
            page_size,
            state: state.into(),
            dataset: dataset.unwrap_or_default(),
            label: self.label.clone().unwrap_or_default(),
            newest_first: self.newest_first,
            ..pb::ListJobsRequest::default()
        })
    }
}

impl From<ListedState> for pb::job::State {
    fn from(state: ListedState) -> Self {
        match state {
            ListedState::Queued => Self::Queued,
            ListedState::Running => Self::Running,
            ListedState::Cancelling => Self::Cancelling,
            ListedState::Succeeded => Self::Succeeded,
            ListedState::Failed => Self::Failed,
            ListedState::Cancelled => Self::Cancelled,
        }
    }
}
