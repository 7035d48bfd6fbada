//! `train submit --data PATH`: from a file to a report in one command. Uses the
//! services that run, or its own.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use dataset::{Dataset, Manifest, Profile, Report};
use domain::{ArtifactId, TrainSpec};
use ingestion::{Replaced, SeededSplits};
use proto::pb;
use proto::pb::model_service_client::ModelServiceClient;
use serde_json::json;
use service::client::{Target, connect};

use crate::import::reading::{ReadData, Reading, read};
use crate::import::store::{import_and_seed, store_in};
use crate::import::summary;
use crate::jobs::client::{TrainingClient, training_client};
use crate::jobs::exit::{exit_code, has_succeeded};
use crate::jobs::follow::follow;
use crate::jobs::schedule::now_ms;
use crate::jobs::start::StartVersion;
use crate::jobs::submission::{ImportedData, Submit};
use crate::jobs::unfinished;
use crate::lists::samples::sample_lists;
use crate::local::running::{OWN_FOLDER, somebody_answers};
use crate::local::services::LocalServices;
use crate::local::settings::LocalSettings;
use crate::lookup;
use crate::output::report_parts::SampleLists;
use crate::output::seeds::Seeds;
use crate::output::writer::{self, Output};
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
    if submit.validate_only {
        return study.only_check(path, settings).await;
    }
    if somebody_answers(&settings.coordinator).await? {
        return study.on_running_services(path, settings).await;
    }

    writer::note(format_args!(
        "no services run: starting them for this job, everything is kept in `{OWN_FOLDER}` for `cllm4rec up`"
    ));
    study.on_own_services(path).await
}

/// Finds a missing file and wrong fields before anything is started and before
/// a long import.
fn refuse_at_once(path: &Path, submit: &Submit) -> anyhow::Result<()> {
    path.metadata()
        .with_context(|| format!("--data {}", path.display()))?;
    submit.schedule.schedule(now_ms()?)?;
    if submit.from.is_none() {
        submit.spec_on(NOT_STORED, None)?;
    }
    Ok(())
}

/// Stands in the place of data that is not imported yet.
const NOT_STORED: ImportedData<'static> = ImportedData {
    id: "not-imported-yet",
    may_go_live: true,
};

/// What is to be trained, and how its end is told.
struct Study<'a> {
    submit: &'a Submit,
    output: Output,
}

/// The services that a study works with.
struct Services<'a> {
    coordinator: &'a Target,
    scorer: &'a Target,
}

/// What was read, and under which id it is stored.
struct Imported<'a> {
    data: &'a Dataset,
    report: &'a Report,
    stored: ImportedData<'a>,
    /// The version that its job starts from.
    start: Option<&'a StartVersion>,
    /// Earlier exports whose jobs, where they have not ended, end now.
    replaced: Vec<ArtifactId>,
}

