//! Inflicts a fault, and ends it: afterwards everything runs that should.

use crate::chaos::aim::Aim;
use crate::chaos::chance::Chance;
use crate::chaos::clocks::Whose;
use crate::chaos::damaged::damage;
use crate::chaos::kind::{Kind, Phase};
use crate::chaos::schedule::Fault;
use crate::chaos::site::{Site, Volumes};
use crate::process::Process;

/// Faults that end by themselves last up to so long.
pub(super) const LONGEST_MS: usize = 4_000;
/// A coordinator or a Redis is away up to so long.
const LONGEST_AWAY_MS: usize = 3_000;
/// Faults that need no aim come so long after a job was submitted, or earlier.
pub(super) const LATEST_MS: usize = 1_500;

/// Starts what a fault needs beside the site, before its job is submitted.
pub(super) async fn prepare(site: &mut Site, fault: &Fault) {
    let kind = fault.kind;
    let is_fast = fault.chance.clone().below(2) == 0;
    if matches!(kind, Kind::OneOfTwoKilled | Kind::OneOfTwoStopped) {
        site.other = Some(site.cluster.start_coordinator(&[]).await);
    }
    if kind == Kind::ClocksApart {
        let clocks = site.clocks.as_ref();
        let clocks = clocks.expect("kinds that need them are left out");
        clocks.put_wrong(Whose::SecondCoordinator, is_fast);
        let with = clocks.environment(Whose::SecondCoordinator);
        site.other = Some(site.cluster.start_coordinator(&with).await);
    }
}

/// Inflicts a fault on a job; false when it came too early or too late for what
/// it was aimed at.
pub(super) async fn inflict(
    site: &mut Site,
    job: &str,
    fault: &Fault,
    aim: &Aim,
) -> bool {
    let mut chance = fault.chance.clone();
    let chance = &mut chance;
    match fault.kind {
        Kind::WorkerKilled(phase) => {
            let is_hit = aim.reach(phase, (site, job), chance).await;
            site.cluster.workers[0].kill();
            let is_hit = is_hit && was_hit(phase, aim);
            site.cluster.workers[0] = site.cluster.start_process("worker");
            return is_hit;
        }
        Kind::WorkerStopped(phase) => {
            let is_hit = aim.reach(phase, (site, job), chance).await;
            site.cluster.workers[0].signal("STOP");
            let is_hit = is_hit && was_hit(phase, aim);
            replace_the_stopped(site, job).await;
            return is_hit;
        }
        Kind::Damaged(target) => {
            return damage(site, job, target, chance).await;
        }
        Kind::CoordinatorKilled
        | Kind::CoordinatorStopped
        | Kind::OneOfTwoKilled
        | Kind::OneOfTwoStopped => {
            tokio::time::sleep(chance.up_to_ms(LATEST_MS)).await;
            coordinator(site, job, fault.kind, chance).await;
        }
        Kind::StoreKilled
        | Kind::StoreFrozen
        | Kind::StoreFull
        | Kind::StoreReadOnly => {
            tokio::time::sleep(chance.up_to_ms(LATEST_MS)).await;
            store(site, fault.kind, chance).await;
        }
        Kind::ArtifactsFull | Kind::ArtifactsReadOnly | Kind::ScratchFull => {
            tokio::time::sleep(chance.up_to_ms(LATEST_MS)).await;
            let volumes = site.volumes.as_ref();
            let volumes = volumes.expect("kinds that need them are left out");
            volume(volumes, fault.kind, chance).await;
        }
        Kind::ClocksJump | Kind::ClocksApart => {
            clocks(site, fault.kind, chance).await;
        }
        Kind::Deploy => {
            tokio::time::sleep(chance.up_to_ms(LATEST_MS)).await;
            deploy(site).await;
        }
        Kind::EverythingKilled => {
            tokio::time::sleep(chance.up_to_ms(LATEST_MS)).await;
            kill_everything(site).await;
        }
        Kind::UpKilled | Kind::UpDiskFull => {
            unreachable!("a house of its own has these (`house.rs`)")
        }
    }
    true
}

/// False when an upload was over before the signal came.
fn was_hit(phase: Phase, aim: &Aim) -> bool {
    match phase {
        Phase::CheckpointUpload
        | Phase::BackboneUpload
        | Phase::ModelUpload => aim.is_uploading(),
        Phase::AnyMoment
        | Phase::Step
        | Phase::CheckpointWrite
        | Phase::BeforeCommit
        | Phase::AfterCommit => true,
    }
}

