//! The first rows of the tables: drawn at random, or from the interactions'
//! singular vectors.

use domain::{
    START_TEXT_STRENGTHS, TableInit, TrainSpec, UNCHOSEN_SPECTRAL_RANK,
    UNCHOSEN_START_TEXT_STRENGTH,
};
use model::{
    Backbone, Matrix, Spectrum, Table, Tables, TokenTables, word_rows,
};
use serde::{Deserialize, Serialize};

use crate::evaluation::holdout::Holdout;
use crate::material::corpus::Corpus;
use crate::training::fit::Fit;

/// What a spectral start is made with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// The number of singular vectors.
    pub(crate) rank: usize,
    /// How much the texts count beside the interactions, γ.
    pub(crate) text_strength: f64,
}

/// The first rows, and the settings of a spectral start.
pub(super) struct Started {
    pub(super) tables: Tables,
    pub(super) settings: Option<Settings>,
}

/// Makes the first rows: those of the version that the job starts from for whom
/// it knows; those of a spectral start with settings that were chosen before,
/// where there are any.
pub(super) fn start_tables(fit: &Fit, backbone: &Backbone) -> Started {
    let words = word_rows(backbone, &fit.corpus.histories.texts.words());
    let mut started = fresh_tables(fit, &words);
    if let Some(earlier) = &fit.earlier {
        started.tables = earlier.carried_on(&started.tables);
    }
    started
}

/// Makes first rows that know of no earlier version.
fn fresh_tables(fit: &Fit, words: &Table) -> Started {
    let (spec, corpus) = (&fit.spec, &fit.corpus);
    if spec.init == TableInit::Normal {
        let (n_users, n_items) =
            (corpus.histories.train.len(), corpus.histories.n_items);
        return Started {
            tables: Tables::normal(n_users, n_items, words.width(), spec.seed),
            settings: None,
        };
    }

    let start = match fit.choices().and_then(|choices| choices.start) {
        Some(settings) => Start {
            spectrum: spectrum(spec, corpus, settings.text_strength),
            settings,
            sum: 0.0,
        },
        None => choose(spec, corpus, words),
    };
    let rank = start.settings.rank;
    let pair: TokenTables = start.spectrum.tables(rank, words, spec.seed);
    Started {
        tables: Tables {
            collaborative: pair.clone(),
            content: pair,
        },
        settings: Some(start.settings),
    }
}

fn spectrum(spec: &TrainSpec, corpus: &Corpus, text_strength: f64) -> Spectrum {
    let matrix = Matrix {
        histories: &corpus.histories.train,
        words: &corpus.item_words,
        text_strength,
    };
    Spectrum::new(&matrix, spec.seed)
}

/// The start with the job's own strength of the texts and number of vectors, or
/// with those that rank the validation split best by themselves.
fn choose(spec: &TrainSpec, corpus: &Corpus, words: &Table) -> Start {
    let mut best: Option<Start> = None;
    for text_strength in text_strengths(spec, corpus) {
        let tried = Tried {
            spectrum: spectrum(spec, corpus, text_strength),
            text_strength,
        };
        let start = ranked_best(spec, corpus, tried, words);
        tracing::info!(
            text_strength,
            rank = start.settings.rank,
            sum = start.sum,
            "start tried"
        );
        if best.as_ref().is_none_or(|best| start.sum > best.sum) {
            best = Some(start);
        }
    }
    best.expect("one strength is tried")
}

/// Singular vectors of the interactions and texts.
struct Tried {
    spectrum: Spectrum,
    text_strength: f64,
}

/// Singular vectors, how many of them are used, and how well these rank the
/// validation split by themselves.
struct Start {
    spectrum: Spectrum,
    settings: Settings,
    sum: f64,
}

/// The strengths of the texts that are tried, γ.
fn text_strengths(spec: &TrainSpec, corpus: &Corpus) -> Vec<f64> {
    let own = spec.reading.start_strength;
    if corpus.item_words.is_empty() {
        vec![0.0]
    } else if own > 0.0 {
        vec![own]
    } else if Holdout::valid(&corpus.histories).is_empty() {
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
    tried: Tried,
    words: &Table,
) -> Start {
    let holdout = Holdout::valid(&corpus.histories);
    let Tried {
        spectrum,
        text_strength,
    } = tried;
    let n_vectors = spectrum.n_vectors(words).max(1);
    let mut ranks = spec.spectral_ranks(n_vectors);
    if spec.spectral_rank > 0 {
        ranks = vec![spec.spectral_rank.min(n_vectors)];
    } else if holdout.is_empty() || ranks.is_empty() {
        ranks = vec![UNCHOSEN_SPECTRAL_RANK.min(n_vectors)];
    }
    let mut best = Start {
        spectrum,
        settings: Settings {
            rank: ranks[0],
            text_strength,
        },
        sum: f64::NEG_INFINITY,
    };
    for rank in ranks {
        let scores = |user| best.spectrum.scores(rank, holdout.history(user));
        let sum = holdout.ranked(scores).sum();
        if sum > best.sum {
            best.settings.rank = rank;
            best.sum = sum;
        }
    }
    best
}