impl Study<'_> {
    /// Says what would be read and what the job will cost; stores nothing.
    async fn only_check(
        &self,
        path: &Path,
        settings: &Settings,
    ) -> anyhow::Result<ExitCode> {
        let start = self.start_version(&settings.coordinator).await?;
        let reading = self.reading(start.as_ref());
        let read = read(path, &reading, &settings.storage).await?;
        let ReadData { dataset, report } = &read;
        let manifest = &dataset.manifest;
        let mut imported = NOT_STORED;
        if somebody_answers(&settings.coordinator).await? {
            imported.may_go_live = self
                .may_go_live(&settings.coordinator, start.as_ref())
                .await?;
        }
        let spec = self.submit.spec_on(imported, start.as_ref())?;
        let notes = self.costs(&spec, manifest, settings).await?;
        let mut value = summary::json(manifest, report);
        value["job_notes"] = json!(notes);
        self.output.write(&value, || {
            let mut text = text::dataset("not stored", manifest);
            text.push_str(&summary::text(report));
            text.push_str("\nthe specification is valid");
            for note in &notes {
                text.push('\n');
                text.push_str(note);
            }
            text
        });
        Ok(ExitCode::SUCCESS)
    }

    /// What the coordinator says of the job; where none runs, that it is not
    /// known.
    async fn costs(
        &self,
        spec: &TrainSpec,
        manifest: &Manifest,
        settings: &Settings,
    ) -> anyhow::Result<Vec<String>> {
        if !somebody_answers(&settings.coordinator).await? {
            let unknown =
                "no services run: what the job will cost is not known";
            return Ok(vec![unknown.to_owned()]);
        }
        let mut client = training_client(&settings.coordinator)?;
        let schedule = &self.submit.schedule;
        let request = pb::TrainJobRequest {
            spec: Some(spec.into()),
            request_id: String::new(),
            validate_only: true,
            schedule: schedule.found(&mut client, now_ms()?).await?,
            counts: Some(counts(manifest)),
        };
        Ok(client.train_job(request).await?.into_inner().notes)
    }

    async fn on_running_services(
        &self,
        path: &Path,
        settings: &Settings,
    ) -> anyhow::Result<ExitCode> {
        let start = self.start_version(&settings.coordinator).await?;
        let reading = self.reading(start.as_ref());
        let may_go_live = self
            .may_go_live(&settings.coordinator, start.as_ref())
            .await?;
        let (read, id) = import_and_seed(path, &reading, settings).await?;
        self.tell(&read.report);
        let imported = Imported {
            data: &read.dataset,
            report: &read.report,
            stored: ImportedData {
                id: &id,
                may_go_live,
            },
            start: start.as_ref(),
            // Somebody else may want their models.
            replaced: Vec::new(),
        };
        let services = Services {
            coordinator: &settings.coordinator,
            scorer: &settings.scorer,
        };
        self.train_and_report(&imported, services).await
    }

    async fn on_own_services(&self, path: &Path) -> anyhow::Result<ExitCode> {
        let settings = LocalSettings::below(Path::new(OWN_FOLDER))?;
        let storage = settings.coordinator.storage.clone();
        LocalServices::during(settings, async |services| {
            let start = self.start_version(&services.coordinator).await?;
            let reading = self.reading(start.as_ref());
            let read = read(path, &reading, &storage).await?;
            self.tell(&read.report);
            let id =
                store_in(&services.storage, &read, SeededSplits::All).await?;
            let artifacts = &services.storage.artifacts;
            let replaced = Replaced::all_by(&read.dataset, artifacts).await?;
            let imported = Imported {
                data: &read.dataset,
                report: &read.report,
                stored: ImportedData {
                    id: &id,
                    may_go_live: true,
                },
                start: start.as_ref(),
                replaced: replaced.into_iter().map(|one| one.id).collect(),
            };
            let services = Services {
                coordinator: &services.coordinator,
                scorer: &services.scorer,
            };
            self.train_and_report(&imported, services).await
        })
        .await
    }

    /// Whether the model becomes `live` on services that run already: nothing is
    /// yet, and no other label was asked for.
    async fn may_go_live(
        &self,
        coordinator: &Target,
        start: Option<&StartVersion>,
    ) -> anyhow::Result<bool> {
        if self.submit.names_labels(start)? {
            return Ok(false);
        }
        let mut models = ModelServiceClient::new(connect(coordinator)?);
        let is_first = lookup::labelled(&mut models, "live").await?.is_none();
        if is_first {
            writer::note(format_args!(
                "nothing is live yet: this model will be (`--set labels=[]` leaves that)"
            ));
        }
        Ok(is_first)
    }

    /// The version that `--from` names; a wrong field of the job is found before
    /// the import.
    async fn start_version(
        &self,
        coordinator: &Target,
    ) -> anyhow::Result<Option<StartVersion>> {
        let start = self.submit.start_version(coordinator).await?;
        let own = self.submit.reading.catalog();
        if let Some(start) = &start
            && start.catalog != own
        {
            bail!(
                "--from: that version ranks the catalog `{}`, this data is of `{own}`: `--catalog` says of which it is",
                start.catalog
            );
        }
        let spec = self.submit.spec_on(NOT_STORED, start.as_ref())?;
        if let Some(start) = &start
            && start.backbone() != &spec.backbone
        {
            bail!(
                "--from: that version was trained on another backbone, in which its rows mean nothing: leave out the `backbone` fields"
            );
        }
        Ok(start)
    }

    /// How the file is read: held-out interactions stay held out where a model
    /// goes on that has not learned from them.
    fn reading(&self, start: Option<&StartVersion>) -> Reading {
        let mut reading = self.submit.reading.clone();
        if let Some(start) = start
            && reading.splits_at_random()
        {
            reading.starts_from = Some(start.dataset.clone());
        }
        reading
    }

    /// Says how the data was read; beside JSON, only what is probably wrong.
    fn tell(&self, report: &Report) {
        if !self.output.json {
            writer::line(summary::text(report).trim_start_matches('\n'));
            return;
        }
        for warning in &report.warnings {
            writer::note(format_args!("warning: {warning}"));
        }
    }

    async fn train_and_report(
        &self,
        imported: &Imported<'_>,
        services: Services<'_>,
    ) -> anyhow::Result<ExitCode> {
        let manifest = &imported.data.manifest;
        if !self.output.json {
            let line = text::dataset(imported.stored.id, manifest);
            writer::line(format_args!("{line}\n"));
        }

        let spec = self.submit.spec_on(imported.stored, imported.start)?;
        let mut client = training_client(services.coordinator)?;
        let replaced = &imported.replaced;
        let job = self.job(&mut client, &spec).await?;
        unfinished::cancel_replaced(&mut client, &spec, replaced).await?;
        let job = follow(&mut client, &job.name, 1, self.output).await?;
        if has_succeeded(&job) {
            let report = report::Report {
                job: &job,
                manifest,
                profile: Profile::of(imported.data, imported.report.times_ms),
                seeds: other_seeds(&mut client, &job).await,
                lists: sample_lists(&job, imported.data, services.scorer).await,
            };
            self.report(&report)?;
        }

        Ok(exit_code(&job))
    }

    /// A new job; or the one that the same command submitted before it was
    /// killed, which goes on.
    async fn job(
        &self,
        client: &mut TrainingClient,
        spec: &TrainSpec,
    ) -> anyhow::Result<pb::Job> {
        let schedule = &self.submit.schedule;
        let schedule = schedule.found(client, now_ms()?).await?;
        let request_id = self.submit.request_id.clone();
        if schedule.is_none()
            && request_id.is_empty()
            && let Some(job) = unfinished::same(client, spec).await?
        {
            writer::note(format_args!(
                "{} is the same job and has not ended: following it",
                job.name
            ));
            return Ok(job);
        }
        let request = pb::TrainJobRequest {
            spec: Some(spec.into()),
            request_id,
            schedule,
            ..pb::TrainJobRequest::default()
        };
        Ok(client.train_job(request).await?.into_inner())
    }

    /// Writes the page, and what it says to the terminal.
    fn report(&self, report: &report::Report<'_>) -> anyhow::Result<()> {
        let usual = Path::new("report.html");
        let path = self.submit.report.as_deref().unwrap_or(usual);
        let place = path.display();
        std::fs::write(path, report.html())
            .with_context(|| format!("the report {place} cannot be written"))?;
        self.output.write(&json::job(report.job), || {
            format!("{}\n\nwritten to {place}", report.text())
        });
        if let SampleLists::LeftOut(why) = &report.lists {
            writer::note(why);
        }
        Ok(())
    }
}

