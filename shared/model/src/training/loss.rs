//! The losses' closed forms. Logits exist for one chunk of positions at a time and are never kept
//! for backward.

use std::ops::Range;

use burn::tensor::{DType, Device, IndexingUpdateOp, Int, Tensor};

use crate::backbone::host::{index_tensor, matrix, to_index, to_vec};
use crate::backbone::kernels;
use crate::device::has_own_memory;

/// What bounds a softmax's memory, whatever the vocabulary is, and shapes its products.
struct Tiling {
    /// Most logits that exist at a time.
    n_logits: usize,
    /// Classes whose logits are one product.
    n_classes: usize,
}

/// 64 MiB. A tile stays in the cache and in memory that is used again: on two Zen 3 cores LibTorch
/// reaches 120 GFLOP/s with it, and 66 with all of GPT-2's words at once.
const ON_A_CPU: Tiling = Tiling {
    n_logits: 16 << 20,
    n_classes: 4096,
};
/// 512 MiB, all classes at once: a content step takes an H100 58 ms so, and 64 in tiles of a CPU's
/// size.
const ON_A_CARD: Tiling = Tiling {
    n_logits: 128 << 20,
    n_classes: usize::MAX,
};

impl Tiling {
    fn of(head: &Tensor<2>) -> Self {
        let [n_classes, _] = head.dims();
        let most = if has_own_memory(&head.device()) {
            ON_A_CARD
        } else {
            ON_A_CPU
        };
        Self {
            n_classes: most.n_classes.min(n_classes),
            ..most
        }
    }
}

/// A softmax cross-entropy and its gradients.
pub(crate) struct CrossEntropy {
    /// `Σ_positions Σ_targets −log p(target)`, times the weight.
    pub(crate) loss: f64,
    /// With respect to the hidden states `[positions, embed]`.
    pub(crate) d_hidden: Tensor<2>,
    /// With respect to the head's rows `[classes, embed]`.
    pub(crate) d_head: Option<Tensor<2>>,
    /// Entries of the softmax.
    pub(crate) n_logits: usize,
}

/// What a softmax is taken over and how it counts.
pub(crate) struct Softmax<'a> {
    /// One row a class `[classes, embed]`.
    pub(crate) head: Tensor<2>,
    /// Added to each class's logit (constants); none where absent.
    pub(crate) offsets: Option<&'a [f32]>,
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

/// A teacher's distribution at each position (Hinton et al., "Distilling the Knowledge in a Neural
/// Network").
#[derive(Debug, Clone)]
pub struct Teacher {
    /// Share of the loss that asks for the teacher's distribution instead of the targets.
    pub share: f64,
    /// `[positions, classes]`, row-major; each row sums to 1.
    pub probabilities: Vec<f32>,
}

