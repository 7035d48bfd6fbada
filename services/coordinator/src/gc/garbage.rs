//! Which of the things that are stored nothing needs.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    ArtifactId, Backbone, BackboneLocation, Catalog, Job, JobId, ModelVersion,
};
use storage::Kind;

use crate::gc::inventory::{Doubt, Inventory, StoredVersion};
use crate::gc::keep::Keep;

/// Something that nothing needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Garbage {
    /// A job that has ended, with its events and request ids.
    Job(JobId),
    /// The events of a job that ended long ago, but for the latest.
    Events(JobId),
    /// A version without a label, with its model.
    Version(ModelVersion),
    /// An artifact that nothing names.
    Artifact(Kind, ArtifactId),
}

impl Garbage {
    /// The artifact that takes room, if it has one.
    pub(crate) fn artifact(&self) -> Option<(Kind, ArtifactId)> {
        match self {
            Self::Job(_) | Self::Events(_) => None,
            Self::Version(version) => Some((Kind::Model, version.into())),
            Self::Artifact(kind, id) => Some((*kind, id.clone())),
        }
    }
}

impl std::fmt::Display for Garbage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Job(id) => write!(f, "jobs/{id}"),
            Self::Events(id) => write!(f, "jobs/{id}/events"),
            Self::Version(version) => write!(f, "modelVersions/{version}"),
            Self::Artifact(Kind::Dataset, id) => write!(f, "datasets/{id}"),
            Self::Artifact(Kind::Model, id) => write!(f, "models/{id}"),
            Self::Artifact(Kind::Backbone, id) => write!(f, "backbones/{id}"),
            Self::Artifact(Kind::Checkpoint, id) => {
                write!(f, "checkpoints/{id}")
            }
        }
    }
}

/// What something that is kept names.
#[derive(Debug, Default)]
struct Needed {
    models: BTreeSet<ArtifactId>,
    datasets: BTreeSet<ArtifactId>,
    backbones: BTreeSet<ArtifactId>,
}

impl Inventory {
    /// Lists what nothing needs: jobs, then versions, then the artifacts that
    /// only those named. What a record that cannot be read may need is none.
    pub(crate) fn garbage(&self, keep: Keep, now_ms: i64) -> Vec<Garbage> {
        let older_than_ms = self.artifacts_young_since_ms(keep, now_ms);
        let old_versions = self.old_versions(keep.versions, older_than_ms);
        let young_since_ms = keep.young_since_ms(now_ms);
        let old_jobs = self.old_jobs(keep, young_since_ms, &old_versions);
        let mut garbage = Vec::new();
        garbage.extend(old_jobs.iter().cloned().map(Garbage::Job));
        self.add_events(
            &mut garbage,
            &old_jobs,
            keep.events_young_since_ms(now_ms),
        );
        garbage.extend(old_versions.iter().cloned().map(Garbage::Version));
        let needed = self.needed(&old_jobs, &old_versions);
        for artifact in &self.artifacts {
            let is_old = artifact.stored_ms < older_than_ms;
            let may_be = needed.has(artifact.kind, &artifact.id)
                || self.may_need(artifact.kind);
            if is_old && !may_be {
                let id = artifact.id.clone();
                garbage.push(Garbage::Artifact(artifact.kind, id));
            }
        }

        garbage
    }

    /// Says from when on every artifact stays, in milliseconds since 1970-01-01
    /// UTC: whatever was stored since the oldest job that a worker has was
    /// submitted may be of its attempts.
    pub(crate) fn artifacts_young_since_ms(
        &self,
        keep: Keep,
        now_ms: i64,
    ) -> i64 {
        let leased = self.jobs.iter().filter(|job| job.lease.is_some());
        let oldest_ms = leased.map(|job| job.created_ms).min();
        keep.young_since_ms(now_ms)
            .min(oldest_ms.unwrap_or(i64::MAX))
    }

