//! `cllm4rec up`: all services in one process over an embedded store. Each round
//! has a folder of its own and one job.

use std::cell::Cell;
use std::path::PathBuf;

use proto::pb::history_service_client::HistoryServiceClient;
use proto::pb::recommendation_service_client::RecommendationServiceClient;
use proto::pb::training_service_client::TrainingServiceClient;
use service::client::Connection;

use crate::both_ways::BothWays;
use crate::chaos::inflict::{LATEST_MS, LONGEST_MS};
use crate::chaos::kind::Kind;
use crate::chaos::ledger::Ledger;
use crate::chaos::promises::{
    AT_ONCE, half_made, is_served, is_true, published_once, soon, succeeded,
    until,
};
use crate::chaos::report::Outcome;
use crate::chaos::schedule::Fault;
use crate::chaos::site::{N_SPECS, fields};
use crate::chaos::volume::Volume;
use crate::data::{TINY_JOB, write_two_groups};
use crate::newcomer::Newcomer;
use crate::process::Process;

/// As a cluster's services have it: a lost worker is noticed soon, and there
/// are as many checkpoints as can be stored.
const SETTINGS: [(&str, &str); 4] = [
    ("COORDINATOR__LEASE_TERM_S", "2"),
    ("WORKER__HEARTBEAT_MS", "200"),
    ("WORKER__CHECKPOINT_EVERY_S", "0"),
    ("SCORER__FOLLOW_MS", "100"),
];

/// All services in one process. The file system goes before its folder.
struct House {
    up: Process,
    /// Its disk, where that is to fill.
    disk: Option<Volume>,
    newcomer: Newcomer,
}

/// Inflicts a fault on a job and checks what is promised.
pub(super) async fn round(fault: &Fault, versions: &[String]) -> Outcome {
    let mut chance = fault.chance.clone();
    let mut house = House::start(fault.kind).await;
    let spec = chance.below(N_SPECS);
    let job = house.submit(spec);
    let is_over = Cell::new(false);
    let mut ledger = Ledger::default();
    let recording = ledger.record(house.histories(), &is_over);
    let inflicting = async {
        tokio::time::sleep(chance.up_to_ms(LATEST_MS)).await;
        if let Some(disk) = &house.disk {
            disk.fill().await;
            tokio::time::sleep(chance.up_to_ms(LONGEST_MS)).await;
            disk.mend();
        } else {
            house.up.kill();
            house.up = house.newcomer.up_with(&SETTINGS).await;
        }
        is_over.set(true);
    };
    tokio::join!(inflicting, recording);
    let broken = house.check(&job, &versions[spec], &ledger).await.err();
    Outcome {
        is_hit: true,
        broken,
    }
}

impl House {
    async fn start(kind: Kind) -> Self {
        let newcomer = Newcomer::new();
        let mut disk = None;
        if kind == Kind::UpDiskFull {
            disk = Volume::mount(&newcomer.folder().join("data"));
        }
        let up = newcomer.up_with(&SETTINGS).await;
        Self { up, disk, newcomer }
    }

    /// Imports the data set and submits a job on it; returns the job's name.
    fn submit(&self, spec: usize) -> String {
        let data = self.newcomer.folder().join("two-groups");
        write_two_groups(&data);
        let data = data.to_str().unwrap();
        let imported = self.newcomer.json(&[
            "dataset",
            "import",
            data,
            "--seed-histories=train,valid",
        ]);
        let dataset = imported["dataset"].as_str().unwrap();
        let mut arguments = vec!["train", "submit", "--dataset", dataset];
        arguments.extend(["--label", "live"]);
        let fields = fields(spec);
        let fields = fields.iter().map(String::as_str);
        for field in TINY_JOB.iter().copied().chain(fields) {
            arguments.extend(["--set", field]);
        }
        let job = self.newcomer.json(&arguments);
        job["name"].as_str().unwrap().to_owned()
    }

    async fn check(
        &mut self,
        job: &str,
        version: &str,
        ledger: &Ledger,
    ) -> Result<(), String> {
        let ended = soon(async || succeeded(self.training(), job).await);
        let found = ended.await?.model_version;
        is_true(found == version, || {
            format!("{job} has {found}, an undisturbed run {version}")
        })?;
        soon(async || published_once(self.training(), job).await).await?;
        soon(async || ledger.missing(self.histories()).await).await?;
        soon(async || is_served(self.recommendations(), version).await).await?;
        if until(AT_ONCE, async || self.nothing_is_left())
            .await
            .is_ok()
        {
            return Ok(());
        }
        // It looks around when it starts.
        self.up.kill();
        self.up = self.newcomer.up_with(&SETTINGS).await;
        soon(async || self.nothing_is_left()).await
    }

    fn nothing_is_left(&self) -> Result<(), String> {
        let left = half_made(&self.artifacts());
        is_true(left.is_empty(), || format!("left behind: {left:?}"))
    }

    fn artifacts(&self) -> PathBuf {
        self.newcomer.folder().join("data").join("artifacts")
    }

    fn histories(&self) -> HistoryServiceClient<Connection> {
        HistoryServiceClient::new(self.newcomer.scorer())
    }

    fn recommendations(&self) -> RecommendationServiceClient<BothWays> {
        let port = self.newcomer.scorer_port();
        RecommendationServiceClient::new(BothWays::grpc(port))
    }

    fn training(&self) -> TrainingServiceClient<Connection> {
        TrainingServiceClient::new(self.newcomer.coordinator())
    }
}
