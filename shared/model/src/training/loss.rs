//! The losses' closed forms. Logits exist for one chunk of positions at a time
//! and are never kept for backward.

use std::ops::Range;

use burn::tensor::Tensor;

use crate::backbone::host::matrix;
use crate::training::picks::Picks;
use crate::training::softmax::Softmax;
use crate::training::tiles::{Tiling, log_sums, tiles};

/// A softmax cross-entropy and its gradients.
pub(crate) struct CrossEntropy {
    /// The loss: `Σ_positions Σ_targets −log p(target)`, times the weight.
    pub(crate) loss: f64,
    /// Gradient of the hidden states `[positions, embed]`.
    pub(crate) d_hidden: Tensor<2>,
    /// Gradient of the head's rows `[classes, embed]`, where the head is
    /// learned.
    pub(crate) d_head: Option<Tensor<2>>,
    /// How many logits the softmax had.
    pub(crate) n_logits: usize,
}

/// `−Σ r_j log softmax(h · headᵀ)_j` and its gradients:
/// `dlogits = n·softmax − multihot`, `dh = dlogits · head`,
/// `dhead = dlogitsᵀ · h` (reference: `F.cross_entropy`, `F.log_softmax`). With
/// a teacher of share α, r is `(1 − α) · multihot + α · n · teacher`.
///
/// Shapes: `hidden [of, embed]`: the states of some of the positions.
#[tracing::instrument(level = "trace", name = "head", skip_all)]
pub(crate) fn cross_entropy(
    softmax: &Softmax<'_>,
    hidden: &Tensor<2>,
    of: Range<usize>,
) -> CrossEntropy {
    let [_, embed] = softmax.head.dims();
    let rows_per_chunk = rows_per_chunk(softmax);
    let mut loss = 0.0;
    let mut n_logits = 0;
    let mut d_hidden = Vec::new();
    let mut d_head: Option<Tensor<2>> = None;

    for start in of.clone().step_by(rows_per_chunk) {
        let end = (start + rows_per_chunk).min(of.end);
        let rows = start - of.start..end - of.start;
        let part = hidden.clone().slice([rows, 0..embed]);
        let chunk = chunk(softmax, &part, start..end);
        loss += chunk.loss;
        n_logits += chunk.n_logits;
        d_hidden.push(chunk.d_hidden);
        d_head = sum(d_head, chunk.d_head);
    }
    CrossEntropy {
        loss: loss * softmax.weight,
        d_hidden: Tensor::cat(d_hidden, 0),
        d_head,
        n_logits,
    }
}

/// How many positions have their logits at a time. The exponentials of a head
/// that is learned wait for the denominator; others are gone with their tile.
fn rows_per_chunk(softmax: &Softmax<'_>) -> usize {
    let [n_classes, _] = softmax.head.dims();
    let tiling = Tiling::of(&softmax.head);
    let kept_at_once = if softmax.head_is_learned {
        n_classes
    } else {
        tiling.n_classes
    };
    (tiling.n_logits / kept_at_once).max(1)
}

/// The cross-entropy of a chunk of positions and its gradients, the loss
/// unweighted.
fn chunk(
    softmax: &Softmax<'_>,
    hidden: &Tensor<2>,
    of: Range<usize>,
) -> CrossEntropy {
    let device = hidden.device();
    let targets = &softmax.targets[of.clone()];
    let scaled = softmax.scaled(hidden);
    let tiles = tiles(softmax, &scaled, &of);
    let log_sums = log_sums(&tiles);
    let picks = Picks::new(targets, &device);
    let hard = softmax.hard_share();

    let logits = picks.inner_products(&scaled, &softmax.head);
    let asked = hard * (logits + softmax.sum_of_offsets(targets));
    let mut softly_asked = 0.0;
    let mut n_logits = 0;
    let mut d_hidden = None;
    let mut d_head = Vec::new();
    for tile in tiles {
        softly_asked += tile.softly_asked;
        n_logits += targets.len() * tile.classes.len();
        let factors = tile.factors(&log_sums, targets);
        let factors = matrix(factors, 1, &device); // [chunk, 1]
        let gradients = tile.gradients(softmax, &scaled, factors);
        d_hidden = sum(d_hidden, Some(gradients.d_hidden));
        d_head.extend(gradients.d_head);
    }

    let d_hidden = d_hidden.expect("a softmax is over at least one class");
    let d_hidden = picks.take_off_hidden(d_hidden, &softmax.head, hard);
    let d_head = (!d_head.is_empty()).then(|| {
        let d_head = Tensor::cat(d_head, 0); // [classes, embed]
        picks.take_off_head(d_head, &scaled, hard) * softmax.weight
    });
    let weight = softmax.weight * softmax.logit_scale;
    CrossEntropy {
        loss: normalizer(targets, &log_sums) - asked - softly_asked,
        d_hidden: d_hidden * weight,
        d_head,
        n_logits,
    }
}

/// The logarithms of the denominators, each as often as its position has
/// targets.
fn normalizer(targets: &[Vec<u32>], log_sums: &[f64]) -> f64 {
    let n_targets = targets.iter().map(|wanted| wanted.len() as f64);
    let parts = n_targets.zip(log_sums).map(|(n, &log_sum)| n * log_sum);
    parts.sum()
}