/// Most finished jobs on the same data that are looked at.
const MOST_JOBS: i32 = 200;

/// The finished jobs that differ from one in the seed; none where the list
/// cannot be had: the report does without.
async fn other_seeds(client: &mut TrainingClient, job: &pb::Job) -> Seeds {
    let dataset = job.spec.as_ref().map(|spec| spec.dataset.clone());
    let request = pb::ListJobsRequest {
        page_size: MOST_JOBS,
        state: pb::job::State::Succeeded.into(),
        dataset: dataset.unwrap_or_default(),
        newest_first: true,
        ..pb::ListJobsRequest::default()
    };
    match client.list_jobs(request).await {
        Ok(page) => Seeds::of(job, page.into_inner().jobs),
        Err(status) => {
            writer::note(format_args!(
                "the report leaves out other seeds: {}",
                status.message()
            ));
            Seeds::default()
        }
    }
}

/// What a data set holds, as the coordinator is told.
fn counts(manifest: &Manifest) -> pb::DatasetCounts {
    let lengths = manifest.text_lengths.iter();
    pb::DatasetCounts {
        n_users: manifest.n_users as u64,
        n_items: manifest.n_items as u64,
        n_train: manifest.n_train as u64,
        n_valid: manifest.n_valid as u64,
        n_test: manifest.n_test as u64,
        text_lengths: lengths.map(|n| *n as u64).collect(),
    }
}
