//! `cllm4rec` as a newcomer uses it: all services in one process, one folder, no Redis.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use e2e::{Process, TINY_JOB, binary, eventually, free_port, write_two_groups};
use serde_json::Value;

/// A folder with `cllm4rec up` running in it, and commands that talk to it.
struct Newcomer {
    folder: tempfile::TempDir,
    ports: [u16; 3],
}

impl Newcomer {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            ports: [free_port(), free_port(), free_port()],
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let [api, workers, scorer] = self.ports;
        let mut command = Command::new(binary("cllm4rec"));
        command.args(arguments).current_dir(self.folder.path());
        command.env("COORDINATOR__API__ADDRESS", format!("127.0.0.1:{api}"));
        command.env(
            "COORDINATOR__WORKERS__ADDRESS",
            format!("127.0.0.1:{workers}"),
        );
        command.env("SCORER__API__ADDRESS", format!("127.0.0.1:{scorer}"));
        command.env("COORDINATOR__LOG__FILTER", "warn");
        // A version that is asked for at once is loaded meanwhile, however slow the machine is.
        command.env("SCORER__DEFAULT_DEADLINE_MS", "30000");
        command.env(
            "CLLM4REC__COORDINATOR__URL",
            format!("http://127.0.0.1:{api}"),
        );
        command.env(
            "CLLM4REC__SCORER__URL",
            format!("http://127.0.0.1:{scorer}"),
        );
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[&["--json"], arguments].concat());
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_str(out.lines().last().unwrap_or_default()).unwrap()
    }

    async fn up(&self) -> Process {
        let process = Process::start(&mut self.command(&["up"]));
        eventually("up answers", Duration::from_secs(30), async || {
            self.run(&["train", "list"]).status.success().then_some(())
        })
        .await;
        process
    }
}

fn path(folder: &Path) -> String {
    folder.display().to_string()
}

#[tokio::test]
async fn the_five_lines_of_the_readme_work_while_up_runs() {
    let newcomer = Newcomer::new();
    let mut up = newcomer.up().await;
    let data = newcomer.folder.path().join("mine");
    write_two_groups(&data);

    // `up` holds the embedded store: the histories are seeded through the scorer.
    let imported = newcomer.json(&["dataset", "import", &path(&data)]);
    assert_eq!(
        (&imported["n_seeded"], &imported["n_refused"]),
        (&420.into(), &0.into())
    );
    let id = imported["dataset"].as_str().unwrap();
    assert_eq!(
        newcomer.json(&["dataset", "show", id])["manifest"]["n_titles"],
        20
    );
    assert_eq!(newcomer.json(&["dataset", "list"])["dataset"], id);

    let mut submit = vec![
        "train",
        "submit",
        "--dataset",
        id,
        "--label",
        "live",
        "--watch",
    ];
    TINY_JOB
        .iter()
        .for_each(|field| submit.extend(["--set", field]));
    let last = newcomer.json(&submit);
    assert_eq!(last["job"]["state"], "SUCCEEDED");
    assert_eq!(
        last["job"]["stages"].as_array().unwrap().len(),
        3,
        "the record ends with the last stage's losses"
    );
    let answer = newcomer.json(&["recommend", "u1", "-k", "3"]); // at once: the scorer looks the label up
    assert_eq!(answer["model_version"], last["job"]["model_version"]);
    let status = newcomer.json(&["status"]);
    assert_eq!(
        status["versions"][0]["model_version"],
        answer["model_version"]
    );
    assert_eq!(
        (
            &status["unloadable"],
            &status["counters"]["states.computed"]
        ),
        (&serde_json::json!([]), &1.into())
    );

    assert_eq!(
        newcomer.json(&["history", "record", "u1", "i19"])["n_recorded"],
        1
    );
    let shown = newcomer.json(&["history", "show", "u1"]);
    assert_eq!(
        shown["interactions"].as_array().unwrap().last().unwrap()["item_id"],
        "i19"
    );
    newcomer.json(&["history", "delete", "u1"]);
    assert_eq!(newcomer.json(&["history", "show", "u1"])["deleted"], true);

    let elsewhere = tempfile::tempdir().unwrap();
    let lost = newcomer
        .command(&["dataset", "import", &path(&data), "--name", "lost"])
        .current_dir(elsewhere.path())
        .output();
    let error = String::from_utf8_lossy(&lost.unwrap().stderr).into_owned();
    assert!(error.contains("keeps its data sets elsewhere"), "{error}");

    newcomer.json(&["dataset", "delete", id]);
    assert!(up.terminate().await, "up leaves in good order");
    let mut again = newcomer.up().await;
    assert_eq!(
        newcomer.json(&["history", "show", "u1"])["deleted"],
        true,
        "what was acknowledged is there"
    );
    assert_eq!(newcomer.json(&["models", "list"])["labels"][0], "live");
    assert!(again.terminate().await);
}

#[tokio::test]
async fn exit_codes_tell_a_failure_from_wrong_usage_and_from_a_job_without_a_model() {
    let newcomer = Newcomer::new();
    let code = |arguments: &[&str]| newcomer.run(arguments).status.code();
    assert_eq!(code(&["recommend", "u1"]), Some(1), "nothing is running");
    assert_eq!(code(&["no-such-command"]), Some(2));
    assert_eq!(code(&["completions", "bash"]), Some(0));

    let data = newcomer.folder.path().join("bad.csv");
    std::fs::write(&data, "user_id,item_id\na,\nb,\n").unwrap();
    let refused = newcomer.run(&["dataset", "import", &path(&data)]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(1) && error.contains("bad.csv:2: item id is missing"),
        "{error}"
    );
    assert!(
        newcomer.run(&["dataset", "list"]).stdout.is_empty(),
        "a failed import leaves nothing"
    );

    let _up = newcomer.up().await;
    let good = newcomer.folder.path().join("good");
    write_two_groups(&good);
    let imported = newcomer.json(&[
        "dataset",
        "import",
        &path(&good),
        "--seed-histories",
        "none",
    ]);
    let id = imported["dataset"].as_str().unwrap();
    let submit = [
        "train",
        "submit",
        "--dataset",
        id,
        "--watch",
        "--set",
        "backbone={path=\"none\"}",
    ];
    assert_eq!(code(&submit), Some(3));
    let wrong = newcomer.run(&[
        "train",
        "submit",
        "--dataset",
        id,
        "--set",
        "finetuning.batch=0",
    ]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("finetuning.batch: must be 1 to"));
}
