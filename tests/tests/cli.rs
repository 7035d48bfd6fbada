//! `cllm4rec` as a newcomer uses it: all services in one process, one folder,
//! no Redis.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use e2e::{Newcomer, TINY_JOB, write_two_groups};

fn path(folder: &Path) -> String {
    folder.display().to_string()
}

/// A job that is followed to its end, and a list by its model.
fn train_and_recommend(newcomer: &Newcomer, dataset: &str) {
    let mut submit = vec!["train", "submit", "--dataset", dataset];
    submit.extend(["--label", "live", "--watch"]);
    for field in TINY_JOB {
        submit.extend(["--set", field]);
    }
    let last = newcomer.json(&submit);
    assert_eq!(last["job"]["state"], "SUCCEEDED");
    assert_eq!(
        last["job"]["stages"].as_array().unwrap().len(),
        3,
        "the record ends with the last stage's losses"
    );
    // At once: the scorer looks the label up.
    let answer = newcomer.json(&["recommend", "u1", "-k", "3"]);
    assert_eq!(answer["model_version"], last["job"]["model_version"]);
    let status = newcomer.json(&["status"]);
    let loaded = &status["versions"][0]["model_version"];
    assert_eq!(*loaded, answer["model_version"]);
    assert_eq!(status["unloadable"], serde_json::json!([]));
    assert_eq!(status["counters"]["states.computed"], 1);
}

/// What a user does is shown, until the user is deleted.
fn record_and_delete(newcomer: &Newcomer) {
    let recorded = newcomer.json(&["history", "record", "u1", "i19"]);
    assert_eq!(recorded["n_recorded"], 1);
    let shown = newcomer.json(&["history", "show", "u1"]);
    let latest = shown["interactions"].as_array().unwrap().last().unwrap();
    assert_eq!(latest["item_id"], "i19");
    newcomer.json(&["history", "delete", "u1"]);
    assert_eq!(newcomer.json(&["history", "show", "u1"])["deleted"], true);
}

#[tokio::test]
async fn the_five_lines_of_the_readme_work_while_up_runs() {
    let newcomer = Newcomer::new();
    let mut up = newcomer.up().await;
    let data = newcomer.folder().join("mine");
    write_two_groups(&data);

    // `up` holds the embedded store: the histories are seeded through the
    // scorer.
    let imported = newcomer.json(&["dataset", "import", &path(&data)]);
    assert_eq!(
        (&imported["n_seeded"], &imported["n_refused"]),
        (&480.into(), &0.into())
    );
    let id = imported["dataset"].as_str().unwrap();
    assert_eq!(
        newcomer.json(&["dataset", "show", id])["manifest"]["n_titles"],
        20
    );
    assert_eq!(newcomer.json(&["dataset", "list"])["dataset"], id);

    train_and_recommend(&newcomer, id);
    record_and_delete(&newcomer);

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

/// The items of a user's stored history.
fn history_of(newcomer: &Newcomer, user: &str) -> Vec<String> {
    let shown = newcomer.json(&["history", "show", user]);
    let all = shown["interactions"].as_array().unwrap();
    all.iter()
        .map(|one| one["item_id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_corrected_file_replaces_what_the_first_one_seeded() {
    let newcomer = Newcomer::new();
    let _up = newcomer.up().await;
    let file = newcomer.folder().join("mine.csv");
    let import = |rows: &str| {
        std::fs::write(&file, format!("user,item,time,split\n{rows}")).unwrap();
        newcomer.json(&["dataset", "import", &path(&file)])
    };
    import(
        "anna,wrong,1600000000,train\nanna,tea,1600000001,train\nben,tea,5,train\n",
    );
    assert_eq!(history_of(&newcomer, "anna"), ["wrong", "tea"]);
    let corrected =
        import("anna,pot,1600000000,train\nanna,tea,1600000001,train\n");
    assert_eq!(
        (&corrected["n_seeded"], &corrected["n_replaced"]),
        (&1.into(), &2.into())
    );
    assert_eq!(history_of(&newcomer, "anna"), ["pot", "tea"]);
    assert!(history_of(&newcomer, "ben").is_empty());

    newcomer.json(&["history", "record", "anna", "own"]);
    let id = corrected["dataset"].as_str().unwrap();
    let deleted = newcomer.json(&["dataset", "delete", id, "--with-histories"]);
    assert_eq!(deleted["n_forgotten"], 2);
    assert_eq!(history_of(&newcomer, "anna"), ["own"]);
}

#[tokio::test]
async fn check_says_what_an_import_would_and_stores_nothing() {
    let newcomer = Newcomer::new();
    let file = newcomer.folder().join("mine.csv");
    let rows = "Customer,SKU,Bought At\r\na,x,2020-09-13 12:27\r\na,y,2020-09-13 12:28\r\nb,x,2020-09-13 12:29\r\n";
    std::fs::write(&file, rows).unwrap();
    let said = newcomer.json(&["dataset", "check", &path(&file)]);
    assert_eq!(said["manifest"]["n_interactions"], 3);
    assert_eq!(said["first_time"], "2020-09-13 12:27:00 UTC");
    assert_eq!(said["columns"][2]["as"], "timestamp");
    let warnings = said["warnings"].to_string();
    assert!(warnings.contains("test split is empty"), "{warnings}");
    assert!(newcomer.run(&["dataset", "list"]).stdout.is_empty());
    let effectless =
        newcomer.run(&["dataset", "check", &path(&file), "--split-seed", "3"]);
    let error = String::from_utf8_lossy(&effectless.stderr).into_owned();
    assert!(error.contains("`--split-seed` has no effect"), "{error}");
}

#[test]
fn an_option_that_says_how_to_read_is_refused_where_nothing_is_read() {
    let newcomer = Newcomer::new();
    let submit = |options: &[&str]| {
        let job = ["train", "submit", "--dataset", "d"];
        let output = newcomer.run(&[&job, options].concat());
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let options = [
        "--items=i.csv",
        "--split=random",
        "--k-core=5",
        "--report=r.html",
    ];
    for option in options {
        let error = submit(&[option]);
        let (name, _) = option.split_once('=').unwrap();
        let expected = format!("`{name}` has no effect without `--data`");
        assert!(error.contains(&expected), "{error}");
    }
}

#[tokio::test]
async fn exit_codes_tell_a_failure_from_wrong_usage_and_from_a_job_without_a_model()
 {
    let newcomer = Newcomer::new();
    let nothing_runs = newcomer.code(&["recommend", "u1"]);
    assert_eq!(nothing_runs, Some(1), "nothing is running");
    assert_eq!(newcomer.code(&["no-such-command"]), Some(2));
    assert_eq!(newcomer.code(&["completions", "bash"]), Some(0));

    let data = newcomer.folder().join("bad.csv");
    std::fs::write(&data, "user_id,item_id\na,\nb,\n").unwrap();
    let refused = newcomer.run(&["dataset", "import", &path(&data)]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(1)
            && error.contains("bad.csv:2: item id is missing"),
        "{error}"
    );
    assert!(
        newcomer.run(&["dataset", "list"]).stdout.is_empty(),
        "a failed import leaves nothing"
    );

    let _up = newcomer.up().await;
    let good = newcomer.folder().join("good");
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
    assert_eq!(newcomer.code(&submit), Some(3));
    let wrong = newcomer.run(&[
        "train",
        "submit",
        "--dataset",
        id,
        "--set",
        "finetuning.batch=0",
    ]);
    assert!(
        String::from_utf8_lossy(&wrong.stderr)
            .contains("finetuning.batch: must be 1 to")
    );
}
