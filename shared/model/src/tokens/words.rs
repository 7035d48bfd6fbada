//! Words alone: their embeddings, and what a backbone makes of them without
//! users and items.

use crate::backbone::decoder::Backbone;
use crate::backbone::host::{matrix, to_vec};
use crate::tokens::packing::{Reading, TokenBatch};
use crate::tokens::prompt::Token;
use crate::tokens::table::Table;

/// The embeddings of some words `[words, embed]`.
pub fn word_rows(backbone: &Backbone, words: &[u32]) -> Table {
    let embeddings = backbone.word_embeddings(words);
    Table::new(to_vec(embeddings), backbone.n_embd())
}

/// Last hidden states of sequences of words, one sequence after the other: what
/// the language model computes without anything of ours.
///
/// Shapes: `sequences [batch][seq]` → `[words, embed]`, row-major.
pub fn hidden_of_words(
    backbone: &Backbone,
    sequences: &[Vec<u32>],
) -> Vec<f32> {
    let mut documents = Vec::with_capacity(sequences.len());
    for sequence in sequences {
        let tokens = sequence.iter().copied().map(Token::Word);
        documents.push(Reading::whole(tokens.collect()));
    }
    let batch = TokenBatch::new(&documents, backbone);
    let words = backbone.word_embeddings(&batch.words);
    let embeddings = words.select(0, batch.index.clone());
    let hidden = backbone.forward(embeddings, &batch.layout);
    to_vec(hidden)
}

/// Logits of the word that comes next. Shapes: `hidden [words, embed]` →
/// `[words, vocab]`, row-major.
pub fn next_word_logits(backbone: &Backbone, hidden: &[f32]) -> Vec<f32> {
    let width = backbone.n_embd();
    let hidden = matrix(hidden.to_vec(), width, &backbone.device());
    let logits = hidden.matmul(backbone.head().transpose());
    to_vec(logits)
}
