//! A product of two matrices: the unit in which machines are measured.

use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};

use crate::backbone::kernels;
use crate::device::Precision;

/// Shapes of a forward pass of GPT-2 small over a thousand tokens `[m, k, n]`.
const SHAPES: [[usize; 3]; 3] = [[1024, 768, 3072], [1024, 3072, 768], [2048, 2048, 2048]];
/// Each is repeated; the best counts.
const N_TRIES: usize = 8;

/// The highest rate that products of two matrices reach on a device, in floating-point operations a
/// second.
pub fn gemm_peak(device: &Device, precision: Precision) -> f64 {
    let random = |shape: [usize; 2]| {
        let random: Tensor<2> = Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), device);
        random.cast(precision.dtype())
    };
    let mut best = 0.0_f64;
    for [m, k, n] in SHAPES {
        let (lhs, rhs) = (random([m, k]), random([k, n]));
        for _ in 0..N_TRIES {
            let start = Instant::now();
            let product = kernels::product(lhs.clone(), rhs.clone());
            // The product is complete when the device has nothing left to do.
            product
                .device()
                .sync()
                .expect("a device that multiplied can be waited for");
            best = best.max(2.0 * (m * k * n) as f64 / start.elapsed().as_secs_f64());
        }
    }
    best
}
