//! GGUF files as llama.cpp writes them: names, order of dimensions, rows of
//! queries and keys in pairs.

use serde_json::Value;

use super::{Small, Stored};

/// A GGUF file that is being written.
#[derive(Clone)]
pub struct Gguf {
    /// Values of the header: the type, and the bytes behind it.
    pub values: Vec<(String, Vec<u8>)>,
    pub tensors: Vec<GgufTensor>,
}

/// A tensor of it.
#[derive(Clone)]
pub struct GgufTensor {
    pub name: String,
    /// Neighbours first.
    pub shape: Vec<u64>,
    /// As the file numbers them; 0 is f32.
    pub encoding: u32,
    pub bytes: Vec<u8>,
}

const U32: u32 = 4;
const F32: u32 = 6;
const TEXT: u32 = 8;
const LIST: u32 = 9;
const U64: u32 = 10;
const ALIGNMENT: usize = 32;

fn typed(kind: u32, bytes: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes()[..], bytes].concat()
}

fn length_and(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u64).to_le_bytes()[..], bytes].concat()
}

pub fn u64(value: u64) -> Vec<u8> {
    typed(U64, &value.to_le_bytes())
}

pub fn u32(value: u32) -> Vec<u8> {
    typed(U32, &value.to_le_bytes())
}

pub fn f32(value: f32) -> Vec<u8> {
    typed(F32, &value.to_le_bytes())
}

pub fn text(value: &str) -> Vec<u8> {
    typed(TEXT, &length_and(value.as_bytes()))
}

fn texts(values: &[String]) -> Vec<u8> {
    let mut bytes = TEXT.to_le_bytes().to_vec();
    bytes.extend((values.len() as u64).to_le_bytes());
    for value in values {
        bytes.extend(length_and(value.as_bytes()));
    }
    typed(LIST, &bytes)
}

impl Gguf {
    /// A Llama's checkpoint as a GGUF file.
    pub fn of_llama(small: &Small) -> Self {
        let size = |name: &str| small.config[name].as_u64().unwrap();
        let float = |name: &str| small.config[name].as_f64().unwrap() as f32;
        let n_words = size("vocab_size");
        let words: Vec<String> =
            (0..n_words).map(|word| format!("w{word}")).collect();
        let mut values = Vec::new();
        let mut push = |key: &str, value| values.push((key.to_owned(), value));
        push("general.architecture", text("llama"));
        for (key, name) in [
            ("embedding_length", "hidden_size"),
            ("feed_forward_length", "intermediate_size"),
            ("block_count", "num_hidden_layers"),
            ("attention.head_count", "num_attention_heads"),
            ("attention.head_count_kv", "num_key_value_heads"),
            ("attention.key_length", "head_dim"),
            ("context_length", "max_position_embeddings"),
        ] {
            push(&format!("llama.{key}"), u64(size(name)));
        }
        let epsilon = "llama.attention.layer_norm_rms_epsilon";
        push(epsilon, f32(float("rms_norm_eps")));
        push("llama.rope.freq_base", f32(float("rope_theta")));
        push("tokenizer.ggml.model", text("gpt2"));
        push("tokenizer.ggml.tokens", texts(&words));
        push("tokenizer.ggml.merges", texts(&[]));
        let mut tensors = Vec::new();
        for (name, stored) in &small.tensors {
            tensors.push(GgufTensor::new(name, stored, &small.config));
        }
        Self { values, tensors }
    }

    /// Sets a value of the header.
    pub fn set(&mut self, key: &str, value: Vec<u8>) {
        self.values.retain(|(name, _)| name != key);
        self.values.push((key.to_owned(), value));
    }

    /// The file, and how long its header is.
    pub fn bytes(&self) -> (Vec<u8>, usize) {
        let mut file = b"GGUF".to_vec();
        file.extend(3_u32.to_le_bytes());
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.values.len() as u64).to_le_bytes());
        for (key, value) in &self.values {
            file.extend(length_and(key.as_bytes()));
            file.extend(value);
        }
        let mut offset = 0;
        for tensor in &self.tensors {
            file.extend(length_and(tensor.name.as_bytes()));
            file.extend((tensor.shape.len() as u32).to_le_bytes());
            for n in &tensor.shape {
                file.extend(n.to_le_bytes());
            }
            file.extend(tensor.encoding.to_le_bytes());
            file.extend((offset as u64).to_le_bytes());
            offset += tensor.bytes.len().next_multiple_of(ALIGNMENT);
        }
        let n_header = file.len();
        for tensor in &self.tensors {
            file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
            file.extend(&tensor.bytes);
        }
        (file, n_header)
    }
}

impl GgufTensor {
    fn new(name: &str, stored: &Stored, config: &Value) -> Self {
        let n_heads = match name {
            name if name.ends_with("q_proj.weight") => "num_attention_heads",
            name if name.ends_with("k_proj.weight") => "num_key_value_heads",
            _ => "",
        };
        let values = match config[n_heads].as_u64() {
            Some(n_heads) => pairs_of_halves(stored, n_heads as usize),
            None => stored.values(),
        };
        let shape = stored.shape.iter().rev();
        Self {
            name: name_there(name),
            shape: shape.map(|&n| n as u64).collect(),
            encoding: 0,
            bytes: values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    }
}

/// Rows of each head so that those that are turned together are neighbours
/// (reference: `permute` of convert_hf_to_gguf.py).
fn pairs_of_halves(stored: &Stored, n_heads: usize) -> Vec<f32> {
    let values = stored.values();
    let [n_rows, width] = stored.shape[..] else {
        panic!("a matrix")
    };
    let head_dim = n_rows / n_heads;
    let mut permuted = Vec::new();
    for head in values.chunks(head_dim * width) {
        let row = |row: usize| &head[row * width..][..width];
        for pair in 0..head_dim / 2 {
            permuted.extend(row(pair));
            permuted.extend(row(head_dim / 2 + pair));
        }
    }
    permuted
}

fn name_there(name: &str) -> String {
    let mut name = name.replace("model.layers.", "blk.");
    for (here, there) in [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("post_attention_layernorm", "ffn_norm"),
        ("input_layernorm", "attn_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ] {
        name = name.replace(here, there);
    }
    name
}
