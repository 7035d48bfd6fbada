//! The names of a GPT-2's weights, as `transformers` writes them.
//!
//! Conv1D weights are stored `[in, out]`, which is burn's `Linear` layout:
//! nothing is transposed.

use burn::module::Param;
use burn::tensor::{Device, Tensor};

use crate::backbone::checkpoint::{Checkpoint, Source, Weight};
use crate::backbone::comparison::WantedWeights;
use crate::backbone::gpt2::Gpt2;
use crate::backbone::gpt2::config::Gpt2Config;
use crate::backbone::layers::{LayerNorm, Linear};
use crate::device::Precision;
use crate::error::Error;

/// What checkpoints of a GPT-2 with its head have in front of each name.
const PREFIX: &str = "transformer.";

impl Gpt2 {
    /// Takes the weights out of a checkpoint that was compared with [`wanted`],
    /// each layer in `precision` as soon as it is read. Tensors with other names
    /// are passed over.
    pub(crate) fn read(
        config: &Gpt2Config,
        checkpoint: &Checkpoint,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, Error> {
        let source = Source::new(checkpoint, PREFIX, device);
        let mut gpt2 = Self::zeros(config, device);
        gpt2.wte = source.weight("wte.weight", gpt2.wte.val().dims())?;
        gpt2.wpe = source.weight("wpe.weight", gpt2.wpe.val().dims())?;

        for (number, block) in gpt2.h.iter_mut().enumerate() {
            let source = source.part(&format!("h.{number}"));
            read_layer_norm(&source, &mut block.ln_1, "ln_1")?;
            read_linear(&source, &mut block.c_attn, "attn.c_attn")?;
            read_linear(&source, &mut block.attn_proj, "attn.c_proj")?;
            read_layer_norm(&source, &mut block.ln_2, "ln_2")?;
            read_linear(&source, &mut block.c_fc, "mlp.c_fc")?;
            read_linear(&source, &mut block.mlp_proj, "mlp.c_proj")?;
            for linear in block.linears_mut() {
                linear.keep_in(precision);
            }
        }
        read_layer_norm(&source, &mut gpt2.ln_f, "ln_f")?;
        Ok(gpt2)
    }

    /// The weights under the names of `GPT2Model`.
    pub(crate) fn named_weights(&self) -> Vec<Weight> {
        let mut weights = vec![
            Weight::new("wte.weight".to_owned(), self.wte.val()),
            Weight::new("wpe.weight".to_owned(), self.wpe.val()),
        ];

        for (number, block) in self.h.iter().enumerate() {
            let h = format!("h.{number}");
            push_linear(
                &mut weights,
                &format!("{h}.attn.c_attn"),
                &block.c_attn,
            );
            push_linear(
                &mut weights,
                &format!("{h}.attn.c_proj"),
                &block.attn_proj,
            );
            push_linear(&mut weights, &format!("{h}.mlp.c_fc"), &block.c_fc);
            push_linear(
                &mut weights,
                &format!("{h}.mlp.c_proj"),
                &block.mlp_proj,
            );
        }

        for (number, block) in self.h.iter().enumerate() {
            let h = format!("h.{number}");
            push_norm(&mut weights, &format!("{h}.ln_1"), &block.ln_1);
            push_norm(&mut weights, &format!("{h}.ln_2"), &block.ln_2);
        }
        push_norm(&mut weights, "ln_f", &self.ln_f);
        weights
    }
}

/// The weights that a GPT-2 of this shape needs, by the names that a checkpoint
/// has for them.
pub(crate) fn wanted(
    config: &Gpt2Config,
    checkpoint: &Checkpoint,
) -> WantedWeights {
    let prefix = checkpoint.prefix(PREFIX);
    let (embed, inner) = (config.n_embd, config.inner());
    let mut wanted = WantedWeights::new(
        format!("{prefix}wte.weight"),
        [config.vocab_size, embed],
        format!("{prefix}h."),
    );
    let positions = [config.n_positions, embed];
    wanted.push(format!("{prefix}wpe.weight"), &positions);
    for block in 0..config.n_layer {
        for norm in ["ln_1", "ln_2"] {
            for part in ["weight", "bias"] {
                let name = format!("{norm}.{part}");
                wanted.push_in_block(block, &name, &[embed]);
            }
        }
        for (name, n_inputs, n_outputs) in [
            ("attn.c_attn", embed, 3 * embed),
            ("attn.c_proj", embed, embed),
            ("mlp.c_fc", embed, inner),
            ("mlp.c_proj", inner, embed),
        ] {
            let shape = [n_inputs, n_outputs];
            wanted.push_in_block(block, &format!("{name}.weight"), &shape);
            wanted.push_in_block(block, &format!("{name}.bias"), &[n_outputs]);
        }
    }
    wanted.push(format!("{prefix}ln_f.weight"), &[embed]);
    wanted.push(format!("{prefix}ln_f.bias"), &[embed]);
    wanted
}

fn push_linear(weights: &mut Vec<Weight>, name: &str, linear: &Linear) {
    push(weights, format!("{name}.weight"), &linear.weight);
    if let Some(bias) = &linear.bias {
        push(weights, format!("{name}.bias"), bias);
    }
}

fn push_norm(weights: &mut Vec<Weight>, name: &str, norm: &LayerNorm) {
    push(weights, format!("{name}.weight"), &norm.gamma);
    push(weights, format!("{name}.bias"), &norm.beta);
}

fn push<const D: usize>(
    weights: &mut Vec<Weight>,
    name: String,
    tensor: &Param<Tensor<D>>,
) {
    weights.push(Weight::new(name, tensor.val()));
}

/// Reads a layer that has its shape already.
fn read_linear(
    source: &Source<'_>,
    linear: &mut Linear,
    name: &str,
) -> Result<(), Error> {
    let shape = linear.weight.val().dims();
    let source = source.part(name);
    linear.weight = source.weight("weight", shape)?;
    linear.bias = Some(source.weight("bias", [shape[1]])?);
    Ok(())
}

fn read_layer_norm(
    source: &Source<'_>,
    norm: &mut LayerNorm,
    name: &str,
) -> Result<(), Error> {
    let shape = norm.gamma.val().dims();
    let source = source.part(name);
    norm.gamma = source.weight("weight", shape)?;
    norm.beta = source.weight("bias", shape)?;
    Ok(())
}
