//! A GPT-2 with random weights, for machines that have no other.

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use domain::{RandomBackbone, ValuePath};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

use crate::backbone::gpt2::config::{Gpt2Config, Sizes};
use crate::backbone::gpt2::{Block, Gpt2};
use crate::backbone::tokenizer::N_GPT2_WORDS;

/// Standard deviation of the weights: GPT-2's `initializer_range`.
const WEIGHT_STD: f32 = 0.02;
/// Standard deviation of the positions, smaller than that of words: a history
/// is a set.
const POSITION_STD: f32 = WEIGHT_STD / 10.0;

/// Draws a GPT-2 over GPT-2's vocabulary; the same for the same seed.
///
/// Weights are N(0, 0.02²) as GPT-2 is initialised, positions a tenth of that,
/// and with [`ValuePath::NearIdentity`] the value and output projections are
/// the identity plus that noise.
pub(crate) fn draw(
    shape: &RandomBackbone,
    device: &Device,
) -> (Gpt2Config, Gpt2) {
    let config = Gpt2Config::new(&Sizes {
        vocab_size: N_GPT2_WORDS,
        n_positions: shape.n_positions,
        n_embd: shape.n_embd,
        n_layer: shape.n_layer,
        n_head: shape.n_head,
    });
    let mut weights = Sampler {
        rng: ChaCha8Rng::seed_from_u64(shape.seed),
        device,
    };

    let embed = config.n_embd;
    let inner = config.inner();
    let mut gpt2 = Gpt2::zeros(&config, device);
    gpt2.wte = weights.draw([config.vocab_size, embed], WEIGHT_STD);
    gpt2.wpe = weights.draw([config.n_positions, embed], POSITION_STD);

    for block in &mut gpt2.h {
        block.c_attn.weight = weights.draw([embed, 3 * embed], WEIGHT_STD);
        block.attn_proj.weight = weights.draw([embed, embed], WEIGHT_STD);
        block.c_fc.weight = weights.draw([embed, inner], WEIGHT_STD);
        block.mlp_proj.weight = weights.draw([inner, embed], WEIGHT_STD);
        if shape.value_path == ValuePath::NearIdentity {
            add_identity(block, embed, device);
        }
    }
    (config, gpt2)
}

/// Adds the identity to the value and output projections; queries and keys stay
/// as drawn.
fn add_identity(block: &mut Block, embed: usize, device: &Device) {
    let identity = Tensor::<2>::eye(embed, device);
    let queries_and_keys = Tensor::zeros([embed, 2 * embed], device);
    let values = Tensor::cat(vec![queries_and_keys, identity.clone()], 1);
    add(&mut block.c_attn.weight, values);
    add(&mut block.attn_proj.weight, identity);
}

fn add(weight: &mut Param<Tensor<2>>, what: Tensor<2>) {
    *weight = Param::from_tensor(weight.val() + what);
}

/// Draws weights one after the other from one stream of random numbers.
struct Sampler<'a> {
    rng: ChaCha8Rng,
    device: &'a Device,
}

impl Sampler<'_> {
    /// A matrix whose entries are drawn from N(0, std²), row by row.
    fn draw(&mut self, shape: [usize; 2], std: f32) -> Param<Tensor<2>> {
        let normal = Normal::new(0.0, std);
        let normal = normal.expect("a constant standard deviation is valid");
        let n_entries = shape[0] * shape[1];
        let entries = normal.sample_iter(&mut self.rng);
        let values: Vec<f32> = entries.take(n_entries).collect();
        let data = TensorData::new(values, shape);
        Param::from_tensor(Tensor::from_data(data, self.device))
    }
}
