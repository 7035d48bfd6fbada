//! Numbers of the host as tensors, and back.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

/// A row-major matrix as a tensor `[len / width, width]`.
pub(crate) fn matrix(
    values: Vec<f32>,
    width: usize,
    device: &Device,
) -> Tensor<2> {
    let n_rows = values.len() / width;
    let data = TensorData::new(values, [n_rows, width]);
    Tensor::from_data(data, device)
}

/// Indices as a tensor `[indices]`.
pub(crate) fn index_tensor(
    indices: Vec<i32>,
    device: &Device,
) -> Tensor<1, Int> {
    let n = indices.len();
    let data = TensorData::new(indices, [n]);
    Tensor::from_data(data, device)
}

/// A float tensor's values in row-major order.
pub(crate) fn to_vec<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor
        .cast(DType::F32)
        .into_data()
        .try_into_vec()
        .expect("the tensor was cast to f32")
}

/// An index in the integer type that every device takes.
pub(crate) fn to_index(index: usize) -> i32 {
    i32::try_from(index).expect("a batch has fewer than 2³¹ tokens")
}
