//! Warming a random backbone up as a plain language model and item-sequence model, before it is
//! frozen.

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};

use crate::backbone::gpt2::Gpt2;
use crate::error::Error;
use crate::tokens::packing::TokenBatch;
use crate::tokens::soft_tokens::embed;
use crate::tokens::tables::TokenTables;
use crate::training::step::{Head, Objective};

/// A backbone whose weights are learned; the user and item rows are constants.
pub struct Warmup {
    gpt2: Gpt2,
    optimizer: ModuleOptimizer,
    learning_rate: f64,
}

impl Warmup {
    /// Takes a backbone out of the freezer.
    pub fn new(gpt2: Gpt2, learning_rate: f64) -> Self {
        let optimizer = AdamConfig::new().with_epsilon(1e-8).init();
        Self {
            gpt2: gpt2.unfreeze().train(),
            optimizer,
            learning_rate,
        }
    }

    /// One Adam step on an objective; returns its loss.
    pub fn step(&mut self, tables: &TokenTables, objective: &Objective) -> Result<f64, Error> {
        if objective.targets.is_empty() {
            return Ok(0.0);
        }
        let batch = TokenBatch::new(
            &objective.documents,
            self.gpt2.n_positions(),
            &self.gpt2.device(),
        );
        let embeddings = embed(&self.gpt2, tables, &batch, None);
        let hidden = self.gpt2.forward(embeddings, &batch.layout);
        let ce = objective
            .softmax(&self.gpt2, tables, Head::Words)
            .cross_entropy(&hidden.clone().inner(), 0..objective.targets.len());
        if !ce.loss.is_finite() {
            return Err(Error::Diverged {
                stage: "warmup",
                loss: ce.loss,
            });
        }
        let mut pulled = (hidden * ce.d_hidden).sum();
        if let Some(d_head) = ce.d_head {
            pulled = pulled + (self.gpt2.wte.val() * d_head).sum();
        }
        let gradients = GradientsParams::from_grads(pulled.backward(), &self.gpt2);
        self.gpt2 = self
            .optimizer
            .step(self.learning_rate, self.gpt2.clone(), gradients);
        Ok(ce.loss)
    }

    /// The backbone, frozen.
    pub fn finish(self) -> Gpt2 {
        self.gpt2.valid().freeze()
    }
}

impl std::fmt::Debug for Warmup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Warmup")
    }
}
