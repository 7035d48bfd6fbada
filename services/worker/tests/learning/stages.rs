//! What each stage learns.

use dataset::{Dataset, Split};
use domain::Backbone;
use model::hybrid::standardized;
use model::prompt::Document;
use model::step::compute;
use model::{
    Ease, EaseSettings, Gram, ItemWords, PromptTexts, Tables, Token,
    TokenTables, Tokenizer, collaborative, content, recommender,
};
use worker::{Error, Progress, train};

use crate::bench::{Bench, N_ITEMS, Outcome, nothing};

/// Mean next-word cross-entropy of titles that the training did not see: each
/// item's words with another number.
fn held_out_content_loss(
    backbone: &model::Backbone,
    tables: &TokenTables,
) -> f64 {
    let tokenizer = Tokenizer::gpt2();
    let texts = PromptTexts::new(&tokenizer);
    let documents: Vec<Document> = (0..N_ITEMS)
        .map(|item| {
            let words = [
                "space ship battle in the stars",
                "quiet garden of flowers",
                "fast cars on the road",
            ][item / 10];
            let main = tokenizer.encode_main(&format!("{words} {}", item + 40));
            Document {
                prompt: texts.title(item as u32),
                main: main.into_iter().map(Token::Word).collect(),
            }
        })
        .collect();
    compute(backbone, tables, None, &content::objective(&documents))
        .unwrap()
        .cross_entropy
}

/// Mean next-item cross-entropy on the validation and test items, which follow
/// the training ones.
fn held_out_collaborative_loss(
    backbone: &model::Backbone,
    tables: &TokenTables,
    data: &Dataset,
) -> f64 {
    let texts = PromptTexts::new(&Tokenizer::gpt2());
    let held_out = |split| data.histories(split);
    let documents: Vec<Document> = (0u32..)
        .zip(
            held_out(Split::Valid)
                .into_iter()
                .zip(held_out(Split::Test)),
        )
        .map(|(user, (valid, test))| {
            collaborative::document(&texts, user, &[valid, test].concat())
        })
        .collect();
    compute(
        backbone,
        tables,
        None,
        &collaborative::objective(&documents),
    )
    .unwrap()
    .cross_entropy
}

/// Cross-entropy of the same items under their popularity in training
/// (add-one).
fn unigram_loss(data: &Dataset) -> f64 {
    let mut counts = vec![1.0; N_ITEMS];
    data.histories(Split::Train)
        .iter()
        .flatten()
        .for_each(|&item| counts[item as usize] += 1.0);
    let total: f64 = counts.iter().sum();
    let test = data.histories(Split::Test).concat();
    -test
        .iter()
        .map(|&item| (counts[item as usize] / total).ln())
        .sum::<f64>()
        / test.len() as f64
}

#[test]
fn the_content_lm_predicts_held_out_text_better_than_before() {
    let bench = Bench::new();
    let mut spec = nothing();
    let before = bench.train(&spec);
    spec.pretraining.content_epochs = 40;
    let after = bench.train(&spec);
    let loss = |result: &Outcome| {
        held_out_content_loss(&result.backbone, &result.artifact.tables.content)
    };
    let (untrained, trained) = (loss(&before), loss(&after));
    assert!(trained < untrained - 0.05, "{untrained} → {trained}");
    assert_eq!(
        before.artifact.tables.collaborative,
        after.artifact.tables.collaborative,
        "its own tables only"
    );
}

#[test]
fn the_collaborative_lm_beats_the_popularity_unigram_on_held_out_items() {
    let bench = Bench::new();
    let mut spec = nothing();
    (spec.pretraining.epochs, spec.pretraining.lambda) = (60, 0.0);
    let trained = bench.train(&spec);
    let data = Dataset::read(&bench.data).unwrap();
    let loss = held_out_collaborative_loss(
        &trained.backbone,
        &trained.artifact.tables.collaborative,
        &data,
    );
    let unigram = unigram_loss(&data);
    assert!(
        loss < unigram - 0.3,
        "collaborative LM {loss}, popularity unigram {unigram}"
    );
}