impl Softmax<'_> {
    /// `−Σ r_j log softmax(h · headᵀ)_j` and its gradients: `dlogits = n·softmax − multihot`, `dh =
    /// dlogits · head`, `dhead = dlogitsᵀ · h` (reference: `F.cross_entropy`, `F.log_softmax`).
    /// With a teacher of share α, r is `(1 − α) · multihot + α · n · teacher`.
    ///
    /// Shapes: `hidden [of, embed]`: the states of some of the positions.
    #[tracing::instrument(level = "trace", name = "head", skip_all)]
    pub(crate) fn cross_entropy(&self, hidden: &Tensor<2>, of: Range<usize>) -> CrossEntropy {
        let [n_classes, embed] = self.head.dims();
        let tiling = Tiling::of(&self.head);
        // The exponentials of a head that is learned wait for the denominator; others are gone with
        // their tile.
        let kept_at_once = if self.head_is_learned {
            n_classes
        } else {
            tiling.n_classes
        };
        let rows_per_chunk = (tiling.n_logits / kept_at_once).max(1);
        let (mut loss, mut n_logits) = (0.0, 0);
        let mut d_hidden = Vec::new();
        let mut d_head: Option<Tensor<2>> = None;
        for start in of.clone().step_by(rows_per_chunk) {
            let end = (start + rows_per_chunk).min(of.end);
            let part = hidden
                .clone()
                .slice([start - of.start..end - of.start, 0..embed]);
            let chunk = self.chunk(&part, start..end);
            loss += chunk.loss;
            n_logits += chunk.n_logits;
            d_hidden.push(chunk.d_hidden);
            d_head = sum(d_head, chunk.d_head);
        }
        CrossEntropy {
            loss: loss * self.weight,
            d_hidden: Tensor::cat(d_hidden, 0),
            d_head,
            n_logits,
        }
    }

    /// The same for a chunk, its loss unweighted. The hard targets' part of the gradients are rows
    /// of head and hidden states: no logit-sized one-hot matrix is made.
    fn chunk(&self, hidden: &Tensor<2>, of: Range<usize>) -> CrossEntropy {
        let (device, targets) = (hidden.device(), &self.targets[of.clone()]);
        let hidden = hidden.clone().cast(self.head.dtype());
        let scaled = if self.logit_scale == 1.0 {
            hidden
        } else {
            hidden * self.logit_scale
        };
        let (tiles, softly_asked) = self.tiles(&scaled, of);
        let log_sums = log_sums(&tiles);
        let n_targets = targets.iter().map(|wanted| wanted.len() as f64);
        let normalizer: f64 = n_targets
            .zip(&log_sums)
            .map(|(n, &log_sum)| n * log_sum)
            .sum();
        let picks = Picks::new(targets, &device);
        let hard = 1.0 - self.teacher.map_or(0.0, |teacher| teacher.share);
        let offsets = self.offsets.map_or(0.0, |offsets| {
            targets
                .iter()
                .flatten()
                .map(|&class| f64::from(offsets[class as usize]))
                .sum::<f64>()
        });
        let asked = hard * (picks.inner_products(&scaled, &self.head) + offsets);

        let (mut d_hidden, mut d_head, mut n_logits) = (None, Vec::new(), 0);
        for tile in tiles {
            n_logits += targets.len() * tile.classes.len();
            let factors = matrix(tile.factors(&log_sums, targets), 1, &device); // [chunk, 1]
            let of_shares = tile.product * factors.clone(); // [chunk, embed]
            let part = match &tile.soft {
                Some(soft) => {
                    of_shares - kernels::product(soft.clone(), self.rows_of_head(&tile.classes))
                }
                None => of_shares,
            };
            if let Some(exponentials) = tile.exponentials {
                let of_shares =
                    kernels::product(exponentials.transpose(), scaled.clone() * factors);
                d_head.push(match tile.soft {
                    Some(soft) => of_shares - kernels::product(soft.transpose(), scaled.clone()),
                    None => of_shares,
                }); // [classes, embed]
            }
            d_hidden = sum(d_hidden, Some(part));
        }
        let d_hidden = d_hidden.expect("a softmax is over at least one class");
        let d_hidden = picks.subtract(d_hidden, [&picks.rows, &picks.classes], &self.head, hard);
        let d_head = (!d_head.is_empty()).then(|| {
            let d_head = Tensor::cat(d_head, 0);
            picks.subtract(d_head, [&picks.classes, &picks.rows], &scaled, hard) * self.weight
        });
        let weight = self.weight * self.logit_scale;
        CrossEntropy {
            loss: normalizer - asked - softly_asked,
            d_hidden: d_hidden * weight,
            d_head,
            n_logits,
        }
    }

    fn rows_of_head(&self, classes: &Range<usize>) -> Tensor<2> {
        let [_, embed] = self.head.dims();
        self.head.clone().slice([classes.clone(), 0..embed])
    }

    /// The softmax of all logits, not yet normalised, and what the teacher's distribution gives of
    /// the logits themselves.
    fn tiles(&self, hidden: &Tensor<2>, of: Range<usize>) -> (Vec<Tile>, f64) {
        let [n_classes, _] = self.head.dims();
        let (mut tiles, mut softly_asked) = (Vec::new(), 0.0);
        let at_once = Tiling::of(&self.head).n_classes;
        for start in (0..n_classes).step_by(at_once) {
            let classes = start..(start + at_once).min(n_classes);
            let head = self.rows_of_head(&classes);
            let logits = match self.offsets {
                Some(offsets) => {
                    let offsets = matrix(
                        offsets[classes.clone()].to_vec(),
                        classes.len(),
                        &hidden.device(),
                    );
                    kernels::add_product(offsets, hidden.clone(), head.clone().transpose())
                }
                None => kernels::product(hidden.clone(), head.clone().transpose()),
            }; // [chunk, classes]
            let soft = self.soft_targets(of.clone(), &classes, &hidden.device());
            if let Some(soft) = &soft {
                softly_asked += f64::from(to_vec((logits.clone() * soft.clone()).sum())[0]);
            }
            // The softmax is f32 whatever the head is.
            let softmax = kernels::exponentials(logits.cast(DType::F32));
            let shares = softmax.values.clone().cast(head.dtype());
            tiles.push(Tile {
                classes,
                product: kernels::product(shares, head).cast(DType::F32),
                exponentials: self.head_is_learned.then_some(softmax.values),
                highest: softmax.highest,
                sums: softmax.sums,
                soft,
            });
        }
        (tiles, softly_asked)
    }

    /// The teacher's part of r for some positions and classes: `α · n · teacher` `[of, classes]`.
    fn soft_targets(
        &self,
        of: Range<usize>,
        classes: &Range<usize>,
        device: &Device,
    ) -> Option<Tensor<2>> {
        let teacher = self.teacher?;
        let [n_classes, _] = self.head.dims();
        let rows = teacher.probabilities[of.start * n_classes..]
            .chunks_exact(n_classes)
            .zip(&self.targets[of]);
        let soft = rows.flat_map(|(row, wanted)| {
            let count = (teacher.share * wanted.len() as f64) as f32;
            row[classes.clone()]
                .iter()
                .map(move |probability| probability * count)
        });
        Some(matrix(soft.collect(), classes.len(), device))
    }
}

