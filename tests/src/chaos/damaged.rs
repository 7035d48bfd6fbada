//! Damages files of each kind, and mends what nobody else can.

use std::path::{Path, PathBuf};

use proto::pb::job::State;

use crate::chaos::chance::Chance;
use crate::chaos::kind::Target;
use crate::chaos::site::Site;
use crate::damage::{cut_the_end_off, entries, flip_a_bit};

/// Damages what a job needs or has made; returns false where there was nothing
/// of the kind.
pub(super) async fn damage(
    site: &mut Site,
    job: &str,
    target: Target,
    chance: &mut Chance,
) -> bool {
    let artifacts = site.cluster.artifacts();
    match target {
        Target::Checkpoint => {
            site.cluster.wait_for_event(job, "checkpoint saved").await;
            site.cluster.workers[0].kill();
            let is_hit =
                spoil(&entries(&artifacts.join("checkpoints")), chance);
            site.cluster.workers[0] = site.cluster.start_process("worker");
            is_hit
        }
        Target::Words => {
            tokio::time::sleep(chance.up_to_ms(1_500)).await;
            spoil(&entries(&site.cluster.token_files()), chance)
        }
        Target::Model | Target::Backbone | Target::Index => {
            spoil_the_result(site, job, target, chance).await
        }
        Target::Dataset => {
            let is_hit = spoil(&entries(&artifacts.join("datasets")), chance);
            let ended = site.cluster.ended(job).await;
            assert_eq!(site.cluster.import_two_groups(), site.dataset);
            if ended.state() == State::Failed {
                site.cluster.cli_json(&["train", "retry", job]);
            }
            is_hit
        }
    }
}

/// Damages what a job has published, trains it again and has it read anew.
async fn spoil_the_result(
    site: &mut Site,
    job: &str,
    target: Target,
    chance: &mut Chance,
) -> bool {
    site.cluster.ended(job).await;
    let artifacts = site.cluster.artifacts();
    let mut folders = Vec::new();
    if target != Target::Backbone {
        folders.extend(entries(&artifacts.join("models")));
    }
    if target != Target::Model {
        folders.extend(entries(&artifacts.join("backbones")));
    }
    // The job's own are the newest.
    folders
        .sort_by_key(|folder| folder.metadata().unwrap().modified().unwrap());
    let newest = folders.split_off(folders.len().saturating_sub(1));
    let is_hit = if target == Target::Index {
        spoil_file(&newest[0].join("index.json"), chance);
        true
    } else {
        spoil(&newest, chance)
    };
    let spec = site.accepted[job];
    let again = site.submit(spec);
    site.cluster.ended(&again).await;
    site.cluster.scorer.kill();
    site.cluster.scorer = site.cluster.start_process("scorer");
    is_hit
}

/// Damages one file of each folder.
fn spoil(folders: &[PathBuf], chance: &mut Chance) -> bool {
    let mut is_hit = false;
    for folder in folders {
        let mut files = entries(folder);
        files.retain(|path| path.metadata().is_ok_and(|m| m.len() > 0));
        if files.is_empty() {
            continue;
        }
        let nth = chance.below(files.len());
        spoil_file(&files[nth], chance);
        is_hit = true;
    }
    is_hit
}

fn spoil_file(file: &Path, chance: &mut Chance) {
    match chance.below(4) {
        0 => flip_a_bit(file),
        1 => cut_the_end_off(file),
        2 => std::fs::remove_file(file).unwrap(),
        _ => std::fs::write(file, "{").unwrap(),
    }
}
