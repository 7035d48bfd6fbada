//! Which items of the history moved a score: the language model's contributions
//! and the light model's, in the score that was served.

use domain::Reason;
use model::Token;

use crate::admission::gate::Call;
use crate::error::Error;
use crate::request::reader::KnownReader;
use crate::versions::loaded::LoadedModel;
use crate::versions::ranking::LanguageExplanation;

const MOST: usize = 20;

pub(super) struct ExplainedItems<'a> {
    pub(super) rows: Vec<u32>,
    /// The language model's scores of the whole catalogue.
    pub(super) language_scores: &'a [f32],
    /// What a unit of the scores without a query comes to.
    pub(super) own_scale: f32,
}

/// The reasons of each item, the strongest first.
pub(super) async fn reasons(
    items: ExplainedItems<'_>,
    reader: &KnownReader,
    model: &LoadedModel,
    call: &Call,
) -> Result<Vec<Vec<Reason>>, Error> {
    let prompt = reader.prompt(model);
    let aside = call.aside();
    let forward = &model.language.forward;
    let explanation =
        forward.explanation(prompt.to_vec(), items.rows.clone(), &call.caller);
    let by_position = explanation.await?; // [items][prompt]
    drop(aside);

    let history = &reader.listener.seen;
    let mut contributions = Vec::with_capacity(by_position.len());
    for by_position in &by_position {
        contributions.push(by_item(by_position, prompt, history.len()));
    }
    let language = LanguageExplanation {
        items: &items.rows,
        contributions,
        scores: items.language_scores,
    };
    let served = model.ranking.served_contributions(language, history);
    let mut reasons = Vec::with_capacity(served.len());
    for mut served in served {
        for contribution in &mut served {
            *contribution *= items.own_scale;
        }
        reasons.push(strongest(&served, history, model));
    }
    Ok(reasons)
}

/// The contributions of the history's items `[history]`: those in the prompt
/// have theirs, the earlier ones, which are not in it, have none.
fn by_item(
    by_position: &[f32],
    prompt: &[Token],
    n_history: usize,
) -> Vec<f32> {
    let mut in_prompt = Vec::with_capacity(n_history);
    for (&contribution, token) in by_position.iter().zip(prompt) {
        if matches!(token, Token::Item(_)) {
            in_prompt.push(contribution);
        }
    }
    let mut by_item = vec![0.0; n_history];
    let first = n_history - in_prompt.len();
    by_item[first..].copy_from_slice(&in_prompt);
    by_item
}

/// The items of the history that moved a score most.
fn strongest(
    contributions: &[f32],
    history: &[u32],
    model: &LoadedModel,
) -> Vec<Reason> {
    let mut ranked: Vec<(u32, f32)> = history
        .iter()
        .copied()
        .zip(contributions.iter().copied())
        .collect();
    ranked.sort_by(|one, other| other.1.abs().total_cmp(&one.1.abs()));
    ranked.truncate(MOST);
    let mut reasons = Vec::with_capacity(ranked.len());
    for (row, contribution) in ranked {
        let item = model.item(row);
        reasons.push(Reason {
            item: item.id.clone(),
            title: item.title.clone(),
            contribution,
        });
    }
    reasons
}
