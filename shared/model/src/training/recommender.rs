//! The recommendation model (paper, section 3.3; reference:
//! `CollaborativeGPTwithItemRecommendHead`): one forward pass over a prompt
//! ranks the whole catalogue with a multinomial item head.

use burn::tensor::Tensor;
use domain::Stage;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::backbone::decoder::Backbone;
use crate::backbone::host::{matrix, to_vec};
use crate::error::Error;
use crate::tokens::packing::{Reading, TokenBatch, parts};
use crate::tokens::prompt::Token;
use crate::tokens::soft_tokens::{Dropout, embed};
use crate::tokens::table::Table;
use crate::tokens::tables::TokenTables;
use crate::training::objective::{Head, Objective, soft};
use crate::training::softmax::Teacher;

/// A prompt and the items that the user will interact with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The recommendation prompt with the visible part of the history.
    pub prompt: Vec<Token>,
    /// The distinct item rows that are asked for.
    pub targets: Vec<u32>,
}

/// How the finetuning loss is computed.
#[derive(Debug, Clone)]
pub struct Options {
    /// The softmax sees scores times this.
    pub logit_scale: f64,
    /// Dropout on the prompt's item rows.
    pub dropout: Option<Dropout>,
    /// A distribution over the catalogue to be learned beside the targets, for
    /// each example.
    pub teacher: Option<Teacher>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            logit_scale: 1.0,
            dropout: None,
            teacher: None,
        }
    }
}

/// `−mean_users Σ_j r_j log p_j`: the multinomial likelihood of each user's
/// targets at the prompt's last token (paper, eq. 12). The regulariser counts
/// the prompt's soft tokens and all targets.
pub fn objective(examples: &[Example], options: Options) -> Objective {
    let mut documents = Vec::with_capacity(examples.len());
    let mut targets = Vec::with_capacity(examples.len());
    let mut regularized = Vec::new();
    for example in examples {
        documents.push(Reading::last(example.prompt.clone()));
        targets.push(example.targets.clone());
        regularized.extend(soft(&example.prompt));
        regularized.extend(example.targets.iter().copied().map(Token::Item));
    }

    Objective {
        stage: Stage::Finetuning,
        documents,
        targets,
        head: Head::Items,
        mean_over: examples.len().max(1),
        logit_scale: options.logit_scale,
        teacher: options.teacher,
        regularized,
        dropout: options.dropout,
        candidates: None,
    }
}

/// Hides a random share of a history, at least one item, and shuffles the rest:
/// (visible, hidden).
pub fn hide(
    history: &[u32],
    share: f64,
    rng: &mut ChaCha8Rng,
) -> (Vec<u32>, Vec<u32>) {
    let mut shuffled = history.to_vec();
    shuffled.shuffle(rng);
    let n_hidden = (history.len() as f64 * share) as usize;
    let n_hidden = n_hidden.max(1).min(history.len());
    let visible = shuffled.split_off(n_hidden);
    (visible, shuffled)
}

/// The hidden state of each prompt's last token, which scores the catalogue.
///
/// Shapes: → `[prompts, embed]`, row-major. A prompt's state does not depend on
/// the others in the batch. An error when the device has no memory for a single
/// prompt.
#[tracing::instrument(level = "trace", skip_all)]
pub fn user_states(
    backbone: &Backbone,
    tables: &TokenTables,
    prompts: &[Vec<Token>],
) -> Result<Vec<f32>, Error> {
    if prompts.is_empty() {
        return Ok(Vec::new());
    }
    let documents = Reading::of_prompts(prompts);

    backbone.budget().fit(|at_once| {
        let n_values = documents.len() * backbone.n_embd();
        let mut states = Vec::with_capacity(n_values);
        for documents in parts(&documents, at_once) {
            let batch = TokenBatch::new(documents, backbone);
            let embeddings = embed(backbone, tables, &batch, None);
            let hidden = backbone.forward(embeddings, &batch.layout); // [documents, embed]
            states.extend(to_vec(hidden));
        }
        states
    })
}

/// The item table as a scoring matrix, made once for many user states.
#[derive(Debug)]
pub struct ItemHead {
    /// The item rows as columns `[embed, items]`.
    items: Tensor<2>,
    n_items: usize,
}

impl ItemHead {
    /// Copies the rows to the device where the backbone is.
    pub fn new(backbone: &Backbone, items: &Table) -> Self {
        let device = backbone.device().inner();
        let rows = matrix(items.values().to_vec(), items.width(), &device);
        Self {
            items: rows.transpose(),
            n_items: items.n_rows(),
        }
    }

    /// How many items are scored, J.
    pub fn n_items(&self) -> usize {
        self.n_items
    }

    /// Inner products of user states and item rows.
    ///
    /// Shapes: `states [users, embed]`, row-major → `[users, items]`,
    /// row-major.
    pub fn scores(&self, states: &[f32]) -> Vec<f32> {
        let [width, _] = self.items.dims();
        let states = matrix(states.to_vec(), width, &self.items.device());
        to_vec(states.matmul(self.items.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn a_one_item_user_has_an_empty_visible_part() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        assert_eq!(hide(&[7], 0.2, &mut rng), (vec![], vec![7]));
    }

    #[test]
    fn a_fifth_of_the_history_is_hidden_and_nothing_is_lost() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let history: Vec<u32> = (0..11).collect();
        let (visible, hidden) = hide(&history, 0.2, &mut rng);
        assert_eq!(hidden.len(), 2);
        let mut all = [visible, hidden].concat();
        all.sort_unstable();
        assert_eq!(all, history);
    }
}
