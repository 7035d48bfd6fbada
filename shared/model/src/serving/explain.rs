//! Why an item has its score: gradient × input through the backbone, summed
//! along the way from average items to the history's own (integrated gradients:
//! Sundararajan et al., "Axiomatic Attribution for Deep Networks", 2017).

use burn::tensor::{Device, Tensor};

use crate::backbone::decoder::Backbone;
use crate::backbone::host::{index_tensor, matrix, to_index, to_vec};
use crate::error::Error;
use crate::tokens::packing::{Reading, TokenBatch, parts};
use crate::tokens::prompt::Token;
use crate::tokens::soft_tokens::embed;
use crate::tokens::tables::TokenTables;

/// A place on the way from average items to a history's own.
#[derive(Clone, Copy)]
struct Node {
    /// How far along the way: 0 at average items, 1 at the history's own.
    at: f32,
    /// How much the gradient there counts.
    weight: f32,
}

/// Gauss–Legendre nodes on [0, 1]: exact for polynomials of degree 11 along the
/// way.
const NODES: [Node; 6] = [
    Node {
        at: 0.033_765_24,
        weight: 0.085_662_25,
    },
    Node {
        at: 0.169_395_31,
        weight: 0.180_380_79,
    },
    Node {
        at: 0.380_690_4,
        weight: 0.233_956_96,
    },
    Node {
        at: 0.619_309_6,
        weight: 0.233_956_96,
    },
    Node {
        at: 0.830_604_7,
        weight: 0.180_380_79,
    },
    Node {
        at: 0.966_234_8,
        weight: 0.085_662_25,
    },
];

/// One gradient that is computed.
struct Point {
    /// The item whose score is explained.
    item: u32,
    node: Node,
}

/// What each position of a prompt adds to the scores of some items: for an item
/// of the history, how much more the score is than it would be with the
/// catalogue's mean row in that place; 0 for words and user tokens. A score
/// less the score of a history of mean rows is the sum of its positions'
/// contributions.
///
/// Shapes: → `[items][prompt]`. Six forward and backward passes of the prompt
/// for each item.
pub fn contributions(
    backbone: &Backbone,
    tables: &TokenTables,
    prompt: &[Token],
    items: &[u32],
) -> Result<Vec<Vec<f32>>, Error> {
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let mut points = Vec::with_capacity(items.len() * NODES.len());
    for &item in items {
        points.extend(NODES.map(|node| Point { item, node }));
    }

    let documents = vec![Reading::last(prompt.to_vec()); points.len()];
    let way = Way::new(backbone, tables, prompt);

    backbone.budget().fit(|at_once| {
        let mut sums = vec![vec![0.0; prompt.len()]; items.len()];
        let mut number = 0;
        for documents in parts(&documents, at_once) {
            let points = &points[number..number + documents.len()];
            for values in way.contributions(documents, points) {
                let sum = &mut sums[number / NODES.len()];
                for (sum, value) in sum.iter_mut().zip(values) {
                    *sum += value;
                }
                number += 1;
            }
        }
        sums
    })
}

/// The way of a prompt from average items to the history's own.
struct Way<'a> {
    backbone: &'a Backbone,
    tables: &'a TokenTables,
    device: Device,
    /// How many tokens the prompt has.
    length: usize,
    /// The positions of the history's items.
    places: Vec<usize>,
    /// Own row less mean row at items, 0 elsewhere `[prompt, embed]`.
    differences: Vec<f32>,
}

impl<'a> Way<'a> {
    fn new(
        backbone: &'a Backbone,
        tables: &'a TokenTables,
        prompt: &[Token],
    ) -> Self {
        let mean = tables.items.mean_row();
        let width = mean.len();

        let mut places = Vec::new();
        let mut differences = vec![0.0; prompt.len() * width];
        for (place, token) in prompt.iter().enumerate() {
            let Some(item) = token.item() else {
                continue;
            };
            places.push(place);
            let own = tables.items.row(item);
            let difference = &mut differences[place * width..][..width];
            let entries = own.iter().zip(&mean);
            for (to, (own, mean)) in difference.iter_mut().zip(entries) {
                *to = own - mean;
            }
        }
        Self {
            backbone,
            tables,
            device: backbone.device(),
            length: prompt.len(),
            places,
            differences,
        }
    }

    /// Gradient × input of the prompt at each point, times the node's weight
    /// `[points][prompt]`.
    fn contributions(
        &self,
        documents: &[Reading],
        points: &[Point],
    ) -> Vec<Vec<f32>> {
        let mut contributions = vec![vec![0.0; self.length]; points.len()];
        if self.places.is_empty() {
            return contributions;
        }
        let backbone = self.backbone;
        let width = self.tables.items.width();
        let batch = TokenBatch::new(documents, backbone);
        let own = embed(backbone, self.tables, &batch, None); // [tokens, embed]
        let embeddings = own - self.missing(points);
        let (_, kept) = backbone.forward_kept(embeddings, &batch.layout);

        let items: Vec<u32> = points.iter().map(|point| point.item).collect();
        let d_states = self.tables.items.gather(&items);
        let d_states = matrix(d_states, width, &self.device); // [points, embed]
        let rows = self.rows_of_items(points.len());
        let index = rows.iter().map(|&row| to_index(row)).collect();
        let index = index_tensor(index, &self.device);

        let gradients = backbone.backward(kept, d_states, &index);
        let gradients = to_vec(gradients);
        let gradients = gradients.chunks_exact(width);
        for (&row, gradient) in rows.iter().zip(gradients) {
            let point = row / self.length;
            let place = row % self.length;
            let difference = &self.differences[place * width..][..width];
            let products = gradient
                .iter()
                .zip(difference)
                .map(|(slope, way)| slope * way);
            let product: f32 = products.sum();
            contributions[point][place] = product * points[point].node.weight;
        }
        contributions
    }

