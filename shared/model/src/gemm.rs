//! A product of two matrices: the unit in which machines are measured.

use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};

use crate::{Precision, kernels};

/// Two matrices that can be multiplied again and again.
#[derive(Debug)]
pub struct Gemm {
    lhs: Tensor<2>,
    rhs: Tensor<2>,
    n_operations: f64,
}

/// Shapes of a forward pass of GPT-2 small over a thousand tokens `[m, k, n]`.
const SHAPES: [[usize; 3]; 3] = [[1024, 768, 3072], [1024, 3072, 768], [2048, 2048, 2048]];
/// Each is repeated; the best counts.
const N_TRIES: usize = 8;

impl Gemm {
    /// Random matrices `[m, k]` and `[k, n]`.
    pub fn new([m, k, n]: [usize; 3], device: &Device, precision: Precision) -> Self {
        let random = |shape: [usize; 2]| {
            let random: Tensor<2> = Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), device);
            random.cast(precision.dtype())
        };
        Self { lhs: random([m, k]), rhs: random([k, n]), n_operations: 2.0 * (m * k * n) as f64 }
    }

    /// Multiplies them once, to the end.
    pub fn multiply(&self) {
        let product = kernels::product(self.lhs.clone(), self.rhs.clone());
        // The product is complete when the device has nothing left to do.
        product.device().sync().expect("a device that multiplied can be waited for");
    }

    /// The highest rate that a device reaches, in floating-point operations a second.
    pub fn peak(device: &Device, precision: Precision) -> f64 {
        let mut best = 0.0_f64;
        for shape in SHAPES {
            let gemm = Self::new(shape, device, precision);
            for _ in 0..N_TRIES {
                let start = Instant::now();
                gemm.multiply();
                best = best.max(gemm.n_operations / start.elapsed().as_secs_f64());
            }
        }
        best
    }
}
