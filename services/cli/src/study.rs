//! `train submit --data PATH`: from a file to a report in one command. Uses the services that run,
//! or its own.

use std::path::Path;
use std::process::ExitCode;

use ::dataset::Dataset;
use anyhow::Context;
use proto::pb;
use proto::pb::job::State;
use service::client::Target;

use crate::output::Output;
use crate::train::{Imported, Submit, client, follow, spec};
use crate::up::Up;
use crate::{DEFAULTS, NO_MODEL, Settings, dataset, output, report};

/// Where everything is kept when no services run: where `cllm4rec up` keeps it, too.
const OWN_FOLDER: &str = "data";

/// Imports, trains and reports.
pub(crate) async fn run(
    arguments: &Submit,
    settings: &Settings,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let path = arguments
        .data
        .as_deref()
        .context("`--data` names what to import")?;
    path.metadata()
        .with_context(|| format!("--data {}", path.display()))?; // before anything is started
    spec(
        arguments,
        Some(Imported {
            id: "not-imported-yet",
            is_private: true,
        }),
    )?; // wrong fields before a long import
    if somebody_answers(&settings.coordinator).await? {
        let (data, id) = dataset::import_and_seed(path, &arguments.reading, settings).await?;
        let imported = Imported {
            id: &id,
            is_private: false,
        };
        return train_and_report(arguments, (&data, imported), &settings.coordinator, output).await;
    }
    eprintln!(
        "no services run: starting them for this job, everything is kept in `{OWN_FOLDER}` for `cllm4rec up`"
    );
    Up::during(Path::new(OWN_FOLDER), async |up| {
        let (data, _) = dataset::read(path, &arguments.reading).await?;
        let id = dataset::store_in(&up.storage, &data).await?;
        train_and_report(
            arguments,
            (
                &data,
                Imported {
                    id: &id,
                    is_private: true,
                },
            ),
            &up.coordinator,
            output,
        )
        .await
    })
    .await
}

async fn somebody_answers(coordinator: &Target) -> anyhow::Result<bool> {
    match client(coordinator)?
        .list_jobs(pb::ListJobsRequest::default())
        .await
    {
        Ok(_) => Ok(true),
        // Where a coordinator was configured, its absence is an error, not a reason to train
        // somewhere else.
        Err(status) if status.code() == tonic::Code::Unavailable && is_usual(coordinator)? => {
            Ok(false)
        }
        Err(status) => Err(status.into()),
    }
}

fn is_usual(coordinator: &Target) -> anyhow::Result<bool> {
    let usual: Settings = toml::from_str(DEFAULTS)?;
    Ok(usual.coordinator.url == coordinator.url)
}

async fn train_and_report(
    arguments: &Submit,
    (data, imported): (&Dataset, Imported<'_>),
    coordinator: &Target,
    output: Output,
) -> anyhow::Result<ExitCode> {
    if !output.json {
        println!("{}\n", dataset::describe(imported.id, &data.manifest));
    }
    let spec = spec(arguments, Some(imported))?;
    let mut client = client(coordinator)?;
    let request_id = arguments.request_id.clone();
    let request = pb::TrainJobRequest {
        spec: Some((&spec).into()),
        request_id,
        validate_only: arguments.validate_only,
    };
    let job = client.train_job(request).await?.into_inner();
    if arguments.validate_only {
        output.write(&output::job(&job), || output::valid(&job));
        return Ok(ExitCode::SUCCESS);
    }
    let job = follow(&mut client, &job.name, 1, output).await?;
    if job.state() != State::Succeeded {
        return Ok(ExitCode::from(NO_MODEL));
    }
    let n_users = data.manifest.n_users;
    let page = report::html(&job, &data.manifest.name, n_users);
    std::fs::write(&arguments.report, page).with_context(|| {
        format!(
            "the report {} cannot be written",
            arguments.report.display()
        )
    })?;
    let where_it_is = arguments.report.display();
    output.write(&output::job(&job), || {
        format!(
            "{}\n\nwritten to {where_it_is}",
            report::text(&job, n_users)
        )
    });
    Ok(ExitCode::SUCCESS)
}
