//! Frozen language models in memory: one for all versions that stand on it.

use std::path::Path;

use model::{Backbone, Device};

/// A frozen language model, by its id in the artifact store.
#[derive(Debug)]
pub(crate) struct SharedBackbone {
    pub(crate) id: String,
    pub(crate) backbone: Backbone,
}

impl SharedBackbone {
    pub(crate) fn read(
        id: String,
        folder: &Path,
        device: &Device,
    ) -> Result<Self, model::Error> {
        let backbone = Backbone::read(folder, device)?;
        Ok(Self { id, backbone })
    }

    /// Memory of its weights, in bytes.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.backbone.n_bytes() as u64
    }
}