    /// Jobs that ended long ago, without the latest, those whose version is
    /// kept, those whose checkpoint is, and those that others follow.
    fn old_jobs(
        &self,
        keep: Keep,
        young_since_ms: i64,
        old_versions: &BTreeSet<ModelVersion>,
    ) -> BTreeSet<JobId> {
        let mut needed: BTreeSet<&JobId> = BTreeSet::new();
        needed.extend(&self.doubt.followed);
        for job in &self.jobs {
            let version = job.version.as_ref();
            if version.is_some_and(|id| self.doubt.versions.contains(id)) {
                needed.insert(&job.id);
            }
        }

        for StoredVersion { info, .. } in &self.versions {
            if !old_versions.contains(&info.version) {
                needed.insert(&info.job);
            }
        }

        for job in self.jobs.iter().filter(|job| !job.state.is_final()) {
            needed.extend(&job.waits.jobs);
        }

        let mut ended: Vec<&Job> = self
            .jobs
            .iter()
            .filter(|job| job.state.is_final())
            .collect();
        ended.sort_by_key(|job| std::cmp::Reverse(job.updated_ms));
        let mut old = BTreeSet::new();
        for job in ended.into_iter().skip(keep.jobs) {
            let checkpoint = job.checkpoint.as_ref();
            let has_checkpoint =
                checkpoint.is_some_and(|id| self.checkpoints.contains(id));
            let is_old = job.updated_ms < young_since_ms;
            if is_old && !has_checkpoint && !needed.contains(&job.id) {
                old.insert(job.id.clone());
            }
        }

        old
    }

    /// Adds the events of jobs that stay, where these ended long ago.
    fn add_events(
        &self,
        garbage: &mut Vec<Garbage>,
        old_jobs: &BTreeSet<JobId>,
        young_since_ms: i64,
    ) {
        for job in &self.jobs {
            let is_old =
                job.state.is_final() && job.updated_ms < young_since_ms;
            let has_events = self.with_events.contains(job.id.as_str());
            if is_old && has_events && !old_jobs.contains(&job.id) {
                garbage.push(Garbage::Events(job.id.clone()));
            }
        }
    }

    /// Versions that were published and stored long ago, have no label and are no
    /// open job's start, without the latest of each catalog.
    fn old_versions(
        &self,
        n_kept: usize,
        young_since_ms: i64,
    ) -> BTreeSet<ModelVersion> {
        // A job that cannot be read may start from any version.
        if self.doubt.has_label || self.doubt.has_job {
            return BTreeSet::new();
        }

        let open = self.jobs.iter().filter(|job| !job.state.is_final());
        let started_from: BTreeSet<&ModelVersion> = open
            .filter_map(|job| job.spec.start_from.as_ref())
            .collect();
        let mut unlabelled: Vec<&StoredVersion> = self
            .versions
            .iter()
            .filter(|version| !self.labelled.contains(&version.info.version))
            .filter(|version| !started_from.contains(&version.info.version))
            .collect();
        unlabelled
            .sort_by_key(|version| std::cmp::Reverse(version.info.created_ms));
        let stored = self.models_stored_ms();
        let mut n_seen: BTreeMap<&Catalog, usize> = BTreeMap::new();
        let mut old = BTreeSet::new();
        for StoredVersion { info, .. } in unlabelled {
            let n_newer = n_seen.entry(&info.catalog).or_default();
            let is_among_latest = *n_newer < n_kept;
            *n_newer += 1;
            // A version whose model is gone was stored long ago.
            let stored_ms = stored.get(info.version.as_str()).copied();
            let latest_ms = info.created_ms.max(stored_ms.unwrap_or(i64::MIN));
            if !is_among_latest && latest_ms < young_since_ms {
                old.insert(info.version.clone());
            }
        }

        old
    }

    /// When each model was stored, by its id.
    fn models_stored_ms(&self) -> BTreeMap<&str, i64> {
        let mut stored = BTreeMap::new();
        for artifact in &self.artifacts {
            if artifact.kind == Kind::Model {
                stored.insert(artifact.id.as_str(), artifact.stored_ms);
            }
        }

        stored
    }

