//! Frozen language models in memory: one for all versions that stand on it.

use std::path::Path;

use model::{Backbone, Device, Precision, PromptTexts};

/// A frozen language model, by its id in the artifact store.
#[derive(Debug)]
pub(crate) struct SharedBackbone {
    pub(crate) id: String,
    pub(crate) backbone: Backbone,
    /// What its weights were rounded to.
    pub(crate) precision: Precision,
    /// The words of the prompts, in its vocabulary.
    pub(crate) texts: PromptTexts,
}

impl SharedBackbone {
    /// Reads what user states are computed with: of the words, those of prompts
    /// alone.
    pub(crate) fn read(
        id: String,
        folder: &Path,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, model::Error> {
        let backbone = Backbone::read_to_answer(folder, device, precision)?;
        let texts = PromptTexts::new(backbone.tokenizer()?);
        Ok(Self {
            id,
            backbone: backbone.with_words_alone(&texts.words()),
            precision,
            texts,
        })
    }

    /// Memory of its weights, in bytes.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.backbone.n_bytes() as u64
    }
}
