//! GPT-2 weights: read from and written as Hugging Face's `config.json` + `model.safetensors`, or
//! drawn at random.
//!
//! Conv1D weights are stored `[in, out]`, which is burn's `Linear` layout: nothing is transposed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use domain::{RandomBackbone, ValuePath};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use serde::Deserialize;

use crate::backbone::config::Gpt2Config;
use crate::backbone::gpt2::Gpt2;
use crate::backbone::host::to_vec;
use crate::backbone::layers::{LayerNorm, Linear};
use crate::backbone::tokenizer::Tokenizer;
use crate::error::Error;
use crate::tensors::{NamedTensor, TensorFile, write_atomically, write_tensors};

/// Reads a GPT-2 from a folder with `config.json` and `model.safetensors`, or with the shards that
/// `model.safetensors.index.json` names; f32, f16 or bf16.
///
/// Tensor names come with or without the `transformer.` prefix; other tensors of the files are
/// passed over.
pub fn load_backbone(folder: &Path, device: &Device) -> Result<(Gpt2Config, Gpt2), Error> {
    let config = Gpt2Config::read(&folder.join("config.json"))?;
    let source = Checkpoint::open(folder)?;
    let mut gpt2 = config.init(device);
    let (embed, inner) = (config.n_embd, config.inner());
    gpt2.wte =
        Param::from_tensor(source.tensor("wte.weight", [config.vocab_size, embed], device)?);
    gpt2.wpe =
        Param::from_tensor(source.tensor("wpe.weight", [config.n_positions, embed], device)?);
    for (layer, block) in gpt2.h.iter_mut().enumerate() {
        let name = |part: &str| format!("h.{layer}.{part}");
        source.layer_norm(&mut block.ln_1, &name("ln_1"), embed, device)?;
        source.linear(
            &mut block.c_attn,
            &name("attn.c_attn"),
            [embed, 3 * embed],
            device,
        )?;
        source.linear(
            &mut block.attn_proj,
            &name("attn.c_proj"),
            [embed, embed],
            device,
        )?;
        source.layer_norm(&mut block.ln_2, &name("ln_2"), embed, device)?;
        source.linear(&mut block.c_fc, &name("mlp.c_fc"), [embed, inner], device)?;
        source.linear(
            &mut block.mlp_proj,
            &name("mlp.c_proj"),
            [inner, embed],
            device,
        )?;
    }
    source.layer_norm(&mut gpt2.ln_f, "ln_f", embed, device)?;
    Ok((config, gpt2))
}

/// Tensor files whose names may carry the `transformer.` prefix.
struct Checkpoint {
    files: Vec<TensorFile>,
    /// Which file has a tensor.
    place: HashMap<String, usize>,
    prefix: &'static str,
}

/// Names the shards of a checkpoint.
const INDEX: &str = "model.safetensors.index.json";

impl Checkpoint {
    fn open(folder: &Path) -> Result<Self, Error> {
        let whole = folder.join("model.safetensors");
        let paths = if whole.exists() || !folder.join(INDEX).exists() {
            vec![whole]
        } else {
            shard_names(folder)?
                .into_iter()
                .map(|name| folder.join(name))
                .collect()
        };
        let files = paths
            .iter()
            .map(|path| TensorFile::open(path))
            .collect::<Result<Vec<_>, _>>()?;
        let mut place = HashMap::new();
        for (number, file) in files.iter().enumerate() {
            place.extend(file.names().into_iter().map(|name| (name, number)));
        }
        let is_prefixed = place.keys().any(|name| name.starts_with("transformer."));
        Ok(Self {
            files,
            place,
            prefix: if is_prefixed { "transformer." } else { "" },
        })
    }

    fn tensor<const D: usize>(
        &self,
        name: &str,
        expected: [usize; D],
        device: &Device,
    ) -> Result<Tensor<D>, Error> {
        let name = format!("{}{name}", self.prefix);
        let file = &self.files[self.place.get(&name).copied().unwrap_or(0)]; // the first says what is missing
        let (found, values) = file.f32(&name)?;
        if found != expected {
            return Err(Error::Shape {
                path: file.path().to_owned(),
                name,
                found,
                expected: expected.to_vec(),
            });
        }
        Ok(Tensor::from_data(TensorData::new(values, expected), device))
    }

