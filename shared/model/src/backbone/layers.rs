//! The layers with weights that decoders are made of, each with the gradient of
//! its input.

use std::ops::Range;
use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use crate::backbone::kernels::{
    self, FirstHeads, Norm, PackedMatrix, RmsWeights,
};
use crate::device::Precision;

/// `x · weight + bias` (reference: `Conv1D`, `nn.Linear` transposed).
#[derive(Module, Debug)]
pub(crate) struct Linear {
    /// The weights `[input, output]`; `[0, output]` once they are packed.
    pub(crate) weight: Param<Tensor<2>>,
    /// What is added to each output `[output]`; absent in layers that add
    /// nothing.
    pub(crate) bias: Option<Param<Tensor<1>>>,
    /// The weights in bf16, in place of `weight`, where a backbone only answers.
    #[module(skip)]
    packed: Option<Arc<PackedMatrix>>,
}

impl Linear {
    /// A layer with a bias, all zeros. Shape: `[input, output]`.
    pub(crate) fn zeros(shape: [usize; 2], device: &Device) -> Self {
        let [_, n_outputs] = shape;
        Self {
            weight: Param::from_tensor(Tensor::zeros(shape, device)),
            bias: Some(Param::from_tensor(Tensor::zeros([n_outputs], device))),
            packed: None,
        }
    }

    /// A layer that adds nothing, all zeros. Shape: `[input, output]`.
    pub(crate) fn zeros_without_bias(
        shape: [usize; 2],
        device: &Device,
    ) -> Self {
        Self {
            weight: Param::from_tensor(Tensor::zeros(shape, device)),
            bias: None,
            packed: None,
        }
    }

    /// Keeps the weights in `precision` from now on. In bf16 a layer computes
    /// on host memory alone, and is not written to files any more.
    pub(crate) fn keep_in(&mut self, precision: Precision) {
        match precision {
            Precision::F32 => {}
            Precision::Bf16 => self.pack(),
        }
    }

    fn pack(&mut self) {
        let weight = self.weight.val();
        let ([_, n_outputs], device) = (weight.dims(), weight.device());
        self.packed = Some(Arc::new(PackedMatrix::new(weight)));
        self.weight =
            Param::from_tensor(Tensor::zeros([0, n_outputs], &device));
    }

    /// Memory of the packed weights, in bytes; 0 where they are not packed.
    pub(crate) fn packed_bytes(&self) -> usize {
        self.packed.as_ref().map_or(0, |packed| packed.n_bytes())
    }

    /// The outputs of each row. Shapes: `[rows, input]` → `[rows, output]`.
    pub(crate) fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        self.all().forward(input)
    }

    /// [`Self::forward`], added to what goes past the layer. Shapes:
    /// `[rows, output]`, `[rows, input]` → `[rows, output]`.
    pub(crate) fn forward_onto(
        &self,
        residual: Tensor<2>,
        input: Tensor<2>,
    ) -> Tensor<2> {
        let Columns { weights, bias } = self.all();
        let sum = match weights {
            Weights::Whole(weight) => {
                kernels::add_product(residual, input, weight)
            }
            Weights::Packed(packed, outputs) => {
                residual + packed.product(input, outputs, None)
            }
        };
        match bias {
            Some(bias) => sum + bias,
            None => sum,
        }
    }

    /// Gradient of the input. Shapes: `[rows, output]` → `[rows, input]`.
    pub(crate) fn backward(&self, d_output: Tensor<2>) -> Tensor<2> {
        self.all().backward(d_output)
    }

    fn all(&self) -> Columns {
        let weight = self.weight.val();
        let [_, n_outputs] = weight.dims();
        let bias = self.bias.as_ref();
        Columns {
            weights: match &self.packed {
                Some(packed) => {
                    Weights::Packed(Arc::clone(packed), 0..n_outputs)
                }
                None => Weights::Whole(weight),
            },
            bias: bias.map(|bias| bias.val().unsqueeze()),
        }
    }

    /// The part of the layer that computes some of its outputs.
    pub(crate) fn columns(&self, outputs: Range<usize>) -> Columns {
        let Columns { weights, bias } = self.all();
        Columns {
            weights: weights.some(outputs.clone()),
            bias: bias.map(|bias| bias.slice([0..1, outputs])),
        }
    }
}

