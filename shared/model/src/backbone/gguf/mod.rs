//! Backbones in GGUF files, as llama.cpp and its many users keep them: read as
//! if they were a Hugging Face checkpoint of the Llama family.

/// How numbers are encoded.
mod blocks;
/// The container: a header of values and tensors by name.
mod file;
/// The tokenizer that the header describes.
mod tokenizer;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};

use crate::backbone::config::Config;
use crate::backbone::gguf::file::{GgufFile, Value};
use crate::backbone::tokenizer::Tokenizer;
use crate::error::Error;

/// A GGUF file under the names of a Hugging Face checkpoint.
#[derive(Debug)]
pub(crate) struct GgufCheckpoint {
    file: GgufFile,
    architecture: Architecture,
}

/// What the header says about the decoder.
#[derive(Debug)]
struct Architecture {
    /// `general.architecture`, in front of the names of its values.
    name: String,
    n_query_heads: usize,
    n_key_value_heads: usize,
}

/// The architectures that are read, which are named as `model_type` is.
const ARCHITECTURES: [&str; 3] = ["llama", "qwen2", "qwen3"];

/// What the names of the blocks' tensors begin with.
pub(crate) const BLOCKS: &str = "blk.";

/// The GGUF file that a path means: itself, or the only one of a folder without
/// a `config.json`.
pub(crate) fn gguf_file(path: &Path) -> Option<PathBuf> {
    if is_gguf(path) && path.is_file() {
        return Some(path.to_owned());
    }
    if path.join("config.json").exists() {
        return None;
    }
    let files = std::fs::read_dir(path).ok()?;
    let mut found: Vec<PathBuf> = files
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| is_gguf(path))
        .collect();
    if found.len() == 1 { found.pop() } else { None }
}

/// True for a path with a GGUF file's name.
pub fn is_gguf(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "gguf")
}

