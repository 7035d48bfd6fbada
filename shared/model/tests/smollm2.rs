//! A real small language model against numbers of its own: SmolLM2-135M from
//! `make smollm2`, where it is there.
//!
//! `CLLM4REC_SMOLLM2` names its folder (default `data/backbones/smollm2`),
//! `CLLM4REC_SMOLLM2_CASES` another file of cases.

#![allow(clippy::unwrap_used, reason = "tests")]

mod reference;

use std::path::PathBuf;

use model::{
    Backbone, available_devices, compute_device, hidden_of_words,
    next_word_logits,
};
use serde_json::Value;

use crate::reference::{folder_or, log_softmax};

/// Losses are in nats a word; hidden states are relative to the row's largest.
const TOLERANCE: f64 = 1e-3;

/// The model's folder; says so where it is not there.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn smollm2() -> Option<PathBuf> {
    let folder = folder_or("CLLM4REC_SMOLLM2", "../../data/backbones/smollm2");
    if folder.exists() {
        return Some(folder);
    }
    eprintln!(
        "skipped: {} is not there; `make smollm2` fetches it",
        folder.display()
    );
    None
}

fn cases() -> Vec<Value> {
    let path = folder_or("CLLM4REC_SMOLLM2_CASES", "tests/smollm2/cases.json");
    let file: Value =
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    file["cases"].as_array().unwrap().clone()
}

fn ids(case: &Value) -> Vec<u32> {
    let ids = case["ids"].as_array().unwrap();
    ids.iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// The mean cross-entropy of each word but the first.
fn mean_loss(backbone: &Backbone, ids: &[u32], hidden: &[f32]) -> f64 {
    let mut logits = next_word_logits(backbone, hidden);
    let mut sum = 0.0;
    for (row, &next) in logits.chunks_mut(backbone.n_words()).zip(&ids[1..]) {
        log_softmax(row);
        sum -= f64::from(row[next as usize]);
    }
    sum / (ids.len() - 1) as f64
}

#[test]
fn words_losses_and_hidden_states_are_the_models_own() {
    let Some(folder) = smollm2() else { return };
    for device in available_devices() {
        let device = compute_device(&device).unwrap().device;
        let backbone = Backbone::read(&folder, &device).unwrap();
        let width = backbone.n_embd();
        for case in cases() {
            let text = case["text"].as_str().unwrap();
            let words = backbone.tokenizer().unwrap().encode(text);
            assert_eq!(words, ids(&case), "{text}");
            if words.is_empty() {
                continue;
            }
            let hidden =
                hidden_of_words(&backbone, std::slice::from_ref(&words));
            // A text of one word predicts nothing.
            if let Some(expected) = case["loss"].as_f64() {
                let loss = mean_loss(&backbone, &words, &hidden);
                let difference = (loss - expected).abs();
                assert!(difference < TOLERANCE, "{text}: {loss}");
            }
            let last = &hidden[hidden.len() - width..];
            let largest = last.iter().fold(0_f32, |most, x| most.max(x.abs()));
            let expected = case["last_hidden_8"].as_array().unwrap();
            for (found, expected) in last.iter().zip(expected) {
                let difference = f64::from(*found) - expected.as_f64().unwrap();
                let most = TOLERANCE * f64::from(largest);
                assert!(difference.abs() < most, "{text}: {found}");
            }
        }
    }
}
