//! How much a backbone computes, counted instead of timed: what rates, a machine's share and a
//! job's time follow from.

use crate::RandomBackbone;

/// A backbone's size, as work follows from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Width of the embeddings.
    pub n_embd: f64,
    /// Width inside of an MLP.
    pub inner: f64,
    /// Transformer blocks.
    pub n_layer: usize,
    /// Words of the vocabulary head.
    pub n_words: f64,
}

impl From<&RandomBackbone> for Shape {
    /// GPT-2's vocabulary, and an MLP four times as wide as the embeddings.
    fn from(shape: &RandomBackbone) -> Self {
        const N_WORDS: f64 = 50_257.0;
        let n_embd = shape.n_embd as f64;
        Self {
            n_embd,
            inner: 4.0 * n_embd,
            n_layer: shape.n_layer,
            n_words: N_WORDS,
        }
    }
}

/// Documents that go through the blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pass {
    /// Tokens.
    pub n_tokens: f64,
    /// Tokens whose last hidden state is read.
    pub n_read: f64,
    /// User and item tokens: the ones that have a gradient.
    pub n_soft: f64,
    /// Keys that the queries see, summed, when all tokens are queries.
    pub n_seen: f64,
    /// The same when only the tokens that are read are queries.
    pub n_seen_by_read: f64,
}

impl Pass {
    /// Floating-point operations of the hidden states; the last block computes only what is read.
    pub fn forward(&self, shape: &Shape) -> f64 {
        let all = linear(shape, self.n_tokens, self.n_tokens, self.n_tokens)
            + 4.0 * shape.n_embd * self.n_seen;
        let last = linear(shape, self.n_tokens, self.n_read, self.n_read)
            + 4.0 * shape.n_embd * self.n_seen_by_read;
        (shape.n_layer - 1) as f64 * all + last
    }

    /// Floating-point operations of the input's gradient: a product for each of the forward pass's,
    /// five for attention's two; in the first block only soft tokens have one.
    pub fn backward(&self, shape: &Shape) -> f64 {
        let of_block = |block: usize| {
            let is_last = block + 1 == shape.n_layer;
            let n_others = if is_last { self.n_read } else { self.n_tokens };
            let n_seen = if is_last {
                self.n_seen_by_read
            } else {
                self.n_seen
            };
            let (n_keys, n_queries) = if block == 0 {
                (self.n_soft, self.n_soft)
            } else {
                (self.n_tokens, n_others)
            };
            linear(shape, n_keys, n_queries, n_others) + 10.0 * shape.n_embd * n_seen
        };
        (0..shape.n_layer).map(of_block).sum()
    }
}

/// Linear layers of one block: keys and values of all tokens, the rest of some.
fn linear(shape: &Shape, n_keys: f64, n_queries: f64, n_others: f64) -> f64 {
    let square = shape.n_embd * shape.n_embd;
    let others = square + 2.0 * shape.n_embd * shape.inner;
    2.0 * (n_keys * 2.0 * square + n_queries * square + n_others * others)
}
