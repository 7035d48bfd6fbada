//! Writes a GGUF file of a tiny Llama.

/// A Llama with one block of zeros, whose tokenizer knows sixteen letters.
pub fn tiny_gguf(licence: &str) -> Vec<u8> {
    let mut file = Gguf::default();
    for (key, value) in [
        ("general.architecture", "llama"),
        ("general.license", licence),
        ("tokenizer.ggml.model", "gpt2"),
        ("tokenizer.ggml.pre", "gpt-2"),
    ] {
        file.text(key, value);
    }
    for (key, value) in [
        ("embedding_length", 8),
        ("feed_forward_length", 12),
        ("block_count", 1),
        ("attention.head_count", 2),
        ("attention.head_count_kv", 1),
        ("context_length", 16),
    ] {
        file.number(&format!("llama.{key}"), value);
    }
    file.texts("tokenizer.ggml.tokens", &LETTERS);
    file.texts("tokenizer.ggml.merges", &[]);
    file.tensor("token_embd.weight", &[16, 8]);
    file.tensor("output_norm.weight", &[8]);
    for (name, shape) in [
        ("attn_norm", &[8][..]),
        ("attn_q", &[8, 8]),
        ("attn_k", &[4, 8]),
        ("attn_v", &[4, 8]),
        ("attn_output", &[8, 8]),
        ("ffn_norm", &[8]),
        ("ffn_gate", &[12, 8]),
        ("ffn_up", &[12, 8]),
        ("ffn_down", &[8, 12]),
    ] {
        file.tensor(&format!("blk.0.{name}.weight"), shape);
    }
    file.bytes()
}

const LETTERS: [&str; 16] = [
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o",
    "p",
];
/// Tensors begin at multiples of this.
const ALIGNMENT: usize = 32;

/// The container (ggml's `docs/gguf.md`), as far as it is needed here.
#[derive(Default)]
struct Gguf {
    n_values: u64,
    values: Vec<u8>,
    n_tensors: u64,
    tensors: Vec<u8>,
    /// Bytes of the tensors so far.
    n_bytes: usize,
}

impl Gguf {
    fn text(&mut self, key: &str, value: &str) {
        self.key(key, 8);
        put_text(&mut self.values, value);
    }

    fn number(&mut self, key: &str, value: u32) {
        self.key(key, 4);
        self.values.extend(value.to_le_bytes());
    }

    fn texts(&mut self, key: &str, texts: &[&str]) {
        self.key(key, 9);
        self.values.extend(8_u32.to_le_bytes());
        self.values.extend((texts.len() as u64).to_le_bytes());
        for text in texts {
            put_text(&mut self.values, text);
        }
    }

    fn key(&mut self, key: &str, kind: u32) {
        self.n_values += 1;
        put_text(&mut self.values, key);
        self.values.extend(kind.to_le_bytes());
    }

    /// A tensor of zeros, in f32.
    fn tensor(&mut self, name: &str, shape: &[usize]) {
        self.n_tensors += 1;
        put_text(&mut self.tensors, name);
        self.tensors.extend((shape.len() as u32).to_le_bytes());
        for &n in shape.iter().rev() {
            self.tensors.extend((n as u64).to_le_bytes());
        }
        self.tensors.extend(0_u32.to_le_bytes());
        self.tensors.extend((self.n_bytes as u64).to_le_bytes());
        let n_bytes = 4 * shape.iter().product::<usize>();
        self.n_bytes += n_bytes.next_multiple_of(ALIGNMENT);
    }

    fn bytes(self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(3_u32.to_le_bytes());
        file.extend(self.n_tensors.to_le_bytes());
        file.extend(self.n_values.to_le_bytes());
        file.extend(self.values);
        file.extend(self.tensors);
        let start = file.len().next_multiple_of(ALIGNMENT);
        file.resize(start + self.n_bytes, 0);
        file
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}
