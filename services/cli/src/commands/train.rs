//! `train`: submit, watch, list, show, cancel, retry.

use std::process::ExitCode;

use clap::Subcommand;
use proto::pb;

use crate::commands::study;
use crate::jobs::client::{TrainingClient, training_client};
use crate::jobs::exit::exit_code;
use crate::jobs::follow::follow;
use crate::jobs::submission::Submit;
use crate::names;
use crate::output::writer::{self, Output};
use crate::output::{json, text};
use crate::settings::Settings;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Queue a job; with `--watch`, follow it to its end.
    Submit(Box<Submit>),

    /// Follow a job to its end.
    Watch {
        /// The job's name: jobs/{job}
        job: String,

        /// Number of the first event wanted.
        #[arg(long, default_value_t = 1)]
        from: u64,
    },

    /// All jobs, oldest first.
    List,

    /// One job, and how good its model is.
    Show {
        /// The job's name: jobs/{job}
        job: String,
    },

    /// Ask a job to stop.
    Cancel {
        /// The job's name: jobs/{job}
        job: String,
    },

    /// Put a job that failed or was cancelled back into the queue; it goes on
    /// from its last checkpoint.
    Retry {
        /// The job's name: jobs/{job}
        job: String,
    },
}

pub(crate) async fn run(
    command: Command,
    settings: &Settings,
    output: Output,
) -> anyhow::Result<ExitCode> {
    if let Command::Submit(arguments) = &command
        && arguments.data.is_some()
    {
        return study::run(arguments, settings, output).await;
    }

    let mut client = training_client(&settings.coordinator)?;
    match command {
        Command::Submit(arguments) => {
            return submit(&mut client, &arguments, output).await;
        }
        Command::Watch { job, from } => {
            let name = names::job(&job);
            return watch(&mut client, &name, from, output).await;
        }
        Command::List => list(&mut client, output).await?,
        Command::Show { job } => {
            let request = pb::GetJobRequest {
                name: names::job(&job),
            };
            let job = client.get_job(request).await?.into_inner();
            output.write(&json::job(&job), || text::job_with_metrics(&job));
        }
        Command::Cancel { job } => {
            let request = pb::CancelJobRequest {
                name: names::job(&job),
            };
            let job = client.cancel_job(request).await?.into_inner();
            output.write(&json::job(&job), || text::job(&job));
        }
        Command::Retry { job } => {
            let request = pb::RetryJobRequest {
                name: names::job(&job),
            };
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
    output: Output,
) -> anyhow::Result<ExitCode> {
    let request = pb::TrainJobRequest {
        request_id: arguments.request_id.clone(),
        validate_only: arguments.validate_only,
        spec: Some((&arguments.spec()?).into()),
    };
    let job = client.train_job(request).await?.into_inner();
    if arguments.validate_only {
        output.write(&json::job(&job), || text::valid_spec(&job));
        return Ok(ExitCode::SUCCESS);
    }

    output.write(&json::job(&job), || job.name.clone());
    if arguments.watch {
        return watch(client, &job.name, 1, output).await;
    }

    Ok(ExitCode::SUCCESS)
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
        println!("{}", text::metrics_table(&job));
    }

    Ok(exit_code(&job))
}

async fn list(
    client: &mut TrainingClient,
    output: Output,
) -> anyhow::Result<()> {
    let mut page_token = String::new();
    loop {
        let request = pb::ListJobsRequest {
            page_size: 0,
            page_token,
        };
        let page = client.list_jobs(request).await?.into_inner();
        for job in &page.jobs {
            output.write(&json::job(job), || text::job(job));
        }
        writer::unreadable("job", &page.unreadable);

        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}
