//! What training changes: the tables, their moments, and while it is warmed up the backbone.

use model::{Gpt2, PairMoments, Precision, Tables};

/// What training changes.
#[derive(Debug)]
pub(crate) struct Learned {
    /// The backbone in f32, as it is kept.
    pub(crate) gpt2: Gpt2,
    /// What the backbone computes in.
    precision: Precision,
    pub(crate) tables: Tables,
    /// Adam's moments of the content LM's tables.
    pub(crate) content: PairMoments,
    /// Adam's moments of the collaborative LM's tables.
    pub(crate) collaborative: PairMoments,
}

impl Learned {
    /// Fresh tables beside a backbone.
    pub(crate) fn new(gpt2: Gpt2, precision: Precision, tables: Tables) -> Self {
        Self {
            gpt2,
            precision,
            content: PairMoments::zeros(&tables.content),
            collaborative: PairMoments::zeros(&tables.collaborative),
            tables,
        }
    }

    /// The backbone as it computes.
    pub(crate) fn computing(&self) -> Gpt2 {
        self.gpt2.in_precision(self.precision)
    }
}