impl GgufCheckpoint {
    /// Reads a file's header; an architecture that is not computed here is
    /// refused by name.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let file = GgufFile::open(path)?;
        let architecture = Architecture::read(&file)
            .map_err(|reason| Error::malformed(path, reason))?;
        Ok(Self { file, architecture })
    }

    /// What a `config.json` would say.
    pub(crate) fn config(&self) -> Result<Config, Error> {
        let config = self.config_fields().and_then(Config::of_fields);
        config.map_err(|reason| Error::malformed(self.file.path(), reason))
    }

    fn config_fields(&self) -> Result<Json, String> {
        let mut fields = Map::new();
        let name = self.architecture.name.clone();
        fields.insert("model_type".to_owned(), name.into());
        for (key, field) in [
            ("embedding_length", "hidden_size"),
            ("feed_forward_length", "intermediate_size"),
            ("block_count", "num_hidden_layers"),
            ("attention.head_count", "num_attention_heads"),
            ("context_length", "max_position_embeddings"),
        ] {
            let size = self.architecture.integer(&self.file, key)?;
            fields.insert(field.to_owned(), size.into());
        }
        let heads = self.architecture.n_key_value_heads;
        fields.insert("num_key_value_heads".to_owned(), heads.into());
        let head_dim = self
            .architecture
            .integer(&self.file, "attention.key_length");
        if let Ok(head_dim) = head_dim {
            fields.insert("head_dim".to_owned(), head_dim.into());
        }
        for (key, field) in [
            ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
            ("rope.freq_base", "rope_theta"),
        ] {
            let Some(value) = self.architecture.float(&self.file, key) else {
                continue;
            };
            if !value.is_finite() {
                return Err(format!(
                    "{key} is {value}; download the file again"
                ));
            }
            fields.insert(field.to_owned(), value.into());
        }
        self.check_rotations()?;
        let embeddings = self.file.shape("token_embd.weight");
        let n_words = embeddings.and_then(|shape| shape.first()).ok_or(
            "tensor `token_embd.weight` is missing; convert the checkpoint \
             with llama.cpp's convert_hf_to_gguf.py",
        )?;
        fields.insert("vocab_size".to_owned(), (*n_words).into());
        let first_word = tokenizer::first_word(&self.file);
        let begins_with_bos = first_word.is_some();
        fields.insert("begins_with_bos".to_owned(), begins_with_bos.into());
        if let Some(id) = first_word {
            fields.insert("bos_token_id".to_owned(), id.into());
        }
        let has_bias = self.file.has("blk.0.attn_q.bias")
            || self.file.has("blk.0.attn_output.bias");
        let is_qwen2 = self.architecture.name == "qwen2";
        let has_bias_field = has_bias && !is_qwen2;
        fields.insert("attention_bias".to_owned(), has_bias_field.into());
        let is_tied = !self.file.has("output.weight");
        fields.insert("tie_word_embeddings".to_owned(), is_tied.into());
        Ok(Json::Object(fields))
    }

    /// Only plain rotations over whole heads are read from GGUF files.
    fn check_rotations(&self) -> Result<(), String> {
        let name = &self.architecture.name;
        let scaling = self.file.value(&format!("{name}.rope.scaling.type"));
        let is_plain = match scaling {
            None => true,
            Some(Value::Text(kind)) => kind == "none",
            Some(_) => false,
        };
        if !is_plain || self.file.has("rope_freqs.weight") {
            return Err("it stretches its rotations; take the safetensors \
                        checkpoint of the same model"
                .to_owned());
        }
        let turned = self
            .architecture
            .integer(&self.file, "rope.dimension_count");
        let head_dim = self
            .architecture
            .integer(&self.file, "attention.key_length");
        match (turned, head_dim) {
            (Ok(turned), Ok(head_dim)) if turned != head_dim => Err(format!(
                "it turns {turned} of a head's {head_dim} entries; take a \
                 model that turns whole heads"
            )),
            _ => Ok(()),
        }
    }

    /// The tokenizer that travels in the header.
    pub(crate) fn tokenizer(&self) -> Result<Tokenizer, Error> {
        tokenizer::read(&self.file)
            .map_err(|reason| Error::malformed(self.file.path(), reason))
    }

    /// Where it came from.
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// The licence that the file names.
    pub(crate) fn licence(&self) -> Option<&str> {
        match self.file.value("general.license") {
            Some(Value::Text(licence)) => Some(licence),
            _ => None,
        }
    }

    /// The tensors' names as the file has them.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.file.names()
    }

    /// The dimensions of a tensor under its name in a Hugging Face checkpoint.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.file.shape(&own_name(name)?)
    }

    /// How a tensor's numbers are kept, as ggml calls it. An encoding that is
    /// not read here, or a file too short for the tensor, is an error.
    pub(crate) fn encoding(&self, name: &str) -> Result<&'static str, Error> {
        self.file.encoding(&self.known_name(name)?)
    }

    fn known_name(&self, name: &str) -> Result<String, Error> {
        own_name(name).ok_or_else(|| Error::Missing {
            path: self.path().to_owned(),
            name: name.to_owned(),
        })
    }

    /// Shape and values of a tensor under its name in a Hugging Face
    /// checkpoint.
    pub(crate) fn f32(
        &self,
        name: &str,
    ) -> Result<(Vec<usize>, Vec<f32>), Error> {
        let here = self.known_name(name)?;
        let (shape, values) = self.file.f32(&here)?;
        let n_heads = self.architecture.n_heads_of(&here);
        match n_heads {
            Some(n_heads) => {
                let values = halves_of_pairs(&values, &shape, n_heads);
                let values = values.ok_or_else(|| {
                    let reason = format!(
                        "tensor `{here}` of shape {shape:?} has not {n_heads} \
                         heads"
                    );
                    Error::malformed(self.path(), reason)
                })?;
                Ok((shape, values))
            }
            None => Ok((shape, values)),
        }
    }
}

impl Architecture {
    fn read(file: &GgufFile) -> Result<Self, String> {
        let name = match file.value("general.architecture") {
            Some(Value::Text(name)) => name.clone(),
            _ => {
                return Err("general.architecture is missing; convert the \
                            checkpoint with llama.cpp's convert_hf_to_gguf.py"
                    .to_owned());
            }
        };
        if !ARCHITECTURES.contains(&&*name) {
            return Err(format!(
                "general.architecture is `{name}`; take one of those that are \
                 read here: {}",
                ARCHITECTURES.join(", ")
            ));
        }
        let mut architecture = Self {
            name,
            n_query_heads: 0,
            n_key_value_heads: 0,
        };
        let n_heads = architecture.integer(file, "attention.head_count")?;
        architecture.n_query_heads = n_heads;
        let n_shared = architecture.integer(file, "attention.head_count_kv");
        architecture.n_key_value_heads = n_shared.unwrap_or(n_heads);
        Ok(architecture)
    }