/// The sum of two tensors where there are two, else the one that there is.
pub(crate) fn sum(
    one: Option<Tensor<2>>,
    other: Option<Tensor<2>>,
) -> Option<Tensor<2>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one + other),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    use crate::backbone::host::to_vec;
    use crate::training::softmax::Teacher;
    use crate::training::tiles::ON_A_CPU;

    #[test]
    fn chunked_cross_entropy_equals_finite_differences() {
        let device = Device::flex();
        let hidden = [0.3, -0.2, 0.5, 0.1, 0.9, -0.7];
        let head = vec![0.2, -0.4, 0.6, 0.8, -0.1, 0.3, -0.5, 0.7];
        let targets = vec![vec![1], vec![0, 3], vec![2]];
        let probabilities =
            [[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1], [0.25; 4]].concat();
        let teacher = Teacher {
            share: 0.3,
            probabilities,
        };
        let evaluate = |hidden: Vec<f32>, head: Vec<f32>| {
            let softmax = Softmax {
                head: matrix(head, 2, &device),
                offsets: Some(&[0.0, 0.4, -0.3, 0.0]),
                targets: &targets,
                teacher: Some(&teacher),
                logit_scale: 1.5,
                weight: 0.5,
                head_is_learned: true,
            };
            cross_entropy(&softmax, &matrix(hidden, 2, &device), 0..3)
        };
        let exact = evaluate(hidden.to_vec(), head.clone());
        let d_hidden = to_vec(exact.d_hidden);
        let d_head = to_vec(exact.d_head.unwrap());
        let step = 1e-2_f32;
        for (place, &expected) in d_hidden.iter().enumerate() {
            let shifted = |by: f32| {
                let mut moved = hidden.to_vec();
                moved[place] += by;
                evaluate(moved, head.clone()).loss
            };
            let slope =
                (shifted(step) - shifted(-step)) / f64::from(2.0 * step);
            assert!(
                (slope - f64::from(expected)).abs() < 1e-3,
                "hidden {place}: {slope} {expected}"
            );
        }
        for (place, &expected) in d_head.iter().enumerate() {
            let shifted = |by: f32| {
                let mut moved = head.clone();
                moved[place] += by;
                evaluate(hidden.to_vec(), moved).loss
            };
            let slope =
                (shifted(step) - shifted(-step)) / f64::from(2.0 * step);
            assert!(
                (slope - f64::from(expected)).abs() < 1e-3,
                "head {place}: {slope} {expected}"
            );
        }
    }

    /// Loss and gradient of two states `[2, 2]` over a head `[classes, 2]`, all
    /// at once.
    fn untiled(
        head: &[f32],
        hidden: [f32; 4],
        targets: [usize; 2],
    ) -> (f64, [f64; 4]) {
        let n_classes = head.len() / 2;
        let entry =
            |class: usize, column: usize| f64::from(head[class * 2 + column]);
        let (mut loss, mut d_hidden) = (0.0, [0.0_f64; 4]);
        for (row, target) in targets.into_iter().enumerate() {
            let logit = |class: usize| {
                let [x, y] = [0, 1].map(|column| {
                    entry(class, column) * f64::from(hidden[row * 2 + column])
                });
                x + y
            };
            let sum: f64 = (0..n_classes).map(|class| logit(class).exp()).sum();
            loss += sum.ln() - logit(target);
            for column in 0..2 {
                let mean: f64 = (0..n_classes)
                    .map(|class| {
                        logit(class).exp() / sum * entry(class, column)
                    })
                    .sum();
                d_hidden[row * 2 + column] = mean - entry(target, column);
            }
        }
        (loss, d_hidden)
    }

    #[test]
    fn the_tiles_of_many_classes_are_one_softmax() {
        let device = Device::flex();
        let n_classes = 2 * ON_A_CPU.n_classes + 77;
        let head: Vec<f32> = (0..n_classes * 2)
            .map(|place| (place as f32 * 0.37).sin() * 3.0)
            .collect();
        let hidden = [0.8_f32, -1.9, 2.5, 0.4];
        let targets = vec![vec![n_classes as u32 - 1], vec![5]];
        for head_is_learned in [false, true] {
            let softmax = Softmax {
                head: matrix(head.clone(), 2, &device),
                offsets: None,
                targets: &targets,
                teacher: None,
                logit_scale: 1.0,
                weight: 1.0,
                head_is_learned,
            };
            let found = cross_entropy(
                &softmax,
                &matrix(hidden.to_vec(), 2, &device),
                0..2,
            );
            let (loss, d_hidden) = untiled(&head, hidden, [n_classes - 1, 5]);
            assert!(
                (found.loss - loss).abs() < 1e-5 * loss,
                "{} {loss}",
                found.loss
            );
            assert_eq!(found.n_logits, 2 * n_classes);
            for (found, expected) in
                to_vec(found.d_hidden).into_iter().zip(d_hidden)
            {
                assert!(
                    (f64::from(found) - expected).abs() < 1e-4,
                    "{found} {expected}"
                );
            }
        }
    }
}
