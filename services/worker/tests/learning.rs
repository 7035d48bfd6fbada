//! It really learns: each stage leaves something that the next one, or the user, can use.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dataset::{Dataset, ImportOptions, Split, import};
use domain::{Backbone, DatasetId, Light, RandomBackbone, TableInit, TrainSpec};
use model::hybrid::standardized;
use model::prompt::Document;
use model::step::compute;
use model::{
    Artifact, Device, Ease, Gpt2, Precision, PromptTexts, Tables, Token, TokenTables, Tokenizer,
    collaborative, compute_device, content, load_backbone, random_backbone, recommender,
    save_backbone,
};
use tempfile::TempDir;
use worker::{Backbones, Error, Input, Progress, train};

const N_USERS: usize = 80;
const N_ITEMS: usize = 30;

/// Users and items come in three groups; titles tell the group, and one item in the middle is
/// everybody's.
fn three_groups(folder: &Path) -> Dataset {
    let mut rows = "user_id,item_id,timestamp,split\n".to_owned();
    for user in 0..N_USERS {
        for place in 0..8 {
            let item = (user % 3) * 10 + (user / 3 + place) % 10;
            let split = [
                "train", "train", "train", "train", "train", "train", "valid", "test",
            ][place];
            rows.push_str(&format!("u{user:02},i{item:02},{place},{split}\n"));
        }
    }
    std::fs::write(folder.join("interactions.csv"), rows).unwrap();
    let items: String = (0..N_ITEMS)
        .map(|item| {
            let words = [
                "space ship battle in the stars",
                "quiet garden of flowers",
                "fast cars on the road",
            ][item / 10];
            format!("{{\"item_id\": \"i{item:02}\", \"title\": \"{words} {item}\"}}\n")
        })
        .collect();
    std::fs::write(folder.join("items.jsonl"), items).unwrap();
    import(folder, &ImportOptions::default()).unwrap().0
}

/// A spec without any stage: tests switch on what they look at.
fn nothing() -> TrainSpec {
    let mut spec = TrainSpec::new(DatasetId::new("d").unwrap());
    spec.init = TableInit::Normal;
    spec.backbone = Backbone::Random(RandomBackbone {
        n_embd: 48,
        n_head: 2,
        n_positions: 48,
        ..Default::default()
    });
    (
        spec.pretraining.content_epochs,
        spec.pretraining.epochs,
        spec.finetuning.epochs,
    ) = (0, 0, 0);
    spec.pretraining.learning_rate = 5e-3;
    spec.finetuning.learning_rate = 5e-3;
    spec.evaluation.patience = 0;
    spec.hybrid.light = Light::None;
    spec.finetuning.distilled_share = 0.0;
    spec
}

struct Result {
    artifact: Artifact,
    gpt2: Gpt2,
    metrics: BTreeMap<String, f64>,
    tables_file: Vec<u8>,
    _folder: TempDir,
}

/// The fastest that this build has.
fn device() -> Device {
    compute_device("auto").unwrap().device
}

struct Bench {
    folder: TempDir,
    data: PathBuf,
    hub_url: String,
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut Dataset)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let mut dataset = three_groups(folder.path());
        change(&mut dataset);
        dataset.write(&data).unwrap();
        Self {
            folder,
            data,
            hub_url: String::new(),
        }
    }

    fn input(&self, spec: &TrainSpec, scratch: &Path, resume: Option<PathBuf>) -> Input {
        Input {
            job: "job-test".to_owned(),
            spec: spec.clone(),
            dataset: self.data.clone(),
            backbones: Backbones {
                root: self.folder.path().to_owned(),
                hub_url: self.hub_url.clone(),
                artifact: None,
            },
            resume,
            token_files: self.folder.path().join("tokens"),
            scratch: scratch.to_owned(),
            device: device(),
            precision: Precision::F32,
            checkpoint_every: Duration::MAX,
        }
    }

    fn train(&self, spec: &TrainSpec) -> Result {
        let scratch = tempfile::tempdir().unwrap();
        let (mut progress, _watch) =
            Progress::new("flex", tokio_util::sync::CancellationToken::new());
        let trained = train(&self.input(spec, scratch.path(), None), &mut progress).unwrap();
        let artifact = Artifact::read(&trained.model).unwrap();
        let (_, gpt2) = load_backbone(&trained.backbone, &device()).unwrap();
        let tables_file = std::fs::read(trained.model.join("tables.safetensors")).unwrap();
        Result {
            artifact,
            gpt2,
            metrics: trained.metrics,
            tables_file,
            _folder: scratch,
        }
    }
}

/// Mean next-word cross-entropy of titles that the training did not see: each item's words with
/// another number.
fn held_out_content_loss(gpt2: &Gpt2, tables: &TokenTables) -> f64 {
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
    compute(gpt2, tables, None, &content::objective(&documents))
        .unwrap()
        .cross_entropy
}

