//! Warming a random backbone up as a plain language model and item-sequence
//! model, before it is frozen.

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use domain::Stage;

use crate::backbone::decoder::Backbone;
use crate::error::Error;
use crate::tokens::packing::TokenBatch;
use crate::tokens::soft_tokens::embed;
use crate::tokens::tables::TokenTables;
use crate::training::loss::cross_entropy;
use crate::training::objective::{Head, Objective};

/// A backbone whose weights are learned; the user and item rows are constants.
pub struct Warmup {
    backbone: Backbone,
    optimizer: ModuleOptimizer,
    learning_rate: f64,
}

impl Warmup {
    /// Makes the weights of a frozen backbone learnable.
    pub fn new(mut backbone: Backbone, learning_rate: f64) -> Self {
        backbone.decoder = backbone.decoder.unfreeze().train();
        Self {
            backbone,
            optimizer: AdamConfig::new().with_epsilon(1e-8).init(),
            learning_rate,
        }
    }

    /// One Adam step on an objective; returns its loss.
    pub fn step(
        &mut self,
        tables: &TokenTables,
        objective: &Objective,
    ) -> Result<f64, Error> {
        if objective.targets.is_empty() {
            return Ok(0.0);
        }
        let backbone = &self.backbone;
        let batch = TokenBatch::new(&objective.documents, backbone);
        let embeddings = embed(backbone, tables, &batch, None);
        let hidden = backbone.forward(embeddings, &batch.layout);

        let softmax = objective.softmax(backbone, tables, Head::Words);
        let all = 0..objective.targets.len();
        let states = hidden.clone().inner();
        let ce = cross_entropy(&softmax, &states, all);
        if !ce.loss.is_finite() {
            return Err(Error::Diverged {
                stage: Stage::Warmup,
                loss: ce.loss,
            });
        }

        let mut pulled = (hidden * ce.d_hidden).sum();
        if let Some(d_head) = ce.d_head {
            pulled = pulled + (backbone.head() * d_head).sum();
        }

        let decoder = self.backbone.decoder.clone();
        let gradients = pulled.backward();
        let gradients = GradientsParams::from_grads(gradients, &decoder);
        let rate = self.learning_rate;
        self.backbone.decoder = self.optimizer.step(rate, decoder, gradients);
        Ok(ce.loss)
    }

    /// Freezes the backbone again and gives it back.
    pub fn finish(mut self) -> Backbone {
        self.backbone.decoder = self.backbone.decoder.valid().freeze();
        self.backbone
    }
}

impl std::fmt::Debug for Warmup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Warmup")
    }
}
