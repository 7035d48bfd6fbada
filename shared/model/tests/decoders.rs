//! Decoders of each family against the numbers of `transformers`
//! (`tests/decoders/`, one folder a decoder, see its README).
//!
//! `CLLM4REC_DECODERS` names another folder of such folders; sizes, ids and
//! numbers all come from the files.

#![allow(clippy::unwrap_used, reason = "tests")]

mod reference;

use std::path::{Path, PathBuf};

use domain::Body;
use model::prompt::Document;
use model::recommender::{Example, ItemHead, Options, user_states};
use model::{
    Backbone, Objective, Precision, Tables, TensorFile, Token, TokenTables,
    available_devices, collaborative, compute_device, content, contributions,
    hidden_of_words, next_word_logits, recommender, step,
};
use serde_json::Value;

use crate::reference::{
    GRADIENT_TOLERANCE, assert_close, assert_rows_close, decoder_folders,
    decoder_folders_in, log_softmax,
};

struct Decoder {
    folder: PathBuf,
    /// The folder and the device, for messages.
    name: String,
    sizes: Value,
    numbers: TensorFile,
    backbone: Backbone,
    tables: Tables,
}

/// Every decoder on each device that this build has.
fn decoders() -> Vec<Decoder> {
    decoders_in(decoder_folders())
}

/// The decoders of some folders on each device that this build has.
fn decoders_in(folders: Vec<PathBuf>) -> Vec<Decoder> {
    let mut decoders = Vec::new();
    for folder in folders {
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
            folder: folder.to_owned(),
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

    fn prompts(&self) -> Vec<Vec<Token>> {
        let examples = self.examples().into_iter();
        examples.map(|example| example.prompt).collect()
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
        let prompts = decoder.prompts();
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

/// The scores of all items for each prompt, and how much each position of the
/// first prompt moves those of the first two items.
fn answers(decoder: &Decoder, backbone: &Backbone) -> [Vec<f32>; 2] {
    let tables = &decoder.tables.collaborative;
    let prompts = decoder.prompts();
    let states = user_states(backbone, tables, &prompts).unwrap();
    let scores = ItemHead::new(backbone, &tables.items).scores(&states);
    let reasons = contributions(backbone, tables, &prompts[0], &[0, 1]);
    [scores, reasons.unwrap().concat()]
}

fn largest(numbers: &[f32]) -> f32 {
    let sizes = numbers.iter().map(|number| number.abs());
    sizes.fold(0.0, f32::max)
}

fn largest_difference(found: &[f32], exact: &[f32]) -> f32 {
    let pairs = found.iter().zip(exact);
    let differences: Vec<f32> = pairs.map(|(a, b)| a - b).collect();
    largest(&differences)
}

/// The bounds are for the project's own decoders, next to the largest score.
/// PyTorch with the same roundings moves scores by .008 to .011, reasons by .001
/// to .041.
#[test]
fn weights_in_bf16_move_scores_and_reasons_by_what_their_rounding_does() {
    let on_flex = compute_device("flex").unwrap();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/decoders");
    let decoders = decoders_in(decoder_folders_in(&own)).into_iter();
    for decoder in decoders.filter(|one| one.name.ends_with("flex")) {
        let exact = answers(&decoder, &decoder.backbone);
        let of_scores = largest(&exact[0]);
        for (precision, most) in [
            (Precision::F32, [0.0, 0.0]),
            (Precision::Bf16, [0.015, 0.05]),
        ] {
            let folder = decoder.folder.join("backbone");
            let backbone =
                Backbone::read_to_answer(&folder, &on_flex.device, precision);
            let found = answers(&decoder, &backbone.unwrap());
            let is_rounded = precision != Precision::F32;
            for (part, most) in most.into_iter().enumerate() {
                let moved = largest_difference(&found[part], &exact[part]);
                assert!(
                    moved <= most * of_scores && (moved > 0.0) == is_rounded,
                    "{} in {precision:?}, part {part}: {moved} of {of_scores}",
                    decoder.name
                );
            }
        }
    }
}

#[test]
fn rounded_weights_give_a_prompt_the_same_bits_alone_and_without_other_words() {
    let on_flex = compute_device("flex").unwrap();
    let decoders = decoders().into_iter();
    for decoder in decoders.filter(|one| one.name.ends_with("flex")) {
        let tables = &decoder.tables.collaborative;
        let prompts = decoder.prompts();
        let words = prompts.concat().into_iter().filter_map(|token| {
            if let Token::Word(word) = token {
                Some(word)
            } else {
                None
            }
        });
        let words: Vec<u32> = words.collect();
        let folder = decoder.folder.join("backbone");
        let all =
            Backbone::read_to_answer(&folder, &on_flex.device, Precision::Bf16)
                .unwrap();
        let few = all.clone().with_words_alone(&words);
        assert!(few.n_bytes() < all.n_bytes(), "{}", decoder.name);
        let together = user_states(&all, tables, &prompts).unwrap();
        let together = together.chunks(all.n_embd());
        for (prompt, expected) in prompts.iter().zip(together) {
            let prompt = std::slice::from_ref(prompt);
            for backbone in [&all, &few] {
                let alone = user_states(backbone, tables, prompt).unwrap();
                assert_eq!(alone, expected, "{}", decoder.name);
            }
        }
    }
}