    fn linear(
        &self,
        linear: &mut Linear,
        name: &str,
        shape: [usize; 2],
        device: &Device,
    ) -> Result<(), Error> {
        linear.weight =
            Param::from_tensor(self.tensor(&format!("{name}.weight"), shape, device)?);
        linear.bias =
            Param::from_tensor(self.tensor(&format!("{name}.bias"), [shape[1]], device)?);
        Ok(())
    }

    fn layer_norm(
        &self,
        norm: &mut LayerNorm,
        name: &str,
        width: usize,
        device: &Device,
    ) -> Result<(), Error> {
        norm.gamma = Param::from_tensor(self.tensor(&format!("{name}.weight"), [width], device)?);
        norm.beta = Param::from_tensor(self.tensor(&format!("{name}.bias"), [width], device)?);
        Ok(())
    }
}

/// The files beside `model.safetensors.index.json` that it names, each once.
pub fn shard_names(folder: &Path) -> Result<BTreeSet<String>, Error> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let path = folder.join(INDEX);
    let bytes = std::fs::read(&path).map_err(Error::file(&path))?;
    let index: Index =
        serde_json::from_slice(&bytes).map_err(|e| Error::malformed(&path, e.to_string()))?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    let is_shard = |name: &String| {
        name.ends_with(".safetensors") && !name.starts_with('.') && !name.contains(['/', '\\'])
    };
    if let Some(outside) = names.iter().find(|name| !is_shard(name)) {
        return Err(Error::malformed(
            &path,
            format!("shard `{outside}` is not a safetensors file beside the index"),
        ));
    }
    if names.is_empty() {
        return Err(Error::malformed(&path, "it names no shard"));
    }
    Ok(names)
}

/// Writes a GPT-2 as `transformers` reads it (`GPT2Model.from_pretrained`).
pub fn save_backbone(folder: &Path, config: &Gpt2Config, gpt2: &Gpt2) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
    let text = serde_json::to_vec_pretty(config).expect("a plain struct becomes JSON");
    write_atomically(&folder.join("config.json"), &text)?;
    let tensors = named_weights(gpt2);
    let tensors: Vec<NamedTensor<'_>> = tensors
        .iter()
        .map(|(name, shape, values)| NamedTensor::f32(name, shape.clone(), values))
        .collect();
    write_tensors(&folder.join("model.safetensors"), &tensors)
}

type Weight = (String, Vec<usize>, Vec<f32>);

fn named_weights(gpt2: &Gpt2) -> Vec<Weight> {
    fn weight<const D: usize>(name: String, tensor: Tensor<D>) -> Weight {
        (name, tensor.dims().to_vec(), to_vec(tensor.inner()))
    }
    let mut weights = vec![
        weight("wte.weight".to_owned(), gpt2.wte.val()),
        weight("wpe.weight".to_owned(), gpt2.wpe.val()),
    ];
    let mut linear = |name: String, linear: &Linear| {
        weights.push(weight(format!("{name}.weight"), linear.weight.val()));
        weights.push(weight(format!("{name}.bias"), linear.bias.val()));
    };
    for (layer, block) in gpt2.h.iter().enumerate() {
        linear(format!("h.{layer}.attn.c_attn"), &block.c_attn);
        linear(format!("h.{layer}.attn.c_proj"), &block.attn_proj);
        linear(format!("h.{layer}.mlp.c_fc"), &block.c_fc);
        linear(format!("h.{layer}.mlp.c_proj"), &block.mlp_proj);
    }
    let mut norm = |name: String, norm: &LayerNorm| {
        weights.push(weight(format!("{name}.weight"), norm.gamma.val()));
        weights.push(weight(format!("{name}.bias"), norm.beta.val()));
    };
    for (layer, block) in gpt2.h.iter().enumerate() {
        norm(format!("h.{layer}.ln_1"), &block.ln_1);
        norm(format!("h.{layer}.ln_2"), &block.ln_2);
    }
    norm("ln_f".to_owned(), &gpt2.ln_f);
    weights
}

