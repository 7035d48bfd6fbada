//! Weights in Hugging Face's safetensors files, whole or in shards.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use serde::Deserialize;

use crate::backbone::config::{self, Config};
use crate::backbone::gguf::GgufCheckpoint;
use crate::backbone::host::to_vec;
use crate::error::Error;
use crate::tensors::{
    NamedTensor, TensorFile, TensorHeader, write_atomically, write_tensors,
};

/// The file that holds all weights.
const WHOLE: &str = "model.safetensors";
/// The file that names the shards of a checkpoint.
const INDEX: &str = "model.safetensors.index.json";

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

    /// What the files' headers say about a tensor; nothing of it is read.
    pub(crate) fn header(&self, name: &str) -> Result<TensorHeader, Error> {
        match self {
            Self::Safetensors(files) => files.file_of(name).header(name),
            Self::Gguf(gguf) => gguf.header(name),
        }
    }

    /// Where a tensor is, or would be.
    pub(crate) fn path_of(&self, name: &str) -> &Path {
        match self {
            Self::Safetensors(files) => files.file_of(name).path(),
            Self::Gguf(gguf) => gguf.path(),
        }
    }

    /// Reads a tensor as f32; one of another shape than `expected` is an error.
    pub(crate) fn tensor<const D: usize>(
        &self,
        name: &str,
        expected: [usize; D],
        device: &Device,
    ) -> Result<Tensor<D>, Error> {
        let (path, (found, values)) = match self {
            Self::Safetensors(files) => {
                let file = files.file_of(name);
                (file.path(), file.f32(name)?)
            }
            Self::Gguf(gguf) => (gguf.path(), gguf.f32(name)?),
        };
        if found != expected {
            return Err(Error::Shape {
                path: path.to_owned(),
                name: name.to_owned(),
                found,
                expected: expected.to_vec(),
            });
        }

        let data = TensorData::new(values, expected);
        Ok(Tensor::from_data(data, device))
    }
}

/// A weight that a family's checkpoints must hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ExpectedWeight {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
}

impl ExpectedWeight {
    pub(crate) fn new(name: impl Into<String>, shape: &[usize]) -> Self {
        Self {
            name: name.into(),
            shape: shape.to_vec(),
        }
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

/// The tensor files of a folder.
pub(crate) struct TensorFiles {
    files: Vec<TensorFile>,
    /// The place of the file that has a tensor, by the tensor's name.
    place: HashMap<String, usize>,
}

impl TensorFiles {
    /// Reads the headers of a folder's files.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let mut files = Vec::new();
        for path in weight_files(folder)? {
            files.push(TensorFile::open(&path)?);
        }

        let mut place = HashMap::new();
        for (number, file) in files.iter().enumerate() {
            for name in file.names() {
                place.insert(name, number);
            }
        }
        Ok(Self { files, place })
    }

    fn prefix(&self, prefix: &'static str) -> &'static str {
        let mut names = self.place.keys();
        let is_prefixed = names.any(|name| name.starts_with(prefix));
        if is_prefixed { prefix } else { "" }
    }

    /// The file that has a tensor. Where none has it, the first one says that
    /// it is missing.
    fn file_of(&self, name: &str) -> &TensorFile {
        let place = self.place.get(name).copied().unwrap_or(0);
        &self.files[place]
    }
}

/// The files with weights: one, or the shards that the index names.
fn weight_files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let whole = folder.join(WHOLE);
    if whole.exists() || !folder.join(INDEX).exists() {
        return Ok(vec![whole]);
    }
    let names = shard_names(folder)?;
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// What `model.safetensors.index.json` says.
#[derive(Deserialize)]
struct Index {
    /// The file that holds a tensor, by the tensor's name.
    weight_map: BTreeMap<String, String>,
}

/// The files beside `model.safetensors.index.json` that it names, each once. An
/// index that names none, or something that is not a safetensors file beside
/// it, is an error.
pub fn shard_names(folder: &Path) -> Result<BTreeSet<String>, Error> {
    let path = folder.join(INDEX);
    let bytes = std::fs::read(&path).map_err(Error::file(&path))?;
    let index: Index = serde_json::from_slice(&bytes)
        .map_err(|e| Error::malformed(&path, e.to_string()))?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    for name in &names {
        let is_hidden = name.starts_with('.');
        let leads_elsewhere = name.contains(['/', '\\']);
        if is_hidden || leads_elsewhere || !name.ends_with(".safetensors") {
            let reason = format!(
                "shard `{name}` is not a safetensors file beside the index"
            );
            return Err(Error::malformed(&path, reason));
        }
    }

    if names.is_empty() {
        return Err(Error::malformed(&path, "it names no shard"));
    }
    Ok(names)
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
    /// Its name and shape.
    #[cfg(test)]
    pub(crate) fn expected(&self) -> ExpectedWeight {
        ExpectedWeight::new(&*self.name, &self.shape)
    }

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

    /// Changes fields of a folder's `config.json`.
    fn configure(folder: &Path, fields: &[(&str, serde_json::Value)]) {
        let path = folder.join(config::FILE);
        let text = std::fs::read(&path).unwrap();
        let mut config: serde_json::Value =
            serde_json::from_slice(&text).unwrap();
        for (name, value) in fields {
            config[name] = value.clone();
        }
        std::fs::write(&path, config.to_string()).unwrap();
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

    #[test]
    fn what_is_wrong_with_a_checkpoint_is_named() {
        let folder = tempfile::tempdir().unwrap();
        backbone().write(folder.path()).unwrap();
        configure(folder.path(), &[("n_layer", 3.into())]);
        let missing = read(folder.path()).unwrap_err().to_string();
        assert!(missing.contains("h.2.ln_1.weight"), "{missing}");

        configure(
            folder.path(),
            &[("n_layer", 2.into()), ("n_inner", 40.into())],
        );
        let shape = read(folder.path()).unwrap_err().to_string();
        assert!(
            shape.contains("h.0.mlp.c_fc.weight") && shape.contains("[8, 32]"),
            "{shape}"
        );

        configure(folder.path(), &[("activation_function", "relu".into())]);
        let foreign = read(folder.path()).unwrap_err().to_string();
        assert!(foreign.contains("gelu_new"), "{foreign}");

        let path = folder.path().join(WHOLE);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let truncated = TensorFile::open(&path).unwrap_err().to_string();
        assert!(
            truncated.contains("model.safetensors")
                && truncated.contains("not a complete"),
            "{truncated}"
        );
    }
}
