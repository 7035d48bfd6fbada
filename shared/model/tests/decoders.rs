//! Decoders of each family against the numbers of `transformers`
//! (`tests/decoders/`, one folder a decoder, see its README).
//!
//! `CLLM4REC_DECODERS` names another folder of such folders; sizes, ids and
//! numbers all come from the files.

#![allow(clippy::unwrap_used, reason = "tests")]

mod reference;

use std::path::Path;

use domain::Body;
use model::prompt::Document;
use model::recommender::{Example, ItemHead, Options, user_states};
use model::{
    Backbone, Objective, Tables, TensorFile, Token, TokenTables,
    available_devices, collaborative, compute_device, content, hidden_of_words,
    next_word_logits, recommender, step,
};
use serde_json::Value;

use crate::reference::{
    GRADIENT_TOLERANCE, assert_close, assert_rows_close, decoder_folders,
    log_softmax,
};

struct Decoder {
    /// The folder and the device, for messages.
    name: String,
    sizes: Value,
    numbers: TensorFile,
    backbone: Backbone,
    tables: Tables,
}

/// Every decoder on each device that this build has.
fn decoders() -> Vec<Decoder> {
    let mut decoders = Vec::new();
    for folder in decoder_folders() {
        for device in available_devices() {
            decoders.push(Decoder::read(&folder, &device));
        }
    }
    decoders
}

impl Decoder {
    fn read(folder: &Path, device: &str) -> Self {
        let sizes = std::fs::read(folder.join("reference.json")).unwrap();
        let numbers =
            TensorFile::open(&folder.join("reference.safetensors")).unwrap();
        let compute_device = compute_device(device).unwrap().device;
        Self {
            name: format!("{} on {device}", folder.display()),
            sizes: serde_json::from_slice(&sizes).unwrap(),
            backbone: Backbone::read(&folder.join("backbone"), &compute_device)
                .unwrap(),
            tables: Tables::read(&numbers, "").unwrap(),
            numbers,
        }
    }

    fn size(&self, name: &str) -> usize {
        self.sizes[name].as_u64().unwrap() as usize
    }

    fn token(&self, id: &Value) -> Token {
        let id = id.as_u64().unwrap() as usize;
        let (words, users) = (self.size("words"), self.size("users"));
        if id < words {
            Token::Word(id as u32)
        } else if id < words + users {
            Token::User((id - words) as u32)
        } else {
            Token::Item((id - words - users) as u32)
        }
    }

    fn tokens(&self, ids: &Value) -> Vec<Token> {
        let ids = ids.as_array().unwrap();
        ids.iter().map(|id| self.token(id)).collect()
    }

    fn documents(&self, stage: &str) -> Vec<Document> {
        let documents = self.sizes[stage].as_array().unwrap();
        let document = |parts: &Value| Document {
            prompt: self.tokens(&parts[0]),
            main: self.tokens(&parts[1]),
        };
        documents.iter().map(document).collect()
    }

    fn examples(&self) -> Vec<Example> {
        let prompts = self.sizes["prompts"].as_array().unwrap();
        let targets = self.sizes["targets"].as_array().unwrap();
        let mut examples = Vec::new();
        for (prompt, targets) in prompts.iter().zip(targets) {
            let targets = targets.as_array().unwrap();
            examples.push(Example {
                prompt: self.tokens(prompt),
                targets: targets
                    .iter()
                    .map(|row| row.as_u64().unwrap() as u32)
                    .collect(),
            });
        }
        examples
    }

    fn expected(&self, name: &str) -> Vec<f32> {
        self.numbers.f32(name).unwrap().1
    }

    fn check(&self, name: &str, found: &[f32]) {
        let what = format!("{}: {name}", self.name);
        assert_close(&what, found, &self.expected(name), GRADIENT_TOLERANCE);
    }

    fn check_rows(&self, name: &str, found: &[f32]) {
        let (shape, expected) = self.numbers.f32(name).unwrap();
        let what = format!("{}: {name}", self.name);
        assert_rows_close(&what, found, &expected, *shape.last().unwrap());
    }

