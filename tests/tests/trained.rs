//! What only a model that has learned something can show: a hybrid, trained on
//! the shipped data set.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::collections::HashMap;
use std::path::Path;

use dataset::{Dataset, ImportOptions, Split, import};
use e2e::{BothWays, Cluster, inline, request};
use model::metrics::RankingMetrics;
use model::recommender::user_states;
use model::{
    Artifact, Backbone, PromptTexts, Table, Token, TokenTables, Tokenizer,
    compute_device, contributions,
};
use proto::pb;
use proto::pb::recommendation_service_client::RecommendationServiceClient;

/// The default shape, for a few epochs.
const JOB: [&str; 6] = [
    "backbone.random.n_embd=256",
    "backbone.random.n_head=4",
    "backbone.random.n_positions=512",
    "pretraining.content_epochs=0",
    "finetuning.epochs=2",
    "finetuning.final_fit=false",
];

async fn with_games() -> (Cluster, Dataset) {
    let cluster = Cluster::start().await;
    let games = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/games");
    let job = cluster.train(&cluster.import(&games), &JOB).await;
    assert!(
        job.metrics["hybrid_weight"] > 0.0,
        "a hybrid: {:?}",
        job.metrics
    );
    cluster.wait_until_ready().await;
    (
        cluster,
        import(&games, &ImportOptions::default()).unwrap().0,
    )
}

/// Ids of a user's list.
async fn list(
    client: &mut RecommendationServiceClient<BothWays>,
    user: &str,
) -> Vec<String> {
    client
        .recommend(request(user, 100))
        .await
        .unwrap()
        .into_inner()
        .items
        .into_iter()
        .map(|item| item.item_id)
        .collect()
}

#[tokio::test]
async fn a_trained_hybrid_serves_in_bf16_as_in_f32_and_its_reasons_hold() {
    let (cluster, games) = with_games().await;
    for setting in [
        ("SCORER__SCORING_PRECISION", "bf16"),
        ("SCORER__BACKBONE_PRECISION", "bf16"),
    ] {
        bf16_ranks_as_f32_does(&cluster, &games, setting).await;
    }
    reasons_agree_with_leaving_items_out(&cluster, &games).await;
    contributions_add_up(&cluster, &games);
}

async fn bf16_ranks_as_f32_does(
    cluster: &Cluster,
    games: &Dataset,
    setting: (&str, &str),
) {
    let (_scorer, port) = cluster.start_scorer(&[setting]).await;
    let rows: HashMap<&str, u32> = games
        .items
        .iter()
        .map(|item| item.id.as_str())
        .zip(0..)
        .collect();
    let (mut overlap, mut ndcg, mut n_different) = (0, [0.0, 0.0], 0);
    let users: Vec<_> = games
        .users
        .iter()
        .zip(games.histories(Split::Test))
        .filter(|(_, test)| !test.is_empty())
        .collect();
    for (user, test) in &users {
        let f32 = list(&mut cluster.recommendations(), user.as_str()).await;
        let rounded =
            list(&mut cluster.recommendations_at(port), user.as_str()).await;
        overlap += f32[..20]
            .iter()
            .filter(|item| rounded[..20].contains(item))
            .count();
        n_different += usize::from(f32 != rounded);
        for (sum, list) in ndcg.iter_mut().zip([f32, rounded]) {
            let list: Vec<u32> =
                list.iter().map(|item| rows[&**item]).collect();
            *sum += RankingMetrics::of(&list, test).unwrap().ndcg_100;
        }
    }
    let n = users.len() as f64;
    let (overlap, [f32, rounded]) =
        (overlap as f64 / (20.0 * n), ndcg.map(|sum| sum / n));
    println!(
        "{setting:?}: overlap {overlap:.4}, NDCG@100 {f32:.4} and {rounded:.4}, {n_different} of {n} lists differ"
    );
    assert!(
        overlap >= 0.97 && (f32 - rounded).abs() < 0.002,
        "{setting:?}: {overlap} {f32} {rounded}"
    );
    assert!(f32 > 0.13, "a model that learned something: {f32}");
    assert!(n_different > 0, "{setting:?} rounds");
}

