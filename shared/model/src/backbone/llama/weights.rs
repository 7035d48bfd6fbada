//! The names of a Llama's weights, as `transformers` writes them.
//!
//! Linear weights are stored `[out, in]`: they are transposed, and projections
//! of the same input lie side by side in one matrix here.

use burn::module::Param;
use burn::tensor::{Device, Tensor};

use crate::backbone::checkpoint::{Checkpoint, Source, Weight};
use crate::backbone::comparison::WantedWeights;
use crate::backbone::layers::{Linear, RmsNorm};
use crate::backbone::llama::Llama;
use crate::backbone::llama::config::LlamaConfig;
use crate::device::Precision;
use crate::error::Error;

/// Checkpoints of a Llama with its head carry it in front of all names but the
/// head's.
const PREFIX: &str = "model.";

/// A linear layer that is part of a larger one: its name and its outputs.
struct Part<'a> {
    name: &'a str,
    n_outputs: usize,
}

/// The three projections into attention.
fn attention_parts(
    query_width: usize,
    key_value_width: usize,
) -> [Part<'static>; 3] {
    let part = |name, n_outputs| Part { name, n_outputs };
    [
        part("self_attn.q_proj", query_width),
        part("self_attn.k_proj", key_value_width),
        part("self_attn.v_proj", key_value_width),
    ]
}

/// The two projections into the MLP.
fn mlp_parts(inner: usize) -> [Part<'static>; 2] {
    let part = |name| Part {
        name,
        n_outputs: inner,
    };
    [part("mlp.gate_proj"), part("mlp.up_proj")]
}

