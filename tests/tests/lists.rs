//! Lists for everybody, into one file.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::path::Path;

use e2e::{Newcomer, TINY_JOB, write_two_groups};

/// A newcomer whose services serve a model of the two groups.
async fn with_model() -> (Newcomer, e2e::Process) {
    let newcomer = Newcomer::new();
    let up = newcomer.up().await;
    let data = newcomer.folder().join("mine");
    write_two_groups(&data);
    let mut submit = vec!["train", "submit", "--label", "live", "--data"];
    submit.push(data.to_str().unwrap());
    for field in TINY_JOB {
        submit.extend(["--set", field]);
    }
    newcomer.json(&submit);
    (newcomer, up)
}

/// The first and the third column of a CSV file: whose list, and which item.
fn pairs(path: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut pairs = Vec::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        pairs.push((cells[0].to_owned(), cells[2].to_owned()));
    }
    pairs
}

/// What each user of the two groups has.
fn owned(folder: &Path) -> HashSet<(String, String)> {
    let text = std::fs::read_to_string(folder.join("interactions.csv"));
    let mut owned = HashSet::new();
    for line in text.unwrap().lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        owned.insert((cells[0].to_owned(), cells[1].to_owned()));
    }
    owned
}

#[tokio::test]
async fn everybody_gets_a_list_of_what_they_do_not_have() {
    let (newcomer, _up) = with_model().await;
    let all = ["recommend", "--all", "-k", "5", "--output", "lists.csv"];
    let summary = newcomer.json(&all);
    assert_eq!(summary["n_users"], 60);
    assert_eq!(summary["n_rows"], 300);

    let lists = pairs(&newcomer.folder().join("lists.csv"));
    let owned = owned(&newcomer.folder().join("mine"));
    let mut lengths: BTreeMap<&str, usize> = BTreeMap::new();
    for pair in &lists {
        assert!(!owned.contains(pair), "{pair:?} is theirs already");
        *lengths.entry(&pair.0).or_default() += 1;
    }
    assert_eq!(lengths.len(), 60);
    assert!(lengths.values().all(|n| *n == 5), "{lengths:?}");

    // A list is what the user gets when they ask by themselves.
    let alone = newcomer.json(&["recommend", "u7", "-k", "5"]);
    let of_user = lists.iter().filter(|pair| pair.0 == "u7");
    let expected: Vec<&str> = of_user.map(|pair| pair.1.as_str()).collect();
    let items = alone["items"].as_array().unwrap().iter();
    let asked: Vec<&str> = items
        .map(|item| item["item_id"].as_str().unwrap())
        .collect();
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn of_2498_users_of_the_demos_data_nobody_gets_what_they_own() {
    let games = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/games");
    let newcomer = Newcomer::new();
    let _up = newcomer.up().await;
    let mut submit = vec!["train", "submit", "--label", "live", "--data"];
    submit.push(games.to_str().unwrap());
    let quick = [
        "hybrid.light=none",
        "finetuning.distilled_share=0.0",
        "evaluation.baselines=none",
        "finetuning.epochs=1",
    ];
    for field in TINY_JOB.iter().chain(&quick) {
        submit.extend(["--set", field]);
    }
    newcomer.json(&submit);
    let all = ["recommend", "--all", "-k", "20", "--output", "lists.csv"];
    let summary = newcomer.json(&all);
    assert_eq!(summary["n_users"], 2_498);
    assert_eq!(summary["n_rows"], 2_498 * 20);

    let file = std::fs::File::open(games.join("interactions.csv.gz")).unwrap();
    let mut interactions = String::new();
    let mut unpacked = flate2::read::GzDecoder::new(file);
    unpacked.read_to_string(&mut interactions).unwrap();
    let mut owned = HashSet::new();
    for line in interactions.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        owned.insert((cells[0].to_owned(), cells[1].to_owned()));
    }
    assert_eq!(owned.len(), 37_243);
    for pair in pairs(&newcomer.folder().join("lists.csv")) {
        assert!(!owned.contains(&pair), "{pair:?} is theirs already");
    }
}

#[tokio::test]
async fn some_users_in_every_form_and_what_goes_wrong_is_said() {
    let (newcomer, _up) = with_model().await;
    let ids = newcomer.folder().join("ids.txt");
    std::fs::write(&ids, "u3\n\nu1\nu3\n").unwrap();
    for output in ["lists.parquet", "lists.jsonl"] {
        let some = ["recommend", "--all", "--users", "ids.txt", "--output"];
        let summary = newcomer.json(&[&some[..], &[output]].concat());
        assert_eq!(
            (&summary["n_users"], &summary["n_rows"]),
            (&2.into(), &20.into())
        );
        assert!(newcomer.folder().join(output).is_file());
        assert!(!newcomer.folder().join(format!("{output}.part")).exists());
    }
    let lists = newcomer.folder().join("lists.jsonl");
    let first = std::fs::read_to_string(lists).unwrap();
    assert!(first.contains("\"user_id\":\"u3\""), "in the file's order");

    let refused = newcomer.run(&["recommend", "--all", "--output", "l.xlsx"]);
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(message.contains(".parquet, .csv or .jsonl"), "{message}");

    let filter = ["--filter", "title.matches(", "--output", "f.csv"];
    let refused =
        newcomer.run(&[&["recommend", "--all"], &filter[..]].concat());
    assert_eq!(refused.status.code(), Some(1));
    assert!(!newcomer.folder().join("f.csv").exists());
}

#[tokio::test]
async fn similar_items_of_each_item_and_scores_of_some() {
    let (newcomer, _up) = with_model().await;
    let all = ["similar", "--all", "-k", "3", "--output", "similar.csv"];
    let summary = newcomer.json(&all);
    assert_eq!(summary["n_items"], 20);
    let lists = pairs(&newcomer.folder().join("similar.csv"));
    assert_eq!(lists.len(), 60);
    assert!(lists.iter().all(|(of, item)| of != item));

    let alone = newcomer.json(&["similar", "i03", "-k", "3"]);
    let first = alone["items"][0]["item_id"].as_str().unwrap();
    let of_item = lists.iter().find(|pair| pair.0 == "i03").unwrap();
    assert_eq!(of_item.1, first);

    let scores = newcomer.json(&["score", "u1", "i03", "nothing"]);
    assert!(scores["scores"][0]["score"].is_number());
    assert!(scores["scores"][1]["score"].is_null(), "{scores}");
}
