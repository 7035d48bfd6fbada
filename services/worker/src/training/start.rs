//! The first rows of the tables: drawn at random, or from the interactions'
//! singular vectors.

use domain::{
    START_TEXT_STRENGTHS, TableInit, TrainSpec, UNCHOSEN_SPECTRAL_RANK,
    UNCHOSEN_START_TEXT_STRENGTH,
};
use model::{
    Backbone, Matrix, Spectrum, Table, Tables, TokenTables, word_rows,
};

use crate::evaluation::holdout::Holdout;
use crate::material::corpus::Corpus;

pub(super) fn start_tables(
    spec: &TrainSpec,
    corpus: &Corpus,
    backbone: &Backbone,
) -> Tables {
    let words = word_rows(backbone, &corpus.texts.words());
    match spec.init {
        TableInit::Normal => Tables::normal(
            corpus.train.len(),
            corpus.n_items,
            words.width(),
            spec.seed,
        ),
        TableInit::Spectral => {
            let pair = spectral(spec, corpus, &words);
            Tables {
                collaborative: pair.clone(),
                content: pair,
            }
        }
    }
}

/// The rows from the job's own strength of the texts and number of vectors, or
/// from those that rank the validation split best by themselves.
fn spectral(spec: &TrainSpec, corpus: &Corpus, words: &Table) -> TokenTables {
    let mut best: Option<Start> = None;
    for text_strength in text_strengths(spec, corpus) {
        let matrix = Matrix {
            histories: &corpus.train,
            words: &corpus.item_words,
            text_strength,
        };
        let spectrum = Spectrum::new(&matrix, spec.seed);
        let start = ranked_best(spec, corpus, spectrum, words);
        tracing::info!(
            text_strength,
            rank = start.rank,
            sum = start.sum,
            "start tried"
        );
        if best.as_ref().is_none_or(|best| start.sum > best.sum) {
            best = Some(start);
        }
    }
    let Start { spectrum, rank, .. } = best.expect("one strength is tried");
    spectrum.tables(rank, words, spec.seed)
}

/// Singular vectors, how many of them are used, and how well these rank the
/// validation split by themselves.
struct Start {
    spectrum: Spectrum,
    rank: usize,
    sum: f64,
}

/// The strengths of the texts that are tried, γ.
fn text_strengths(spec: &TrainSpec, corpus: &Corpus) -> Vec<f64> {
    let own = spec.reading.start_strength;
    if corpus.item_words.is_empty() {
        vec![0.0]
    } else if own > 0.0 {
        vec![own]
    } else if Holdout::valid(corpus).is_empty() {
        vec![UNCHOSEN_START_TEXT_STRENGTH]
    } else {
        START_TEXT_STRENGTHS.to_vec()
    }
}

/// The number of singular vectors: the job's own, or the one that ranks the
/// validation split best by itself.
fn ranked_best(
    spec: &TrainSpec,
    corpus: &Corpus,
    spectrum: Spectrum,
    words: &Table,
) -> Start {
    let holdout = Holdout::valid(corpus);
    let n_vectors = spectrum.n_vectors(words).max(1);
    let mut ranks = spec.spectral_ranks(n_vectors);
    if spec.spectral_rank > 0 {
        ranks = vec![spec.spectral_rank.min(n_vectors)];
    } else if holdout.is_empty() || ranks.is_empty() {
        ranks = vec![UNCHOSEN_SPECTRAL_RANK.min(n_vectors)];
    }
    let mut best = Start {
        spectrum,
        rank: ranks[0],
        sum: f64::NEG_INFINITY,
    };
    for rank in ranks {
        let scores = |user| best.spectrum.scores(rank, holdout.history(user));
        let sum = holdout.ranked(scores).sum();
        if sum > best.sum {
            best.rank = rank;
            best.sum = sum;
        }
    }
    best
}
