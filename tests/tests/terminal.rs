//! What people may type for an id, and what their terminal gets.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Read;
use std::process::Stdio;

use e2e::{Newcomer, TINY_JOB, write_two_groups};
use serde_json::Value;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn error(newcomer: &Newcomer, arguments: &[&str]) -> String {
    let output = newcomer.run(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    text(&output.stderr)
}

/// Imports the two groups of users under a name; returns the id.
fn import(newcomer: &Newcomer, name: &str, options: &[&str]) -> String {
    let data = newcomer.folder().join("mine");
    if !data.exists() {
        write_two_groups(&data);
    }
    let data = data.display().to_string();
    let command = ["dataset", "import", &data, "--name", name];
    let imported = newcomer.json(&[&command[..], options].concat());
    imported["dataset"].as_str().unwrap().to_owned()
}

fn submit(newcomer: &Newcomer, options: &[&str]) -> Value {
    let mut submit = vec!["train", "submit"];
    for field in TINY_JOB {
        submit.extend(["--set", field]);
    }
    submit.extend(options);
    newcomer.json(&submit)
}

#[tokio::test]
async fn names_and_the_beginnings_of_ids_are_enough() {
    let newcomer = Newcomer::new();
    let _up = newcomer.up().await;
    let id = import(&newcomer, "orders", &[]);
    let shown = newcomer.json(&["dataset", "show", "orders"]);
    assert_eq!(shown["dataset"], id.as_str());
    let shown = newcomer.json(&["dataset", "show", &id[..12]]);
    assert_eq!(shown["dataset"], id.as_str());

    let watch = ["--dataset", "orders", "--label", "live", "--watch"];
    let ended = submit(&newcomer, &watch)["job"].clone();
    assert_eq!(ended["state"], "SUCCEEDED", "{ended}");
    let name = ended["name"].as_str().unwrap();
    for typed in [&name["jobs/".len()..], &name["jobs/job-".len()..30]] {
        assert_eq!(newcomer.json(&["train", "show", typed])["name"], name);
    }
    let of_data = newcomer.json(&["train", "list", "--dataset", "orders"]);
    assert_eq!(of_data["name"], name);

    let version = ended["model_version"].as_str().unwrap();
    for typed in [&version["modelVersions/".len()..24], "live"] {
        let shown = newcomer.json(&["models", "show", typed]);
        assert_eq!(shown["name"], version, "{typed}");
        let list = newcomer.json(&["recommend", "u1", "--version", typed]);
        assert_eq!(list["model_version"], version, "{typed}");
    }

    let later = submit(&newcomer, &["--dataset", "orders", "--after", name]);
    let later = later["name"].as_str().unwrap();
    let several = error(&newcomer, &["train", "show", "job-"]);
    for candidate in [name, later] {
        let candidate = &candidate["jobs/".len()..];
        assert!(several.contains(candidate), "{several}");
    }
    let nothing = error(&newcomer, &["train", "show", "never"]);
    assert!(nothing.contains("NotFound"), "{nothing}");

    let core = import(&newcomer, "orders", &["--k-core", "2", "--new-items"]);
    if core != id {
        let several = error(&newcomer, &["dataset", "show", "orders"]);
        assert!(
            several.contains(&core) && several.contains(&id),
            "{several}"
        );
    }
}

#[tokio::test]
async fn a_job_is_followed_and_shown_in_readable_lines() {
    let newcomer = Newcomer::new();
    let _up = newcomer.up().await;
    import(&newcomer, "orders", &[]);
    let mut submit = vec!["train", "submit", "--dataset", "orders", "--watch"];
    for field in TINY_JOB {
        submit.extend(["--set", field]);
    }
    let followed = newcomer.run(&submit);
    let told = text(&followed.stderr);
    assert_eq!(followed.status.code(), Some(0), "{told}");
    let epochs: Vec<&str> = told
        .lines()
        .filter(|line| line.contains(" ended"))
        .collect();
    let validated = epochs
        .iter()
        .find(|line| line.contains("finetuning") && line.contains("NDCG@100"));
    assert!(
        validated.is_some_and(|line| line.contains("loss ")),
        "{told}"
    );

    let name = text(&followed.stdout);
    let name = name.lines().next().unwrap();
    let page = text(&newcomer.run(&["train", "show", name]).stdout);
    let fields = [
        "data set   orders (datasets/",
        "state      SUCCEEDED, modelVersions/",
        "settings   ",
        "attempts   1  20",
        "published",
        "took ",
        "stages     ",
        "popularity",
    ];
    for field in fields {
        assert!(page.contains(field), "{field}: {page}");
    }
}

#[tokio::test]
async fn what_a_title_holds_never_reaches_the_terminal() {
    let newcomer = Newcomer::new();
    let _up = newcomer.up().await;
    let evil = "\u{1b}[2J\u{1b}[31mTea\u{7}";
    let recorded =
        newcomer.json(&["history", "record", "anna", evil, "two\nlines"]);
    assert_eq!(recorded["n_recorded"], 2);

    let shown = newcomer.run(&["history", "show", "anna"]);
    let out = text(&shown.stdout);
    assert!(!out.contains(['\u{1b}', '\u{7}']), "{out:?}");
    assert!(out.contains("\\u{1b}[31mTea"), "{out:?}");
    assert_eq!(out.lines().count(), 2, "one line an item: {out:?}");
    let exact = newcomer.json(&["history", "show", "anna"]);
    let items = exact["interactions"].to_string();
    assert!(items.contains("\\u001b[31mTea\\u0007"), "{items}");

    let wrong = error(&newcomer, &["train", "show", evil]);
    assert!(!wrong.contains('\u{1b}'), "{wrong:?}");
}

#[tokio::test]
async fn a_reader_that_leaves_ends_a_list_quietly() {
    let newcomer = Newcomer::new();
    let _up = newcomer.up().await;
    newcomer.json(&["history", "record", "anna", "tea"]);
    // The pipe is closed before anything is written to it.
    let mut child = newcomer
        .command(&["history", "show", "anna"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let code = child.wait().unwrap().code();
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!((code, said.as_str()), (Some(141), ""));
}
