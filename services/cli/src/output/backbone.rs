//! Backbones, for programs and for people.

use std::path::Path;

use serde_json::{Value, json};
use worker::{Description, KNOWN, N_TEXTS, N_WORDS, Shelved, Speed};

/// What is said where no file names a licence.
const NO_LICENCE: &str = "unknown: see where it is from";

/// A backbone's name and what its files say.
pub(crate) fn json(name: &str, found: &Description) -> Value {
    let facts = &found.facts;
    let shape = &facts.shape;
    json!({
        "name": name,
        "path": found.path,
        "family": facts.family,
        "n_layer": shape.n_layer,
        "n_embd": shape.n_embd as usize,
        "inner": shape.inner as usize,
        "n_heads": facts.n_heads,
        "n_key_value_heads": facts.n_key_value_heads,
        "n_positions": facts.n_positions,
        "n_words": shape.n_words as usize,
        "n_tokenizer_words": facts.n_tokenizer_words,
        "n_parameters": facts.n_parameters,
        "encodings": facts.encodings,
        "n_bytes": found.n_bytes,
        "memory_f32": memory(found, 4),
        "memory_bf16": memory(found, 2),
        "licence": found.licence,
    })
}

/// [`json`], and how fast it is here.
pub(crate) fn json_with_speed(
    name: &str,
    found: &Description,
    speed: &Speed,
) -> Value {
    let mut value = json(name, found);
    value["device"] = json!(speed.device);
    value["precision"] = json!(speed.precision.name());
    value["tokens_per_second"] = json!(speed.tokens_per_second);
    value["epoch_seconds"] = json!(speed.epoch_seconds);
    value
}

/// A backbone of a list; a damaged one has a name and what is wrong.
pub(crate) fn listed_json(backbone: &Shelved) -> Value {
    match &backbone.found {
        Ok(found) => json(&backbone.name, found),
        Err(error) => {
            json!({ "name": backbone.name, "error": service::chain(error) })
        }
    }
}

/// A line for each backbone below a line of headings.
pub(crate) fn table(shelved: &[Shelved]) -> String {
    let names = shelved.iter().map(|backbone| backbone.name.len());
    let width = names.max().unwrap_or_default();
    let mut lines = vec![format!(
        "{:<width$}  {:<7} {:>12} {:>10}  {:<5} {:>9}  licence",
        "name", "family", "layers×width", "parameters", "type", "size"
    )];
    for backbone in shelved {
        let name = &backbone.name;
        lines.push(match &backbone.found {
            Ok(found) => format!("{name:<width$}  {}", cells(found)),
            Err(error) => {
                let reason = service::chain(error);
                format!("{name:<width$}  cannot be used: {reason}")
            }
        });
    }
    lines.join("\n")
}

/// What is said of a root without any: what could be added by a name alone.
pub(crate) fn none(root: &Path) -> String {
    let mut text = format!("{} has no backbones", root.display());
    for known in &KNOWN {
        text.push_str(&format!(
            "\n`cllm4rec backbone add {}` fetches {}, licence {}",
            known.name, known.about, known.licence
        ));
    }
    text
}

/// A backbone in one line.
pub(crate) fn line(name: &str, found: &Description) -> String {
    let facts = &found.facts;
    format!(
        "{name}  {}, {} layers × {}, {} parameters, {}, {}, licence {}",
        facts.family,
        facts.shape.n_layer,
        facts.shape.n_embd,
        millions(facts.n_parameters),
        encoding(found),
        megabytes(found.n_bytes),
        licence(found)
    )
}

fn cells(found: &Description) -> String {
    let facts = &found.facts;
    let size = format!("{}×{}", facts.shape.n_layer, facts.shape.n_embd);
    format!(
        "{:<7} {size:>12} {:>10}  {:<5} {:>9}  {}",
        facts.family,
        millions(facts.n_parameters),
        encoding(found),
        megabytes(found.n_bytes),
        licence(found)
    )
}

/// Everything about a backbone, a line each.
pub(crate) fn text(name: &str, found: &Description, speed: &Speed) -> String {
    let facts = &found.facts;
    let shape = &facts.shape;
    [
        format!("{name}  {}", found.path.display()),
        format!(
            "shape       {}, {} layers × {}, {} inside, {} heads on {} of keys and values",
            facts.family,
            shape.n_layer,
            shape.n_embd,
            shape.inner,
            facts.n_heads,
            facts.n_key_value_heads
        ),
        format!("positions   {}", facts.n_positions),
        format!(
            "vocabulary  {} words, the tokenizer gives {}",
            shape.n_words, facts.n_tokenizer_words
        ),
        format!(
            "parameters  {}, kept as {} in {}",
            millions(facts.n_parameters),
            facts.encodings.join(", "),
            megabytes(found.n_bytes)
        ),
        format!(
            "memory      {} in f32, {} in bf16",
            megabytes(memory(found, 4)),
            megabytes(memory(found, 2))
        ),
        format!("licence     {}", licence(found)),
        format!(
            "here        {:.0} tokens/s forward ({}, {})",
            speed.tokens_per_second,
            speed.device,
            speed.precision.name()
        ),
        format!(
            "            a content epoch of {N_TEXTS} texts of {N_WORDS} words: {:.0} s by it",
            speed.epoch_seconds
        ),
    ]
    .join("\n")
}

/// Bytes of the weights when a number takes so many.
fn memory(found: &Description, n_bytes: u64) -> u64 {
    found.facts.n_parameters as u64 * n_bytes
}

/// What most of its numbers are kept in.
fn encoding(found: &Description) -> &str {
    found.facts.encodings.first().map_or("", String::as_str)
}

fn licence(found: &Description) -> &str {
    found.licence.as_deref().unwrap_or(NO_LICENCE)
}

fn millions(n: usize) -> String {
    format!("{:.1} M", n as f64 / 1e6)
}

fn megabytes(n_bytes: u64) -> String {
    format!("{:.1} MB", n_bytes as f64 / 1e6)
}
