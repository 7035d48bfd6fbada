//! What a backbone's files say about it, for whoever adds, lists or shows one:
//! everything is checked that can be without reading the weights.

use std::cmp::Reverse;
use std::path::Path;

use domain::Shape;

use crate::backbone::files::{BackboneFiles, check_prompts};
use crate::error::Error;

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
        let files = BackboneFiles::open(path)?;
        let BackboneFiles {
            config, checkpoint, ..
        } = &files;
        let tokenizer = files.tokenizer.as_ref().ok_or(Error::NoTokenizer)?;
        check_prompts(path, config, tokenizer)?;

        let n_by_encoding = files.weights.n_by_encoding(checkpoint)?;
        let n_parameters = n_by_encoding.values().sum();
        let mut encodings: Vec<String> =
            n_by_encoding.keys().cloned().collect();
        encodings.sort_by_key(|name| Reverse(n_by_encoding[name]));
        Ok(Self {
            family: config.family().to_owned(),
            shape: config.shape(),
            n_heads: config.n_heads(),
            n_key_value_heads: config.n_key_value_heads(),
            n_positions: config.n_positions(),
            n_tokenizer_words: tokenizer.n_words(),
            n_parameters,
            encodings,
            licence: checkpoint.licence().map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::Module;
    use std::path::PathBuf;

    use crate::backbone::decoder::Backbone;
    use crate::device::Device;

    fn fixtures() -> Vec<PathBuf> {
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
    fn the_parameters_that_headers_name_are_those_that_are_read() {
        for folder in fixtures() {
            let files = BackboneFiles::open(&folder).unwrap();
            let found = files.weights.n_by_encoding(&files.checkpoint).unwrap();
            let n_parameters: usize = found.values().sum();
            let backbone = Backbone::read(&folder, &Device::flex()).unwrap();
            let n_read = backbone.decoder.num_params();
            assert_eq!(n_parameters, n_read, "{}", folder.display());
        }
    }
}
