//! Flex tensors as slices and matrices of host memory, which the next tensors
//! get once nobody holds it.

use std::ops::Deref;

use burn::backend::Flex;
use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{DType, Shape, Tensor};
use faer::MatRef;

use super::memory;
use crate::backbone::host::to_vec;

/// A tensor while a kernel reads it.
struct Held {
    /// There until this is dropped.
    tensor: Option<FlexTensor>,
}

impl Held {
    fn new(tensor: FlexTensor) -> Self {
        Self {
            tensor: Some(tensor),
        }
    }
}

impl Deref for Held {
    type Target = FlexTensor;

    fn deref(&self) -> &FlexTensor {
        let tensor = self.tensor.as_ref();
        tensor.expect("only dropping this takes the tensor")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(tensor) = self.tensor.take() else {
            return;
        };
        if !tensor.is_unique() || tensor.dtype() != DType::F32 {
            return;
        }
        let n_values = tensor.bytes().len() / size_of::<f32>();
        let all = Layout::contiguous(Shape::from([n_values]));
        let data = tensor.with_layout(all).into_data();
        if let Ok(values) = data.try_into_vec() {
            memory::recycle(values);
        }
    }
}

/// A tensor's memory, to be read where it lies.
pub(super) struct Matrix {
    tensor: Held,
}

impl Matrix {
    pub(super) fn of(tensor: Tensor<2>) -> Self {
        let tensor = flex_tensor(tensor);
        let is_matrix = match tensor.layout().strides() {
            [1, rows] | [rows, 1] => *rows > 0,
            _ => false,
        };
        Self {
            tensor: Held::new(if is_matrix {
                tensor
            } else {
                tensor.to_contiguous()
            }),
        }
    }

    pub(super) fn view(&self) -> MatRef<'_, f32> {
        let layout = self.tensor.layout();
        let values = &self.tensor.storage::<f32>()[layout.start_offset()..];
        let n_rows = layout.shape()[0];
        let n_columns = layout.shape()[1];
        match *layout.strides() {
            [rows, 1] => {
                let stride = rows.unsigned_abs();
                MatRef::from_row_major_slice_with_stride(
                    values, n_rows, n_columns, stride,
                )
            }
            [1, columns] => {
                let stride = columns.unsigned_abs();
                MatRef::from_row_major_slice_with_stride(
                    values, n_columns, n_rows, stride,
                )
                .transpose()
            }
            _ => unreachable!(
                "a matrix was made contiguous when it was neither row-major nor column-major"
            ),
        }
    }
}

fn flex_tensor<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    tensor
        .try_into_primitive::<Flex>()
        .expect("the engine of the tensor is flex")
}

/// The memory of a tensor of any shape, in row-major order.
pub(super) struct Contiguous {
    tensor: Held,
}

impl Contiguous {
    pub(super) fn of<const D: usize>(tensor: Tensor<D>) -> Self {
        Self {
            tensor: Held::new(flex_tensor(tensor).to_contiguous()),
        }
    }

    pub(super) fn values(&self) -> &[f32] {
        self.tensor.storage()
    }
}

/// A tensor's values: its own memory where nobody else holds it, else a copy.
pub(super) fn owned(tensor: Tensor<2>) -> Vec<f32> {
    let tensor = flex_tensor(tensor);
    match tensor.as_slice::<f32>().filter(|_| !tensor.is_unique()) {
        // burn's own copy is of bytes, which a second copy then aligns.
        Some(shared) => {
            let mut values = memory::buffer(shared.len());
            values.copy_from_slice(shared);
            values
        }
        None => to_vec(Tensor::<2>::from_primitive::<Flex>(tensor)),
    }
}
