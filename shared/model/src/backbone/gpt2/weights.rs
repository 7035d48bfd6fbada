//! The names of a GPT-2's weights, as `transformers` writes them.
//!
//! Conv1D weights are stored `[in, out]`, which is burn's `Linear` layout:
//! nothing is transposed.

use burn::module::Param;
use burn::tensor::{Device, Tensor};

use crate::backbone::checkpoint::{Checkpoint, Weight};
use crate::backbone::gpt2::Gpt2;
use crate::backbone::gpt2::config::Gpt2Config;
use crate::backbone::layers::{LayerNorm, Linear};
use crate::error::Error;

/// What checkpoints of a GPT-2 with its head have in front of each name.
const PREFIX: &str = "transformer.";

impl Gpt2 {
    /// Takes the weights out of a checkpoint; tensors with other names are
    /// passed over.
    pub(crate) fn read(
        config: &Gpt2Config,
        checkpoint: &Checkpoint,
        device: &Device,
    ) -> Result<Self, Error> {
        let source = WeightReader {
            checkpoint,
            prefix: checkpoint.prefix(PREFIX),
            device,
        };

        let mut gpt2 = Self::zeros(config, device);
        gpt2.wte = source.tensor("wte.weight", gpt2.wte.val().dims())?;
        gpt2.wpe = source.tensor("wpe.weight", gpt2.wpe.val().dims())?;

        for (number, block) in gpt2.h.iter_mut().enumerate() {
            let h = format!("h.{number}");
            source.layer_norm(&mut block.ln_1, &format!("{h}.ln_1"))?;
            source.linear(&mut block.c_attn, &format!("{h}.attn.c_attn"))?;
            source.linear(&mut block.attn_proj, &format!("{h}.attn.c_proj"))?;
            source.layer_norm(&mut block.ln_2, &format!("{h}.ln_2"))?;
            source.linear(&mut block.c_fc, &format!("{h}.mlp.c_fc"))?;
            source.linear(&mut block.mlp_proj, &format!("{h}.mlp.c_proj"))?;
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

/// Reads a checkpoint into layers that have their shapes already.
struct WeightReader<'a> {
    checkpoint: &'a Checkpoint,
    prefix: &'static str,
    device: &'a Device,
}

impl WeightReader<'_> {
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

    fn layer_norm(
        &self,
        norm: &mut LayerNorm,
        name: &str,
    ) -> Result<(), Error> {
        let shape = norm.gamma.val().dims();
        norm.gamma = self.tensor(&format!("{name}.weight"), shape)?;
        norm.beta = self.tensor(&format!("{name}.bias"), shape)?;
        Ok(())
    }
}
