//! How much a backbone computes, counted instead of timed: what rates, a
//! machine's share and a job's time follow from.

use crate::backbone::RandomBackbone;

/// A decoder's sizes, as far as its work follows from them; numbers of things
/// as `f64`, ready to be multiplied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Width of the embeddings.
    pub n_embd: f64,
    /// Width of all heads of the queries together.
    pub query_width: f64,
    /// Width of all heads of the keys together, and as much for the values;
    /// smaller than the queries' where heads share them.
    pub key_value_width: f64,
    /// Width inside of an MLP.
    pub inner: f64,
    /// Products between `n_embd` and `inner` in an MLP: 2, or 3 where it has a
    /// gate.
    pub n_inner_products: f64,
    /// Transformer blocks.
    pub n_layer: usize,
    /// Words of the vocabulary head.
    pub n_words: f64,
}

impl From<&RandomBackbone> for Shape {
    /// A random backbone is a GPT-2: with its vocabulary, and an MLP four times
    /// as wide as the embeddings.
    fn from(shape: &RandomBackbone) -> Self {
        const N_WORDS: f64 = 50_257.0;
        let n_embd = shape.n_embd as f64;
        Self {
            n_embd,
            query_width: n_embd,
            key_value_width: n_embd,
            inner: 4.0 * n_embd,
            n_inner_products: 2.0,
            n_layer: shape.n_layer,
            n_words: N_WORDS,
        }
    }
}

/// Documents that go through the blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pass {
    /// All tokens of the documents.
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

/// Positions that a block computes something for.
struct Positions {
    n_keys: f64,
    n_queries: f64,
    /// Positions behind attention: its output's projection and the MLP.
    n_outputs: f64,
}

impl Pass {
    /// Floating-point operations of the hidden states; the last block computes
    /// only what is read.
    pub fn forward(&self, shape: &Shape) -> f64 {
        let everywhere = Positions {
            n_keys: self.n_tokens,
            n_queries: self.n_tokens,
            n_outputs: self.n_tokens,
        };
        let where_read = Positions {
            n_keys: self.n_tokens,
            n_queries: self.n_read,
            n_outputs: self.n_read,
        };
        let block =
            linear(shape, &everywhere) + attention(shape, 2.0, self.n_seen);
        let last = linear(shape, &where_read)
            + attention(shape, 2.0, self.n_seen_by_read);
        (shape.n_layer - 1) as f64 * block + last
    }

    /// Floating-point operations of the input's gradient: a product for each of
    /// the forward pass's, five for attention's two; in the first block only
    /// soft tokens have one.
    pub fn backward(&self, shape: &Shape) -> f64 {
        let mut n_operations = 0.0;
        for block in 0..shape.n_layer {
            let is_last = block + 1 == shape.n_layer;
            let n_outputs = if is_last { self.n_read } else { self.n_tokens };
            let n_seen = if is_last {
                self.n_seen_by_read
            } else {
                self.n_seen
            };
            let is_first = block == 0;
            let positions = Positions {
                n_keys: if is_first { self.n_soft } else { self.n_tokens },
                n_queries: if is_first { self.n_soft } else { n_outputs },
                n_outputs,
            };
            n_operations +=
                linear(shape, &positions) + attention(shape, 5.0, n_seen);
        }
        n_operations
    }
}

/// Operations of one block's linear layers.
fn linear(shape: &Shape, positions: &Positions) -> f64 {
    let keys_values = 2.0 * shape.n_embd * shape.key_value_width;
    let queries = shape.n_embd * shape.query_width;
    let projection = shape.query_width * shape.n_embd;
    let mlp = shape.n_inner_products * shape.n_embd * shape.inner;
    2.0 * (positions.n_keys * keys_values
        + positions.n_queries * queries
        + positions.n_outputs * (projection + mlp))
}

/// Operations of one block's products between queries and the keys and values
/// that they see.
fn attention(shape: &Shape, n_products: f64, n_seen: f64) -> f64 {
    2.0 * n_products * shape.query_width * n_seen
}
