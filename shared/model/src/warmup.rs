//! Warming a random backbone up as a plain language model and item-sequence model, before it is frozen.

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;

use crate::packing::{TokenBatch, index_tensor, rows_tensor, to_index};
use crate::step::Head;
use crate::{Error, Gpt2, Objective, TokenTables};

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
        Self { gpt2: gpt2.unfreeze().train(), optimizer, learning_rate }
    }

    /// One Adam step on an objective; returns its loss.
    pub fn step(&mut self, tables: &TokenTables, objective: &Objective) -> Result<f64, Error> {
        if objective.read.is_empty() {
            return Ok(0.0);
        }
        let device = self.gpt2.device().inner();
        let batch = TokenBatch::new(&objective.documents, self.gpt2.n_positions(), &device);
        let wte = self.gpt2.wte.val();
        let words = wte.clone().select(0, batch.word_rows(&device));
        let mut distinct = vec![words];
        for (table, rows) in [(&tables.users, &batch.users), (&tables.items, &batch.items)] {
            if !rows.is_empty() {
                distinct.push(rows_tensor(table, rows, &device).autodiff());
            }
        }
        let embeddings = Tensor::cat(distinct, 0).select(0, batch.index.clone());
        let hidden = self.gpt2.forward(embeddings, &batch.layout);
        let read = index_tensor(objective.read.iter().map(|&t| to_index(t)).collect(), &device);
        let hidden = hidden.select(0, read);
        let ce = objective.softmax(&self.gpt2, tables, Head::Words).cross_entropy(&hidden.clone().inner());
        if !ce.loss.is_finite() {
            return Err(Error::Diverged { stage: "warmup", loss: ce.loss });
        }
        let mut pulled = (hidden * ce.d_hidden).sum();
        if let Some(d_head) = ce.d_head {
            pulled = pulled + (wte * d_head).sum();
        }
        let gradients = GradientsParams::from_grads(pulled.backward(), &self.gpt2);
        self.gpt2 = self.optimizer.step(self.learning_rate, self.gpt2.clone(), gradients);
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