    fn integer(&self, file: &GgufFile, key: &str) -> Result<usize, String> {
        let key = format!("{}.{key}", self.name);
        match file.value(&key) {
            Some(Value::Integer(n)) => {
                usize::try_from(*n).map_err(|_| format!("{key} is {n}"))
            }
            Some(other) => Err(format!("{key} is {other:?}, not a number")),
            None => Err(format!(
                "{key} is missing; convert the checkpoint with llama.cpp's \
                 convert_hf_to_gguf.py"
            )),
        }
    }

    fn float(&self, file: &GgufFile, key: &str) -> Option<f64> {
        match file.value(&format!("{}.{key}", self.name)) {
            Some(Value::Float(x)) => Some(*x),
            _ => None,
        }
    }

    /// The heads of a tensor whose rows are stored in pairs: queries and keys
    /// of Llamas.
    fn n_heads_of(&self, tensor: &str) -> Option<usize> {
        if self.name != "llama" {
            return None;
        }
        if tensor.contains(".attn_q.") {
            Some(self.n_query_heads)
        } else if tensor.contains(".attn_k.") {
            Some(self.n_key_value_heads)
        } else {
            None
        }
    }
}

/// A tensor's name in a GGUF file, given that of a Hugging Face checkpoint.
pub(crate) fn own_name(name: &str) -> Option<String> {
    let whole = match name {
        "model.embed_tokens.weight" => Some("token_embd.weight"),
        "model.norm.weight" => Some("output_norm.weight"),
        "lm_head.weight" => Some("output.weight"),
        _ => None,
    };
    if let Some(whole) = whole {
        return Some(whole.to_owned());
    }
    let of_layer = name.strip_prefix("model.layers.")?;
    let (layer, part) = of_layer.split_once('.')?;
    let (part, kind) = part.rsplit_once('.')?;
    let part = match part {
        "input_layernorm" => "attn_norm",
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.o_proj" => "attn_output",
        "self_attn.q_norm" => "attn_q_norm",
        "self_attn.k_norm" => "attn_k_norm",
        "post_attention_layernorm" => "ffn_norm",
        "mlp.gate_proj" => "ffn_gate",
        "mlp.up_proj" => "ffn_up",
        "mlp.down_proj" => "ffn_down",
        _ => return None,
    };
    Some(format!("blk.{layer}.{part}.{kind}"))
}

/// Rows of each head from pairs that are turned together to halves, as the
/// rotations here turn them (reference: `permute` of convert_hf_to_gguf.py,
/// undone). None where the rows are not those of so many heads.
fn halves_of_pairs(
    values: &[f32],
    shape: &[usize],
    n_heads: usize,
) -> Option<Vec<f32>> {
    let n_rows = *shape.first()?;
    let n_halves = n_heads.checked_mul(2).filter(|&n| n > 0)?;
    if values.is_empty() || !n_rows.is_multiple_of(n_halves) {
        return None;
    }
    let width = values.len() / n_rows;
    let head_dim = n_rows / n_heads;
    let mut permuted = Vec::with_capacity(values.len());
    for head in values.chunks_exact(head_dim * width) {
        for half in 0..2 {
            for pair in 0..head_dim / 2 {
                let row = 2 * pair + half;
                permuted.extend_from_slice(&head[row * width..][..width]);
            }
        }
    }
    Some(permuted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_worlds_are_the_same_tensors() {
        let name = |name: &str| own_name(name).unwrap();
        assert_eq!(
            name("model.layers.7.mlp.up_proj.weight"),
            "blk.7.ffn_up.weight"
        );
        assert_eq!(
            name("model.layers.0.self_attn.q_proj.bias"),
            "blk.0.attn_q.bias"
        );
        assert_eq!(own_name("model.layers.0.self_attn.rotary"), None);
    }

    #[test]
    fn pairs_become_halves_head_by_head() {
        // Two heads of four rows, one number each.
        let pairs = [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0];
        let halves = halves_of_pairs(&pairs, &[8, 1], 2).unwrap();
        assert_eq!(halves, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        assert_eq!(halves_of_pairs(&pairs, &[8, 1], 3), None);
        assert_eq!(halves_of_pairs(&[], &[0, 4], 2), None, "no rows");
        assert_eq!(halves_of_pairs(&[], &[8, 0], 2), None, "no columns");
        assert_eq!(halves_of_pairs(&pairs, &[8, 1], usize::MAX), None);
    }
}
