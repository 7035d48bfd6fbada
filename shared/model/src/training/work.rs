//! How much there is to compute: what rates and a machine's share are measured against.

use domain::{Pass, Shape};

use crate::backbone::config::Gpt2Config;
use crate::tokens::packing::Reading;
use crate::tokens::prompt::Token;
use crate::training::step::{Head, Objective};

/// What a step or a forward pass does, counted instead of timed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Work {
    /// Real tokens through the backbone.
    pub n_tokens: usize,
    /// Entries of the softmax: positions that are read times classes.
    pub n_logits: usize,
    /// Floating-point operations of its matrix products.
    pub n_operations: f64,
}

impl Work {
    /// One training step: forward, loss and the gradients of the rows.
    pub fn of_step(objective: &Objective, config: &Gpt2Config, n_items: usize) -> Self {
        let (pass, shape) = (pass(&objective.documents), Shape::from(config));
        let (n_classes, n_products) = match objective.head {
            Head::Words => (config.vocab_size, 2),
            // The head has a gradient too.
            Head::Items => (
                objective
                    .candidates
                    .as_ref()
                    .map_or(n_items, |candidates| candidates.rows.len()),
                3,
            ),
        };
        let n_logits = objective.targets.len() * n_classes;
        let head = n_products as f64 * 2.0 * (n_logits * config.n_embd) as f64;
        let n_operations = pass.forward(&shape) + pass.backward(&shape) + head;
        Self {
            n_tokens: objective.n_tokens(),
            n_logits,
            n_operations,
        }
    }

    /// Prompts ranked over the catalogue.
    pub fn of_ranking(prompts: &[Vec<Token>], config: &Gpt2Config, n_items: usize) -> Self {
        let documents: Vec<Reading> = prompts.iter().cloned().map(Reading::last).collect();
        let (pass, shape) = (pass(&documents), Shape::from(config));
        let n_logits = prompts.len() * n_items;
        let head = 2.0 * (n_logits * config.n_embd) as f64;
        let n_tokens = prompts.iter().map(Vec::len).sum();
        Self {
            n_tokens,
            n_logits,
            n_operations: pass.forward(&shape) + head,
        }
    }
}

/// How documents go through the blocks.
fn pass(documents: &[Reading]) -> Pass {
    let triangle = |n: usize| (n * (n + 1) / 2) as f64;
    let tokens = || documents.iter().flat_map(|document| &document.tokens);
    let sum = |of: &dyn Fn(&Reading) -> f64| documents.iter().map(of).sum();
    Pass {
        n_tokens: tokens().count() as f64,
        n_read: sum(&|document| document.n_read as f64),
        n_soft: tokens().filter(|token| token.word().is_none()).count() as f64,
        n_seen: sum(&|document| triangle(document.tokens.len())),
        n_seen_by_read: sum(&|document| {
            triangle(document.tokens.len()) - triangle(document.tokens.len() - document.n_read)
        }),
    }
}

impl From<&Gpt2Config> for Shape {
    fn from(config: &Gpt2Config) -> Self {
        Self {
            n_embd: config.n_embd as f64,
            inner: config.inner() as f64,
            n_layer: config.n_layer,
            n_words: config.vocab_size as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::prompt::Document;
    use crate::training::{collaborative, content};

    #[test]
    fn a_step_of_one_block_has_the_operations_of_its_products() {
        let config = Gpt2Config::new(100, 16, 4, 1, 2);
        let prompt = vec![Token::User(0), Token::Word(7)];
        let words = Document {
            prompt: prompt.clone(),
            main: vec![Token::Word(1), Token::Word(2), Token::Word(3)],
        };
        let work = Work::of_step(&content::objective(&[words]), &config, 9);
        assert_eq!((work.n_tokens, work.n_logits), (4, 200));
        // The last word is asked for only. Keys and values of 4 tokens, queries, projection and MLP
        // of the 2 that are read; they see 3 and 4 keys.
        let forward = 2.0 * (4.0 * 32.0 + 2.0 * 16.0 + 2.0 * (16.0 + 2.0 * 64.0)) + 4.0 * 4.0 * 7.0;
        let backward = 2.0 * (32.0 + 16.0 + 2.0 * (16.0 + 2.0 * 64.0)) + 10.0 * 4.0 * 7.0;
        assert_eq!(
            work.n_operations,
            forward + backward + 2.0 * 2.0 * 200.0 * 4.0
        );

        let items = Document {
            prompt,
            main: vec![Token::Item(1), Token::Item(2)],
        };
        let work = Work::of_step(&collaborative::objective(&[items]), &config, 9);
        assert_eq!((work.n_tokens, work.n_logits), (3, 9));
    }
}