impl Llama {
    /// Takes the weights out of a checkpoint that was compared with [`wanted`],
    /// each layer in `precision` as soon as it is read. Tensors with other names
    /// are passed over.
    pub(crate) fn read(
        config: &LlamaConfig,
        checkpoint: &Checkpoint,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, Error> {
        let source = Source::new(checkpoint, PREFIX, device);
        let words = [config.vocab_size, config.hidden_size];
        let mut llama = Self::zeros(config, device)?;
        llama.embed_tokens = source.weight("embed_tokens.weight", words)?;
        if llama.lm_head.is_some() {
            let head = checkpoint.tensor("lm_head.weight", words, device)?;
            llama.lm_head = Some(Param::from_tensor(head));
        }
        let [query, key] = [config.query_width(), config.key_value_width()];
        let inner = config.intermediate_size;
        for (layer, block) in llama.layers.iter_mut().enumerate() {
            let source = source.part(&format!("layers.{layer}"));
            let mlp_norm = &mut block.post_attention_layernorm;
            read_norm(&source, &mut block.input_layernorm, "input_layernorm")?;
            read_norm(&source, mlp_norm, "post_attention_layernorm")?;
            if let (Some(q), Some(k)) = (&mut block.q_norm, &mut block.k_norm) {
                read_norm(&source, q, "self_attn.q_norm")?;
                read_norm(&source, k, "self_attn.k_norm")?;
            }
            let parts = attention_parts(query, key);
            read_parts(&source, &mut block.qkv_proj, &parts)?;
            read_whole(&source, &mut block.o_proj, "self_attn.o_proj")?;
            let parts = mlp_parts(inner);
            read_parts(&source, &mut block.gate_up_proj, &parts)?;
            read_whole(&source, &mut block.down_proj, "mlp.down_proj")?;
            for linear in block.linears_mut() {
                linear.keep_in(precision);
            }
        }
        read_norm(&source, &mut llama.norm, "norm")?;
        Ok(llama)
    }

    /// The weights under the names of `LlamaForCausalLM`.
    pub(crate) fn named_weights(&self) -> Vec<Weight> {
        let embeddings = self.embed_tokens.val();
        let mut weights = Vec::new();
        weights.push(Weight::new(
            format!("{PREFIX}embed_tokens.weight"),
            embeddings,
        ));
        if let Some(head) = &self.lm_head {
            weights.push(Weight::new("lm_head.weight".to_owned(), head.val()));
        }
        for (layer, block) in self.layers.iter().enumerate() {
            let mut to = Destination {
                weights: &mut weights,
                layer: format!("{PREFIX}layers.{layer}."),
            };
            to.norm("input_layernorm", &block.input_layernorm);
            let query_width = block.n_query_heads * block.head_dim;
            let key_value_width = block.n_key_value_heads * block.head_dim;
            to.linear(
                &block.qkv_proj,
                &attention_parts(query_width, key_value_width),
            );
            if let (Some(q_norm), Some(k_norm)) = (&block.q_norm, &block.k_norm)
            {
                to.norm("self_attn.q_norm", q_norm);
                to.norm("self_attn.k_norm", k_norm);
            }
            to.whole("self_attn.o_proj", &block.o_proj);
            to.norm(
                "post_attention_layernorm",
                &block.post_attention_layernorm,
            );
            let [inner, _] = block.down_proj.weight.val().dims();
            to.linear(&block.gate_up_proj, &mlp_parts(inner));
            to.whole("mlp.down_proj", &block.down_proj);
        }
        let norm = self.norm.weight.val();
        weights.push(Weight::new(format!("{PREFIX}norm.weight"), norm));
        weights
    }
}

/// The weights that a decoder of this shape needs, by the names that a
/// checkpoint has for them.
pub(crate) fn wanted(
    config: &LlamaConfig,
    checkpoint: &Checkpoint,
) -> WantedWeights {
    let prefix = checkpoint.prefix(PREFIX);
    let words = [config.vocab_size, config.hidden_size];
    let mut wanted = WantedWeights::new(
        format!("{prefix}embed_tokens.weight"),
        words,
        format!("{prefix}layers."),
    );
    if !config.tie_word_embeddings {
        wanted.push("lm_head.weight".to_owned(), &words);
    }
    for block in 0..config.num_hidden_layers {
        push_block(&mut wanted, block, config);
    }
    wanted.push(format!("{prefix}norm.weight"), &[config.hidden_size]);
    wanted
}

fn push_block(wanted: &mut WantedWeights, block: usize, config: &LlamaConfig) {
    let (embed, inner) = (config.hidden_size, config.intermediate_size);
    let [query, key] = [config.query_width(), config.key_value_width()];
    for norm in ["input_layernorm", "post_attention_layernorm"] {
        wanted.push_in_block(block, &format!("{norm}.weight"), &[embed]);
    }
    if config.has_head_norms() {
        for norm in ["self_attn.q_norm", "self_attn.k_norm"] {
            let shape = [config.head_dim()];
            wanted.push_in_block(block, &format!("{norm}.weight"), &shape);
        }
    }
    for Part { name, n_outputs } in attention_parts(query, key) {
        let shape = [n_outputs, embed];
        wanted.push_in_block(block, &format!("{name}.weight"), &shape);
        if config.has_qkv_bias() {
            let shape = [n_outputs];
            wanted.push_in_block(block, &format!("{name}.bias"), &shape);
        }
    }
    wanted.push_in_block(block, "self_attn.o_proj.weight", &[embed, query]);
    if config.has_output_bias() {
        wanted.push_in_block(block, "self_attn.o_proj.bias", &[embed]);
    }
    for Part { name, n_outputs } in mlp_parts(inner) {
        let shape = [n_outputs, embed];
        wanted.push_in_block(block, &format!("{name}.weight"), &shape);
    }
    wanted.push_in_block(block, "mlp.down_proj.weight", &[embed, inner]);
}

fn read_norm(
    source: &Source<'_>,
    norm: &mut RmsNorm,
    name: &str,
) -> Result<(), Error> {
    let shape = norm.weight.val().dims();
    norm.weight = source.part(name).weight("weight", shape)?;
    Ok(())
}

/// Reads a layer that has its shape already.
fn read_whole(
    source: &Source<'_>,
    linear: &mut Linear,
    name: &str,
) -> Result<(), Error> {
    let [_, n_outputs] = linear.weight.val().dims();
    read_parts(source, linear, &[Part { name, n_outputs }])
}

/// Reads projections of the same input, side by side.
fn read_parts(
    source: &Source<'_>,
    linear: &mut Linear,
    parts: &[Part<'_>],
) -> Result<(), Error> {
    let [n_inputs, _] = linear.weight.val().dims();
    let mut columns: Vec<Tensor<2>> = Vec::with_capacity(parts.len());
    let mut biases: Vec<Tensor<1>> = Vec::new();
    for part in parts {
        let source = source.part(part.name);
        let rows = source.weight("weight", [part.n_outputs, n_inputs])?;
        columns.push(rows.val().transpose());
        if linear.bias.is_some() {
            let bias = source.weight("bias", [part.n_outputs])?;
            biases.push(bias.val());
        }
    }
    linear.weight = Param::from_tensor(Tensor::cat(columns, 1));
    if !biases.is_empty() {
        linear.bias = Some(Param::from_tensor(Tensor::cat(biases, 0)));
    }
    Ok(())
}

/// Where a layer's weights are collected.
struct Destination<'a> {
    weights: &'a mut Vec<Weight>,
    /// What stands in front of each name.
    layer: String,
}

impl Destination<'_> {
    fn norm(&mut self, name: &str, norm: &RmsNorm) {
        let name = format!("{}{name}.weight", self.layer);
        self.weights.push(Weight::new(name, norm.weight.val()));
    }

    fn whole(&mut self, name: &str, linear: &Linear) {
        let [_, n_outputs] = linear.weight.val().dims();
        self.linear(linear, &[Part { name, n_outputs }]);
    }

    /// Takes projections of the same input apart.
    fn linear(&mut self, linear: &Linear, parts: &[Part<'_>]) {
        let weight = linear.weight.val();
        let [n_inputs, _] = weight.dims();
        let mut first = 0;
        for part in parts {
            let columns = first..first + part.n_outputs;
            first = columns.end;
            let name = format!("{}{}", self.layer, part.name);
            let rows = weight
                .clone()
                .slice([0..n_inputs, columns.clone()])
                .transpose();
            self.weights
                .push(Weight::new(format!("{name}.weight"), rows));
            if let Some(bias) = &linear.bias {
                let bias = bias.val().slice([columns]);
                self.weights.push(Weight::new(format!("{name}.bias"), bias));
            }
        }
    }
}
