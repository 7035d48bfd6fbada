//! The losses' closed forms. Logits exist for one chunk of positions at a time and are never kept for backward.

use burn::tensor::{Device, IndexingUpdateOp, Tensor, TensorData};

use crate::packing::{index_tensor, matrix, to_index, to_vec};

/// Largest logits chunk in floats (16 MiB): bounds memory whatever the vocabulary is.
const CHUNK_FLOATS: usize = 4 << 20;

/// A softmax cross-entropy and its gradients.
pub(crate) struct CrossEntropy {
    /// `Σ_positions Σ_targets −log p(target)`, times the weight.
    pub(crate) loss: f64,
    /// With respect to the hidden states `[positions, embed]`.
    pub(crate) d_hidden: Tensor<2>,
    /// With respect to the head's rows `[classes, embed]`.
    pub(crate) d_head: Option<Tensor<2>>,
}

/// What a softmax is taken over and how it counts.
pub(crate) struct Softmax<'a> {
    /// One row a class `[classes, embed]`.
    pub(crate) head: Tensor<2>,
    /// Classes asked for at each position; several for a multinomial likelihood.
    pub(crate) targets: &'a [Vec<u32>],
    /// What a teacher would say, and how much it counts.
    pub(crate) teacher: Option<&'a Teacher>,
    /// Logits are inner products times this.
    pub(crate) logit_scale: f64,
    /// The summed loss counts this much (one over what it is a mean over).
    pub(crate) weight: f64,
    /// The head is learned.
    pub(crate) head_is_learned: bool,
}

/// A teacher's distribution at each position (Hinton et al., "Distilling the Knowledge in a Neural Network").
#[derive(Debug, Clone)]
pub struct Teacher {
    /// Share of the loss that asks for the teacher's distribution instead of the targets.
    pub share: f64,
    /// `[positions, classes]`, row-major; each row sums to 1.
    pub probabilities: Vec<f32>,
}

