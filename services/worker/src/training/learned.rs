//! What training changes: the tables, their moments, and while it is warmed up
//! the backbone.

use model::{Backbone, PairMoments, Precision, Tables};

#[derive(Debug)]
pub(crate) struct Learned {
    /// The backbone in f32, as it is kept.
    pub(crate) backbone: Backbone,
    /// What the backbone computes in.
    precision: Precision,
    pub(crate) tables: Tables,
    /// Adam's moments of the content LM's tables.
    pub(crate) content: PairMoments,
    /// Adam's moments of the collaborative LM's tables.
    pub(crate) collaborative: PairMoments,
}

impl Learned {
    pub(crate) fn new(
        backbone: Backbone,
        precision: Precision,
        tables: Tables,
    ) -> Self {
        Self {
            backbone,
            precision,
            content: PairMoments::zeros(&tables.content),
            collaborative: PairMoments::zeros(&tables.collaborative),
            tables,
        }
    }

    pub(crate) fn computing(&self) -> Backbone {
        self.backbone.in_precision(self.precision)
    }
}
