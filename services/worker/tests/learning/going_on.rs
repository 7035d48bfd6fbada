//! A job that starts from an earlier version, and versions that are compared.

use dataset::{Dataset, Split};
use domain::{LEARNED_BEFORE, Light, Metric, RankedBy, TableInit, TrainSpec};
use model::{FitKind, has_measured, read_tables};
use worker::{ComparedVersion, Settings, compare};

use crate::bench::{Bench, N_ITEMS, Outcome, nothing};

fn spec(final_fit: bool) -> TrainSpec {
    let mut spec = nothing();
    spec.pretraining.epochs = 1;
    spec.finetuning.epochs = 4;
    spec.finetuning.final_fit = Some(final_fit);
    spec.finetuning.distilled_share = 0.5;
    spec.hybrid.light = Light::Ease;
    spec.init = TableInit::Spectral;
    spec
}

/// A job that leaves its first rows as they are.
fn no_epochs() -> TrainSpec {
    let mut spec = spec(false);
    spec.pretraining.epochs = 0;
    spec.finetuning.epochs = 0;
    spec
}

#[test]
fn a_measured_job_starts_from_the_rows_that_were_measured() {
    let bench = Bench::new();
    let before = bench.train(&spec(true));
    let after = bench.train_from(Some(before.version(&bench)), &no_epochs());
    let measured = read_tables(&before.model, FitKind::Measured).unwrap();
    let served = read_tables(&before.model, FitKind::Served).unwrap();
    assert_ne!(measured, served);
    assert_eq!(after.artifact.tables, measured);
    assert!(!after.metrics.contains_key(LEARNED_BEFORE));
    let ndcg = RankedBy::LanguageModel.key(Metric::Ndcg100);
    assert_eq!(after.metrics[&ndcg], before.metrics[&ndcg]);
}

#[test]
fn a_final_fit_starts_from_the_rows_that_are_served() {
    let bench = Bench::new();
    let before = bench.train(&spec(true));
    let mut spec = no_epochs();
    spec.finetuning.final_fit = Some(true);
    let after = bench.train_from(Some(before.version(&bench)), &spec);
    let served = read_tables(&before.model, FitKind::Served).unwrap();
    assert_eq!(after.artifact.tables, served);
}

#[test]
fn what_the_version_learned_from_is_not_measured_on() {
    let last_week = Bench::new();
    let before = last_week.train(&spec(false));
    // The first item of every user, which was learned from, is a test item now.
    let bench = Bench::with(|dataset| {
        let rows = &mut dataset.interactions;
        for (at, split) in rows.at_ms.iter().zip(&mut rows.splits) {
            if *at == 0 {
                *split = Split::Test;
            }
        }
    });
    let version = before.version(&last_week);
    let after = bench.train_from(Some(version), &spec(false));
    let n_users = Dataset::read(&bench.data).unwrap().users.len();
    assert_eq!(after.metrics[LEARNED_BEFORE], n_users as f64);
    let version_of_second = after.version(&bench);
    let popularity = after.artifact.popularity.unwrap();
    let n_learned: u32 = popularity.iter().sum();
    assert_eq!(n_learned as usize, 6 * n_users, "as before");

    // What is left of the second test split measures the third version, too.
    let later = bench.train_from(Some(version_of_second), &no_epochs());
    assert_eq!(later.metrics[LEARNED_BEFORE], n_users as f64);
    assert!(later.metrics.contains_key("ndcg@100"));
}

#[test]
fn a_new_item_starts_near_the_items_that_its_takers_took() {
    let new = N_ITEMS as u32 - 1;
    // An item of the third group that nobody knew last week.
    let last_week = Bench::without_item(new);
    let before = last_week.train(&spec(false));
    let bench = Bench::new();
    let version = before.version(&last_week);
    let mut go_on = no_epochs();
    go_on.cold_items = domain::ColdItems::Rows;
    let after = bench.train_from(Some(version), &go_on);
    let items = after.artifact.tables.collaborative.items;
    let known = before.artifact.tables.collaborative.items;
    assert_eq!(items.row(0), known.row(0), "a known item keeps its row");
    let likeness = |from: u32| {
        let mut sum = 0.0;
        for other in from..from + 9 {
            let (own, other) = (items.row(new), items.row(other));
            let products = own.iter().zip(&*other);
            sum += products.map(|(a, b)| a * b).sum::<f32>();
        }
        sum
    };
    assert!(
        likeness(20) > likeness(0).max(likeness(10)),
        "its own group"
    );
}

fn settings() -> Settings {
    service::load("worker", worker::DEFAULTS, None).unwrap()
}

fn compared(outcome: &Outcome, trained_on: &Bench) -> ComparedVersion {
    ComparedVersion {
        files: outcome.version(trained_on),
        backbone: outcome.backbone_folder.clone(),
    }
}

#[test]
fn a_comparison_gives_each_version_the_figures_of_its_own_measurement() {
    let bench = Bench::new();
    let hybrid = bench.train(&spec(true));
    let mut other = spec(true);
    other.finetuning.epochs = 1;
    other.hybrid.light = Light::None;
    let alone = bench.train(&other);
    let versions = [compared(&hybrid, &bench), compared(&alone, &bench)];
    let comparison = compare(&bench.data, &versions, &settings()).unwrap();
    assert_eq!(comparison.n_users, 80);
    assert_eq!(comparison.n_held_out, 80);
    assert_eq!(comparison.n_learned, 0);
    for (outcome, measured) in [&hybrid, &alone].iter().zip(comparison.metrics)
    {
        for metric in Metric::ALL {
            let published = outcome.metrics[&RankedBy::Served.key(metric)];
            let difference = (measured.value(metric) - published).abs();
            assert!(difference < 1e-9, "{measured:?} {published}");
        }
    }
}

#[test]
fn a_version_that_kept_no_measured_fit_is_not_measured_on_its_own_data() {
    let bench = Bench::new();
    let now = bench.train(&spec(true));
    let before = bench.train(&spec(true));
    assert!(has_measured(&before.model));
    for name in ["measured.safetensors", "measured-light.safetensors"] {
        // The hybrid may have chosen no light model.
        let _ = std::fs::remove_file(before.model.join(name));
    }
    let versions = [compared(&before, &bench), compared(&now, &bench)];
    let refused = compare(&bench.data, &versions, &settings()).unwrap_err();
    assert!(refused.to_string().contains("80 held-out"), "{refused}");
}

#[test]
fn an_item_that_a_version_does_not_know_is_missed_and_not_left_out() {
    let new = N_ITEMS as u32 - 1;
    let last_week = Bench::without_item(new);
    let before = last_week.train(&spec(false));
    // The new item alone is looked for.
    let bench = Bench::with(|dataset| {
        let rows = &mut dataset.interactions;
        for (item, split) in rows.items.iter().zip(&mut rows.splits) {
            if *split == Split::Test && *item != new {
                *split = Split::Train;
            }
        }
    });
    let now = bench.train(&spec(false));
    let versions = [compared(&before, &last_week), compared(&now, &bench)];
    let comparison = compare(&bench.data, &versions, &settings()).unwrap();
    let [before, now] = comparison.metrics[..] else {
        panic!("two versions");
    };
    assert!(comparison.n_users > 0);
    assert_eq!(before.recall_40, 0.0);
    assert!(now.recall_40 > 0.9, "{now:?}");
}
