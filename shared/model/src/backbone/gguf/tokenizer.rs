//! The tokenizer that a GGUF header describes: words, merges, and the name of
//! how text is split before (reference: llama.cpp's `llama-vocab.cpp`).

use serde_json::{Value as Json, json};

use crate::backbone::gguf::file::{GgufFile, Value};
use crate::backbone::tokenizer::Tokenizer;

/// What splits text before the merges, by its name in the header.
const SPLITS: [&str; 5] = ["gpt-2", "smollm", "default", "qwen2", "llama-bpe"];

/// How Qwen 2 and 3 split (its `tokenizer.json`).
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// How Llama 3 splits (its `tokenizer.json`).
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Makes a tokenizer of a header's values.
pub(super) fn read(file: &GgufFile) -> Result<Tokenizer, String> {
    let model = text(file, "tokenizer.ggml.model")?;
    if model != "gpt2" {
        return Err(format!(
            "its tokenizer is `{model}`; byte-level ones (`gpt2`) are read here"
        ));
    }
    let split = text(file, "tokenizer.ggml.pre").unwrap_or("default");
    let words = texts(file, "tokenizer.ggml.tokens")?;
    let merges = texts(file, "tokenizer.ggml.merges")?;
    let mut vocabulary = serde_json::Map::new();
    for (id, word) in words.into_iter().enumerate() {
        vocabulary.insert(word.to_owned(), id.into());
    }
    let tokenizer = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": normalizer(split),
        "pre_tokenizer": pre_tokenizer(split)?,
        "post_processor": null,
        "decoder": byte_level(true),
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": split == "llama-bpe",
            "vocab": vocabulary,
            "merges": merges,
        },
    });
    let bytes = serde_json::to_vec(&tokenizer).map_err(|e| e.to_string())?;
    Tokenizer::parse(bytes, first_word(file))
}

/// The word that prompts begin with, where the header asks for one.
pub(super) fn first_word(file: &GgufFile) -> Option<u32> {
    let is_wanted = file.value("tokenizer.ggml.add_bos_token");
    match (is_wanted, file.value("tokenizer.ggml.bos_token_id")) {
        (Some(Value::Bool(true)), Some(Value::Integer(id))) => {
            u32::try_from(*id).ok()
        }
        _ => None,
    }
}

fn byte_level(uses_regex: bool) -> Json {
    json!({
        "type": "ByteLevel",
        "add_prefix_space": false,
        "trim_offsets": true,
        "use_regex": uses_regex,
    })
}

fn normalizer(split: &str) -> Json {
    match split {
        "qwen2" => json!({"type": "NFC"}),
        _ => Json::Null,
    }
}

fn pre_tokenizer(split: &str) -> Result<Json, String> {
    match split {
        "gpt-2" | "default" => Ok(byte_level(true)),
        "smollm" => Ok(sequence(
            &json!({"type": "Digits", "individual_digits": true}),
            &byte_level(true),
        )),
        "qwen2" => Ok(sequence(&isolated(QWEN2), &byte_level(false))),
        "llama-bpe" => Ok(sequence(&isolated(LLAMA3), &byte_level(false))),
        other => Err(format!(
            "its tokenizer splits text as `{other}` does; what is read here: {}",
            SPLITS.join(", ")
        )),
    }
}

fn sequence(first: &Json, second: &Json) -> Json {
    json!({"type": "Sequence", "pretokenizers": [first, second]})
}

fn isolated(pattern: &str) -> Json {
    json!({
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": false,
    })
}

fn text<'a>(file: &'a GgufFile, key: &str) -> Result<&'a str, String> {
    match file.value(key) {
        Some(Value::Text(text)) => Ok(text),
        Some(_) => Err(format!("{key} is no text")),
        None => Err(format!("{key} is missing")),
    }
}

fn texts<'a>(file: &'a GgufFile, key: &str) -> Result<Vec<&'a str>, String> {
    let Some(Value::List(values)) = file.value(key) else {
        return Err(format!("{key} is missing or no list"));
    };
    let mut texts = Vec::with_capacity(values.len());
    for value in values {
        let Value::Text(text) = value else {
            return Err(format!("{key} has {value:?} among its texts"));
        };
        texts.push(&**text);
    }
    Ok(texts)
}