    /// A stage's loss and the gradients of both tables.
    fn check_step(
        &self,
        stage: &str,
        tables: &TokenTables,
        objective: &Objective,
    ) {
        let found =
            step::compute(&self.backbone, tables, None, objective).unwrap();
        let width = tables.items.width();
        let users = found.users.dense(tables.users.n_rows(), width);
        let items = found.items.dense(tables.items.n_rows(), width);
        self.check(&format!("{stage}.loss"), &[found.loss as f32]);
        self.check(&format!("{stage}.grad.users"), &users.values);
        self.check(&format!("{stage}.grad.items"), &items.values);
    }
}

/// The sequences of `decoder.input_ids`, whatever integers they are written as.
fn input_ids(decoder: &Decoder) -> Vec<Vec<u32>> {
    let (shape, ids) = decoder.numbers.integers("decoder.input_ids").unwrap();
    let rows = ids.chunks(shape[1]);
    rows.map(|row| row.iter().map(|&id| id as u32).collect())
        .collect()
}

#[test]
fn sizes_are_the_same_from_the_weights_the_header_and_the_bare_config() {
    for decoder in decoders() {
        let (folder, _) = decoder.name.rsplit_once(" on ").unwrap();
        let folder = Path::new(folder).join("backbone");
        let body = Backbone::read_body(&folder).unwrap();
        assert_eq!(*body.shape(), decoder.backbone.shape(), "{}", decoder.name);
        assert_eq!(body.n_positions(), decoder.backbone.n_positions());
        let config = std::fs::read(folder.join("config.json"));
        if let Ok(config) = config {
            assert_eq!(Body::of_config(&config), Ok(body), "{}", decoder.name);
        }
    }
}

#[test]
fn hidden_states_and_logits_are_the_references() {
    for decoder in decoders() {
        let hidden = hidden_of_words(&decoder.backbone, &input_ids(&decoder));
        decoder.check_rows("decoder.last_hidden", &hidden);
        let logits = next_word_logits(&decoder.backbone, &hidden);
        decoder.check_rows("decoder.logits", &logits);
    }
}

#[test]
fn the_content_lm_has_the_references_loss_and_gradients() {
    for decoder in decoders() {
        let objective = content::objective(&decoder.documents("content"));
        decoder.check_step("content", &decoder.tables.content, &objective);
    }
}

#[test]
fn the_collaborative_lm_has_the_references_loss_and_gradients() {
    for decoder in decoders() {
        let objective =
            collaborative::objective(&decoder.documents("collaborative"));
        decoder.check_step(
            "collaborative",
            &decoder.tables.collaborative,
            &objective,
        );
    }
}

#[test]
fn the_recommender_has_the_references_loss_gradients_and_scores() {
    for decoder in decoders() {
        let (examples, tables) =
            (decoder.examples(), &decoder.tables.collaborative);
        let objective = recommender::objective(&examples, Options::default());
        decoder.check_step("recommend", tables, &objective);
        let prompts: Vec<Vec<Token>> =
            examples.into_iter().map(|example| example.prompt).collect();
        let states = user_states(&decoder.backbone, tables, &prompts).unwrap();
        let mut scores =
            ItemHead::new(&decoder.backbone, &tables.items).scores(&states);
        for row in scores.chunks_mut(tables.items.n_rows()) {
            log_softmax(row);
        }
        decoder.check_rows("recommend.item_log_probs", &scores);
    }
}

#[test]
fn a_decoder_that_is_written_is_read_back_with_the_same_numbers() {
    for decoder in decoders() {
        let folder = tempfile::tempdir().unwrap();
        decoder.backbone.write(folder.path()).unwrap();
        let again =
            Backbone::read(folder.path(), &decoder.backbone.device()).unwrap();
        assert_eq!(again.shape(), decoder.backbone.shape(), "{}", decoder.name);
        let hidden = hidden_of_words(&again, &input_ids(&decoder));
        decoder.check_rows("decoder.last_hidden", &hidden);
    }
}
