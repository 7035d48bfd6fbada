//! How much there is to compute: what rates and a machine's share are measured against.

use crate::packing::Reading;
use crate::step::Head;
use crate::{Gpt2Config, Objective, Token};

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
        let body = Body::new(&objective.documents, config);
        let (n_classes, n_products) = match objective.head {
            Head::Words => (config.vocab_size, 2),
            // The head has a gradient too.
            Head::Items => (objective.candidates.as_ref().map_or(n_items, |candidates| candidates.rows.len()), 3),
        };
        let n_logits = objective.targets.len() * n_classes;
        let head = n_products as f64 * 2.0 * (n_logits * config.n_embd) as f64;
        Self { n_tokens: body.n_tokens, n_logits, n_operations: body.forward() + body.backward() + head }
    }

    /// Prompts ranked over the catalogue.
    pub fn of_ranking(prompts: &[Vec<Token>], config: &Gpt2Config, n_items: usize) -> Self {
        let documents: Vec<Reading> = prompts.iter().cloned().map(Reading::last).collect();
        let body = Body::new(&documents, config);
        let n_logits = prompts.len() * n_items;
        let head = 2.0 * (n_logits * config.n_embd) as f64;
        Self { n_tokens: body.n_tokens, n_logits, n_operations: body.forward() + head }
    }
}

/// A pass of documents through the blocks.
struct Body {
    n_tokens: usize,
    n_read: usize,
    n_soft: usize,
    /// `Σ` keys that each query sees, when all tokens are queries and when only those that are read are.
    n_seen: [usize; 2],
    n_layer: usize,
    embed: f64,
    inner: f64,
}

impl Body {
    fn new(documents: &[Reading], config: &Gpt2Config) -> Self {
        let triangle = |n: usize| n * (n + 1) / 2;
        let tokens = || documents.iter().flat_map(|document| &document.tokens);
        Self {
            n_tokens: tokens().count(),
            n_read: documents.iter().map(|document| document.read.len()).sum(),
            n_soft: tokens().filter(|token| token.word().is_none()).count(),
            n_seen: [
                documents.iter().map(|document| triangle(document.tokens.len())).sum(),
                documents.iter().map(|document| triangle(document.read.end) - triangle(document.read.start)).sum(),
            ],
            n_layer: config.n_layer,
            embed: config.n_embd as f64,
            inner: config.inner() as f64,
        }
    }

    /// Linear layers of one block: keys and values of all tokens, the rest of some.
    fn linear(&self, n_keys: usize, n_queries: usize, n_others: usize) -> f64 {
        let square = self.embed * self.embed;
        let others = square + 2.0 * self.embed * self.inner;
        2.0 * (n_keys as f64 * 2.0 * square + n_queries as f64 * square + n_others as f64 * others)
    }

    fn forward(&self) -> f64 {
        let all = self.linear(self.n_tokens, self.n_tokens, self.n_tokens) + 4.0 * self.embed * self.n_seen[0] as f64;
        let last = self.linear(self.n_tokens, self.n_read, self.n_read) + 4.0 * self.embed * self.n_seen[1] as f64;
        (self.n_layer - 1) as f64 * all + last
    }

    /// The gradient of the input: a product for each of the forward pass's, five for attention's two; in the first
    /// block only soft tokens have one.
    fn backward(&self) -> f64 {
        let of_block = |block: usize| {
            let is_last = block + 1 == self.n_layer;
            let n_others = if is_last { self.n_read } else { self.n_tokens };
            let (n_keys, n_queries) = if block == 0 { (self.n_soft, self.n_soft) } else { (self.n_tokens, n_others) };
            self.linear(n_keys, n_queries, n_others) + 10.0 * self.embed * self.n_seen[usize::from(is_last)] as f64
        };
        (0..self.n_layer).map(of_block).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::Document;
    use crate::{collaborative, content};

    #[test]
    fn a_step_of_one_block_has_the_operations_of_its_products() {
        let config = Gpt2Config::new(100, 16, 4, 1, 2);
        let prompt = vec![Token::User(0), Token::Word(7)];
        let words = Document { prompt: prompt.clone(), main: vec![Token::Word(1), Token::Word(2), Token::Word(3)] };
        let work = Work::of_step(&content::objective(&[words]), &config, 9);
        assert_eq!((work.n_tokens, work.n_logits), (5, 200));
        // Keys and values of 5 tokens, queries, projection and MLP of the 2 that are read; they see 3 and 4 keys.
        let forward = 2.0 * (5.0 * 32.0 + 2.0 * 16.0 + 2.0 * (16.0 + 2.0 * 64.0)) + 4.0 * 4.0 * 7.0;
        let backward = 2.0 * (32.0 + 16.0 + 2.0 * (16.0 + 2.0 * 64.0)) + 10.0 * 4.0 * 7.0;
        assert_eq!(work.n_operations, forward + backward + 2.0 * 2.0 * 200.0 * 4.0);

        let items = Document { prompt, main: vec![Token::Item(1), Token::Item(2)] };
        let work = Work::of_step(&collaborative::objective(&[items]), &config, 9);
        assert_eq!((work.n_tokens, work.n_logits), (4, 9));
    }
}