/// A chunk's softmax over some classes, as `e^(logit − highest)`.
struct Tile {
    classes: Range<usize>,
    /// Exponentials times the classes' rows of the head `[chunk, embed]`.
    product: Tensor<2>,
    /// `[chunk, classes]`; where the head is learned.
    exponentials: Option<Tensor<2>>,
    /// Of each row's logits in the tile.
    highest: Vec<f32>,
    /// Of each row's exponentials.
    sums: Vec<f32>,
    /// What the teacher asks for `[chunk, classes]`.
    soft: Option<Tensor<2>>,
}

impl Tile {
    /// What makes a row's exponentials its softmax, times the number of targets.
    fn factors(&self, log_sums: &[f64], targets: &[Vec<u32>]) -> Vec<f32> {
        let rows = self.highest.iter().zip(log_sums).zip(targets);
        rows.map(|((&highest, log_sum), wanted)| {
            (wanted.len() as f64 * (f64::from(highest) - log_sum).exp()) as f32
        })
        .collect()
    }
}

/// Of what is there.
pub(crate) fn sum(one: Option<Tensor<2>>, other: Option<Tensor<2>>) -> Option<Tensor<2>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one + other),
        (one, other) => one.or(other),
    }
}

/// Logarithm of each row's softmax denominator over all tiles.
fn log_sums(tiles: &[Tile]) -> Vec<f64> {
    let n_rows = tiles.first().map_or(0, |tile| tile.sums.len());
    let of_row = |row: usize| {
        let highest = tiles
            .iter()
            .map(|tile| tile.highest[row])
            .fold(f32::NEG_INFINITY, f32::max);
        let parts = tiles
            .iter()
            .map(|tile| f64::from(tile.sums[row]) * f64::from(tile.highest[row] - highest).exp());
        f64::from(highest) + parts.sum::<f64>().ln()
    };
    (0..n_rows).map(of_row).collect()
}

/// Each hard target: its position in the chunk and its class.
struct Picks {
    rows: Tensor<1, Int>,
    classes: Tensor<1, Int>,
}

impl Picks {
    fn new(targets: &[Vec<u32>], device: &Device) -> Self {
        let rows = targets
            .iter()
            .enumerate()
            .flat_map(|(row, wanted)| vec![to_index(row); wanted.len()]);
        let classes = targets
            .iter()
            .flatten()
            .map(|&class| to_index(class as usize));
        Self {
            rows: index_tensor(rows.collect(), device),
            classes: index_tensor(classes.collect(), device),
        }
    }

    /// The sum of the targets' logits.
    fn inner_products(&self, hidden: &Tensor<2>, head: &Tensor<2>) -> f64 {
        let [hidden, head] = [(hidden, &self.rows), (head, &self.classes)]
            .map(|(tensor, rows)| tensor.clone().select(0, rows.clone()).cast(DType::F32));
        let products = hidden * head;
        to_vec(products.sum_dim(1)).into_iter().map(f64::from).sum()
    }

    /// Takes weighted rows of `from` off rows of `sum`.
    fn subtract(
        &self,
        sum: Tensor<2>,
        [to, rows]: [&Tensor<1, Int>; 2],
        from: &Tensor<2>,
        weight: f64,
    ) -> Tensor<2> {
        let picked = from.clone().select(0, rows.clone()).cast(sum.dtype()) * -weight;
        sum.select_assign(0, to.clone(), picked, IndexingUpdateOp::Add)
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
            softmax.cross_entropy(&matrix(hidden, 2, &device), 0..3)
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
            let slope = (shifted(step) - shifted(-step)) / f64::from(2.0 * step);
            assert!(
                (slope - f64::from(expected)).abs() < 1e-3,
                "head {place}: {slope} {expected}"
            );
        }
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
            let found = softmax.cross_entropy(&matrix(hidden.to_vec(), 2, &device), 0..2);
            let (mut loss, mut d_hidden) = (0.0, [0.0_f64; 4]);
            for (row, target) in [n_classes - 1, 5].into_iter().enumerate() {
                let entry = |class: usize, column: usize| f64::from(head[class * 2 + column]);
                let logit = |class: usize| {
                    (0..2)
                        .map(|column| entry(class, column) * f64::from(hidden[row * 2 + column]))
                        .sum::<f64>()
                };
                let sum: f64 = (0..n_classes).map(|class| logit(class).exp()).sum();
                loss += sum.ln() - logit(target);
                for column in 0..2 {
                    let mean = (0..n_classes)
                        .map(|class| logit(class).exp() / sum * entry(class, column))
                        .sum::<f64>();
                    d_hidden[row * 2 + column] = mean - entry(target, column);
                }
            }
            assert!(
                (found.loss - loss).abs() < 1e-5 * loss,
                "{} {loss}",
                found.loss
            );
            assert_eq!(found.n_logits, 2 * n_classes);
            for (found, expected) in to_vec(found.d_hidden).into_iter().zip(d_hidden) {
                assert!(
                    (f64::from(found) - expected).abs() < 1e-4,
                    "{found} {expected}"
                );
            }
        }
    }
}
