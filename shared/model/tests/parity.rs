//! The numbers of the published code (`tests/parity/`, see
//! `tests/parity/README.md`) against ours.
//!
//! `CLLM4REC_PARITY` names another folder of the same form; sizes, ids, masks
//! and λ all come from the folder.

#![allow(clippy::unwrap_used, reason = "tests")]

mod reference;

use model::metrics::{LONGEST, RankingMetrics, top_k};
use model::prompt::Document;
use model::{
    Adam, Backbone, Moments, Objective, Pull, RowGradients, Step, Tables,
    TensorFile, Token, TokenTables, Tokenizer, available_devices,
    collaborative, compute_device, content, hidden_of_words, next_word_logits,
    recommender, step,
};
use serde_json::Value;

use crate::reference::{
    GRADIENT_TOLERANCE, SCORE_TOLERANCE, assert_close, folder_or,
};

struct Reference {
    sizes: Value,
    numbers: TensorFile,
    cases: Value,
    backbone: Backbone,
    tables: Tables,
    lambda: f64,
}

impl Reference {
    /// The reference on each device that this build has.
    fn on_all_devices() -> impl Iterator<Item = Self> {
        available_devices()
            .into_iter()
            .map(|name| Self::load(&name))
    }

    fn load(device: &str) -> Self {
        let folder = folder_or("CLLM4REC_PARITY", "tests/parity");
        let json = |name: &str| -> Value {
            serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap())
                .unwrap()
        };
        let device = compute_device(device).unwrap().device;
        let backbone =
            Backbone::read(&folder.join("backbone"), &device).unwrap();
        let numbers =
            TensorFile::open(&folder.join("reference.safetensors")).unwrap();
        let tables = Tables::read(&numbers, "").unwrap();
        let lambda = f64::from(numbers.f32("lambda").unwrap().1[0]);
        Self {
            sizes: json("reference.json"),
            cases: json("tokenizer_cases.json"),
            numbers,
            backbone,
            tables,
            lambda,
        }
    }

    fn size(&self, name: &str) -> usize {
        self.sizes[name].as_u64().unwrap() as usize
    }

    fn token(&self, id: usize) -> Token {
        let (words, users) = (self.size("vocab"), self.size("users"));
        if id < words {
            Token::Word(id as u32)
        } else if id < words + users {
            Token::User((id - words) as u32)
        } else {
            Token::Item((id - words - users) as u32)
        }
    }

    /// Rows of a right-padded id matrix, the padding cut off where `mask` (from
    /// column `skip`) is 0.
    fn rows(&self, ids: &str, mask: &str, skip: usize) -> Vec<Vec<Token>> {
        let (shape, ids) = self.numbers.i32(ids).unwrap();
        let (mask_shape, mask) = self.numbers.i32(mask).unwrap();
        ids.chunks(shape[1])
            .zip(mask.chunks(mask_shape[1]))
            .map(|(row, mask)| {
                let real = row
                    .iter()
                    .zip(&mask[skip..])
                    .filter(|(_, keep)| **keep == 1);
                real.map(|(id, _)| self.token(*id as usize)).collect()
            })
            .collect()
    }

    fn documents(&self, model: &str) -> Vec<Document> {
        let mask = format!("{model}.mask");
        let prompts = self.rows(&format!("{model}.prompt_ids"), &mask, 0);
        let n_prompt =
            self.numbers.i32(&format!("{model}.prompt_ids")).unwrap().0[1];
        let mains = self.rows(&format!("{model}.main_ids"), &mask, n_prompt);
        prompts
            .into_iter()
            .zip(mains)
            .map(|(prompt, main)| Document { prompt, main })
            .collect()
    }

    fn examples(&self) -> Vec<recommender::Example> {
        let prompts = self.rows("recommend.input_ids", "recommend.mask", 0);
        let (shape, targets) = self.numbers.f32("recommend.targets").unwrap();
        let wanted = |row: &[f32]| {
            (0..row.len() as u32)
                .filter(|&item| row[item as usize] == 1.0)
                .collect()
        };
        let targets = targets.chunks(shape[1]).map(wanted);
        prompts
            .into_iter()
            .zip(targets)
            .map(|(prompt, targets)| recommender::Example { prompt, targets })
            .collect()
    }

    fn recommend_objective(&self) -> Objective {
        recommender::objective(
            &self.examples(),
            recommender::Options::default(),
        )
    }

    fn check(&self, name: &str, found: &[f32], tolerance: f64) {
        let (_, expected) = self.numbers.f32(name).unwrap();
        assert_close(name, found, &expected, tolerance);
    }

    /// Scores are compared row by row.
    fn check_rows(&self, name: &str, found: &[f32]) {
        let (shape, expected) = self.numbers.f32(name).unwrap();
        let width = *shape.last().unwrap();
        assert_eq!(found.len(), expected.len(), "{name}: sizes");
        for (row, (found, expected)) in
            found.chunks(width).zip(expected.chunks(width)).enumerate()
        {
            assert_close(
                &format!("{name}, row {row}"),
                found,
                expected,
                SCORE_TOLERANCE,
            );
        }
    }

    /// The loss and both gradients under `prefix`.
    fn check_step(&self, prefix: &str, found: &Step, tables: &TokenTables) {
        let width = tables.items.width();
        self.check(
            &format!("{prefix}.loss"),
            &[found.loss as f32],
            GRADIENT_TOLERANCE,
        );
        let users = found.users.dense(tables.users.n_rows(), width);
        let items = found.items.dense(tables.items.n_rows(), width);
        self.check(
            &format!("{prefix}.grad.users"),
            &users.values,
            GRADIENT_TOLERANCE,
        );
        self.check(
            &format!("{prefix}.grad.items"),
            &items.values,
            GRADIENT_TOLERANCE,
        );
    }

    /// A stage's step without and with mutual regularisation.
    fn check_stage(
        &self,
        stage: &str,
        models: &Models<'_>,
        objective: &Objective,
    ) {
        let Models { own, other } = *models;
        let plain =
            step::compute(&self.backbone, own, None, objective).unwrap();
        self.check_step(stage, &plain, own);
        let pull = Pull {
            toward: other,
            lambda: self.lambda,
            prior: 0.0,
        };
        let regularized =
            step::compute(&self.backbone, own, Some(pull), objective).unwrap();
        let prefix = format!("{stage}.regularized");
        self.check_step(&prefix, &regularized, own);
        // The fixture's `regularizer` is the term as it enters the loss, λ
        // included.
        let term = (regularized.regularizer * self.lambda) as f32;
        self.check(
            &format!("{prefix}.regularizer"),
            &[term],
            GRADIENT_TOLERANCE,
        );
    }
}