/// A linear layer's outputs, or some of them.
pub(crate) struct Columns {
    weights: Weights,
    /// What is added to each output `[1, output]`.
    bias: Option<Tensor<2>>,
}

/// The weights of some outputs.
#[expect(
    clippy::large_enum_variant,
    reason = "one exists at a time, on the stack of the product that reads it"
)]
enum Weights {
    /// `[input, output]`
    Whole(Tensor<2>),
    /// These columns of a packed matrix.
    Packed(Arc<PackedMatrix>, Range<usize>),
}

impl Weights {
    /// Those of some of all outputs.
    fn some(self, outputs: Range<usize>) -> Self {
        match self {
            Self::Whole(weight) => {
                let [n_inputs, _] = weight.dims();
                Self::Whole(weight.slice([0..n_inputs, outputs]))
            }
            Self::Packed(packed, _) => Self::Packed(packed, outputs),
        }
    }

    /// In full precision, as the way back takes them `[output, input]`.
    fn transposed(self, device: &Device) -> Tensor<2> {
        match self {
            Self::Whole(weight) => weight.transpose(),
            Self::Packed(packed, outputs) => {
                packed.columns(outputs, device).transpose()
            }
        }
    }
}

impl Columns {
    /// The outputs of each row. Shapes: `[rows, input]` → `[rows, output]`.
    pub(crate) fn forward(self, input: Tensor<2>) -> Tensor<2> {
        match (self.weights, self.bias) {
            (Weights::Whole(weight), Some(bias)) => {
                kernels::add_product(bias, input, weight)
            }
            (Weights::Whole(weight), None) => kernels::product(input, weight),
            (Weights::Packed(packed, outputs), bias) => {
                packed.product(input, outputs, bias)
            }
        }
    }

    /// Gradient of the input. Shapes: `[rows, output]` → `[rows, input]`.
    pub(crate) fn backward(self, d_output: Tensor<2>) -> Tensor<2> {
        let transposed = self.weights.transposed(&d_output.device());
        kernels::product(d_output, transposed)
    }

    /// [`Self::backward`], added to another gradient of the input.
    pub(crate) fn backward_onto(
        self,
        d_input: Tensor<2>,
        d_output: Tensor<2>,
    ) -> Tensor<2> {
        let transposed = self.weights.transposed(&d_output.device());
        kernels::add_product(d_input, d_output, transposed)
    }
}

/// Each row shifted and scaled to mean 0 and variance 1, then `· gamma + beta`
/// (reference: `nn.LayerNorm`).
#[derive(Module, Debug)]
pub(crate) struct LayerNorm {
    /// The scale of each column `[width]`.
    pub(crate) gamma: Param<Tensor<1>>,
    /// The shift of each column `[width]`.
    pub(crate) beta: Param<Tensor<1>>,
    /// What is added to the variance, so that its root is not 0.
    epsilon: f64,
}

impl LayerNorm {
    /// The layer norm with scale 1 and shift 0.
    pub(crate) fn identity(
        width: usize,
        epsilon: f64,
        device: &Device,
    ) -> Self {
        Self {
            gamma: Param::from_tensor(Tensor::ones([width], device)),
            beta: Param::from_tensor(Tensor::zeros([width], device)),
            epsilon,
        }
    }

    fn weights(&self) -> Norm {
        Norm {
            gamma: self.gamma.val(),
            beta: self.beta.val(),
            epsilon: self.epsilon,
        }
    }

    /// The normed rows. Shapes: `[rows, width]` → `[rows, width]`.
    pub(crate) fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        kernels::layer_norm(input, &self.weights())
    }

    /// Gradient of the input. Shapes: `input [rows, width]`,
    /// `d_output [rows, width]` → `[rows, width]`.
    pub(crate) fn backward(
        &self,
        input: Tensor<2>,
        d_output: Tensor<2>,
    ) -> Tensor<2> {
        kernels::layer_norm_backward(input, &self.weights(), d_output)
    }
}

