//! Simpler recommenders on the same split: what a model must beat to be worth its cost.

use std::collections::BTreeMap;

use domain::Baselines;
use model::metrics::RankingMetrics;
use rayon::prelude::*;

use crate::corpus::Corpus;
use crate::evaluate::Holdout;

/// Test metrics of the chosen baselines, under `popularity_…` and `knn_…`.
pub(crate) fn measure(which: Baselines, corpus: &Corpus, n_items: usize) -> BTreeMap<String, f64> {
    let mut metrics = BTreeMap::new();
    if which == Baselines::None {
        return metrics;
    }
    let popularity = popularity(corpus, n_items);
    let test = mean(corpus, Holdout::Test, |_| popularity.clone());
    metrics.extend(test.named("popularity_"));
    if which == Baselines::All {
        metrics.extend(item_knn(corpus, n_items).named("knn_"));
    }
    metrics
}

fn mean(corpus: &Corpus, holdout: Holdout, scores_of: impl Fn(u32) -> Vec<f32> + Sync) -> RankingMetrics {
    let users = holdout.users(corpus);
    let metrics: Vec<RankingMetrics> =
        users.par_iter().filter_map(|&user| holdout.metrics(corpus, user, &scores_of(user))).collect();
    RankingMetrics::mean(&metrics)
}

/// Training interactions of each item.
fn popularity(corpus: &Corpus, n_items: usize) -> Vec<f32> {
    let mut counts = vec![0.0; n_items];
    corpus.train.iter().flatten().for_each(|&item| counts[item as usize] += 1.0);
    counts
}

/// Numbers of neighbours that are tried on validation.
const NEIGHBOURS: [usize; 4] = [20, 50, 100, 200];

/// Item-kNN with cosine similarity; the number of neighbours is chosen on validation.
fn item_knn(corpus: &Corpus, n_items: usize) -> RankingMetrics {
    let most = NEIGHBOURS[NEIGHBOURS.len() - 1];
    let neighbours = nearest(corpus, n_items, most);
    let scores = |user: u32, n: usize| {
        let mut scores = vec![0.0; n_items];
        for &item in &corpus.train[user as usize] {
            for &(other, similarity) in neighbours[item as usize].iter().take(n) {
                scores[other as usize] += similarity;
            }
        }
        scores
    };
    let on_validation = |n: usize| mean(corpus, Holdout::Valid, |user| scores(user, n)).sum();
    let tried = NEIGHBOURS.map(|n| (n, on_validation(n)));
    let best = tried.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(most, |(n, _)| n);
    mean(corpus, Holdout::Test, |user| scores(user, best))
}

/// Each item's most similar items by the cosine of their user sets, best first.
fn nearest(corpus: &Corpus, n_items: usize, most: usize) -> Vec<Vec<(u32, f32)>> {
    let mut users_of = vec![Vec::new(); n_items];
    for (user, items) in corpus.train.iter().enumerate() {
        items.iter().for_each(|&item| users_of[item as usize].push(user));
    }
    let degree = |item: usize| users_of[item].len() as f32;
    (0..n_items)
        .into_par_iter()
        .map(|item| {
            let mut shared = vec![0.0f32; n_items];
            users_of[item]
                .iter()
                .flat_map(|&user| &corpus.train[user])
                .for_each(|&other| shared[other as usize] += 1.0);
            let cosine = |other: usize| shared[other] / (degree(item) * degree(other)).sqrt();
            let scores: Vec<f32> =
                (0..n_items).map(|other| if shared[other] > 0.0 { cosine(other) } else { 0.0 }).collect();
            model::metrics::top_k(&scores, most, |other| other as usize != item && scores[other as usize] > 0.0)
        })
        .collect()
}