#[test]
fn mutual_regularisation_pulls_the_tables_together() {
    let bench = Bench::new();
    let distance = |tables: &Tables| -> f64 {
        let (own, other) = (
            tables.collaborative.items.values(),
            tables.content.items.values(),
        );
        own.iter()
            .zip(&*other)
            .map(|(a, b)| f64::from((a - b) * (a - b)))
            .sum()
    };
    let mut spec = nothing();
    (spec.pretraining.epochs, spec.pretraining.lambda) = (10, 0.0);
    let apart = distance(&bench.train(&spec).artifact.tables);
    spec.pretraining.lambda = 1.0;
    let together = distance(&bench.train(&spec).artifact.tables);
    assert!(together < 0.5 * apart, "λ = 0: {apart}, λ = 1: {together}");
}

#[test]
fn finetuning_beats_pretraining_alone() {
    let bench = Bench::new();
    let mut spec = nothing();
    (spec.pretraining.epochs, spec.finetuning.epochs) = (2, 40);
    let metrics = bench.train(&spec).metrics;
    let (pretrained, finetuned) = (
        metrics["valid_pretrained_ndcg@100"],
        metrics["valid_llm_ndcg@100"],
    );
    assert!(finetuned > pretrained + 0.1, "{pretrained} → {finetuned}");
    assert!(
        metrics["ndcg@100"] > metrics["popularity_ndcg@100"] + 0.1,
        "{metrics:?}"
    );
}

#[test]
fn a_warmed_up_backbone_knows_the_texts_and_is_frozen_then() {
    let bench = Bench::new();
    let mut spec = nothing();
    let cold = bench.train(&spec);
    let Backbone::Random(shape) = &mut spec.backbone else {
        panic!("a random backbone")
    };
    shape.warmup_epochs = 3;
    let warm = bench.train(&spec);
    let loss = |result: &Outcome| {
        held_out_content_loss(&result.backbone, &result.artifact.tables.content)
    };
    assert!(
        loss(&warm) < loss(&cold) - 1.0,
        "{} → {}",
        loss(&cold),
        loss(&warm)
    );
    assert_eq!(
        warm.artifact.tables, cold.artifact.tables,
        "the tables are constants meanwhile"
    );
}

#[test]
fn a_loss_that_is_not_finite_ends_the_attempt() {
    let bench = Bench::new();
    let mut spec = nothing();
    (
        spec.pretraining.epochs,
        spec.pretraining.learning_rate,
        spec.pretraining.lambda,
    ) = (30, 1.0, 1e6);
    let scratch = tempfile::tempdir().unwrap();
    let (mut progress, _watch) =
        Progress::new("flex", tokio_util::sync::CancellationToken::new());
    spec.pretraining.lambda_l = 1e6;
    spec.finetuning.epochs = 1;
    spec.finetuning.logit_scale = 1e6;
    spec.pretraining.learning_rate = f64::from(f32::MAX);
    let ended = train(&bench.input(&spec, scratch.path(), None), &mut progress);
    let error = ended.unwrap_err();
    assert!(matches!(error, Error::Diverged(_)), "{error:?}");
    assert_eq!(error.cause().kind, domain::CauseKind::Diverged);
}

#[test]
fn a_distilled_model_ranks_more_like_its_teacher() {
    let bench = Bench::new();
    let mut spec = nothing();
    spec.finetuning.epochs = 30;
    let data = Dataset::read(&bench.data).unwrap();
    let train = data.histories(Split::Train);
    let gram = Gram::new(&train, &ItemWords::none(N_ITEMS));
    let settings = EaseSettings {
        lambda: 50.0,
        text_strength: 0.0,
        nearness: None,
    };
    let ease = Ease::fit(&gram, &settings).unwrap();
    let divergence = |result: &Outcome| -> f64 {
        let texts = PromptTexts::new(&Tokenizer::gpt2());
        let tables = &result.artifact.tables.collaborative;
        let prompts: Vec<_> = train
            .iter()
            .map(|history| texts.recommend(None, history, 48))
            .collect();
        let states =
            recommender::user_states(&result.backbone, tables, &prompts)
                .unwrap();
        let scores =
            recommender::ItemHead::new(&result.backbone, &tables.items)
                .scores(&states);
        let own = scores
            .chunks(N_ITEMS)
            .map(|scores| standardized(scores.to_vec()));
        let teacher = train
            .iter()
            .map(|history| standardized(ease.scores(history)));
        own.zip(teacher)
            .flat_map(|(a, b)| a.into_iter().zip(b))
            .map(|(a, b)| f64::from((a - b).powi(2)))
            .sum()
    };
    let alone = divergence(&bench.train(&spec));
    spec.finetuning.distilled_share = 1.0;
    let taught = divergence(&bench.train(&spec));
    assert!(taught < 0.9 * alone, "{alone} → {taught}");
}