/// Each row scaled to a mean square of 1, then `· weight` (reference:
/// `LlamaRMSNorm`).
#[derive(Module, Debug)]
pub(crate) struct RmsNorm {
    /// `[width]`
    pub(crate) weight: Param<Tensor<1>>,
    /// Added to the mean square.
    epsilon: f64,
}

impl RmsNorm {
    /// The norm with scale 1.
    pub(crate) fn identity(
        width: usize,
        epsilon: f64,
        device: &Device,
    ) -> Self {
        Self {
            weight: Param::from_tensor(Tensor::ones([width], device)),
            epsilon,
        }
    }

    fn weights(&self) -> RmsWeights {
        RmsWeights {
            weight: self.weight.val(),
            epsilon: self.epsilon,
        }
    }

    /// Shapes: `[rows, width]` → `[rows, width]`.
    pub(crate) fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        kernels::rms_norm(input, &self.weights())
    }

    /// The gradient of the input. Shapes: `[rows, width]`, `[rows, width]` →
    /// `[rows, width]`.
    pub(crate) fn backward(
        &self,
        input: Tensor<2>,
        d_output: Tensor<2>,
    ) -> Tensor<2> {
        kernels::rms_norm_backward(input, &self.weights(), d_output)
    }

    /// [`Self::backward`], added to the gradient of what went past the norm.
    /// Shapes: all `[rows, width]`.
    pub(crate) fn backward_onto(
        &self,
        d_residual: Tensor<2>,
        input: Tensor<2>,
        d_output: Tensor<2>,
    ) -> Tensor<2> {
        let weights = self.weights();
        kernels::add_rms_norm_backward(d_residual, input, &weights, d_output)
    }

    /// Norms each of the first heads by itself; what lies behind them stays.
    /// Shapes: `[rows, width]` → `[rows, width]`.
    pub(crate) fn forward_heads(
        &self,
        input: Tensor<2>,
        heads: FirstHeads,
    ) -> Tensor<2> {
        let (first, rest) = heads.split(input);
        let normed = self.forward(heads.apart(first));
        heads.join(normed, rest)
    }

    /// The gradient of [`Self::forward_heads`]'s input.
    pub(crate) fn backward_heads(
        &self,
        input: Tensor<2>,
        d_output: Tensor<2>,
        heads: FirstHeads,
    ) -> Tensor<2> {
        let (first, _) = heads.split(input);
        let (d_first, d_rest) = heads.split(d_output);
        let gradient = self.backward(heads.apart(first), heads.apart(d_first));
        heads.join(gradient, d_rest)
    }
}

impl FirstHeads {
    /// Shapes: `[rows, width]` → `[rows, heads * head_dim]` and what lies
    /// behind.
    fn split(self, input: Tensor<2>) -> (Tensor<2>, Option<Tensor<2>>) {
        let [n_rows, width] = input.dims();
        let end = self.n_heads * self.head_dim;
        if end == width {
            return (input, None);
        }
        let first = input.clone().slice([0..n_rows, 0..end]);
        (first, Some(input.slice([0..n_rows, end..width])))
    }

    /// Shapes: `[rows, heads * head_dim]` → `[rows * heads, head_dim]`.
    fn apart(self, heads: Tensor<2>) -> Tensor<2> {
        let [n_rows, _] = heads.dims();
        heads.reshape([n_rows * self.n_heads, self.head_dim])
    }

    /// Shapes: `[rows * heads, head_dim]` and what lies behind → `[rows,
    /// width]`.
    fn join(self, heads: Tensor<2>, rest: Option<Tensor<2>>) -> Tensor<2> {
        let [n_rows, _] = heads.dims();
        let width = self.n_heads * self.head_dim;
        let first: Tensor<2> = heads.reshape([n_rows / self.n_heads, width]);
        match rest {
            Some(rest) => Tensor::cat(vec![first, rest], 1),
            None => first,
        }
    }
}