/// The tables that a stage learns, and those that they are pulled to.
struct Models<'a> {
    own: &'a TokenTables,
    other: &'a TokenTables,
}

#[test]
fn hidden_states_and_logits_are_the_references() {
    for reference in Reference::on_all_devices() {
        let (shape, ids) = reference.numbers.i32("gpt2.input_ids").unwrap();
        let sequences: Vec<Vec<u32>> = ids
            .chunks(shape[1])
            .map(|row| row.iter().map(|&id| id as u32).collect())
            .collect();
        let hidden = hidden_of_words(&reference.backbone, &sequences);
        reference.check_rows("gpt2.last_hidden", &hidden);
        let logits = next_word_logits(&reference.backbone, &hidden);
        reference.check_rows("gpt2.logits", &logits);
    }
}

#[test]
fn the_content_lm_is_the_references() {
    for reference in Reference::on_all_devices() {
        let objective = content::objective(&reference.documents("content"));
        let models = Models {
            own: &reference.tables.content,
            other: &reference.tables.collaborative,
        };
        reference.check_stage("content", &models, &objective);
    }
}

#[test]
fn the_collaborative_lm_is_the_references() {
    for reference in Reference::on_all_devices() {
        let objective =
            collaborative::objective(&reference.documents("collaborative"));
        let models = Models {
            own: &reference.tables.collaborative,
            other: &reference.tables.content,
        };
        reference.check_stage("collaborative", &models, &objective);
    }
}

#[test]
fn the_recommendation_model_is_the_references() {
    for reference in Reference::on_all_devices() {
        let objective = reference.recommend_objective();
        let models = Models {
            own: &reference.tables.collaborative,
            other: &reference.tables.content,
        };
        reference.check_stage("recommend", &models, &objective);

        let prompts: Vec<Vec<Token>> = reference
            .examples()
            .into_iter()
            .map(|example| example.prompt)
            .collect();
        let own = &reference.tables.collaborative;
        let states =
            recommender::user_states(&reference.backbone, own, &prompts)
                .unwrap();
        let mut log_probs =
            recommender::ItemHead::new(&reference.backbone, &own.items)
                .scores(&states);
        for row in log_probs.chunks_mut(own.items.n_rows()) {
            let largest = row.iter().copied().fold(f32::MIN, f32::max);
            let sum: f32 =
                row.iter().map(|score| (score - largest).exp()).sum();
            row.iter_mut()
                .for_each(|score| *score -= largest + sum.ln());
        }
        reference.check_rows("recommend.item_log_probs", &log_probs);
    }
}

