//! Weights by their names in Hugging Face's checkpoints, read from whatever
//! files have them, and written.

use std::path::Path;

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};

use crate::backbone::config::{self, Config};
use crate::backbone::gguf::{self, GgufCheckpoint};
use crate::backbone::host::to_vec;
use crate::backbone::tensor_files::{TensorFiles, WHOLE};
use crate::error::Error;
use crate::tensors::{NamedTensor, write_atomically, write_tensors};

/// Where weights are read from, under the names of Hugging Face's checkpoints.
pub(crate) enum Checkpoint {
    /// The safetensors files of a folder.
    Safetensors(TensorFiles),
    /// A GGUF file.
    Gguf(GgufCheckpoint),
}

impl Checkpoint {
    /// Returns `prefix` where the tensors' names begin with it, else an empty
    /// one.
    pub(crate) fn prefix(&self, prefix: &'static str) -> &'static str {
        match self {
            Self::Safetensors(files) => files.prefix(prefix),
            Self::Gguf(_) => prefix,
        }
    }

    /// The file that holds it, or that names the files that do.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Safetensors(files) => &files.path,
            Self::Gguf(gguf) => gguf.path(),
        }
    }

    /// The licence that its files name; safetensors files name none.
    pub(crate) fn licence(&self) -> Option<&str> {
        match self {
            Self::Safetensors(_) => None,
            Self::Gguf(gguf) => gguf.licence(),
        }
    }

    /// The file that has a tensor; where none has it, [`Self::path`].
    pub(crate) fn path_of(&self, name: &str) -> &Path {
        match self {
            Self::Safetensors(files) => match files.file_of(name) {
                Some(file) => file.path(),
                None => &files.path,
            },
            Self::Gguf(gguf) => gguf.path(),
        }
    }

    /// The tensors' names as its files have them.
    pub(crate) fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::Safetensors(files) => Box::new(files.names()),
            Self::Gguf(gguf) => Box::new(gguf.names()),
        }
    }

    /// The name that its files have for a tensor, where they have one.
    pub(crate) fn own_name(&self, name: &str) -> Option<String> {
        match self {
            Self::Safetensors(_) => Some(name.to_owned()),
            Self::Gguf(_) => gguf::own_name(name),
        }
    }

    /// What the names of the blocks' tensors begin with in its files.
    pub(crate) fn own_blocks<'a>(&self, blocks: &'a str) -> &'a str {
        match self {
            Self::Safetensors(_) => blocks,
            Self::Gguf(_) => gguf::BLOCKS,
        }
    }

    /// The dimensions of a tensor, as a header says; none where there is no
    /// such tensor.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        match self {
            Self::Safetensors(files) => files.file_of(name)?.shape(name),
            Self::Gguf(gguf) => gguf.shape(name),
        }
    }

    /// How a tensor's numbers are kept, as its format calls it (`BF16`,
    /// `Q4_1`), by its header alone. What is not read here is an error.
    pub(crate) fn encoding(&self, name: &str) -> Result<String, Error> {
        match self {
            Self::Safetensors(files) => files.named(name)?.float_type(name),
            Self::Gguf(gguf) => Ok(gguf.encoding(name)?.to_owned()),
        }
    }

    /// Reads a tensor as f32. One of another shape than `expected`, or with a
    /// number that is not finite, is an error.
    pub(crate) fn tensor<const D: usize>(
        &self,
        name: &str,
        expected: [usize; D],
        device: &Device,
    ) -> Result<Tensor<D>, Error> {
        let (found, values) = match self {
            Self::Safetensors(files) => files.named(name)?.f32(name)?,
            Self::Gguf(gguf) => gguf.f32(name)?,
        };
        if found != expected {
            return Err(Error::Shape {
                path: self.path_of(name).to_owned(),
                name: name.to_owned(),
                found,
                expected: expected.to_vec(),
            });
        }
        if let Some(place) = values.iter().position(|x| !x.is_finite()) {
            let reason = format!(
                "number {place} of tensor `{name}` is {}; the file is damaged \
                 or its training diverged: download it again, or take another \
                 checkpoint",
                values[place]
            );
            return Err(Error::malformed(self.path_of(name), reason));
        }

        let data = TensorData::new(values, expected);
        Ok(Tensor::from_data(data, device))
    }
}

/// A checkpoint, or the part of it whose names begin alike, on its way to a
/// device.
pub(crate) struct Source<'a> {
    checkpoint: &'a Checkpoint,
    /// What every name begins with.
    prefix: String,
    device: &'a Device,
}

impl<'a> Source<'a> {
    /// The whole checkpoint. Names may carry `prefix` there, and are asked for
    /// without it here.
    pub(crate) fn new(
        checkpoint: &'a Checkpoint,
        prefix: &'static str,
        device: &'a Device,
    ) -> Self {
        Self {
            checkpoint,
            prefix: checkpoint.prefix(prefix).to_owned(),
            device,
        }
    }

    /// The part whose names begin with `name` and a dot.
    pub(crate) fn part(&self, name: &str) -> Self {
        Self {
            prefix: format!("{}{name}.", self.prefix),
            ..*self
        }
    }

    /// Reads a weight; one of another shape is an error.
    pub(crate) fn weight<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
    ) -> Result<Param<Tensor<D>>, Error> {
        let name = format!("{}{name}", self.prefix);
        let tensor = self.checkpoint.tensor(&name, shape, self.device)?;
        Ok(Param::from_tensor(tensor))
    }
}