    /// What the jobs and versions that are kept name.
    fn needed(
        &self,
        old_jobs: &BTreeSet<JobId>,
        old_versions: &BTreeSet<ModelVersion>,
    ) -> Needed {
        let mut needed = Needed::default();
        for job in &self.jobs {
            if old_jobs.contains(&job.id) {
                continue;
            }
            needed.datasets.insert((&job.spec.dataset).into());
            if let Backbone::Path(BackboneLocation::Artifact(id)) =
                &job.spec.backbone
            {
                needed.backbones.insert(id.clone());
            }
        }
        for version in &self.versions {
            // A version's model goes with the version.
            needed.models.insert((&version.info.version).into());
            if old_versions.contains(&version.info.version) {
                continue;
            }
            needed.datasets.insert((&version.info.dataset).into());
            needed.backbones.extend(version.backbone.clone());
        }
        needed
            .models
            .extend(self.doubt.versions.iter().map(ArtifactId::from));
        needed
    }

    /// Whether a record that cannot be read may name any artifact of a kind.
    fn may_need(&self, kind: Kind) -> bool {
        let Doubt {
            has_job,
            has_manifest,
            ..
        } = self.doubt;
        let has_version = !self.doubt.versions.is_empty();
        match kind {
            // One of an attempt that goes on.
            Kind::Model => has_job,
            Kind::Dataset => has_job || has_version,
            Kind::Backbone => has_job || has_version || has_manifest,
            Kind::Checkpoint => true,
        }
    }
}