impl Softmax<'_> {
    /// `−Σ r_j log softmax(h · headᵀ)_j` and its gradients: `dlogits = n·softmax − multihot`,
    /// `dh = dlogits · head`, `dhead = dlogitsᵀ · h` (reference: `F.cross_entropy`, `F.log_softmax`). With a teacher
    /// of share α, r is `(1 − α) · multihot + α · n · teacher`.
    ///
    /// Shapes: `hidden [positions, embed]`.
    pub(crate) fn cross_entropy(&self, hidden: &Tensor<2>) -> CrossEntropy {
        let [n_classes, embed] = self.head.dims();
        let rows_per_chunk = (CHUNK_FLOATS / n_classes).max(1);
        let mut loss = 0.0;
        let mut d_hidden = Vec::new();
        let mut d_head: Option<Tensor<2>> = None;
        for (chunk, targets) in self.targets.chunks(rows_per_chunk).enumerate() {
            let start = chunk * rows_per_chunk;
            let part = hidden.clone().slice([start..start + targets.len(), 0..embed]);
            let (part_loss, d_logits) = self.d_logits(&part, targets, start);
            loss += part_loss;
            d_hidden.push(d_logits.clone().matmul(self.head.clone())); // [chunk, embed]
            if self.head_is_learned {
                let d = d_logits.transpose().matmul(part); // [classes, embed]
                d_head = Some(match d_head {
                    Some(sum) => sum + d,
                    None => d,
                });
            }
        }
        CrossEntropy { loss: loss * self.weight, d_hidden: Tensor::cat(d_hidden, 0), d_head }
    }

    /// Loss of the chunk from position `start` on, unweighted, and the weighted gradient of its inner products
    /// `[chunk, classes]`.
    fn d_logits(&self, hidden: &Tensor<2>, targets: &[Vec<u32>], start: usize) -> (f64, Tensor<2>) {
        let device = hidden.device();
        let n_classes = self.head.dims()[0];
        let logits = hidden.clone().matmul(self.head.clone().transpose()) * self.logit_scale; // [chunk, classes]
        let shifted = logits.clone() - logits.max_dim(1);
        let places: Vec<i32> = targets
            .iter()
            .enumerate()
            .flat_map(|(row, wanted)| wanted.iter().map(move |&class| to_index(row * n_classes + class as usize)))
            .collect();
        let n_places = places.len();
        let places = index_tensor(places, &device);
        let wanted = to_vec(shifted.clone().reshape([targets.len() * n_classes]).select(0, places.clone()));
        let hard = 1.0 - self.teacher.map_or(0.0, |teacher| teacher.share);
        let asked = hard * wanted.iter().map(|&score| f64::from(score)).sum::<f64>();
        let soft = self.soft_targets(targets, start, &device);
        let softly_asked =
            soft.as_ref().map_or(0.0, |soft| f64::from(to_vec((shifted.clone() * soft.clone()).sum())[0]));
        let exponentials = shifted.exp();
        let sums = exponentials.clone().sum_dim(1); // [chunk, 1]
        let log_sums = to_vec(sums.clone().log());
        let normalizer: f64 = targets.iter().zip(&log_sums).map(|(w, &log)| w.len() as f64 * f64::from(log)).sum();

        let weight = self.weight * self.logit_scale;
        let counts = matrix(targets.iter().map(|w| (w.len() as f64 * weight) as f32).collect(), 1, &device);
        let ones = vec![(-hard * weight) as f32; n_places];
        let ones = Tensor::from_data(TensorData::new(ones, [n_places]), &device);
        let d_logits = (exponentials * (counts / sums)).reshape([targets.len() * n_classes]);
        let d_logits = d_logits.select_assign(0, places, ones, IndexingUpdateOp::Add);
        let d_logits = d_logits.reshape([targets.len(), n_classes]);
        let d_logits = match soft {
            Some(soft) => d_logits - soft * weight,
            None => d_logits,
        };
        (normalizer - asked - softly_asked, d_logits)
    }

    /// The teacher's part of r for the chunk from position `start` on: `α · n · teacher` `[chunk, classes]`.
    fn soft_targets(&self, targets: &[Vec<u32>], start: usize, device: &Device) -> Option<Tensor<2>> {
        let teacher = self.teacher?;
        let n_classes = self.head.dims()[0];
        let rows = teacher.probabilities[start * n_classes..].chunks_exact(n_classes).zip(targets);
        let soft = rows.flat_map(|(row, wanted)| {
            let count = (teacher.share * wanted.len() as f64) as f32;
            row.iter().map(move |probability| probability * count)
        });
        Some(matrix(soft.collect(), n_classes, device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunked_cross_entropy_equals_finite_differences() {
        let device = Device::flex();
        let hidden = [0.3, -0.2, 0.5, 0.1, 0.9, -0.7];
        let head = vec![0.2, -0.4, 0.6, 0.8, -0.1, 0.3, -0.5, 0.7];
        let targets = vec![vec![1], vec![0, 3], vec![2]];
        let probabilities = [[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1], [0.25; 4]].concat();
        let teacher = Teacher { share: 0.3, probabilities };
        let evaluate = |hidden: Vec<f32>, head: Vec<f32>| {
            let softmax = Softmax {
                head: matrix(head, 2, &device),
                targets: &targets,
                teacher: Some(&teacher),
                logit_scale: 1.5,
                weight: 0.5,
                head_is_learned: true,
            };
            softmax.cross_entropy(&matrix(hidden, 2, &device))
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
            let slope = (shifted(step) - shifted(-step)) / f64::from(2.0 * step);
            assert!((slope - f64::from(expected)).abs() < 1e-3, "hidden {place}: {slope} {expected}");
        }
        for (place, &expected) in d_head.iter().enumerate() {
            let shifted = |by: f32| {
                let mut moved = head.clone();
                moved[place] += by;
                evaluate(hidden.to_vec(), moved).loss
            };
            let slope = (shifted(step) - shifted(-step)) / f64::from(2.0 * step);
            assert!((slope - f64::from(expected)).abs() < 1e-3, "head {place}: {slope} {expected}");
        }
    }
}
