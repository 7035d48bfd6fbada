//! The targets of a softmax, picked row by row: no logit-sized one-hot matrix
//! is made.

use burn::tensor::{DType, Device, IndexingUpdateOp, Int, Tensor};

use crate::backbone::host::{index_tensor, to_index, to_vec};

/// Each target: its position in the chunk and its class.
pub(super) struct Picks {
    positions: Tensor<1, Int>,
    classes: Tensor<1, Int>,
}

impl Picks {
    /// The targets of each position of a chunk, one after the other.
    pub(super) fn new(targets: &[Vec<u32>], device: &Device) -> Self {
        let mut positions = Vec::new();
        let mut classes = Vec::new();
        for (position, wanted) in targets.iter().enumerate() {
            for &class in wanted {
                positions.push(to_index(position));
                classes.push(to_index(class as usize));
            }
        }
        Self {
            positions: index_tensor(positions, device),
            classes: index_tensor(classes, device),
        }
    }

    /// The sum of the targets' logits.
    pub(super) fn inner_products(
        &self,
        hidden: &Tensor<2>,
        head: &Tensor<2>,
    ) -> f64 {
        let hidden = hidden.clone().select(0, self.positions.clone());
        let head = head.clone().select(0, self.classes.clone());
        let products = hidden.cast(DType::F32) * head.cast(DType::F32);
        let products = to_vec(products.sum_dim(1));
        products.into_iter().map(f64::from).sum()
    }

    /// Takes `weight` times the head's row of each target off the gradient of
    /// its position.
    pub(super) fn take_off_hidden(
        &self,
        d_hidden: Tensor<2>,
        head: &Tensor<2>,
        weight: f64,
    ) -> Tensor<2> {
        let rows = head.clone().select(0, self.classes.clone());
        let rows = rows.cast(d_hidden.dtype()) * -weight;
        let positions = self.positions.clone();
        d_hidden.select_assign(0, positions, rows, IndexingUpdateOp::Add)
    }

    /// Takes `weight` times the state at each target off the gradient of its
    /// class.
    pub(super) fn take_off_head(
        &self,
        d_head: Tensor<2>,
        hidden: &Tensor<2>,
        weight: f64,
    ) -> Tensor<2> {
        let rows = hidden.clone().select(0, self.positions.clone());
        let rows = rows.cast(d_head.dtype()) * -weight;
        let classes = self.classes.clone();
        d_head.select_assign(0, classes, rows, IndexingUpdateOp::Add)
    }
}