impl Needed {
    fn has(&self, kind: Kind, id: &ArtifactId) -> bool {
        match kind {
            Kind::Model => self.models.contains(id),
            Kind::Dataset => self.datasets.contains(id),
            Kind::Backbone => self.backbones.contains(id),
            // They go with their jobs.
            Kind::Checkpoint => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gc::inventory::StoredArtifact;
    use domain::{DatasetId, Event, ModelInfo, State, TrainSpec};
    use std::time::Duration;

    const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
    const NOW_MS: i64 = 100 * DAY_MS;
    const KEEP: Keep = Keep {
        days: 10,
        event_days: 0,
        jobs: 1,
        versions: 1,
    };

    fn job(id: &str, state: State, day: i64) -> Job {
        let spec = TrainSpec::new(DatasetId::new(format!("d-{id}")).unwrap());
        let id = JobId::new(id).unwrap();
        let mut job = Job::queued(id, spec, day * DAY_MS);
        if state == State::Running {
            let leased = Event::Leased {
                worker: "w".to_owned(),
                term: Duration::from_secs(1),
            };
            job.apply(leased, day * DAY_MS).unwrap();
        }
        Job { state, ..job }
    }

    fn version(id: &str, day: i64) -> StoredVersion {
        let dataset = DatasetId::new(format!("d-{id}")).unwrap();
        let info = ModelInfo {
            version: ModelVersion::new(id).unwrap(),
            catalog: Catalog::default(),
            spec: TrainSpec::new(dataset.clone()),
            dataset,
            job: JobId::new("job").unwrap(),
            metrics: BTreeMap::new(),
            is_final_fit: false,
            dataset_name: String::new(),
            train_seconds: 0.0,
            created_ms: day * DAY_MS,
        };
        let backbone = ArtifactId::new(format!("b-{id}")).unwrap();
        StoredVersion {
            info,
            backbone: Some(backbone),
        }
    }

    fn artifact(kind: Kind, id: &str, day: i64) -> StoredArtifact {
        StoredArtifact {
            kind,
            id: ArtifactId::new(id).unwrap(),
            stored_ms: day * DAY_MS,
        }
    }

    fn inventory() -> Inventory {
        let mut artifacts = Vec::new();
        for id in ["open", "old", "late", "live", "plain", "gone", "nobody"] {
            for (kind, prefix) in [
                (Kind::Dataset, "d-"),
                (Kind::Backbone, "b-"),
                (Kind::Model, ""),
            ] {
                artifacts.push(artifact(kind, &format!("{prefix}{id}"), 1));
            }
        }
        artifacts.push(artifact(Kind::Dataset, "new", 95));
        Inventory {
            jobs: vec![
                job("open", State::Running, 5),
                job("old", State::Succeeded, 2),
                job("late", State::Failed, 3),
            ],
            versions: vec![
                version("live", 1),
                version("gone", 2),
                version("plain", 3),
            ],
            labelled: [ModelVersion::new("live").unwrap()].into(),
            artifacts,
            checkpoints: BTreeSet::new(),
            with_events: BTreeSet::new(),
            unreadable: Vec::new(),
            doubt: Doubt::default(),
        }
    }

    fn names(inventory: &Inventory, keep: Keep) -> Vec<String> {
        let garbage = inventory.garbage(keep, NOW_MS);
        garbage.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nothing_that_a_label_a_job_or_a_kept_version_needs_is_garbage() {
        let expected = [
            "jobs/old",
            "modelVersions/gone",
            "backbones/b-open",
            "models/open",
            "datasets/d-old",
            "backbones/b-old",
            "models/old",
            "backbones/b-late",
            "models/late",
            "datasets/d-gone",
            "backbones/b-gone",
            "datasets/d-nobody",
            "backbones/b-nobody",
            "models/nobody",
        ];
        assert_eq!(names(&inventory(), KEEP), expected);
    }

    #[test]
    fn what_a_job_trains_on_is_kept_also_where_it_is_a_backbone() {
        let mut inventory = inventory();
        let location = BackboneLocation::new("artifact://b-nobody").unwrap();
        inventory.jobs[0].spec.backbone = Backbone::Path(location);
        let names = names(&inventory, KEEP);
        assert!(!names.contains(&"backbones/b-nobody".to_owned()));
        assert!(names.contains(&"datasets/d-nobody".to_owned()));
    }

    #[test]
    fn a_version_that_an_open_job_starts_from_stays_with_its_data() {
        let mut inventory = inventory();
        let version = ModelVersion::new("gone").unwrap();
        inventory.jobs[0].spec.start_from = Some(version);
        let names = names(&inventory, KEEP);
        assert!(!names.contains(&"modelVersions/gone".to_owned()));
        assert!(!names.contains(&"datasets/d-gone".to_owned()));
        assert!(names.contains(&"jobs/old".to_owned()));
    }

    #[test]
    fn events_go_before_their_jobs() {
        let mut inventory = inventory();
        for id in ["open", "old", "late"] {
            inventory.with_events.insert(id.to_owned());
        }
        let names = |days, event_days| {
            let keep = Keep {
                days,
                event_days,
                ..KEEP
            };
            names(&inventory, keep)
        };
        assert_eq!(names(0, 10), ["jobs/old/events", "jobs/late/events"]);
        assert_eq!(names(0, 98), Vec::<String>::new());
        let both = names(10, 10);
        assert_eq!(both[..2], ["jobs/old", "jobs/late/events"]);
    }

    #[test]
    fn what_is_young_stays_and_no_days_keep_everything() {
        let month = Keep { days: 99, ..KEEP };
        assert_eq!(names(&inventory(), month), Vec::<String>::new());
        let all = Keep { days: 0, ..KEEP };
        assert_eq!(names(&inventory(), all), Vec::<String>::new());
        let many = Keep {
            jobs: 2,
            versions: 2,
            ..KEEP
        };
        let names = names(&inventory(), many);
        assert!(names.iter().all(|name| !name.starts_with("jobs/")));
        assert!(!names.contains(&"datasets/d-gone".to_owned()));
    }

    #[test]
    fn the_latest_versions_of_each_catalog_stay() {
        let mut inventory = inventory();
        let other = Catalog::new("other").unwrap();
        inventory.versions[1].info.catalog = other;
        let names = names(&inventory, KEEP);
        assert!(
            !names.contains(&"modelVersions/gone".to_owned()),
            "{names:?}"
        );
        assert!(!names.contains(&"modelVersions/plain".to_owned()));
    }

    #[test]
    fn a_job_stays_while_its_version_or_its_checkpoint_does() {
        let mut inventory = inventory();
        let checkpoint = ArtifactId::new("c").unwrap();
        inventory.jobs[1].checkpoint = Some(checkpoint.clone());
        inventory.checkpoints.insert(checkpoint);
        let with_checkpoint = names(&inventory, KEEP);
        assert!(!with_checkpoint.contains(&"jobs/old".to_owned()));
        assert!(!with_checkpoint.contains(&"datasets/d-old".to_owned()));

        inventory.checkpoints.clear();
        inventory.versions[0].info.job = JobId::new("old").unwrap();
        let of_live = names(&inventory, KEEP);
        assert!(!of_live.contains(&"jobs/old".to_owned()));

        inventory.versions.swap(0, 1);
        inventory.versions[1].info.job = JobId::new("job").unwrap();
        inventory.versions[0].info.job = JobId::new("old").unwrap();
        let of_gone = names(&inventory, KEEP);
        assert!(of_gone.contains(&"jobs/old".to_owned()), "both are old");
        assert!(of_gone.contains(&"modelVersions/gone".to_owned()));
    }

    #[test]
    fn what_was_stored_since_a_running_job_was_submitted_may_be_of_it() {
        let mut inventory = inventory();
        for artifact in &mut inventory.artifacts {
            artifact.stored_ms = 6 * DAY_MS;
        }
        assert_eq!(names(&inventory, KEEP), ["jobs/old"]);

        // One that waits has stored nothing.
        inventory.jobs[0].lease = None;
        inventory.jobs[0].state = State::Queued;
        let names = names(&inventory, KEEP);
        assert!(names.contains(&"models/nobody".to_owned()));
        assert!(!names.contains(&"datasets/d-open".to_owned()));
    }

    #[test]
    fn a_version_that_was_stored_again_is_young() {
        let mut inventory = inventory();
        let again = artifact(Kind::Model, "gone", 95);
        let model = inventory
            .artifacts
            .iter_mut()
            .find(|stored| stored.kind == again.kind && stored.id == again.id);
        *model.unwrap() = again;
        let names = names(&inventory, KEEP);
        assert!(!names.contains(&"modelVersions/gone".to_owned()));
        assert!(!names.contains(&"datasets/d-gone".to_owned()));
    }

    fn names_in_doubt(doubt: Doubt) -> Vec<String> {
        let mut inventory = inventory();
        inventory.doubt = doubt;
        names(&inventory, KEEP)
    }

    #[test]
    fn what_a_job_that_cannot_be_read_may_need_stays_and_the_rest_goes() {
        let has_job = true;
        let alone = names_in_doubt(Doubt {
            has_job,
            ..Doubt::default()
        });
        assert_eq!(alone, ["jobs/old"]);

        let followed = [JobId::new("old").unwrap()].into();
        let follows = names_in_doubt(Doubt {
            has_job,
            followed,
            ..Doubt::default()
        });
        assert_eq!(follows, Vec::<String>::new());
    }

    #[test]
    fn what_a_version_that_cannot_be_read_may_need_stays_and_the_rest_goes() {
        let version = ModelVersion::new("nobody").unwrap();
        let mut inventory = inventory();
        inventory.jobs[1].version = Some(version.clone());
        inventory.doubt.versions.insert(version);
        let expected = ["modelVersions/gone", "models/open", "models/old"];
        let found = names(&inventory, KEEP);
        assert_eq!(found[..3], expected, "its job stays");
        assert_eq!(found[3..], ["models/late"], "and its model does");

        let has_manifest = true;
        let found = names_in_doubt(Doubt {
            has_manifest,
            ..Doubt::default()
        });
        let is_backbone = |name: &String| name.starts_with("backbones/");
        assert!(!found.iter().any(is_backbone), "{found:?}");
        assert!(found.contains(&"datasets/d-nobody".to_owned()));
    }

    #[test]
    fn what_a_label_that_cannot_be_read_may_point_to_stays_and_the_rest_goes() {
        let has_label = true;
        let found = names_in_doubt(Doubt {
            has_label,
            ..Doubt::default()
        });
        let is_version = |name: &String| name.starts_with("modelVersions/");
        assert!(!found.iter().any(is_version), "{found:?}");
        assert!(!found.contains(&"backbones/b-gone".to_owned()));
        assert!(found.contains(&"datasets/d-nobody".to_owned()));
    }
}