/// Mean next-item cross-entropy on the validation and test items, which follow the training ones.
fn held_out_collaborative_loss(gpt2: &Gpt2, tables: &TokenTables, data: &Dataset) -> f64 {
    let texts = PromptTexts::new(&Tokenizer::gpt2());
    let held_out = |split| data.histories(split);
    let documents: Vec<Document> = (0u32..)
        .zip(
            held_out(Split::Valid)
                .into_iter()
                .zip(held_out(Split::Test)),
        )
        .map(|(user, (valid, test))| collaborative::document(&texts, user, &[valid, test].concat()))
        .collect();
    compute(gpt2, tables, None, &collaborative::objective(&documents))
        .unwrap()
        .cross_entropy
}

/// Cross-entropy of the same items under their popularity in training (add-one).
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
    let loss =
        |result: &Result| held_out_content_loss(&result.gpt2, &result.artifact.tables.content);
    let (untrained, trained) = (loss(&before), loss(&after));
    assert!(trained < untrained - 0.05, "{untrained} → {trained}");
    assert_eq!(
        before.artifact.tables.collaborative, after.artifact.tables.collaborative,
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
    let loss =
        held_out_collaborative_loss(&trained.gpt2, &trained.artifact.tables.collaborative, &data);
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
fn two_runs_with_one_seed_give_bit_identical_tables() {
    let bench = Bench::new();
    let mut spec = nothing();
    (
        spec.pretraining.content_epochs,
        spec.pretraining.epochs,
        spec.finetuning.epochs,
    ) = (1, 1, 2);
    spec.init = TableInit::Spectral;
    let first = bench.train(&spec);
    assert!(first.tables_file == bench.train(&spec).tables_file);
    spec.seed = 1;
    assert!(first.tables_file != bench.train(&spec).tables_file);
}

#[test]
fn a_resumed_job_ends_where_an_uninterrupted_one_does() {
    let bench = Bench::new();
    let mut spec = nothing();
    (
        spec.pretraining.content_epochs,
        spec.pretraining.epochs,
        spec.finetuning.epochs,
    ) = (1, 1, 3);
    spec.finetuning.with_content = true;
    let Backbone::Random(shape) = &mut spec.backbone else {
        panic!("a random backbone")
    };
    shape.warmup_epochs = 1;
    let whole = bench.train(&spec);

    let scratch = tempfile::tempdir().unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let (mut progress, mut watch) = Progress::new("flex", stop.clone());
    let input = Input {
        checkpoint_every: Duration::ZERO,
        ..bench.input(&spec, scratch.path(), None)
    };
    let interrupted = std::thread::spawn(move || train(&input, &mut progress));
    // The sixth checkpoint is in the middle of finetuning; nobody takes the seventh.
    let checkpoints: Vec<PathBuf> = (0..6)
        .map(|_| watch.checkpoints.blocking_recv().unwrap())
        .collect();
    stop.cancel();
    drop(watch);
    assert!(matches!(interrupted.join().unwrap(), Err(Error::Stopped)));

    let again = tempfile::tempdir().unwrap();
    let (mut progress, _watch) = Progress::new("flex", tokio_util::sync::CancellationToken::new());
    let resumed = train(
        &bench.input(&spec, again.path(), checkpoints.last().cloned()),
        &mut progress,
    )
    .unwrap();
    let tables_file = std::fs::read(resumed.model.join("tables.safetensors")).unwrap();
    assert!(whole.tables_file == tables_file);
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
    let loss =
        |result: &Result| held_out_content_loss(&result.gpt2, &result.artifact.tables.content);
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
    let (mut progress, _watch) = Progress::new("flex", tokio_util::sync::CancellationToken::new());
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

    // Nothing can be validated here: the tables are those of the last epoch, not of the first.
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
    // Everybody's test item is another one now: nothing that training reads has changed.
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
    let choices = |result: &Result| {
        let manifest = &result.artifact.manifest;
        (
            manifest.known_user,
            manifest.new_user,
            manifest.light_weight.to_bits(),
        )
    };
    assert_eq!(choices(&known), choices(&other));
    let valid = |result: &Result| -> Vec<(String, f64)> {
        let metrics = result.metrics.clone().into_iter();
        metrics
            .filter(|(name, _)| name.starts_with("valid_") || name == "ease_lambda")
            .collect()
    };
    assert_eq!(valid(&known), valid(&other));
    assert!(
        known.metrics["ndcg@100"] > other.metrics["ndcg@100"] + 0.1,
        "the test split itself is measured"
    );
}

#[test]
fn a_distilled_model_ranks_more_like_its_teacher() {
    let bench = Bench::new();
    let mut spec = nothing();
    spec.finetuning.epochs = 30;
    let data = Dataset::read(&bench.data).unwrap();
    let train = data.histories(Split::Train);
    let ease = Ease::fit(&train, N_ITEMS, 50.0).unwrap();
    let divergence = |result: &Result| -> f64 {
        let texts = PromptTexts::new(&Tokenizer::gpt2());
        let tables = &result.artifact.tables.collaborative;
        let prompts: Vec<_> = train
            .iter()
            .map(|history| texts.recommend(None, history, 48))
            .collect();
        let states = recommender::user_states(&result.gpt2, tables, &prompts).unwrap();
        let scores = recommender::ItemHead::new(&result.gpt2, &tables.items).scores(&states);
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

#[test]
fn a_job_reports_its_lift_over_every_baseline() {
    let bench = Bench::new();
    let mut spec = nothing();
    (spec.finetuning.epochs, spec.hybrid.light) = (5, Light::Ease);
    let result = bench.train(&spec);
    for baseline in ["popularity", "knn", "ease"] {
        let lift = result.metrics[&format!("lift_over_{baseline}_recall@20")];
        let ratio = result.metrics["recall@20"] / result.metrics[&format!("{baseline}_recall@20")];
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
        let state =
            recommender::user_states(&result.gpt2, tables, &[texts.recommend(None, history, 48)])
                .unwrap();
        recommender::ItemHead::new(&result.gpt2, &tables.items).scores(&state)[item]
    };
    let (first, third) = ([1, 2, 3], [21, 22, 23]);
    assert!(
        score(&first, 5) > score(&third, 5),
        "space ships go to those who like space ships"
    );
    assert!(score(&third, 25) > score(&first, 25));
}

/// Serves the files of a folder as a hub does: `/{repo}/resolve/{revision}/{file}`. Ends with its
/// listener's thread.
fn serve_as_hub(folder: PathBuf) -> String {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let path = lines
                .next()
                .unwrap()
                .unwrap()
                .split(' ')
                .nth(1)
                .unwrap()
                .to_owned();
            lines
                .take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()))
                .for_each(drop);
            let name = path
                .strip_prefix("/own/tiny/resolve/v1/")
                .map(|name| folder.join(name));
            let (status, body) = match name.and_then(|path| std::fs::read(path).ok()) {
                Some(body) => ("200 OK", body),
                None => ("404 Not Found", Vec::new()),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            stream
                .write_all(&[head.as_bytes(), &body].concat())
                .unwrap();
        }
    });
    format!("http://{address}")
}