#[test]
fn ten_steps_of_dense_adam_are_torchs() {
    for reference in Reference::on_all_devices() {
        let objective = reference.recommend_objective();
        let mut own = reference.tables.collaborative.clone();
        let (mut users, mut items) =
            (Moments::zeros(&own.users), Moments::zeros(&own.items));
        let adam = Adam::new(1e-2);
        let (n_steps, _) = reference.numbers.f32("adam.losses").unwrap();
        let mut losses = Vec::new();
        for _ in 0..n_steps[0] {
            let found =
                step::compute(&reference.backbone, &own, None, &objective)
                    .unwrap();
            losses.push(found.loss as f32);
            let dense = |gradients: &RowGradients, table: &model::Table| {
                gradients.dense(table.n_rows(), table.width())
            };
            let (user_gradients, item_gradients) = (
                dense(&found.users, &own.users),
                dense(&found.items, &own.items),
            );
            users.update(&adam, &mut own.users, &user_gradients);
            items.update(&adam, &mut own.items, &item_gradients);
        }
        reference.check("adam.losses", &losses, GRADIENT_TOLERANCE);
        reference.check("adam.users", &own.users.values(), GRADIENT_TOLERANCE);
        reference.check("adam.items", &own.items.values(), GRADIENT_TOLERANCE);
    }
}

#[test]
fn ranking_metrics_are_the_references() {
    let reference = Reference::load("flex");
    let (shape, scores) = reference.numbers.f32("metrics.scores").unwrap();
    let (_, seen) = reference.numbers.i32("metrics.seen").unwrap();
    let (_, truth) = reference.numbers.f32("metrics.truth").unwrap();
    let n_items = shape[1];
    let users: Vec<RankingMetrics> = (0..shape[0])
        .filter_map(|user| {
            let row = user * n_items..(user + 1) * n_items;
            let (seen, truth) = (&seen[row.clone()], &truth[row.clone()]);
            let ranking =
                top_k(&scores[row], LONGEST, |item| seen[item as usize] == 0);
            let ranking: Vec<u32> =
                ranking.into_iter().map(|(item, _)| item).collect();
            let truth: Vec<u32> = (0..n_items as u32)
                .filter(|&item| truth[item as usize] > 0.0)
                .collect();
            RankingMetrics::of(&ranking, &truth)
        })
        .collect();
    let mean = RankingMetrics::mean(&users);
    for metric in domain::Metric::ALL {
        let (name, found) = (metric.name(), mean.value(metric));
        let expected = reference.sizes["metrics"][name].as_f64().unwrap();
        assert!(
            (found - expected).abs() < 1e-6,
            "{name}: {found}, expected {expected}"
        );
    }
}

/// The fixture's texts hold soft tokens as `user_i` and `item_j`; the reference
/// encodes what lies between them.
#[test]
fn the_tokenizer_gives_the_references_ids() {
    let reference = Reference::load("flex");
    let tokenizer = Tokenizer::gpt2();
    let count = |name: &str| reference.cases[name].as_u64().unwrap() as u32;
    for case in reference.cases["cases"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let mut ids = Vec::new();
        let mut rest = text;
        while let Some((before, soft, after)) =
            next_soft_token(rest, count("users"), count("items"))
        {
            ids.extend(tokenizer.encode(before));
            ids.push(count("vocab") + soft);
            rest = after;
        }
        ids.extend(tokenizer.encode(rest));
        let expected: Vec<u32> = case["ids"]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| id.as_u64().unwrap() as u32)
            .collect();
        assert_eq!(ids, expected, "{text}");
    }
}

/// Splits at the first soft token: (text before, row behind the words, text
/// after).
fn next_soft_token(
    text: &str,
    n_users: u32,
    n_items: u32,
) -> Option<(&str, u32, &str)> {
    let kinds = [("user_", 0, n_users), ("item_", n_users, n_items)];
    let (start, prefix, offset, n) = kinds
        .iter()
        .filter_map(|(prefix, offset, n)| {
            Some((text.find(prefix)?, prefix, offset, n))
        })
        .min()?;
    let digits = &text[start + prefix.len()..];
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    let row: u32 = digits[..end].parse().ok().filter(|row| row < n)?;
    Some((&text[..start], offset + row, &digits[end..]))
}
