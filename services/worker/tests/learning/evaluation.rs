//! What is chosen and measured once a job has learned.

use dataset::{ImportOptions, Split, import};
use domain::{
    EASE_LAMBDA, EASE_LAMBDAS, HYBRID_WEIGHT, HYBRID_WEIGHTS, Light, Metric,
    RankedBy, TableInit,
};
use model::{PromptTexts, Tokenizer, recommender};
use worker::{Progress, train};

use crate::bench::{Bench, N_ITEMS, Outcome, nothing};

#[test]
fn users_without_training_items_and_items_without_text_are_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows =
        "user_id,item_id,timestamp,split\nlate,i00,1,test\none,i01,1,train\none,i02,2,test\n"
            .to_owned();
    for user in 0..6 {
        (0..5).for_each(|place| {
            rows.push_str(&format!(
                "u{user},i{:02},{place},train\n",
                (user + place) % 7
            ))
        });
    }
    std::fs::write(folder.path().join("interactions.csv"), rows).unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    import(folder.path(), &ImportOptions::default())
        .unwrap()
        .0
        .write(&data)
        .unwrap();
    let bench = Bench {
        folder,
        data,
        hub_url: String::new(),
    };
    let mut spec = nothing();
    (
        spec.pretraining.content_epochs,
        spec.pretraining.epochs,
        spec.finetuning.epochs,
    ) = (1, 1, 1);
    let result = bench.train(&spec);
    assert!(
        result
            .artifact
            .tables
            .collaborative
            .items
            .values()
            .iter()
            .all(|value| value.is_finite())
    );
    assert!(result.metrics["recall@20"] > 0.0);

    // Nothing can be validated here: the tables are those of the last epoch,
    // not of the first.
    spec.finetuning.epochs = 0;
    let pretrained = bench.train(&spec);
    assert!(result.tables_file != pretrained.tables_file);
}

#[test]
fn no_choice_depends_on_the_test_split() {
    let mut spec = nothing();
    (
        spec.pretraining.content_epochs,
        spec.pretraining.epochs,
        spec.finetuning.epochs,
    ) = (1, 1, 3);
    (
        spec.init,
        spec.hybrid.light,
        spec.finetuning.distilled_share,
    ) = (TableInit::Spectral, Light::Ease, 0.5);
    let known = Bench::new().train(&spec);
    // Everybody's test item is another one now: nothing that training reads has
    // changed.
    let other = Bench::with(|dataset| {
        let rows = &mut dataset.interactions;
        let test = rows
            .items
            .iter_mut()
            .zip(&rows.splits)
            .filter(|(_, split)| **split == Split::Test);
        test.for_each(|(item, _)| *item = (*item + 10) % N_ITEMS as u32);
    })
    .train(&spec);
    assert_eq!(known.artifact.tables, other.artifact.tables);
    assert_eq!(known.artifact.light, other.artifact.light);
    let choices = |result: &Outcome| {
        let manifest = &result.artifact.manifest;
        (
            manifest.known_user,
            manifest.new_user,
            manifest.light_weight.to_bits(),
        )
    };
    assert_eq!(choices(&known), choices(&other));
    let valid = |result: &Outcome| -> Vec<(String, f64)> {
        let metrics = result.metrics.clone().into_iter();
        metrics
            .filter(|(name, _)| {
                name.starts_with("valid_") || name == "ease_lambda"
            })
            .collect()
    };
    assert_eq!(valid(&known), valid(&other));
    assert!(
        known.metrics["ndcg@100"] > other.metrics["ndcg@100"] + 0.1,
        "the test split itself is measured"
    );
}

#[test]
fn a_job_reports_its_lift_over_every_baseline() {
    let bench = Bench::new();
    let mut spec = nothing();
    (spec.finetuning.epochs, spec.hybrid.light) = (5, Light::Ease);
    let result = bench.train(&spec);
    for baseline in ["popularity", "knn", "ease"] {
        let lift = result.metrics[&format!("lift_over_{baseline}_recall@20")];
        let ratio = result.metrics["recall@20"]
            / result.metrics[&format!("{baseline}_recall@20")];
        assert!((lift - (ratio - 1.0)).abs() < 1e-9, "{baseline}");
    }
    assert_eq!(
        result.artifact.manifest.light_weight,
        result.metrics["hybrid_weight"]
    );
    assert_eq!(
        result.artifact.light.is_some(),
        result.metrics["hybrid_weight"] > 0.0
    );
    let sum = |prefix: &str| -> f64 {
        ["recall@20", "recall@40", "ndcg@100"]
            .iter()
            .map(|name| result.metrics[&format!("{prefix}{name}")])
            .sum()
    };
    assert!(
        sum("valid_") >= sum("valid_llm_"),
        "a weight that does not help on validation is 0"
    );
}

#[test]
fn an_item_that_nobody_took_is_ranked_by_its_text() {
    // i05 and i25 lose all interactions; their titles tell the groups.
    let bench = Bench::with(|dataset| {
        let rows = &mut dataset.interactions;
        let lost = |item: u32| item == 5 || item == 25;
        rows.items
            .iter()
            .zip(&mut rows.splits)
            .filter(|(item, _)| lost(**item))
            .for_each(|(_, s)| *s = Split::Test);
    });
    let mut spec = nothing();
    spec.init = TableInit::Spectral;
    spec.finetuning.epochs = 10;
    let result = bench.train(&spec);
    let texts = PromptTexts::new(&Tokenizer::gpt2());
    let tables = &result.artifact.tables.collaborative;
    let score = |history: &[u32], item: usize| {
        let state = recommender::user_states(
            &result.backbone,
            tables,
            &[texts.recommend(None, history, 48)],
        )
        .unwrap();
        recommender::ItemHead::new(&result.backbone, &tables.items)
            .scores(&state)[item]
    };
    let (first, third) = ([1, 2, 3], [21, 22, 23]);
    assert!(
        score(&first, 5) > score(&third, 5),
        "space ships go to those who like space ships"
    );
    assert!(score(&third, 25) > score(&first, 25));
}

#[test]
fn a_job_tries_and_measures_what_its_costs_count() {
    let bench = Bench::new();
    let mut spec = nothing();
    (spec.pretraining.epochs, spec.finetuning.epochs) = (1, 5);
    (spec.evaluation.every, spec.hybrid.light) = (2, Light::Ease);
    let scratch = tempfile::tempdir().unwrap();
    let (mut progress, watch) =
        Progress::new("flex", tokio_util::sync::CancellationToken::new());
    let trained =
        train(&bench.input(&spec, scratch.path(), None), &mut progress)
            .unwrap();
    let epochs = watch.progress.borrow().epochs.clone();
    let validated =
        epochs.iter().filter(|epoch| epoch.valid_ndcg_100.is_some());
    assert_eq!(validated.count(), spec.n_validations());
    assert!(EASE_LAMBDAS.contains(&trained.metrics[EASE_LAMBDA]));
    assert!(HYBRID_WEIGHTS.contains(&trained.metrics[HYBRID_WEIGHT]));
    let measured = spec.measured_baselines(N_ITEMS);
    for baseline in RankedBy::BASELINES {
        let key = baseline.key(Metric::Ndcg100);
        let is_measured = measured.contains(&baseline);
        assert_eq!(trained.metrics.contains_key(&key), is_measured, "{key}");
    }
}
