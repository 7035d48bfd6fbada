//! The first rows of the tables: drawn at random, or from the interactions'
//! singular vectors.

use domain::{TableInit, TrainSpec, UNCHOSEN_SPECTRAL_RANK};
use model::{Backbone, Spectrum, Table, Tables, word_rows};

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
            let spectrum =
                Spectrum::new(&corpus.train, corpus.n_items, spec.seed);
            let rank = rank(spec, corpus, &spectrum, &words);
            let pair = spectrum.tables(rank, &words, spec.seed);
            Tables {
                collaborative: pair.clone(),
                content: pair,
            }
        }
    }
}

/// The number of singular vectors: the job's own, or the one that ranks the
/// validation split best by itself.
fn rank(
    spec: &TrainSpec,
    corpus: &Corpus,
    spectrum: &Spectrum,
    words: &Table,
) -> usize {
    if spec.spectral_rank > 0 {
        return spec.spectral_rank;
    }
    let holdout = Holdout::valid(corpus);
    if holdout.is_empty() {
        let rank = UNCHOSEN_SPECTRAL_RANK;
        tracing::info!(
            rank,
            "no validation split: the usual number of singular vectors"
        );
        return rank;
    }
    let n_vectors = spectrum.n_vectors(words);
    let mut best = 1;
    let mut most = f64::NEG_INFINITY;
    for rank in spec.spectral_ranks(n_vectors) {
        let ranked =
            holdout.ranked(|user| spectrum.scores(rank, holdout.history(user)));
        let sum = ranked.sum();
        tracing::info!(rank, sum, "singular vectors tried");
        if sum > most {
            best = rank;
            most = sum;
        }
    }
    best
}
