//! Why an item has its score: gradient × input through the backbone, summed along the way from
//! average items to the history's own (integrated gradients: Sundararajan et al., "Axiomatic
//! Attribution for Deep Networks", 2017).

use burn::tensor::Tensor;

use crate::backbone::decoder::Backbone;
use crate::backbone::host::{index_tensor, matrix, to_index, to_vec};
use crate::error::Error;
use crate::tokens::packing::parts;
use crate::tokens::packing::{Reading, TokenBatch};
use crate::tokens::prompt::Token;
use crate::tokens::soft_tokens::embed;
use crate::tokens::tables::TokenTables;

/// Gauss–Legendre nodes and weights on [0, 1]: exact for polynomials of degree 11 along the way.
const NODES: [(f32, f32); 6] = [
    (0.033_765_24, 0.085_662_25),
    (0.169_395_31, 0.180_380_79),
    (0.380_690_4, 0.233_956_96),
    (0.619_309_6, 0.233_956_96),
    (0.830_604_7, 0.180_380_79),
    (0.966_234_8, 0.085_662_25),
];

/// A place on the way from average items to a history's own.
struct Point {
    /// Whose score.
    item: u32,
    /// 0 at average items, 1 at the history's own.
    node: f32,
    weight: f32,
}

/// What each position of a prompt adds to the scores of some items: for an item of the history, how
/// much more the score is than it would be with the catalogue's mean row in that place; 0 for words
/// and user tokens. A score less the score of a history of mean rows is the sum of its positions'
/// contributions.
///
/// Shapes: → `[items][prompt]`. Six forward and backward passes of the prompt for each item.
pub fn contributions(
    backbone: &Backbone,
    tables: &TokenTables,
    prompt: &[Token],
    items: &[u32],
) -> Result<Vec<Vec<f32>>, Error> {
    if items.is_empty() {
        return Ok(Vec::new());
    }
    // One document for each item and node, in this order.
    let documents: Vec<Reading> = vec![Reading::last(prompt.to_vec()); items.len() * NODES.len()];
    let mean = tables.items.mean_row();
    backbone.budget().fit(|at_once| {
        let (mut sums, mut number) = (vec![vec![0.0; prompt.len()]; items.len()], 0);
        for documents in parts(&documents, at_once) {
            let point = |n: usize| {
                let (node, weight) = NODES[n % NODES.len()];
                Point {
                    item: items[n / NODES.len()],
                    node,
                    weight,
                }
            };
            let points: Vec<Point> = (number..number + documents.len()).map(point).collect();
            for (place, values) in along_the_way(backbone, tables, (documents, &points), &mean)
                .into_iter()
                .enumerate()
            {
                let sum = &mut sums[(number + place) / NODES.len()];
                sum.iter_mut()
                    .zip(values)
                    .for_each(|(sum, value)| *sum += value);
            }
            number += documents.len();
        }
        sums
    })
}

/// Gradient × input of each document at its node, times the node's weight `[documents][prompt]`.
fn along_the_way(
    backbone: &Backbone,
    tables: &TokenTables,
    (documents, points): (&[Reading], &[Point]),
    mean: &[f32],
) -> Vec<Vec<f32>> {
    let (device, width, length) = (backbone.device(), mean.len(), documents[0].tokens.len());
    let batch = TokenBatch::new(documents, backbone.n_positions(), &device);
    let item_of = |row: usize| documents[row / length].tokens[row % length].item();
    // Own row less mean row at items, 0 elsewhere.
    let mut differences = vec![0.0; documents.len() * length * width];
    for (row, difference) in differences.chunks_exact_mut(width).enumerate() {
        if let Some(item) = item_of(row) {
            let own = tables.items.row(item);
            difference
                .iter_mut()
                .zip(own.iter().zip(mean))
                .for_each(|(to, (own, mean))| *to = own - mean);
        }
    }
    let missing: Vec<f32> = points
        .iter()
        .flat_map(|point| std::iter::repeat_n(1.0 - point.node, length))
        .collect();
    let away: Tensor<2> = matrix(differences.clone(), width, &device) * matrix(missing, 1, &device); // [tokens, embed]
    let (_, kept) =
        backbone.forward_kept(embed(backbone, tables, &batch, None) - away, &batch.layout);
    let heads: Vec<f32> = points
        .iter()
        .flat_map(|point| tables.items.row(point.item).into_owned())
        .collect();
    let rows: Vec<usize> = (0..documents.len() * length)
        .filter(|&row| item_of(row).is_some())
        .collect();
    let mut contributions = vec![vec![0.0; length]; documents.len()];
    if rows.is_empty() {
        return contributions;
    }
    let index = index_tensor(rows.iter().map(|&row| to_index(row)).collect(), &device);
    let gradients =
        to_vec(backbone.backward(kept, &batch.layout, matrix(heads, width, &device), &index));
    for (&row, gradient) in rows.iter().zip(gradients.chunks_exact(width)) {
        let difference = &differences[row * width..][..width];
        let product: f32 = gradient
            .iter()
            .zip(difference)
            .map(|(slope, difference)| slope * difference)
            .sum();
        contributions[row / length][row % length] = product * points[row / length].weight;
    }
    contributions
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

    fn score(backbone: &Backbone, tables: &TokenTables, prompt: Vec<Token>, item: u32) -> f32 {
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
            .map(|value| values.iter().filter(|other| *other < value).count() as f64)
            .collect()
    }

    fn spearman(one: &[f32], other: &[f32]) -> f64 {
        let (one, other) = (ranks(one), ranks(other));
        let n = one.len() as f64;
        let squares: f64 = one.iter().zip(&other).map(|(a, b)| (a - b).powi(2)).sum();
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
        let backbone = Backbone::random(&shape, &compute_device("flex").unwrap().device);
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
                    whole - score(&backbone, &tables, texts.recommend(None, &rest, 64), item)
                })
                .collect();
            let of_items: Vec<f32> = places.iter().map(|&place| found[place]).collect();
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
            let moved = score(&backbone, &tables, prompt.clone(), item) - average;
            let sum: f32 = found.iter().sum();
            assert!(
                (sum - moved).abs() <= 0.05 * moved.abs() + 1e-5,
                "item {item}: {sum} of {moved}"
            );
        }
    }
}