/// Another worker ends the job; then the stopped one wakes up, finds that out,
/// and leaves when it is told to.
async fn replace_the_stopped(site: &mut Site, job: &str) {
    let cluster = &mut site.cluster;
    cluster.workers.push(cluster.start_process("worker"));
    cluster.ended(job).await;
    let mut stopped = cluster.workers.remove(0);
    stopped.signal("CONT");
    assert!(stopped.terminate().await, "a worker that slept leaves");
}

async fn coordinator(
    site: &mut Site,
    job: &str,
    kind: Kind,
    chance: &mut Chance,
) {
    let is_kill =
        matches!(kind, Kind::CoordinatorKilled | Kind::OneOfTwoKilled);
    if is_kill {
        site.cluster.coordinator.kill();
    } else {
        site.cluster.coordinator.signal("STOP");
    }
    if let Some(other) = site.other.take() {
        let request = proto::pb::GetJobRequest {
            name: job.to_owned(),
        };
        let call = crate::asking::within(crate::asking::PATIENT, request);
        let answer = other.training().get_job(call).await;
        answer.expect("the other coordinator answers");
    }
    tokio::time::sleep(chance.up_to_ms(LONGEST_AWAY_MS)).await;
    if is_kill {
        let again = site.cluster.start_process("coordinator");
        site.cluster.coordinator = again;
    } else {
        site.cluster.coordinator.signal("CONT");
    }
}

async fn store(site: &mut Site, kind: Kind, chance: &mut Chance) {
    let store = &mut site.cluster.store;
    let pause = chance.up_to_ms(LONGEST_AWAY_MS);
    if kind == Kind::StoreKilled {
        store.kill();
        tokio::time::sleep(pause).await;
        return store.resume().await;
    }
    if kind == Kind::StoreFrozen {
        store.freeze();
        tokio::time::sleep(pause).await;
        return store.thaw();
    }
    let [begin, end]: [&[&str]; 2] = if kind == Kind::StoreFull {
        [
            &["CONFIG", "SET", "maxmemory", "1"],
            &["CONFIG", "SET", "maxmemory", "0"],
        ]
    } else {
        // Nobody listens on port 1: what is there stays.
        [
            &["REPLICAOF", "127.0.0.1", "1"],
            &["REPLICAOF", "NO", "ONE"],
        ]
    };
    assert_eq!(store.command(begin).trim(), "OK");
    tokio::time::sleep(pause).await;
    assert_eq!(store.command(end).trim(), "OK");
}

async fn volume(volumes: &Volumes, kind: Kind, chance: &mut Chance) {
    let volume = if kind == Kind::ScratchFull {
        &volumes.scratch
    } else {
        &volumes.artifacts
    };
    if matches!(kind, Kind::ArtifactsFull | Kind::ScratchFull) {
        volume.fill().await;
    } else {
        volume.close().await;
    }
    tokio::time::sleep(chance.up_to_ms(LONGEST_MS)).await;
    volume.mend();
}

async fn clocks(site: &mut Site, kind: Kind, chance: &mut Chance) {
    if kind == Kind::ClocksApart {
        // The second coordinator has had the wrong time since before the job.
        tokio::time::sleep(chance.up_to_ms(LONGEST_MS)).await;
        site.other = None;
        return;
    }
    let is_fast = chance.below(2) == 0;
    tokio::time::sleep(chance.up_to_ms(LATEST_MS)).await;
    let clocks = site.clocks.as_ref();
    let clocks = clocks.expect("kinds that need them are left out");
    clocks.put_wrong(Whose::Site, is_fast);
    tokio::time::sleep(chance.up_to_ms(LONGEST_MS)).await;
    clocks.put_right(Whose::Site);
}

fn services(site: &mut Site) -> Vec<&mut Process> {
    let cluster = &mut site.cluster;
    let mut services = vec![&mut cluster.coordinator, &mut cluster.scorer];
    services.extend(&mut cluster.workers);
    services
}

async fn deploy(site: &mut Site) {
    for service in services(site) {
        service.signal("TERM");
    }
    for service in services(site) {
        assert!(service.terminate().await, "a service leaves in good order");
    }
    start_services(site);
}

async fn kill_everything(site: &mut Site) {
    site.cluster.store.kill();
    for service in services(site) {
        service.kill();
    }
    site.cluster.store.resume().await;
    start_services(site);
}

fn start_services(site: &mut Site) {
    let cluster = &mut site.cluster;
    cluster.coordinator = cluster.start_process("coordinator");
    cluster.scorer = cluster.start_process("scorer");
    for nth in 0..cluster.workers.len() {
        cluster.workers[nth] = cluster.start_process("worker");
    }
}