async fn reasons_agree_with_leaving_items_out(
    cluster: &Cluster,
    games: &Dataset,
) {
    let mut client = cluster.recommendations();
    let users = games
        .users
        .iter()
        .zip(games.histories(Split::Train))
        .filter(|(_, history)| history.len() >= 8);
    let (mut agreement, mut n) = (0.0, 0.0);
    for (_, history) in users.take(30) {
        let history: Vec<&str> = history
            .iter()
            .take(12)
            .map(|&row| games.items[row as usize].id.as_str())
            .collect();
        let request = pb::RecommendRequest {
            history: inline(&history),
            k: Some(1),
            explain: true,
            ..Default::default()
        };
        let item = client
            .recommend(request)
            .await
            .unwrap()
            .into_inner()
            .items
            .remove(0);
        let (mut told, mut left_out) = (Vec::new(), Vec::new());
        for reason in &item.reasons {
            let rest: Vec<&str> = history
                .iter()
                .copied()
                .filter(|id| *id != reason.item_id)
                .collect();
            told.push(reason.contribution);
            left_out.push(
                item.score - score(&mut client, &rest, &item.item_id).await,
            );
        }
        agreement += spearman(&told, &left_out);
        n += 1.0;
    }
    println!("rank agreement {:.3} over {n} users", agreement / n);
    assert!(agreement / n >= 0.8, "{}", agreement / n);
}

async fn score(
    client: &mut RecommendationServiceClient<BothWays>,
    history: &[&str],
    item: &str,
) -> f32 {
    let request = pb::ScoreItemsRequest {
        history: inline(history),
        item_ids: vec![item.into()],
        ..Default::default()
    };
    client
        .score_items(request)
        .await
        .unwrap()
        .into_inner()
        .scores[0]
        .score
        .unwrap()
}

fn spearman(one: &[f32], other: &[f32]) -> f64 {
    let ranks = |values: &[f32]| -> Vec<f64> {
        values
            .iter()
            .map(|value| {
                values.iter().filter(|other| *other < value).count() as f64
            })
            .collect()
    };
    let (one, other, n) = (ranks(one), ranks(other), one.len() as f64);
    let squares: f64 =
        one.iter().zip(&other).map(|(a, b)| (a - b).powi(2)).sum();
    1.0 - 6.0 * squares / (n * (n * n - 1.0))
}

/// The language model's part: a score less the score of a history of average
/// items is the sum of the contributions.
fn contributions_add_up(cluster: &Cluster, games: &Dataset) {
    let only = |kind: &str| {
        std::fs::read_dir(cluster.artifacts().join(kind))
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path()
    };
    let artifact = Artifact::read(&only("models")).unwrap();
    let device = compute_device("flex").unwrap().device;
    let backbone = Backbone::read(&only("backbones"), &device).unwrap();
    let (texts, tables) = (
        PromptTexts::new(&Tokenizer::gpt2()),
        artifact.tables.collaborative,
    );
    for history in games
        .histories(Split::Train)
        .iter()
        .filter(|history| history.len() >= 8)
        .take(10)
    {
        let prompt = texts.recommend(None, history, backbone.n_positions());
        let item = (0..).find(|item| !history.contains(item)).unwrap();
        let sum: f32 = contributions(&backbone, &tables, &prompt, &[item])
            .unwrap()[0]
            .iter()
            .sum();
        let average = with_average_rows(&tables, history);
        let moved = language_score(&backbone, &tables, &prompt, item)
            - language_score(&backbone, &average, &prompt, item);
        assert!(
            (sum - moved).abs() <= 0.05 * moved.abs() + 1e-4,
            "{history:?}: {sum} of {moved}"
        );
    }
}

fn with_average_rows(tables: &TokenTables, history: &[u32]) -> TokenTables {
    let (width, mut values) =
        (tables.items.width(), tables.items.values().into_owned());
    let mean = tables.items.mean_row();
    history.iter().for_each(|&row| {
        values[row as usize * width..][..width].copy_from_slice(&mean)
    });
    TokenTables {
        users: tables.users.clone(),
        items: Table::new(values, width),
    }
}

fn language_score(
    backbone: &Backbone,
    tables: &TokenTables,
    prompt: &[Token],
    item: u32,
) -> f32 {
    let state = user_states(backbone, tables, &[prompt.to_vec()]).unwrap();
    tables
        .items
        .row(item)
        .iter()
        .zip(&state)
        .map(|(a, b)| a * b)
        .sum()
}
