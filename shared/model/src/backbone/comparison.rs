//! What a decoder needs, compared with what the headers of its checkpoint say:
//! names, shapes and types, before memory is taken for any of it.

use std::collections::{BTreeMap, HashSet};

use crate::backbone::checkpoint::Checkpoint;
use crate::backbone::config;
use crate::error::Error;

/// All weights of a decoder, as its configuration asks for them.
pub(crate) struct WantedWeights {
    /// The word embeddings first.
    weights: Vec<WantedWeight>,
    /// What the names of the blocks' weights begin with. Whatever a checkpoint
    /// has there takes part in the decoder.
    blocks: String,
}

/// A weight under the name that a checkpoint should have for it.
struct WantedWeight {
    name: String,
    shape: Vec<usize>,
}

/// Tensors in blocks that are no weights: masks and tables of positions that
/// some versions of `transformers` wrote.
const CONSTANTS: [&str; 6] = [
    ".attn.bias",
    ".attn.masked_bias",
    ".rotary_emb.inv_freq",
    ".rotary_emb.cos_cached",
    ".rotary_emb.sin_cached",
    ".attn_rot_embd.weight",
];

/// What programs put in front of all names when they wrap a model, and how to
/// save it without.
const WRAPPERS: [(&str, &str); 4] = [
    (
        "module.",
        "DistributedDataParallel wrapped the model; save what is inside: \
         `model.module.save_pretrained(folder)`",
    ),
    (
        "_orig_mod.",
        "`torch.compile` wrapped the model; save what is inside: \
         `model._orig_mod.save_pretrained(folder)`",
    ),
    (
        "base_model.model.",
        "it is an adapter beside a model; merge the two: \
         `model.merge_and_unload().save_pretrained(folder)`",
    ),
    (
        "language_model.",
        "it is part of a larger model; save the language model alone: \
         `model.language_model.save_pretrained(folder)`",
    ),
];

impl WantedWeights {
    /// The word embeddings `[words, embed]`, and as yet nothing else. The names
    /// of the blocks' weights begin with `blocks`.
    pub(crate) fn new(
        embeddings: String,
        shape: [usize; 2],
        blocks: String,
    ) -> Self {
        let mut wanted = Self {
            weights: Vec::new(),
            blocks,
        };
        wanted.push(embeddings, &shape);
        wanted
    }

    /// Adds a weight that is in no block.
    pub(crate) fn push(&mut self, name: String, shape: &[usize]) {
        let shape = shape.to_vec();
        self.weights.push(WantedWeight { name, shape });
    }

    /// Adds a weight of one block.
    pub(crate) fn push_in_block(
        &mut self,
        block: usize,
        name: &str,
        shape: &[usize],
    ) {
        let name = format!("{}{block}.{name}", self.blocks);
        self.push(name, shape);
    }

    /// Refuses a checkpoint that lacks a weight, has one of another shape or
    /// type, or has one in a block that the configuration knows nothing of.
    pub(crate) fn compare(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let embeddings = &self.weights[0];
        if checkpoint.shape(&embeddings.name).is_none() {
            check_wrapper(checkpoint)?;
        }
        check_vocabulary(checkpoint, embeddings)?;
        for weight in &self.weights {
            weight.compare(checkpoint)?;
        }
        self.check_rest(checkpoint)
    }

    /// How many numbers a checkpoint keeps in each encoding: all of the
    /// weights' together.
    pub(crate) fn n_by_encoding(
        &self,
        checkpoint: &Checkpoint,
    ) -> Result<BTreeMap<String, usize>, Error> {
        let mut n_numbers = BTreeMap::new();
        for WantedWeight { name, shape } in &self.weights {
            let encoding = checkpoint.encoding(name)?;
            let n: usize = shape.iter().product();
            *n_numbers.entry(encoding).or_default() += n;
        }
        Ok(n_numbers)
    }

    fn check_rest(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let mut wanted = HashSet::new();
        for weight in &self.weights {
            wanted.extend(checkpoint.own_name(&weight.name));
        }
        let blocks = checkpoint.own_blocks(&self.blocks);
        for name in checkpoint.names() {
            let is_constant = CONSTANTS.iter().any(|end| name.ends_with(end));
            let is_in_block = name.starts_with(blocks) && !is_constant;
            if is_in_block && !wanted.contains(name) {
                let reason = format!(
                    "tensor `{name}` is in a block of the decoder, and its \
                     configuration (number of layers, biases, norms) has no \
                     place for it; take config.json and weights from the \
                     same checkpoint"
                );
                let path = checkpoint.path_of(name);
                return Err(Error::malformed(path, reason));
            }
        }
        Ok(())
    }
}

impl WantedWeight {
    fn compare(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let Some(found) = checkpoint.shape(&self.name) else {
            return Err(Error::Missing {
                path: checkpoint.path_of(&self.name).to_owned(),
                name: self.name.clone(),
            });
        };
        if *found != *self.shape {
            return Err(Error::Shape {
                path: checkpoint.path_of(&self.name).to_owned(),
                name: self.name.clone(),
                found: found.to_vec(),
                expected: self.shape.clone(),
            });
        }
        checkpoint.encoding(&self.name).map(drop)
    }
}

/// Says so where the names of a checkpoint begin with a wrapper's.
fn check_wrapper(checkpoint: &Checkpoint) -> Result<(), Error> {
    for (prefix, advice) in WRAPPERS {
        if checkpoint.names().any(|name| name.starts_with(prefix)) {
            let reason = format!(
                "the names of its tensors begin with `{prefix}`: {advice}"
            );
            return Err(Error::malformed(checkpoint.path(), reason));
        }
    }
    Ok(())
}

/// Says so where the embeddings have other words than the configuration.
fn check_vocabulary(
    checkpoint: &Checkpoint,
    embeddings: &WantedWeight,
) -> Result<(), Error> {
    let [n_words, width] = *embeddings.shape else {
        return Ok(());
    };
    match checkpoint.shape(&embeddings.name) {
        Some([found, same]) if *found != n_words && *same == width => {
            let reason = format!(
                "vocab_size is {n_words} in {}, tensor `{}` has {found} rows; \
                 set vocab_size to {found}, or take config.json, \
                 tokenizer.json and weights from the same checkpoint",
                config::FILE,
                embeddings.name
            );
            let path = checkpoint.path_of(&embeddings.name);
            Err(Error::malformed(path, reason))
        }
        _ => Ok(()),
    }
}
