//! Frozen language models in memory: one for all versions that stand on it.

use std::path::Path;

use model::{Device, Gpt2, load_backbone};

/// A frozen language model, by its id in the artifact store.
#[derive(Debug)]
pub(crate) struct Backbone {
    pub(crate) id: String,
    pub(crate) gpt2: Gpt2,
}

impl Backbone {
    /// Reads the backbone's files into the device's memory.
    pub(crate) fn load(id: String, folder: &Path, device: &Device) -> Result<Self, model::Error> {
        let (_, gpt2) = load_backbone(folder, device)?;
        Ok(Self { id, gpt2 })
    }

    /// Memory of its weights, in bytes.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.gpt2.n_bytes() as u64
    }
}
