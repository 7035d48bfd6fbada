//! What a backbone's files say about it, for whoever adds, lists or shows one:
//! everything is checked that can be without reading the weights.

use std::collections::BTreeMap;
use std::path::Path;

use domain::Shape;

use crate::backbone::checkpoint::{Checkpoint, ExpectedWeight};
use crate::backbone::decoder::{BackboneFiles, check_prompts};
use crate::error::Error;
use crate::tensors::TensorHeader;

/// A backbone as its configuration, its tokenizer and the headers of its
/// weights describe it.
#[derive(Debug, Clone)]
pub struct BackboneFacts {
    /// The `model_type` of its configuration.
    pub family: String,
    /// The sizes that the cost of a pass follows from.
    pub shape: Shape,
    /// Heads of the queries.
    pub n_heads: usize,
    /// Heads of the keys and values; fewer where queries share them.
    pub n_key_value_heads: usize,
    /// The length of the longest sequence, in tokens.
    pub n_positions: usize,
    /// Words that its tokenizer can give; ids are below this.
    pub n_tokenizer_words: usize,
    /// Every number that is learned, shared ones once.
    pub n_parameters: usize,
    /// How the numbers are kept, as the format names it (`BF16`, `Q4_1`), what
    /// most are kept in first.
    pub encodings: Vec<String>,
    /// The licence that the weights' own file names; safetensors name none.
    pub licence: Option<String>,
}

impl BackboneFacts {
    /// Reads what [`crate::Backbone::read`] would read, without the weights. An
    /// error says what is missing, damaged, of a wrong shape or not computed
    /// here.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let BackboneFiles {
            config,
            checkpoint,
            tokenizer,
        } = BackboneFiles::open(path)?;
        let tokenizer = tokenizer.ok_or(Error::NoTokenizer)?;
        let weights = config.weights(&checkpoint);
        let mut n_parameters = 0;
        let mut n_kept_as: BTreeMap<String, usize> = BTreeMap::new();
        for weight in &weights {
            let header = checked_header(&checkpoint, weight)?;
            let n: usize = weight.shape.iter().product();
            n_parameters += n;
            *n_kept_as.entry(header.encoding).or_default() += n;
        }
        check_prompts(path, &config, &tokenizer)?;
        let mut encodings: Vec<(usize, String)> =
            n_kept_as.into_iter().map(|(name, n)| (n, name)).collect();
        encodings.sort_by(|a, b| b.cmp(a));
        Ok(Self {
            family: config.family().to_owned(),
            shape: config.shape(),
            n_heads: config.n_heads(),
            n_key_value_heads: config.n_key_value_heads(),
            n_positions: config.n_positions(),
            n_tokenizer_words: tokenizer.n_words(),
            n_parameters,
            encodings: encodings.into_iter().map(|(_, name)| name).collect(),
            licence: licence(&checkpoint),
        })
    }
}

fn licence(checkpoint: &Checkpoint) -> Option<String> {
    match checkpoint {
        Checkpoint::Gguf(gguf) => gguf.licence(),
        Checkpoint::Safetensors(_) => None,
    }
}

/// A weight's header; an error where it is of another shape.
fn checked_header(
    checkpoint: &Checkpoint,
    weight: &ExpectedWeight,
) -> Result<TensorHeader, Error> {
    let ExpectedWeight { name, shape } = weight;
    let header = checkpoint.header(name)?;
    if header.shape == *shape {
        return Ok(header);
    }
    Err(Error::Shape {
        path: checkpoint.path_of(name).to_owned(),
        name: name.clone(),
        found: header.shape,
        expected: shape.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::decoder::Backbone;
    use crate::device::Device;

    fn fixtures() -> Vec<std::path::PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let mut folders = vec![root.join("parity/backbone")];
        for entry in std::fs::read_dir(root.join("decoders")).unwrap() {
            let folder = entry.unwrap().path().join("backbone");
            if folder.exists() {
                folders.push(folder);
            }
        }
        folders
    }

    #[test]
    fn what_is_expected_of_a_checkpoint_is_what_is_read_from_it() {
        for folder in fixtures() {
            let files = BackboneFiles::open(&folder).unwrap();
            let mut expected = files.config.weights(&files.checkpoint);
            for weight in &mut expected {
                // What is written has no such prefix.
                let name = weight.name.trim_start_matches("transformer.");
                weight.name = name.to_owned();
            }
            let backbone = Backbone::read(&folder, &Device::flex()).unwrap();
            let mut read: Vec<ExpectedWeight> = backbone
                .named_weights()
                .iter()
                .map(|weight| weight.expected())
                .collect();
            expected.sort_by(|a, b| a.name.cmp(&b.name));
            read.sort_by(|a, b| a.name.cmp(&b.name));
            assert_eq!(expected, read, "{}", folder.display());
        }
    }
}