#[test]
fn a_hubs_backbone_is_fetched_once_and_then_read_without_a_network() {
    let shape = RandomBackbone {
        n_embd: 16,
        n_head: 2,
        n_positions: 48,
        ..Default::default()
    };
    let (config, gpt2) = random_backbone(&shape, &device());
    let files = tempfile::tempdir().unwrap();
    save_backbone(files.path(), &config, &gpt2).unwrap();
    let mut bench = Bench::new();
    bench.hub_url = serve_as_hub(files.path().to_owned());
    let mut spec = nothing();
    let location = domain::BackboneLocation::new("hf://own/tiny@v1").unwrap();
    spec.backbone = Backbone::Path(location);
    let fetched = bench.train(&spec);
    bench.hub_url = "http://127.0.0.1:9".to_owned(); // nobody is there
    let cached = bench.train(&spec);
    assert_eq!(
        fetched.artifact.manifest.backbone, cached.artifact.manifest.backbone,
        "the hash of its files"
    );

    // The same in shards.
    std::fs::rename(
        files.path().join("model.safetensors"),
        files.path().join("model-1-of-1.safetensors"),
    )
    .unwrap();
    let index = r#"{"weight_map": {"wte.weight": "model-1-of-1.safetensors"}}"#;
    std::fs::write(files.path().join("model.safetensors.index.json"), index).unwrap();
    let mut other = Bench::new();
    other.hub_url = serve_as_hub(files.path().to_owned());
    assert_eq!(other.train(&spec).tables_file, cached.tables_file);

    let location = domain::BackboneLocation::new("hf://own/tiny@v2").unwrap();
    spec.backbone = Backbone::Path(location);
    let scratch = tempfile::tempdir().unwrap();
    let (mut progress, _watch) = Progress::new("flex", tokio_util::sync::CancellationToken::new());
    let error = train(&bench.input(&spec, scratch.path(), None), &mut progress).unwrap_err();
    assert_eq!(
        error.cause().kind,
        domain::CauseKind::Internal,
        "a hub that may be back: worth another attempt"
    );
    let message = error.cause().message;
    assert!(
        message.contains("127.0.0.1:9") && message.contains("without a network"),
        "{message}"
    );
}
