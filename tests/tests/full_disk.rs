//! The embedded store on a disk that is full for a while.
//!
//! A limit on the size of the files that `cllm4rec up` may write stands for the
//! full disk: it needs no rights, and the same system calls fail.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, Output};
use std::time::Duration;

use e2e::{Newcomer, Process, eventually};

/// The whole of `up`, which a file that is too large does not end.
async fn start(newcomer: &Newcomer) -> Process {
    let up = newcomer.command(&["up"]);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" up"]);
    command.arg(up.get_program());
    command.current_dir(newcomer.folder());
    for (name, value) in up.get_envs() {
        command.env(name, value.unwrap());
    }
    let process = Process::start(&mut command);
    eventually("up answers", Duration::from_secs(30), async || {
        newcomer
            .run(&["train", "list"])
            .status
            .success()
            .then_some(())
    })
    .await;
    process
}

/// Lets no file of the process grow beyond this.
fn limit_files(process: &Process, bytes: &str) {
    let status = Command::new("prlimit")
        .args(["--pid", &process.id().to_string()])
        .arg(format!("--fsize={bytes}:unlimited"))
        .status();
    assert!(status.unwrap().success(), "prlimit is a part of util-linux");
}

fn record(newcomer: &Newcomer, user: usize) -> Output {
    let mut arguments = vec!["history".to_owned(), "record".to_owned()];
    arguments.push(format!("u{user}"));
    // Enough of them that a file has to grow soon.
    for number in 0..3_000 {
        arguments.push(format!("{number}-{}", "x".repeat(40)));
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    newcomer.run(&arguments)
}

fn n_events(newcomer: &Newcomer, user: usize) -> usize {
    let user = format!("u{user}");
    let history = newcomer.json(&["history", "show", &user]);
    history["interactions"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_is_over_when_there_is_room_again() {
    let newcomer = Newcomer::new();
    let mut up = start(&newcomer).await;
    assert!(record(&newcomer, 0).status.success());
    let file = newcomer.folder().join("data").join("store.redb");
    let bytes = std::fs::metadata(file).unwrap().len();
    limit_files(&up, &bytes.to_string());
    let mut stored = vec![0];
    let refused = loop {
        let user = stored.len();
        let recorded = record(&newcomer, user);
        if !recorded.status.success() {
            break String::from_utf8_lossy(&recorded.stderr).into_owned();
        }
        stored.push(user);
        assert!(stored.len() < 100, "the file never grew");
    };
    assert!(
        refused.contains("the embedded store cannot write"),
        "{refused}"
    );
    assert!(refused.contains("no restart is needed"), "{refused}");
    let again = record(&newcomer, stored.len());
    assert!(!again.status.success(), "still full");
    for user in &stored {
        assert_eq!(n_events(&newcomer, *user), 3_000, "read while it is full");
    }

    limit_files(&up, "unlimited");
    let next = stored.len();
    eventually("there is room again", Duration::from_secs(20), async || {
        record(&newcomer, next).status.success().then_some(())
    })
    .await;
    stored.push(next);
    for user in &stored {
        assert_eq!(n_events(&newcomer, *user), 3_000, "user u{user}");
    }
    assert!(up.terminate().await);
}