/// A tensor of a checkpoint that is to be written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Weight {
    name: String,
    shape: Vec<usize>,
    /// The numbers in row-major order.
    values: Vec<f32>,
}

impl Weight {
    /// Fetches a tensor's values from its device.
    pub(crate) fn new<const D: usize>(name: String, tensor: Tensor<D>) -> Self {
        Self {
            name,
            shape: tensor.dims().to_vec(),
            values: to_vec(tensor.inner()),
        }
    }
}

/// Writes a checkpoint as `transformers` reads it (`from_pretrained`).
pub(crate) fn write_checkpoint(
    folder: &Path,
    config: &Config,
    weights: &[Weight],
) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
    let text = serde_json::to_vec_pretty(config);
    let text = text.expect("a plain struct becomes JSON");
    write_atomically(&folder.join(config::FILE), &text)?;

    let mut tensors = Vec::with_capacity(weights.len());
    for weight in weights {
        let shape = weight.shape.clone();
        tensors.push(NamedTensor::f32(&weight.name, shape, &weight.values));
    }
    write_tensors(&folder.join(WHOLE), &tensors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::RandomBackbone;
    use safetensors::tensor::{Dtype, TensorView};

    use crate::backbone::decoder::Backbone;
    use crate::backbone::gpt2::Gpt2;
    use crate::backbone::gpt2::config::{Gpt2Config, Sizes};
    use crate::backbone::tensor_files::INDEX;

    fn backbone() -> Backbone {
        let shape = RandomBackbone {
            n_embd: 8,
            n_layer: 2,
            n_head: 2,
            n_positions: 16,
            ..RandomBackbone::default()
        };
        Backbone::random(&shape, &Device::flex())
    }

    fn weights(backbone: &Backbone) -> Vec<Weight> {
        backbone.named_weights()
    }

    fn read(folder: &Path) -> Result<Backbone, Error> {
        Backbone::read(folder, &Device::flex())
    }

    #[test]
    fn a_backbone_that_is_written_is_read_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let written = backbone();
        written.write(folder.path()).unwrap();
        let read = read(folder.path()).unwrap();
        assert_eq!(read.shape(), written.shape());
        assert_eq!(read.n_positions(), 16);
        assert_eq!(weights(&read), weights(&written));
    }

    fn half_bytes(value: f32, dtype: Dtype) -> [u8; 2] {
        if dtype == Dtype::F16 {
            burn::tensor::f16::from_f32(value).to_le_bytes()
        } else {
            burn::tensor::bf16::from_f32(value).to_le_bytes()
        }
    }

    /// The weights again, as another program may have written them: prefixed,
    /// in two shards, of another float type.
    fn write_shards(folder: &Path, weights: &[Weight], dtype: Dtype) {
        let mut weight_map = serde_json::Map::new();
        for (number, part) in
            weights.chunks(weights.len().div_ceil(2)).enumerate()
        {
            let file = format!("model-{number}.safetensors");
            let mut tensors = Vec::new();
            for weight in part {
                let bytes: Vec<u8> = weight
                    .values
                    .iter()
                    .flat_map(|&value| half_bytes(value, dtype))
                    .collect();
                tensors.push((
                    format!("transformer.{}", weight.name),
                    weight,
                    bytes,
                ));
            }
            let views = tensors.iter().map(|(name, weight, bytes)| {
                weight_map.insert(name.clone(), file.clone().into());
                let view = TensorView::new(dtype, weight.shape.clone(), bytes)
                    .unwrap();
                (name.clone(), view)
            });
            let shard = safetensors::serialize(views, None).unwrap();
            std::fs::write(folder.join(&file), shard).unwrap();
        }
        let index = serde_json::json!({ "weight_map": weight_map });
        std::fs::write(folder.join(INDEX), index.to_string()).unwrap();
    }

    #[test]
    fn prefixed_half_precision_shards_are_read() {
        let written = backbone();
        for (dtype, step) in [(Dtype::F16, 1e-3), (Dtype::BF16, 8e-3)] {
            let folder = tempfile::tempdir().unwrap();
            written.write(folder.path()).unwrap();
            std::fs::remove_file(folder.path().join(WHOLE)).unwrap();
            write_shards(folder.path(), &weights(&written), dtype);
            let found = weights(&read(folder.path()).unwrap());
            for (found, expected) in found.iter().zip(&weights(&written)) {
                let is_close = |(a, b): (&f32, &f32)| {
                    (a - b).abs() <= step * b.abs().max(1e-3)
                };
                let mut pairs = found.values.iter().zip(&expected.values);
                assert!(pairs.all(is_close), "{} as {dtype:?}", found.name);
            }
            std::fs::remove_file(folder.path().join("model-1.safetensors"))
                .unwrap();
            let error = read(folder.path()).unwrap_err().to_string();
            assert!(error.contains("model-1.safetensors"), "{error}");
        }
    }

    #[test]
    fn gpt_2s_own_shapes_are_read() {
        // Widths and heads of distilgpt2 and GPT-2 small (768, 12) and medium
        // (1024, 16), one block of each.
        for (n_embd, n_head) in [(768, 12), (1024, 16)] {
            let config = Gpt2Config::new(&Sizes {
                vocab_size: 64,
                n_positions: 32,
                n_embd,
                n_layer: 1,
                n_head,
            });
            let folder = tempfile::tempdir().unwrap();
            let weights = Gpt2::zeros(&config, &Device::flex()).named_weights();
            write_checkpoint(folder.path(), &Config::Gpt2(config), &weights)
                .unwrap();
            assert_eq!(read(folder.path()).unwrap().n_embd(), n_embd);
        }
    }
}
