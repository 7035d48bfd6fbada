//! Small checkpoints of the shipped fixtures, taken apart so that a test can
//! write them again in another way, or wrong.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test program uses a part of it"
)]

/// The same checkpoints as GGUF files.
pub mod gguf;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use model::{Backbone, compute_device};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

pub const WHOLE: &str = "model.safetensors";
pub const INDEX: &str = "model.safetensors.index.json";

/// What the files of a checkpoint say.
#[derive(Clone)]
pub struct Small {
    pub config: Value,
    pub tensors: BTreeMap<String, Stored>,
}

/// A tensor as a file has it.
#[derive(Clone)]
pub struct Stored {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Stored {
    pub fn f32(shape: Vec<usize>, values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        Self {
            dtype: Dtype::F32,
            shape,
            bytes: bytes.collect(),
        }
    }

    pub fn zeros(shape: Vec<usize>) -> Self {
        let n_values = shape.iter().product();
        Self::f32(shape, &vec![0.0; n_values])
    }

    /// The numbers of an f32 tensor.
    pub fn values(&self) -> Vec<f32> {
        let words = self.bytes.as_chunks::<4>().0.iter();
        words.map(|word| f32::from_le_bytes(*word)).collect()
    }

    /// The same numbers in half the bytes.
    #[must_use]
    pub fn halved(&self, dtype: Dtype) -> Self {
        let mut bytes = Vec::new();
        for value in self.values() {
            let half = if dtype == Dtype::F16 {
                half::f16(value)
            } else {
                half::bf16(value)
            };
            bytes.extend(half);
        }
        Self {
            dtype,
            shape: self.shape.clone(),
            bytes,
        }
    }
}

/// Numbers of two bytes.
mod half {
    use burn::tensor;

    pub fn f16(value: f32) -> [u8; 2] {
        tensor::f16::from_f32(value).to_le_bytes()
    }

    pub fn bf16(value: f32) -> [u8; 2] {
        tensor::bf16::from_f32(value).to_le_bytes()
    }
}

impl Small {
    /// A folder below `tests/`.
    pub fn of_fixture(name: &str) -> Self {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        Self::read(&tests.join(name))
    }

    pub fn gpt2() -> Self {
        Self::of_fixture("parity/backbone")
    }

    pub fn llama() -> Self {
        Self::of_fixture("decoders/llama/backbone")
    }

    /// Reads a folder that [`Self::write`] wrote, or one of the same form.
    pub fn read(folder: &Path) -> Self {
        let config = fs::read(folder.join("config.json")).unwrap();
        let bytes = fs::read(folder.join(WHOLE)).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            let stored = Stored {
                dtype: view.dtype(),
                shape: view.shape().to_vec(),
                bytes: view.data().to_vec(),
            };
            tensors.insert(name, stored);
        }
        Self {
            config: serde_json::from_slice(&config).unwrap(),
            tensors,
        }
    }

    /// Writes `config.json` and `model.safetensors`.
    pub fn write(&self, folder: &Path) {
        self.write_config(folder);
        let names: Vec<&String> = self.tensors.keys().collect();
        self.write_part(&names, &folder.join(WHOLE));
    }

    pub fn write_config(&self, folder: &Path) {
        let text = self.config.to_string();
        fs::write(folder.join("config.json"), text).unwrap();
    }

    /// Writes `config.json`, two shards and their index.
    pub fn write_shards(&self, folder: &Path) {
        self.write_config(folder);
        let names: Vec<&String> = self.tensors.keys().collect();
        let mut weight_map = serde_json::Map::new();
        let parts = names.chunks(names.len().div_ceil(2));
        for (number, part) in parts.enumerate() {
            let shard = shard(number);
            self.write_part(part, &folder.join(&shard));
            for name in part {
                weight_map.insert((*name).clone(), shard.clone().into());
            }
        }
        let index = json!({"metadata": {}, "weight_map": weight_map});
        fs::write(folder.join(INDEX), index.to_string()).unwrap();
    }

    fn write_part(&self, names: &[&String], path: &Path) {
        let mut views = Vec::new();
        for name in names {
            let Stored {
                dtype,
                shape,
                bytes,
            } = &self.tensors[*name];
            let view = TensorView::new(*dtype, shape.clone(), bytes).unwrap();
            views.push((*name, view));
        }
        fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
    }

    /// The same tensors under other names.
    #[must_use]
    pub fn renamed(&self, name: impl Fn(&str) -> String) -> Self {
        let mut tensors = BTreeMap::new();
        for (old, stored) in &self.tensors {
            tensors.insert(name(old), stored.clone());
        }
        Self {
            config: self.config.clone(),
            tensors,
        }
    }
}

/// The name of a shard.
pub fn shard(number: usize) -> String {
    format!("model-{number}.safetensors")
}

/// Reads a backbone as a job does.
pub fn read(path: &Path) -> Result<Backbone, model::Error> {
    let device = compute_device("flex").unwrap().device;
    let backbone = Backbone::read(path, &device)?;
    if path.join("tokenizer.json").exists() {
        backbone.check_prompts(path)?;
    }
    Ok(backbone)
}

/// What a job says when it cannot read a backbone.
pub fn refusal(path: &Path) -> Option<String> {
    let error = read(path).err()?;
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message += &format!(": {cause}");
        source = cause.source();
    }
    Some(message)
}
