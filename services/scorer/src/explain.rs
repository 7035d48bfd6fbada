//! Which items of the history moved a score: the language model's contributions and the light
//! model's, in the score that was served.

use domain::{Reason, ScoredItem};

use crate::loaded::Loaded;
use crate::reader::Read;

/// Reasons of an item that are named.
const MOST: usize = 20;

/// Adds each item's reasons, the strongest first.
///
/// `contributions [items][prompt]` are the language model's, `language [catalogue]` its scores.
pub(crate) fn explained(
    model: &Loaded,
    read: &Read,
    (page, contributions): (&[u32], Vec<Vec<f32>>),
    language: &[f32],
    items: &mut [ScoredItem],
) {
    let prompt = read.prompt(model);
    let n_before = read.seen.len() - read.n_in_prompt;
    let of_history = |of_prompt: Vec<f32>| -> Vec<f32> {
        let in_prompt = of_prompt
            .into_iter()
            .zip(&prompt)
            .filter(|(_, token)| matches!(token, model::Token::Item(_)));
        std::iter::repeat_n(0.0, n_before)
            .chain(in_prompt.map(|(contribution, _)| contribution))
            .collect()
    };
    let contributions = contributions.into_iter().map(of_history).collect();
    let served = model.served_contributions((page, contributions), language, &read.seen);
    for (item, of_item) in items.iter_mut().zip(served) {
        let mut reasons: Vec<(u32, f32)> = read.seen.iter().copied().zip(of_item).collect();
        reasons.sort_by(|one, other| other.1.abs().total_cmp(&one.1.abs()));
        let reason = |(row, contribution): (u32, f32)| {
            let item = model.item(row);
            Reason {
                item: item.id.clone(),
                title: item.title.clone(),
                contribution,
            }
        };
        item.reasons = reasons.into_iter().take(MOST).map(reason).collect();
    }
}
