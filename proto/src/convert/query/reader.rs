//! Whose list is asked for, of which model, as the requests say it.

use std::time::Duration;

use domain::{
    History, Inline, Interaction, Invalid, ItemId, Label, ModelChoice, Reader,
    UserId, Violations,
};

use crate::convert::enums::no_value;
use crate::convert::name::{catalog, millis, version_id};
use crate::convert::query::bounded;
use crate::pb;
use crate::pb::recommend_request::HistoryUse;

/// Names a model; the three requests have a `oneof` of the same two fields
/// each.
pub(super) enum Choice {
    Label(String),
    Version(String),
}

pub(super) fn choice(model: Option<Choice>) -> Result<ModelChoice, Invalid> {
    Ok(match model {
        None => ModelChoice::live(),
        Some(Choice::Label(label)) => ModelChoice::Label(
            Label::new(label).map_err(|invalid| invalid.under("label"))?,
        ),
        Some(Choice::Version(name)) => {
            ModelChoice::Version(version_id("model_version", &name)?)
        }
    })
}

/// Takes what says whose list it is out of a request.
pub(super) fn recommend_reader(
    request: &mut pb::RecommendRequest,
) -> Result<Reader, Invalid> {
    use pb::recommend_request::Model;
    let mut wrong = Violations::default();
    let history_use = HistoryUse::try_from(request.history_use);
    let history_use = wrong.take(history_use.map_err(|_| {
        no_value("history_use", request.history_use, HistoryUse::as_str_name)
    }));
    let mut at_ms = None;
    if let Some(time) = request.at_time {
        at_ms = wrong.take(millis("at_time", time));
    }

    let mut max_staleness = Duration::ZERO;
    if let Some(time) = request.max_staleness {
        max_staleness = wrong.or_default(duration("max_staleness", time));
    }

    let model = request.model.take().map(|model| match model {
        Model::Label(label) => Choice::Label(label),
        Model::ModelVersion(name) => Choice::Version(name),
    });
    let who = Who {
        user: std::mem::take(&mut request.user_id),
        history: std::mem::take(&mut request.history),
        history_use: history_use.unwrap_or_default(),
        catalog: std::mem::take(&mut request.catalog),
    };
    let read = wrong.or_default(reader(who, model));
    wrong.check()?;
    Ok(Reader {
        at_ms,
        max_staleness,
        ..read
    })
}

/// Whose list is asked for, as two of the requests say it.
pub(super) struct Who {
    pub(super) user: String,
    pub(super) history: Vec<pb::InlineInteraction>,
    pub(super) history_use: HistoryUse,
    pub(super) catalog: String,
}

pub(super) fn reader(
    who: Who,
    model: Option<Choice>,
) -> Result<Reader, Invalid> {
    let mut wrong = Violations::default();
    let mut user = None;
    if !who.user.is_empty() {
        let id = UserId::new(who.user);
        user = wrong.take(id.map_err(|invalid| invalid.under("user_id")));
    }

    let inline = wrong.or_default(inline(who.history, who.history_use));
    let mut namespace = None;
    if !who.catalog.is_empty() {
        namespace = wrong.take(catalog("catalog", &who.catalog));
    }

    let model = wrong.or_default(choice(model));
    wrong.check()?;
    Ok(Reader {
        user,
        catalog: namespace,
        inline,
        at_ms: None,
        max_staleness: Duration::ZERO,
        model,
    })
}

fn inline(
    history: Vec<pb::InlineInteraction>,
    history_use: HistoryUse,
) -> Result<Inline, Invalid> {
    if history.is_empty() {
        return Ok(Inline::Absent);
    }

    match history_use {
        HistoryUse::Unspecified | HistoryUse::Replace => {
            inline_history(history).map(Inline::Instead)
        }
        HistoryUse::Merge => {
            require_times(&history)?;
            inline_history(history).map(Inline::Beside)
        }
    }
}

fn require_times(history: &[pb::InlineInteraction]) -> Result<(), Invalid> {
    let mut wrong = Violations::default();
    for (number, entry) in history.iter().enumerate() {
        if entry.time.is_none() {
            let reason = "must be given with MERGE: it says where the item comes in the stored history";
            wrong.add(format!("history[{number}].time"), reason);
        }
    }
    wrong.check()
}

/// Makes a history of inline interactions; entries without a time keep the
/// order given.
fn inline_history(
    interactions: Vec<pb::InlineInteraction>,
) -> Result<History, Invalid> {
    bounded("history", interactions.len())?;
    let mut wrong = Violations::default();
    let mut history = Vec::with_capacity(interactions.len());
    for (number, interaction) in interactions.into_iter().enumerate() {
        let entry = format!("history[{number}]");
        let item = ItemId::new(interaction.item_id)
            .map_err(|invalid| invalid.under("item_id").under(&entry));
        let item = wrong.take(item);
        let at_ms = match interaction.time {
            Some(time) => wrong.take(millis(&format!("{entry}.time"), time)),
            None => Some(i64::try_from(number).unwrap_or(i64::MAX)),
        };
        if let (Some(item), Some(at_ms)) = (item, at_ms) {
            history.push(Interaction {
                item,
                at_ms,
                event: None,
            });
        }
    }

    wrong.check()?;
    Ok(History::inline(history))
}

fn duration(
    field: &str,
    time: prost_types::Duration,
) -> Result<Duration, Invalid> {
    Duration::try_from(time)
        .map_err(|_| Invalid::one(field, "must not be negative"))
}
