//! A softmax over many classes, some of them at a time.

use std::ops::Range;

use burn::tensor::{DType, Tensor};

use crate::backbone::host::to_vec;
use crate::backbone::kernels;
use crate::device::has_own_memory;
use crate::training::softmax::Softmax;

/// What bounds a softmax's memory, whatever the vocabulary is, and shapes its
/// products.
pub(super) struct Tiling {
    /// The most logits that exist at a time.
    pub(super) n_logits: usize,
    /// How many classes' logits are one product.
    pub(super) n_classes: usize,
}

/// The logits take 64 MiB. A tile stays in the cache and in memory that is used
/// again: on two Zen 3 cores LibTorch reaches 120 GFLOP/s with it, and 66 with
/// all of GPT-2's words at once.
pub(super) const ON_A_CPU: Tiling = Tiling {
    n_logits: 16 << 20,
    n_classes: 4096,
};
/// The logits take 512 MiB, all classes at once: a content step takes an H100
/// 58 ms so, and 64 in tiles of a CPU's size.
const ON_A_CARD: Tiling = Tiling {
    n_logits: 128 << 20,
    n_classes: usize::MAX,
};

impl Tiling {
    /// The tiling of a head's classes on its device.
    pub(super) fn of(head: &Tensor<2>) -> Self {
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

/// A chunk's softmax over some classes, as `e^(logit − highest)`.
pub(super) struct Tile {
    pub(super) classes: Range<usize>,
    /// The exponentials times the classes' rows of the head `[chunk, embed]`.
    product: Tensor<2>,
    /// The exponentials themselves `[chunk, classes]`, where the head is
    /// learned.
    exponentials: Option<Tensor<2>>,
    /// The highest of each row's logits in the tile.
    highest: Vec<f32>,
    /// The sum of each row's exponentials.
    sums: Vec<f32>,
    /// What the teacher asks for `[chunk, classes]`.
    soft: Option<Tensor<2>>,
    /// What the teacher's distribution gives of the logits themselves.
    pub(super) softly_asked: f64,
}

/// What a tile adds to the gradients, the targets not yet taken off.
pub(super) struct TileGradients {
    /// The part of the hidden states' gradient `[chunk, embed]`.
    pub(super) d_hidden: Tensor<2>,
    /// The gradient of the classes' rows of the head `[classes, embed]`, where
    /// the head is learned.
    pub(super) d_head: Option<Tensor<2>>,
}

/// The softmax of a chunk's logits, tile by tile and not yet normalised.
pub(super) fn tiles(
    softmax: &Softmax<'_>,
    scaled: &Tensor<2>,
    of: &Range<usize>,
) -> Vec<Tile> {
    let [n_classes, _] = softmax.head.dims();
    let at_once = Tiling::of(&softmax.head).n_classes;
    let mut tiles = Vec::new();
    for start in (0..n_classes).step_by(at_once) {
        let end = (start + at_once).min(n_classes);
        let tile = Tile::new(softmax, scaled, of.clone(), start..end);
        tiles.push(tile);
    }
    tiles
}

impl Tile {
    fn new(
        softmax: &Softmax<'_>,
        scaled: &Tensor<2>,
        of: Range<usize>,
        classes: Range<usize>,
    ) -> Self {
        let head = softmax.rows_of_head(&classes);
        let logits = softmax.logits(scaled, &head, &classes); // [chunk, classes]
        let soft = softmax.soft_targets(of, &classes, &scaled.device());
        let softly_asked = soft.as_ref().map_or(0.0, |soft| {
            let asked = (logits.clone() * soft.clone()).sum();
            f64::from(to_vec(asked)[0])
        });

        // The softmax is f32 whatever the head is.
        let exponentials = kernels::exponentials(logits.cast(DType::F32));
        let kept = softmax.head_is_learned.then(|| exponentials.values.clone());
        let shares = exponentials.values.cast(head.dtype());
        Self {
            classes,
            product: kernels::product(shares, head).cast(DType::F32),
            exponentials: kept,
            highest: exponentials.highest,
            sums: exponentials.sums,
            soft,
            softly_asked,
        }
    }

    /// What makes a row's exponentials its softmax, times the number of
    /// targets.
    pub(super) fn factors(
        &self,
        log_sums: &[f64],
        targets: &[Vec<u32>],
    ) -> Vec<f32> {
        let rows = self.highest.iter().zip(log_sums).zip(targets);
        rows.map(|((&highest, log_sum), wanted)| {
            let share = (f64::from(highest) - log_sum).exp();
            (wanted.len() as f64 * share) as f32
        })
        .collect()
    }

    /// The gradients of the normaliser and of what the teacher asks for.
    ///
    /// Shapes: `scaled [chunk, embed]`, `factors [chunk, 1]` as
    /// [`Self::factors`] gives them.
    pub(super) fn gradients(
        self,
        softmax: &Softmax<'_>,
        scaled: &Tensor<2>,
        factors: Tensor<2>,
    ) -> TileGradients {
        let mut d_hidden = self.product * factors.clone(); // [chunk, embed]
        if let Some(soft) = &self.soft {
            let head = softmax.rows_of_head(&self.classes);
            d_hidden = d_hidden - kernels::product(soft.clone(), head);
        }
        let Some(exponentials) = self.exponentials else {
            return TileGradients {
                d_hidden,
                d_head: None,
            };
        };

        let weighted = scaled.clone() * factors;
        let mut d_head = kernels::product(exponentials.transpose(), weighted); // [classes, embed]
        if let Some(soft) = self.soft {
            d_head =
                d_head - kernels::product(soft.transpose(), scaled.clone());
        }
        TileGradients {
            d_hidden,
            d_head: Some(d_head),
        }
    }
}

/// Logarithm of each row's softmax denominator over all tiles.
pub(super) fn log_sums(tiles: &[Tile]) -> Vec<f64> {
    let n_rows = tiles.first().map_or(0, |tile| tile.sums.len());
    (0..n_rows).map(|row| log_sum(tiles, row)).collect()
}

fn log_sum(tiles: &[Tile], row: usize) -> f64 {
    let highest = tiles
        .iter()
        .map(|tile| tile.highest[row])
        .fold(f32::NEG_INFINITY, f32::max);
    let parts = tiles.iter().map(|tile| {
        let scale = f64::from(tile.highest[row] - highest).exp();
        f64::from(tile.sums[row]) * scale
    });
    f64::from(highest) + parts.sum::<f64>().ln()
}
