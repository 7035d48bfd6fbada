//! Files that are damaged while nobody looks: a job ends once all the same,
//! with the model that it would have had.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;

use e2e::{
    CHECKPOINTED_JOB, Cluster, cut_the_end_off, entries, flip_a_bit,
    largest_file,
};
use proto::pb;
use proto::pb::job::State;

/// The complete checkpoints in the artifact store.
fn checkpoints(cluster: &Cluster) -> Vec<PathBuf> {
    let mut folders = entries(&cluster.artifacts().join("checkpoints"));
    folders.retain(|folder| folder.join("index.json").is_file());
    folders
}

/// The tables of a job's model, byte by byte.
fn tables(cluster: &Cluster, job: &pb::Job) -> Vec<u8> {
    let model = job.model_version.trim_start_matches("modelVersions/");
    let folder = cluster.artifacts().join("models").join(model);
    std::fs::read(folder.join("tables.safetensors")).unwrap()
}

/// How many of a job's events say this.
fn count(events: &[pb::JobEvent], text: &str) -> usize {
    let says = events.iter().filter(|event| event.message.contains(text));
    says.count()
}

#[tokio::test]
async fn a_job_whose_checkpoint_is_damaged_starts_over_and_succeeds_once() {
    let mut cluster = Cluster::start().await;
    let dataset = cluster.import_two_groups();
    let name = cluster.submit(&dataset, &CHECKPOINTED_JOB);
    cluster.wait_for_event(&name, "checkpoint saved").await;
    cluster.workers[0].kill();
    // The next one may have been stored meanwhile: whichever the job goes on
    // from is damaged.
    let stored = checkpoints(&cluster);
    assert!(!stored.is_empty(), "the job has a checkpoint to go on from");
    for checkpoint in stored {
        flip_a_bit(&largest_file(&checkpoint));
    }
    cluster.workers[0] = cluster.start_process("worker");

    let job = cluster.ended(&name).await;
    assert_eq!(job.state(), State::Succeeded, "{:?}", job.cause);
    assert_eq!(job.attempts, 2);
    let events = cluster.events(&name).await;
    assert_eq!(count(&events, "published"), 1);
    assert_eq!(cluster.versions().await.len(), 1);
    let undisturbed = cluster.train(&dataset, &CHECKPOINTED_JOB).await;
    assert!(
        tables(&cluster, &job) == tables(&cluster, &undisturbed),
        "nothing of the damaged checkpoint is in the model"
    );
}

/// The file with the words of the cluster's only data set, in the worker's
/// scratch folder.
fn words_file(cluster: &Cluster) -> PathBuf {
    let mut found = Vec::new();
    for folder in entries(&cluster.token_files()) {
        let mut files = entries(&folder);
        files.retain(|file| {
            file.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("words")
        });
        found.extend(files);
    }
    let [words] = &*found else {
        panic!("one data set has one file of words: {found:?}")
    };
    words.clone()
}

#[tokio::test]
async fn a_damaged_file_of_words_is_made_anew_and_no_job_notices() {
    let cluster = Cluster::start().await;
    let dataset = cluster.import_two_groups();
    let first = cluster.train(&dataset, &[]).await;
    let whole = std::fs::read(words_file(&cluster)).unwrap();
    for damage in [flip_a_bit, cut_the_end_off] {
        damage(&words_file(&cluster));
        assert!(std::fs::read(words_file(&cluster)).unwrap() != whole);
        let job = cluster.train(&dataset, &[]).await;
        assert_eq!((job.attempts, &job.cause), (1, &None));
        assert!(
            std::fs::read(words_file(&cluster)).unwrap() == whole,
            "the words are what they were before"
        );
        assert!(
            tables(&cluster, &job) == tables(&cluster, &first),
            "the job learned from the right words"
        );
    }
}

#[tokio::test]
async fn a_file_of_words_that_is_gone_is_made_anew() {
    let cluster = Cluster::start().await;
    let dataset = cluster.import_two_groups();
    cluster.train(&dataset, &[]).await;
    let whole = std::fs::read(words_file(&cluster)).unwrap();
    std::fs::remove_file(words_file(&cluster)).unwrap();
    let job = cluster.train(&dataset, &[]).await;
    assert_eq!((job.attempts, &job.cause), (1, &None));
    assert!(std::fs::read(words_file(&cluster)).unwrap() == whole);
}