/// A GPT-2 of the given shape with random weights over GPT-2's vocabulary; the same for the same
/// seed.
///
/// Weights are N(0, 0.02²) as GPT-2 is initialised, positions a tenth of that (a history is a set),
/// and with [`ValuePath::NearIdentity`] the value and output projections are the identity plus that
/// noise.
pub fn random_backbone(shape: &RandomBackbone, device: &Device) -> (Gpt2Config, Gpt2) {
    let config = Gpt2Config::new(
        Tokenizer::N_WORDS,
        shape.n_positions,
        shape.n_embd,
        shape.n_layer,
        shape.n_head,
    );
    let mut draw = Draw {
        rng: ChaCha8Rng::seed_from_u64(shape.seed),
        device,
    };
    let mut gpt2 = config.init(device);
    let (embed, inner) = (config.n_embd, config.inner());
    gpt2.wte = Param::from_tensor(draw.normal([config.vocab_size, embed], WEIGHT_STD));
    gpt2.wpe = Param::from_tensor(draw.normal([config.n_positions, embed], WEIGHT_STD / 10.0));
    for block in &mut gpt2.h {
        block.c_attn.weight = Param::from_tensor(draw.normal([embed, 3 * embed], WEIGHT_STD));
        block.attn_proj.weight = Param::from_tensor(draw.normal([embed, embed], WEIGHT_STD));
        block.c_fc.weight = Param::from_tensor(draw.normal([embed, inner], WEIGHT_STD));
        block.mlp_proj.weight = Param::from_tensor(draw.normal([inner, embed], WEIGHT_STD));
        if shape.value_path == ValuePath::NearIdentity {
            let identity = Tensor::<2>::eye(embed, device);
            let beside = Tensor::zeros([embed, 2 * embed], device); // queries and keys stay as drawn
            let value = Tensor::cat(vec![beside, identity.clone()], 1);
            block.c_attn.weight = Param::from_tensor(block.c_attn.weight.val() + value);
            block.attn_proj.weight = Param::from_tensor(block.attn_proj.weight.val() + identity);
        }
    }
    (config, gpt2)
}

/// GPT-2's `initializer_range`.
const WEIGHT_STD: f32 = 0.02;

struct Draw<'a> {
    rng: ChaCha8Rng,
    device: &'a Device,
}