    /// What the embeddings at each point lack of the history's own
    /// `[tokens, embed]`.
    fn missing(&self, points: &[Point]) -> Tensor<2> {
        let mut shares = Vec::with_capacity(points.len() * self.length);
        for point in points {
            shares
                .extend(std::iter::repeat_n(1.0 - point.node.at, self.length));
        }
        let width = self.tables.items.width();
        let differences = self.differences.repeat(points.len());
        let differences = matrix(differences, width, &self.device);
        let shares = matrix(shares, 1, &self.device);
        differences * shares
    }

    /// The packed rows of the history's items in `n_documents` times the
    /// prompt.
    fn rows_of_items(&self, n_documents: usize) -> Vec<usize> {
        let mut rows = Vec::with_capacity(n_documents * self.places.len());
        for document in 0..n_documents {
            let start = document * self.length;
            rows.extend(self.places.iter().map(|place| start + place));
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::decoder::Backbone;
    use crate::backbone::tokenizer::Tokenizer;
    use crate::device::compute_device;
    use crate::tokens::prompt::PromptTexts;
    use crate::tokens::tables::Tables;
    use crate::training::recommender::user_states;
    use domain::{RandomBackbone, ValuePath};

    const HISTORY: [u32; 7] = [3, 14, 15, 9, 26, 5, 35];

    fn score(
        backbone: &Backbone,
        tables: &TokenTables,
        prompt: Vec<Token>,
        item: u32,
    ) -> f32 {
        let state = user_states(backbone, tables, &[prompt]).unwrap();
        state
            .iter()
            .zip(&*tables.items.row(item))
            .map(|(state, row)| state * row)
            .sum()
    }

    /// Place of each value when they are sorted.
    fn ranks(values: &[f32]) -> Vec<f64> {
        values
            .iter()
            .map(|value| {
                values.iter().filter(|other| *other < value).count() as f64
            })
            .collect()
    }

    fn spearman(one: &[f32], other: &[f32]) -> f64 {
        let (one, other) = (ranks(one), ranks(other));
        let n = one.len() as f64;
        let squares: f64 =
            one.iter().zip(&other).map(|(a, b)| (a - b).powi(2)).sum();
        1.0 - 6.0 * squares / (n * (n * n - 1.0))
    }

    #[test]
    fn contributions_add_up_to_the_score_and_agree_with_leaving_items_out() {
        let shape = RandomBackbone {
            n_embd: 64,
            n_layer: 2,
            n_head: 4,
            n_positions: 64,
            value_path: ValuePath::NearIdentity,
            ..RandomBackbone::default()
        };
        let backbone =
            Backbone::random(&shape, &compute_device("flex").unwrap().device);
        let mut tables = Tables::normal(2, 40, 64, 7).collaborative;
        let texts = PromptTexts::new(&Tokenizer::gpt2());
        let prompt = texts.recommend(None, &HISTORY, 64);
        let places: Vec<usize> = (0..prompt.len())
            .filter(|&place| prompt[place].item().is_some())
            .collect();
        let items = [0, 8, 21, 30];
        let found = contributions(&backbone, &tables, &prompt, &items).unwrap();
        let (mut agreement, mean) = (0.0, tables.items.mean_row());
        for (&item, found) in items.iter().zip(&found) {
            let whole = score(&backbone, &tables, prompt.clone(), item);
            let left_out: Vec<f32> = (0..HISTORY.len())
                .map(|out| {
                    let rest: Vec<u32> = HISTORY
                        .iter()
                        .copied()
                        .filter(|&item| item != HISTORY[out])
                        .collect();
                    whole
                        - score(
                            &backbone,
                            &tables,
                            texts.recommend(None, &rest, 64),
                            item,
                        )
                })
                .collect();
            let of_items: Vec<f32> =
                places.iter().map(|&place| found[place]).collect();
            agreement += spearman(&of_items, &left_out) / items.len() as f64;
        }
        assert!(agreement >= 0.8, "rank agreement {agreement}");
        // The same items' scores where the history is mean rows.
        for item in HISTORY {
            tables.items.row_mut(item).copy_from_slice(&mean);
        }
        let mut average = Vec::new();
        for &item in &items {
            average.push(score(&backbone, &tables, prompt.clone(), item));
        }
        let tables = Tables::normal(2, 40, 64, 7).collaborative;
        for ((&item, found), average) in items.iter().zip(&found).zip(average) {
            let moved =
                score(&backbone, &tables, prompt.clone(), item) - average;
            let sum: f32 = found.iter().sum();
            assert!(
                (sum - moved).abs() <= 0.05 * moved.abs() + 1e-5,
                "item {item}: {sum} of {moved}"
            );
        }
    }
}
