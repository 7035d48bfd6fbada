//! What the page holds.

use super::*;
use crate::output::report_parts::SampleList;
use domain::{DatasetId, TrainSpec};
use proto::timestamp;

fn manifest() -> Manifest {
    serde_json::from_value(serde_json::json!({
        "format": 1, "name": "<my> data", "catalog": "default",
        "n_users": 1_234_567, "n_items": 50, "n_interactions": 900,
        "n_train": 700, "n_valid": 100, "n_test": 100,
        "n_texts": 7, "n_titles": 49,
    }))
    .unwrap()
}

fn job() -> pb::Job {
    let mut spec = TrainSpec::new(DatasetId::new("d").unwrap());
    spec.finetuning.epochs = 2;
    let epoch = |epoch, loss| pb::EpochReport {
        stage: "finetuning".into(),
        epoch,
        loss,
        valid_ndcg_100: Some(0.1),
    };
    let stages = vec![pb::StageReport {
        stage: "finetuning".into(),
        ..Default::default()
    }];
    let spent = pb::Spent {
        seconds: 61.0,
        n_tokens: 0.0,
    };
    let progress = pb::Progress {
        epochs: vec![epoch(1, 3.0), epoch(2, 2.5)],
        stages,
        parts: [("finetuning".to_owned(), spent)].into(),
        ..Default::default()
    };
    pb::Job {
        spec: Some((&spec).into()),
        metrics: [("ndcg@100".to_owned(), 0.12)].into(),
        progress: Some(progress),
        create_time: Some(timestamp(0)),
        update_time: Some(timestamp(75_000)),
        ..Default::default()
    }
}

fn page(lists: SampleLists) -> String {
    let (job, manifest) = (job(), manifest());
    let report = Report {
        job: &job,
        manifest: &manifest,
        profile: Profile {
            times_ms: Some((0, 86_400_000)),
            users_by_interactions: vec![Band {
                from: 5,
                to: 8,
                n: 900,
            }],
            ..Profile::default()
        },
        seeds: Seeds::default(),
        lists,
    };
    report.html()
}

#[test]
fn the_page_shows_data_settings_time_and_curves() {
    let page = page(SampleLists::LeftOut("nobody serves <it>".to_owned()));
    for part in [
        "1,234,567",
        "49 of 50",
        "700 train, 100 validation, 100 test",
        "1970-01-01 00:00:00 UTC to 1970-01-02 00:00:00 UTC",
        "<td>finetuning.epochs</td><td>2</td>",
        "<td>hybrid.light</td><td>ease <span",
        "1 min 15 s from submission",
        "<span>finetuning</span>",
        "<span>5 to 8</span>",
        "nobody serves &lt;it&gt;",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    assert_eq!(
        page.matches("<polyline").count(),
        2,
        "validation and one stage"
    );
}

#[test]
fn what_users_named_is_escaped() {
    let list = SampleList {
        user: "<b>".to_owned(),
        n_history: 9,
        latest: vec!["<script>".to_owned()],
        recommended: vec!["a & b".to_owned()],
    };
    let page = page(SampleLists::Made(vec![list]));
    assert!(page.contains("&lt;my&gt; data") && !page.contains("<my>"));
    assert!(page.contains("&lt;b&gt;") && page.contains("a &amp; b"));
    assert!(!page.contains("<script"), "{page}");
}
