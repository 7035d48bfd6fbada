//! The names of a GPT-2's weights, as `transformers` writes them.
//!
//! Conv1D weights are stored `[in, out]`, which is burn's `Linear` layout: nothing is transposed.

use burn::module::Param;
use burn::tensor::{Device, Tensor};

use crate::backbone::checkpoint::{Checkpoint, Weight};
use crate::backbone::gpt2::Gpt2;
use crate::backbone::gpt2::config::Gpt2Config;
use crate::backbone::layers::{LayerNorm, Linear};
use crate::error::Error;

/// Checkpoints of a GPT-2 with its head carry it in front of each name.
const PREFIX: &str = "transformer.";

impl Gpt2 {
    /// Takes the weights out of a checkpoint; tensors with other names are passed over.
    pub(crate) fn read(
        config: &Gpt2Config,
        checkpoint: &Checkpoint,
        device: &Device,
    ) -> Result<Self, Error> {
        let source = Source {
            checkpoint,
            prefix: checkpoint.prefix(PREFIX),
            device,
        };
        let mut gpt2 = Self::zeros(config, device);
        gpt2.wte = source.tensor("wte.weight", gpt2.wte.val().dims())?;
        gpt2.wpe = source.tensor("wpe.weight", gpt2.wpe.val().dims())?;
        for (layer, block) in gpt2.h.iter_mut().enumerate() {
            let of_block = format!("h.{layer}");
            source.layer_norm(&mut block.ln_1, &format!("{of_block}.ln_1"))?;
            source.linear(&mut block.c_attn, &format!("{of_block}.attn.c_attn"))?;
            source.linear(&mut block.attn_proj, &format!("{of_block}.attn.c_proj"))?;
            source.layer_norm(&mut block.ln_2, &format!("{of_block}.ln_2"))?;
            source.linear(&mut block.c_fc, &format!("{of_block}.mlp.c_fc"))?;
            source.linear(&mut block.mlp_proj, &format!("{of_block}.mlp.c_proj"))?;
        }
        source.layer_norm(&mut gpt2.ln_f, "ln_f")?;
        Ok(gpt2)
    }

    /// The weights under the names of `GPT2Model`.
    pub(crate) fn named_weights(&self) -> Vec<Weight> {
        let mut weights = vec![
            Weight::new("wte.weight".to_owned(), self.wte.val()),
            Weight::new("wpe.weight".to_owned(), self.wpe.val()),
        ];
        for (layer, block) in self.h.iter().enumerate() {
            let of_block = format!("h.{layer}");
            push_linear(
                &mut weights,
                &format!("{of_block}.attn.c_attn"),
                &block.c_attn,
            );
            push_linear(
                &mut weights,
                &format!("{of_block}.attn.c_proj"),
                &block.attn_proj,
            );
            push_linear(&mut weights, &format!("{of_block}.mlp.c_fc"), &block.c_fc);
            push_linear(
                &mut weights,
                &format!("{of_block}.mlp.c_proj"),
                &block.mlp_proj,
            );
        }
        for (layer, block) in self.h.iter().enumerate() {
            push_norm(&mut weights, &format!("h.{layer}.ln_1"), &block.ln_1);
            push_norm(&mut weights, &format!("h.{layer}.ln_2"), &block.ln_2);
        }
        push_norm(&mut weights, "ln_f", &self.ln_f);
        weights
    }
}

fn push_linear(weights: &mut Vec<Weight>, name: &str, linear: &Linear) {
    weights.push(Weight::new(format!("{name}.weight"), linear.weight.val()));
    if let Some(bias) = &linear.bias {
        weights.push(Weight::new(format!("{name}.bias"), bias.val()));
    }
}

fn push_norm(weights: &mut Vec<Weight>, name: &str, norm: &LayerNorm) {
    weights.push(Weight::new(format!("{name}.weight"), norm.gamma.val()));
    weights.push(Weight::new(format!("{name}.bias"), norm.beta.val()));
}

/// A checkpoint, read into layers that have their shapes already.
struct Source<'a> {
    checkpoint: &'a Checkpoint,
    prefix: &'static str,
    device: &'a Device,
}

impl Source<'_> {
    fn tensor<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
    ) -> Result<Param<Tensor<D>>, Error> {
        let name = format!("{}{name}", self.prefix);
        let tensor = self.checkpoint.tensor(&name, shape, self.device)?;
        Ok(Param::from_tensor(tensor))
    }

    fn linear(&self, linear: &mut Linear, name: &str) -> Result<(), Error> {
        let shape = linear.weight.val().dims();
        linear.weight = self.tensor(&format!("{name}.weight"), shape)?;
        linear.bias = Some(self.tensor(&format!("{name}.bias"), [shape[1]])?);
        Ok(())
    }

    fn layer_norm(&self, norm: &mut LayerNorm, name: &str) -> Result<(), Error> {
        let shape = norm.gamma.val().dims();
        norm.gamma = self.tensor(&format!("{name}.weight"), shape)?;
        norm.beta = self.tensor(&format!("{name}.bias"), shape)?;
        Ok(())
    }
}
