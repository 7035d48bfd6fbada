//! What a softmax cross-entropy is taken over and how it counts.

use std::ops::Range;

use burn::tensor::{Device, Tensor};

use crate::backbone::host::matrix;
use crate::backbone::kernels;

/// What a softmax is taken over and how it counts.
pub(crate) struct Softmax<'a> {
    /// The rows whose inner products with a state are its logits
    /// `[classes, embed]`.
    pub(crate) head: Tensor<2>,
    /// What is added to each class's logit (constants); nothing where absent.
    pub(crate) offsets: Option<&'a [f32]>,
    /// The classes asked for at each position; several for a multinomial
    /// likelihood.
    pub(crate) targets: &'a [Vec<u32>],
    /// What a teacher would say, and how much it counts.
    pub(crate) teacher: Option<&'a Teacher>,
    /// Logits are inner products times this.
    pub(crate) logit_scale: f64,
    /// The summed loss counts this much (one over what it is a mean over).
    pub(crate) weight: f64,
    /// Whether the head gets a gradient.
    pub(crate) head_is_learned: bool,
}

/// A teacher's distribution at each position (Hinton et al., "Distilling the
/// Knowledge in a Neural Network").
#[derive(Debug, Clone)]
pub struct Teacher {
    /// Share of the loss that asks for the teacher's distribution instead of
    /// the targets.
    pub share: f64,
    /// The distribution at each position `[positions, classes]`, row-major;
    /// each row sums to 1.
    pub probabilities: Vec<f32>,
}

impl Softmax<'_> {
    /// The states whose inner products with the head are the logits, in the
    /// head's precision.
    pub(super) fn scaled(&self, hidden: &Tensor<2>) -> Tensor<2> {
        let hidden = hidden.clone().cast(self.head.dtype());
        if self.logit_scale == 1.0 {
            hidden
        } else {
            hidden * self.logit_scale
        }
    }

    /// Share of the loss that asks for the targets themselves.
    pub(super) fn hard_share(&self) -> f64 {
        let soft = self.teacher.map_or(0.0, |teacher| teacher.share);
        1.0 - soft
    }

    /// The sum of the targets' offsets.
    pub(super) fn sum_of_offsets(&self, targets: &[Vec<u32>]) -> f64 {
        let Some(offsets) = self.offsets else {
            return 0.0;
        };
        let targets = targets.iter().flatten();
        targets
            .map(|&class| f64::from(offsets[class as usize]))
            .sum()
    }

    /// The head's rows of some classes `[classes, embed]`.
    pub(super) fn rows_of_head(&self, classes: &Range<usize>) -> Tensor<2> {
        let [_, embed] = self.head.dims();
        self.head.clone().slice([classes.clone(), 0..embed])
    }

    /// The logits of some classes. Shapes: `scaled [positions, embed]`,
    /// `head [classes, embed]` → `[positions, classes]`.
    pub(super) fn logits(
        &self,
        scaled: &Tensor<2>,
        head: &Tensor<2>,
        classes: &Range<usize>,
    ) -> Tensor<2> {
        let transposed = head.clone().transpose();
        match self.offsets {
            Some(offsets) => {
                let offsets = offsets[classes.clone()].to_vec();
                let offsets = matrix(offsets, classes.len(), &scaled.device());
                kernels::add_product(offsets, scaled.clone(), transposed)
            }
            None => kernels::product(scaled.clone(), transposed),
        }
    }

    /// What the teacher asks for at some positions and classes: its share of
    /// the loss times the number of targets times its distribution
    /// `[of, classes]`.
    pub(super) fn soft_targets(
        &self,
        of: Range<usize>,
        classes: &Range<usize>,
        device: &Device,
    ) -> Option<Tensor<2>> {
        let teacher = self.teacher?;
        let [n_classes, _] = self.head.dims();
        let probabilities = &teacher.probabilities[of.start * n_classes..];
        let mut soft = Vec::with_capacity(of.len() * classes.len());
        let rows = probabilities.chunks_exact(n_classes);
        for (row, wanted) in rows.zip(&self.targets[of]) {
            let count = (teacher.share * wanted.len() as f64) as f32;
            let row = row[classes.clone()].iter();
            soft.extend(row.map(|probability| probability * count));
        }
        Some(matrix(soft, classes.len(), device))
    }
}
