//! A product of two matrices: the unit in which machines are measured.

use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};

use crate::backbone::kernels;
use crate::device::Precision;

/// The sizes of `[m, k] · [k, n]`.
struct ProductSizes {
    m: usize,
    k: usize,
    n: usize,
}

/// Two products of GPT-2 small over a thousand tokens, and a square one.
const PRODUCTS: [ProductSizes; 3] = [
    ProductSizes {
        m: 1024,
        k: 768,
        n: 3072,
    },
    ProductSizes {
        m: 1024,
        k: 3072,
        n: 768,
    },
    ProductSizes {
        m: 2048,
        k: 2048,
        n: 2048,
    },
];
/// Each product is repeated so often; the fastest one counts.
const N_TRIES: usize = 8;

/// The highest rate that products of two matrices reach on a device, in
/// floating-point operations a second.
pub fn gemm_peak(device: &Device, precision: Precision) -> f64 {
    let mut best = 0.0_f64;
    for &ProductSizes { m, k, n } in &PRODUCTS {
        let lhs = random([m, k], device, precision);
        let rhs = random([k, n], device, precision);
        let n_operations = 2.0 * (m * k * n) as f64;
        for _ in 0..N_TRIES {
            let start = Instant::now();
            let product = kernels::product(lhs.clone(), rhs.clone());
            // The product is complete when the device has nothing left to do.
            product
                .device()
                .sync()
                .expect("a device that multiplied can be waited for");
            let seconds = start.elapsed().as_secs_f64();
            best = best.max(n_operations / seconds);
        }
    }
    best
}

fn random(
    shape: [usize; 2],
    device: &Device,
    precision: Precision,
) -> Tensor<2> {
    let uniform = Distribution::Uniform(-1.0, 1.0);
    let values: Tensor<2> = Tensor::random(shape, uniform, device);
    values.cast(precision.dtype())
}
