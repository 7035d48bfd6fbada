//! What one fit of a job's model reads. The first one sees the training split
//! alone, so that it can be measured. Where the job wants that, a final one
//! follows on all interactions: there is nothing left to choose by or to
//! measure on, so it takes what the first one chose.

use std::path::PathBuf;

use domain::TrainSpec;

use crate::contract::input::Input;
use crate::evaluation::choices::{Choices, Evaluated};
use crate::material::corpus::Corpus;
use crate::training::earlier::EarlierRows;

#[derive(Debug)]
pub(crate) struct Fit {
    /// The job's specification; in a final fit it has the number of finetuning
    /// epochs that was best.
    pub(crate) spec: TrainSpec,
    pub(crate) corpus: Corpus,
    /// The first fit's choices and metrics, in a final fit.
    pub(crate) evaluated: Option<Evaluated>,
    /// The rows of the version that the job starts from.
    pub(super) earlier: Option<EarlierRows>,
    /// The folder of the checkpoint to go on from.
    pub(super) resume: Option<PathBuf>,
    /// The share of the job's epochs that is this fit's.
    span: Span,
}

/// A part of the way from 0, nothing is done, to 1.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: f64,
    length: f64,
}

impl Fit {
    /// The fit on the training split; half of the job where another one
    /// follows.
    pub(super) fn first(input: &Input, corpus: Corpus, is_last: bool) -> Self {
        Self {
            spec: input.spec.clone(),
            corpus,
            evaluated: None,
            earlier: None,
            resume: input.resume.clone(),
            span: Span {
                from: 0.0,
                length: if is_last { 1.0 } else { 0.5 },
            },
        }
    }

    /// The fit on all interactions, from its start.
    pub(super) fn last(
        input: &Input,
        corpus: Corpus,
        evaluated: Evaluated,
    ) -> Self {
        let mut spec = input.spec.clone();
        spec.finetuning.epochs = evaluated.choices.n_finetuning_epochs;
        Self {
            spec,
            corpus,
            evaluated: Some(evaluated),
            earlier: None,
            resume: None,
            span: Span {
                from: 0.5,
                length: 0.5,
            },
        }
    }

    /// This fit from the rows of an earlier version.
    pub(super) fn starting_from(self, earlier: Option<EarlierRows>) -> Self {
        Self { earlier, ..self }
    }

    /// True for the fit on all interactions, which chooses nothing.
    pub(super) fn is_final(&self) -> bool {
        self.evaluated.is_some()
    }

    /// What was chosen before this fit: by the one that was measured, or by the
    /// job of the version that this one starts from.
    pub(super) fn choices(&self) -> Option<&Choices> {
        if let Some(evaluated) = &self.evaluated {
            return Some(&evaluated.choices);
        }
        let earlier = self.earlier.as_ref()?;
        earlier.choices_for(&self.spec)
    }

    /// The share of the job's epochs that is done when `share` of this fit's
    /// are.
    pub(super) fn done(&self, share: f64) -> f64 {
        self.span.from + self.span.length * share
    }
}
