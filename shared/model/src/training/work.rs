//! How much there is to compute: what rates and a machine's share are measured
//! against.

use domain::{Pass, Shape};

use crate::tokens::packing::Reading;
use crate::tokens::prompt::Token;
use crate::training::objective::{Head, Objective, soft};

/// What a step or a forward pass does, counted instead of timed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Work {
    /// How many tokens go through the backbone.
    pub n_tokens: usize,
    /// How many logits the softmax has: positions that are read times classes.
    pub n_logits: usize,
    /// The floating-point operations of all matrix products.
    pub n_operations: f64,
}

impl Work {
    /// The work of one training step: forward, loss and the gradients of the
    /// rows.
    pub fn of_step(
        objective: &Objective,
        shape: &Shape,
        n_items: usize,
    ) -> Self {
        let pass = pass(&objective.documents);
        let candidates = objective.candidates.as_ref();
        let (n_classes, n_products) = match (objective.head, candidates) {
            (Head::Words, _) => (shape.n_words as usize, 2.0),
            // The item rows have a gradient too.
            (Head::Items, None) => (n_items, 3.0),
            (Head::Items, Some(candidates)) => (candidates.rows.len(), 3.0),
        };
        let n_logits = objective.targets.len() * n_classes;
        let head = n_products * 2.0 * n_logits as f64 * shape.n_embd;
        Self {
            n_tokens: objective.n_tokens(),
            n_logits,
            n_operations: pass.forward(shape) + pass.backward(shape) + head,
        }
    }

    /// The work of ranking the catalogue for each prompt.
    pub fn of_ranking(
        prompts: &[Vec<Token>],
        shape: &Shape,
        n_items: usize,
    ) -> Self {
        let documents = Reading::of_prompts(prompts);
        let n_logits = prompts.len() * n_items;
        let head = 2.0 * n_logits as f64 * shape.n_embd;
        Self {
            n_tokens: prompts.iter().map(Vec::len).sum(),
            n_logits,
            n_operations: pass(&documents).forward(shape) + head,
        }
    }
}

/// Counts what the documents ask of a block.
fn pass(documents: &[Reading]) -> Pass {
    let mut pass = Pass::default();
    for document in documents {
        let n_tokens = document.tokens.len();
        let n_soft = soft(&document.tokens).count();
        let unread = triangle(n_tokens - document.n_read);
        pass.n_tokens += n_tokens as f64;
        pass.n_read += document.n_read as f64;
        pass.n_soft += n_soft as f64;
        pass.n_seen += triangle(n_tokens);
        pass.n_seen_by_read += triangle(n_tokens) - unread;
    }
    pass
}

/// How many keys `n` queries see when the first sees one and each next one sees
/// one more.
fn triangle(n: usize) -> f64 {
    (n * (n + 1) / 2) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::prompt::Document;
    use crate::training::{collaborative, content};

    #[test]
    fn a_step_of_one_block_has_the_operations_of_its_products() {
        let shape = Shape {
            n_embd: 4.0,
            query_width: 4.0,
            key_value_width: 4.0,
            inner: 16.0,
            n_inner_products: 2.0,
            n_layer: 1,
            n_words: 100.0,
        };
        let prompt = vec![Token::User(0), Token::Word(7)];
        let words = Document {
            prompt: prompt.clone(),
            main: vec![Token::Word(1), Token::Word(2), Token::Word(3)],
        };
        let work = Work::of_step(&content::objective(&[words]), &shape, 9);
        assert_eq!((work.n_tokens, work.n_logits), (4, 200));
        // The last word is asked for only. Keys and values of 4 tokens,
        // queries, projection and MLP of the 2 that are read; they see 3 and 4
        // keys.
        let forward = 2.0
            * (4.0 * 32.0 + 2.0 * 16.0 + 2.0 * (16.0 + 2.0 * 64.0))
            + 4.0 * 4.0 * 7.0;
        let backward =
            2.0 * (32.0 + 16.0 + 2.0 * (16.0 + 2.0 * 64.0)) + 10.0 * 4.0 * 7.0;
        assert_eq!(
            work.n_operations,
            forward + backward + 2.0 * 2.0 * 200.0 * 4.0
        );

        let items = Document {
            prompt,
            main: vec![Token::Item(1), Token::Item(2)],
        };
        let work =
            Work::of_step(&collaborative::objective(&[items]), &shape, 9);
        assert_eq!((work.n_tokens, work.n_logits), (3, 9));
    }
}
