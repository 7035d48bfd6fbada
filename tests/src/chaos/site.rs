//! A cluster, and what was promised to those who use it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::chaos::clocks::{Clocks, Whose};
use crate::chaos::ledger::Ledger;
use crate::chaos::volume::Volume;
use crate::cluster::{Cluster, Options, OtherCoordinator};

/// A deployment of its own on which faults are inflicted.
#[derive(Debug)]
pub(super) struct Site {
    /// The file systems of artifacts and scratch; `None` where nobody may
    /// mount any. They go before the cluster's folder.
    pub(super) volumes: Option<Volumes>,
    pub(super) cluster: Cluster,
    /// The wall clocks of its processes; `None` where they cannot be put wrong.
    pub(super) clocks: Option<Clocks>,
    /// A second coordinator, while a fault needs one.
    pub(super) other: Option<OtherCoordinator>,
    /// The data set that jobs learn from.
    pub(super) dataset: String,
    /// What was accepted: jobs, and the number of each one's specification.
    pub(super) accepted: BTreeMap<String, usize>,
    /// The version that the label `kept` was acknowledged to point to.
    pub(super) kept: Option<String>,
    pub(super) ledger: Ledger,
}

/// What a site writes to.
#[derive(Debug)]
pub(super) struct Volumes {
    pub(super) artifacts: Volume,
    pub(super) scratch: Volume,
}

/// So many specifications there are. A site trains each once, so that nothing
/// is stored already when a job stores it.
pub(super) const N_SPECS: usize = 6;

/// Over the tiny job: it takes a second or two, and as many checkpoints as it can store.
const FIELDS: [&str; 3] = [
    "finetuning.epochs=200",
    "finetuning.batch=4",
    "evaluation.patience=0",
];

/// A specification's fields, over the tiny job.
pub(super) fn fields(spec: usize) -> Vec<String> {
    let mut fields: Vec<String> = Vec::new();
    fields.extend(FIELDS.map(str::to_owned));
    fields.push(format!("seed={spec}"));
    fields.push(format!("backbone.random.seed={spec}"));
    fields
}

impl Site {
    /// Starts one, with a worker and a data set.
    pub(super) async fn start() -> Self {
        let often = [("WORKER__CHECKPOINT_EVERY_S", "0")];
        let mut options = Options::settings(&often).without_worker();
        let clocks = Clocks::new();
        if let Some(clocks) = &clocks {
            options.environment.extend(clocks.environment(Whose::Site));
        }
        let mut cluster = Cluster::start_with(options).await;
        // Nobody has written there yet.
        let volumes = Volumes::mount(&cluster);
        cluster.workers.push(cluster.start_process("worker"));
        let dataset = cluster.import_two_groups();
        Self {
            volumes,
            cluster,
            clocks,
            other: None,
            dataset,
            accepted: BTreeMap::new(),
            kept: None,
            ledger: Ledger::default(),
        }
    }

    /// The specification that no job of this site has had yet.
    pub(super) fn next_spec(&self) -> Option<usize> {
        let n_used = self.accepted.values().max().map_or(0, |last| last + 1);
        (n_used < N_SPECS).then_some(n_used)
    }

    /// Submits a job of a specification; returns its name.
    pub(super) fn submit(&mut self, spec: usize) -> String {
        let fields = fields(spec);
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let job = self.cluster.submit(&self.dataset, &fields);
        self.accepted.insert(job.clone(), spec);
        job
    }

    /// Where workers write before they upload.
    pub(super) fn scratch(&self) -> PathBuf {
        self.cluster.folder().join("scratch")
    }
}

impl Volumes {
    fn mount(cluster: &Cluster) -> Option<Self> {
        let artifacts = Volume::mount(&cluster.artifacts())?;
        let scratch = Volume::mount(&cluster.folder().join("scratch"))?;
        Some(Self { artifacts, scratch })
    }
}
