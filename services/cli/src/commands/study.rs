//! `train submit --data PATH`: from a file to a report in one command. Uses the
//! services that run, or its own.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use dataset::{Manifest, Report};
use proto::pb;
use service::client::Target;

use crate::import::reading::{Reading, read};
use crate::import::seeding::SeededSplits;
use crate::import::store::{import_and_seed, store_in};
use crate::import::summary;
use crate::jobs::client::training_client;
use crate::jobs::exit::{exit_code, has_succeeded};
use crate::jobs::follow::follow;
use crate::jobs::schedule::now_ms;
use crate::jobs::start::StartVersion;
use crate::jobs::submission::{ImportedData, Submit};
use crate::local::running::{OWN_FOLDER, somebody_answers};
use crate::local::services::LocalServices;
use crate::local::settings::LocalSettings;
use crate::output::writer::Output;
use crate::output::{json, report, text};
use crate::settings::Settings;

/// Imports, trains and reports.
pub(crate) async fn run(
    submit: &Submit,
    settings: &Settings,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let path = submit
        .data
        .as_deref()
        .context("`--data` names what to import")?;
    refuse_at_once(path, submit)?;
    let study = Study { submit, output };
    if somebody_answers(&settings.coordinator).await? {
        return study.on_running_services(path, settings).await;
    }

    eprintln!(
        "no services run: starting them for this job, everything is kept in `{OWN_FOLDER}` for `cllm4rec up`"
    );
    study.on_own_services(path).await
}

/// Finds a missing file and wrong fields before anything is started and before
/// a long import.
fn refuse_at_once(path: &Path, submit: &Submit) -> anyhow::Result<()> {
    path.metadata()
        .with_context(|| format!("--data {}", path.display()))?;
    submit.schedule.schedule(now_ms()?)?;
    if submit.from.is_none() {
        submit.spec_on(NOT_IMPORTED_YET, None)?;
    }
    Ok(())
}

/// What stands for a data set while a specification is only checked.
const NOT_IMPORTED_YET: ImportedData<'_> = ImportedData {
    id: "not-imported-yet",
    is_private: true,
};

/// What is to be trained, and how its end is told.
struct Study<'a> {
    submit: &'a Submit,
    output: Output,
}

/// What was imported, and the version that its job starts from.
struct NewData<'a> {
    imported: ImportedData<'a>,
    manifest: &'a Manifest,
    start: Option<&'a StartVersion>,
}

impl Study<'_> {
    async fn on_running_services(
        &self,
        path: &Path,
        settings: &Settings,
    ) -> anyhow::Result<ExitCode> {
        let start = self.start_version(&settings.coordinator).await?;
        let reading = self.reading(start.as_ref());
        let (data, report, id) =
            import_and_seed(path, &reading, settings).await?;
        self.tell(&report);
        let imported = ImportedData {
            id: &id,
            is_private: false,
        };
        let data = NewData {
            imported,
            manifest: &data.manifest,
            start: start.as_ref(),
        };
        self.train_and_report(data, &settings.coordinator).await
    }

    async fn on_own_services(&self, path: &Path) -> anyhow::Result<ExitCode> {
        let settings = LocalSettings::below(Path::new(OWN_FOLDER))?;
        let storage = settings.coordinator.storage.clone();
        LocalServices::during(settings, async |services| {
            let start = self.start_version(&services.coordinator).await?;
            let reading = self.reading(start.as_ref());
            let (data, report) = read(path, &reading, &storage).await?;
            self.tell(&report);
            let id =
                store_in(&services.storage, &data, SeededSplits::All).await?;
            let imported = ImportedData {
                id: &id,
                is_private: true,
            };
            let data = NewData {
                imported,
                manifest: &data.manifest,
                start: start.as_ref(),
            };
            self.train_and_report(data, &services.coordinator).await
        })
        .await
    }

    /// The version that `--from` names; a wrong field of the job is found before
    /// the import.
    async fn start_version(
        &self,
        coordinator: &Target,
    ) -> anyhow::Result<Option<StartVersion>> {
        let start = self.submit.start_version(coordinator).await?;
        self.submit.spec_on(NOT_IMPORTED_YET, start.as_ref())?;
        Ok(start)
    }

    /// How the file is read: held-out interactions stay held out where a model
    /// goes on that has not learned from them.
    fn reading(&self, start: Option<&StartVersion>) -> Reading {
        let mut reading = self.submit.reading.clone();
        if let Some(start) = start
            && reading.splits_at_random()
        {
            let dataset = start.dataset.clone();
            reading.splits_of.get_or_insert(dataset);
        }
        reading
    }

    /// Says how the data was read; beside JSON, only what is probably wrong.
    fn tell(&self, report: &Report) {
        if !self.output.json {
            println!("{}", summary::text(report).trim_start_matches('\n'));
            return;
        }
        for warning in &report.warnings {
            eprintln!("warning: {warning}");
        }
    }

    async fn train_and_report(
        &self,
        data: NewData<'_>,
        coordinator: &Target,
    ) -> anyhow::Result<ExitCode> {
        let NewData {
            imported,
            manifest,
            start,
        } = data;
        if !self.output.json {
            println!("{}\n", text::dataset(imported.id, manifest));
        }

        let spec = self.submit.spec_on(imported, start)?;
        let request = pb::TrainJobRequest {
            spec: Some((&spec).into()),
            request_id: self.submit.request_id.clone(),
            validate_only: false,
            schedule: self.submit.schedule.schedule(now_ms()?)?,
        };
        let mut client = training_client(coordinator)?;
        let job = client.train_job(request).await?.into_inner();
        let job = follow(&mut client, &job.name, 1, self.output).await?;
        if has_succeeded(&job) {
            self.report(&job, manifest)?;
        }

        Ok(exit_code(&job))
    }

    /// Writes the page, and what it says to the terminal.
    fn report(&self, job: &pb::Job, manifest: &Manifest) -> anyhow::Result<()> {
        let n_users = manifest.n_users;
        let usual = Path::new("report.html");
        let path = self.submit.report.as_deref().unwrap_or(usual);
        let place = path.display();
        let page = report::html(job, &manifest.name, n_users);
        std::fs::write(path, page)
            .with_context(|| format!("the report {place} cannot be written"))?;
        self.output.write(&json::job(job), || {
            let text = report::text(job, n_users);
            format!("{text}\n\nwritten to {place}")
        });
        Ok(())
    }
}
