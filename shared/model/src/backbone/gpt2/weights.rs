//! The names of a GPT-2's weights, as `transformers` writes them.
//!
//! Conv1D weights are stored `[in, out]`, which is burn's `Linear` layout:
//! nothing is transposed.

use burn::module::Param;
use burn::tensor::{Device, Tensor};

use crate::backbone::checkpoint::{Checkpoint, ExpectedWeight, Source, Weight};
use crate::backbone::gpt2::Gpt2;
use crate::backbone::gpt2::config::Gpt2Config;
use crate::backbone::layers::{LayerNorm, Linear};
use crate::error::Error;

/// What checkpoints of a GPT-2 with its head have in front of each name.
const PREFIX: &str = "transformer.";

/// Names and shapes of what [`Gpt2::read`] takes out of a checkpoint.
pub(crate) fn expected(
    config: &Gpt2Config,
    checkpoint: &Checkpoint,
) -> Vec<ExpectedWeight> {
    let prefix = checkpoint.prefix(PREFIX);
    let (width, inner) = (config.n_embd, config.inner());
    let mut weights = Vec::new();
    let mut expect = |name: &str, shape: &[usize]| {
        let name = format!("{prefix}{name}");
        weights.push(ExpectedWeight::new(name, shape));
    };
    expect("wte.weight", &[config.vocab_size, width]);
    expect("wpe.weight", &[config.n_positions, width]);
    for layer in 0..config.n_layer {
        for (name, n_inputs, n_outputs) in [
            ("attn.c_attn", width, 3 * width),
            ("attn.c_proj", width, width),
            ("mlp.c_fc", width, inner),
            ("mlp.c_proj", inner, width),
        ] {
            let name = format!("h.{layer}.{name}");
            expect(&format!("{name}.weight"), &[n_inputs, n_outputs]);
            expect(&format!("{name}.bias"), &[n_outputs]);
        }
        for norm in ["ln_1", "ln_2"] {
            expect(&format!("h.{layer}.{norm}.weight"), &[width]);
            expect(&format!("h.{layer}.{norm}.bias"), &[width]);
        }
    }
    expect("ln_f.weight", &[width]);
    expect("ln_f.bias", &[width]);
    weights
}

impl Gpt2 {
    /// Takes the weights out of a checkpoint; tensors with other names are
    /// passed over.
    pub(crate) fn read(
        config: &Gpt2Config,
        checkpoint: &Checkpoint,
        device: &Device,
    ) -> Result<Self, Error> {
        let source = Source::new(checkpoint, PREFIX, device);

        // First of all: sizes that are not the file's get no memory.
        let words = [config.vocab_size, config.n_embd];
        let wte = source.weight("wte.weight", words)?;
        let mut gpt2 = Self::zeros(config, device);
        gpt2.wte = wte;
        gpt2.wpe = source.weight("wpe.weight", gpt2.wpe.val().dims())?;

        for (number, block) in gpt2.h.iter_mut().enumerate() {
            let source = source.part(&format!("h.{number}"));
            read_layer_norm(&source, &mut block.ln_1, "ln_1")?;
            read_linear(&source, &mut block.c_attn, "attn.c_attn")?;
            read_linear(&source, &mut block.attn_proj, "attn.c_proj")?;
            read_layer_norm(&source, &mut block.ln_2, "ln_2")?;
            read_linear(&source, &mut block.c_fc, "mlp.c_fc")?;
            read_linear(&source, &mut block.mlp_proj, "mlp.c_proj")?;
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