impl Draw<'_> {
    fn normal(&mut self, shape: [usize; 2], std: f32) -> Tensor<2> {
        let normal = Normal::new(0.0, std).expect("a constant standard deviation is valid");
        let values: Vec<f32> = (0..shape[0] * shape[1])
            .map(|_| normal.sample(&mut self.rng))
            .collect();
        Tensor::from_data(TensorData::new(values, shape), self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::{Dtype, TensorView};

    fn shape() -> RandomBackbone {
        RandomBackbone {
            n_embd: 8,
            n_layer: 2,
            n_head: 2,
            n_positions: 16,
            ..RandomBackbone::default()
        }
    }

    #[test]
    fn a_backbone_that_is_written_is_read_back_bit_for_bit() {
        let (folder, device) = (tempfile::tempdir().unwrap(), Device::flex());
        let (config, gpt2) = random_backbone(&shape(), &device);
        save_backbone(folder.path(), &config, &gpt2).unwrap();
        let (read_config, read) = load_backbone(folder.path(), &device).unwrap();
        assert_eq!(read_config, config);
        assert_eq!(named_weights(&read), named_weights(&gpt2));
    }

    /// The weights again, as another program may have written them: prefixed, in two shards, of
    /// another float type.
    fn write_shards(folder: &Path, gpt2: &Gpt2, dtype: Dtype) {
        let weights = named_weights(gpt2);
        let bytes = |values: &[f32]| -> Vec<u8> {
            let half = |value: &f32| {
                if dtype == Dtype::F16 {
                    burn::tensor::f16::from_f32(*value).to_le_bytes()
                } else {
                    burn::tensor::bf16::from_f32(*value).to_le_bytes()
                }
            };
            values.iter().flat_map(half).collect()
        };
        let mut weight_map = serde_json::Map::new();
        for (number, part) in weights.chunks(weights.len().div_ceil(2)).enumerate() {
            let file = format!("model-{number}.safetensors");
            let data: Vec<Vec<u8>> = part.iter().map(|(_, _, values)| bytes(values)).collect();
            let views = part.iter().zip(&data).map(|((name, shape, _), data)| {
                weight_map.insert(format!("transformer.{name}"), file.clone().into());
                (
                    format!("transformer.{name}"),
                    TensorView::new(dtype, shape.clone(), data).unwrap(),
                )
            });
            std::fs::write(
                folder.join(&file),
                safetensors::serialize(views, None).unwrap(),
            )
            .unwrap();
        }
        let index = serde_json::json!({ "weight_map": weight_map });
        std::fs::write(folder.join(INDEX), index.to_string()).unwrap();
    }

    #[test]
    fn prefixed_half_precision_shards_are_read() {
        let device = Device::flex();
        let (config, gpt2) = random_backbone(&shape(), &device);
        for (dtype, step) in [(Dtype::F16, 1e-3), (Dtype::BF16, 8e-3)] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(
                folder.path().join("config.json"),
                serde_json::to_vec(&config).unwrap(),
            )
            .unwrap();
            write_shards(folder.path(), &gpt2, dtype);
            let (_, read) = load_backbone(folder.path(), &device).unwrap();
            for ((name, _, found), (_, _, expected)) in
                named_weights(&read).iter().zip(&named_weights(&gpt2))
            {
                let is_close = |(a, b): (&f32, &f32)| (a - b).abs() <= step * b.abs().max(1e-3);
                assert!(
                    found.iter().zip(expected).all(is_close),
                    "{name} as {dtype:?}"
                );
            }
            std::fs::remove_file(folder.path().join("model-1.safetensors")).unwrap();
            let error = load_backbone(folder.path(), &device)
                .unwrap_err()
                .to_string();
            assert!(error.contains("model-1.safetensors"), "{error}");
        }
    }

    #[test]
    fn gpt_2s_own_shapes_are_read() {
        // Widths and heads of distilgpt2 and GPT-2 small (768, 12) and medium (1024, 16), one block
        // of each.
        for (n_embd, n_head) in [(768, 12), (1024, 16)] {
            let config = Gpt2Config::new(64, 32, n_embd, 1, n_head);
            let (folder, device) = (tempfile::tempdir().unwrap(), Device::flex());
            save_backbone(folder.path(), &config, &config.init(&device)).unwrap();
            assert_eq!(
                load_backbone(folder.path(), &device).unwrap().1.n_embd(),
                n_embd
            );
        }
    }

    #[test]
    fn what_is_wrong_with_a_checkpoint_is_named() {
        let (folder, device) = (tempfile::tempdir().unwrap(), Device::flex());
        let (config, gpt2) = random_backbone(&shape(), &device);
        save_backbone(folder.path(), &config, &gpt2).unwrap();
        let deeper = Gpt2Config {
            n_layer: 3,
            ..config.clone()
        };
        std::fs::write(
            folder.path().join("config.json"),
            serde_json::to_vec(&deeper).unwrap(),
        )
        .unwrap();
        let missing = load_backbone(folder.path(), &device)
            .unwrap_err()
            .to_string();
        assert!(missing.contains("h.2.ln_1.weight"), "{missing}");

        let wider = Gpt2Config {
            n_inner: Some(40),
            ..config.clone()
        };
        std::fs::write(
            folder.path().join("config.json"),
            serde_json::to_vec(&wider).unwrap(),
        )
        .unwrap();
        let shape = load_backbone(folder.path(), &device)
            .unwrap_err()
            .to_string();
        assert!(
            shape.contains("h.0.mlp.c_fc.weight") && shape.contains("[8, 32]"),
            "{shape}"
        );

        let foreign = Gpt2Config {
            activation_function: "relu".to_owned(),
            ..config
        };
        std::fs::write(
            folder.path().join("config.json"),
            serde_json::to_vec(&foreign).unwrap(),
        )
        .unwrap();
        assert!(
            load_backbone(folder.path(), &device)
                .unwrap_err()
                .to_string()
                .contains("gelu_new")
        );

        let path = folder.path().join("model.safetensors");
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let truncated = TensorFile::open(&path).unwrap_err().to_string();
        assert!(
            truncated.contains("model.safetensors") && truncated.contains("not a complete"),
            "{truncated}"
        );
    }
}
