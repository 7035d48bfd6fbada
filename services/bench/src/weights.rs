//! What both programs start from: a decoder and tables, in the form that the
//! reference reads.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, bail};
use domain::RandomBackbone;
use model::{Backbone, Tables, compute_device, write_tensors};

use crate::data_set::DataSet;

/// Where a decoder comes from.
#[derive(Debug, Clone)]
pub(crate) enum Decoder {
    /// Weights drawn at random, of this shape.
    Random(RandomBackbone),
    /// A folder with weights, or a GGUF file.
    Files(PathBuf),
}

impl FromStr for Decoder {
    type Err = Infallible;

    /// Three numbers as in `768x12x12` are a shape, all else is a path.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let numbers: Result<Vec<usize>, _> =
            text.split('x').map(str::parse).collect();
        let Ok(&[n_embd, n_layer, n_head]) = numbers.as_deref() else {
            return Ok(Self::Files(PathBuf::from(text)));
        };
        Ok(Self::Random(RandomBackbone {
            n_embd,
            n_layer,
            n_head,
            n_positions: 1024,
            ..RandomBackbone::default()
        }))
    }
}

impl fmt::Display for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(path) => write!(f, "{}", path.display()),
            Self::Random(shape) => {
                write!(f, "{}x{}x{}", shape.n_embd, shape.n_layer, shape.n_head)
            }
        }
    }
}

/// Where it is written down which decoder's weights lie in a folder.
const WRITTEN_FROM: &str = "written_from.txt";

/// Writes the decoder and random tables, unless they were written before. A
/// folder with another decoder's weights is refused.
pub(crate) fn write(
    folder: &Path,
    decoder: &Decoder,
    data: &DataSet,
) -> anyhow::Result<()> {
    let written_from = folder.join(WRITTEN_FROM);
    let wanted = decoder.to_string();
    if folder.join("tables.safetensors").exists() {
        let found = std::fs::read_to_string(&written_from).ok();
        if found.as_deref() == Some(&*wanted) {
            return Ok(());
        }
        bail!(
            "{} holds weights of {}, not of {wanted}; remove it, or name another folder with --weights",
            folder.display(),
            found.as_deref().unwrap_or("an unknown decoder")
        );
    }

    let device = compute_device("flex")?.device;
    let backbone = match decoder {
        Decoder::Random(shape) => Backbone::random(shape, &device),
        Decoder::Files(path) => Backbone::read(path, &device)
            .with_context(|| format!("no decoder in {wanted}"))?,
    };
    backbone.write(&folder.join("backbone"))?;
    std::fs::write(&written_from, wanted)?;
    let width = backbone.n_embd();
    let tables = Tables::normal(data.n_users, data.n_items, width, 0);
    write_tensors(&folder.join("tables.safetensors"), &tables.tensors(""))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_numbers_are_a_shape_and_all_else_is_a_path() {
        let decoder = |text: &str| text.parse::<Decoder>().unwrap();
        assert!(matches!(
            decoder("768x12x6"),
            Decoder::Random(shape) if shape.n_embd == 768 && shape.n_head == 6
        ));
        assert_eq!(decoder("768x12x6").to_string(), "768x12x6");
        for path in ["smollm2", "6x3", "models/768x12x12"] {
            assert!(matches!(decoder(path), Decoder::Files(_)), "{path}");
        }
    }
}
