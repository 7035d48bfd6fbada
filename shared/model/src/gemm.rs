//! A product of two matrices: the unit in which machines are measured.

use burn::tensor::{Device, Distribution, Tensor};

use crate::kernels;

/// Two f32 matrices that can be multiplied again and again.
#[derive(Debug)]
pub struct Gemm {
    lhs: Tensor<2>,
    rhs: Tensor<2>,
    n_operations: f64,
}

impl Gemm {
    /// Random matrices `[m, k]` and `[k, n]`.
    pub fn new([m, k, n]: [usize; 3], device: &Device) -> Self {
        let random = |shape: [usize; 2]| Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), device);
        Self { lhs: random([m, k]), rhs: random([k, n]), n_operations: 2.0 * (m * k * n) as f64 }
    }

    /// Multiplies them once, to the end.
    pub fn multiply(&self) {
        let product = kernels::product(self.lhs.clone(), self.rhs.clone());
        // The product is complete when the device has nothing left to do.
        product.device().sync().expect("a device that multiplied can be waited for");
    }

    /// Floating-point operations of one product.
    pub fn n_operations(&self) -> f64 {
        self.n_operations
    }
}
