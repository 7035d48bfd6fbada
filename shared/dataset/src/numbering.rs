//! Gives users and items the rows that they have in the data set: ascending by
//! external id.

use std::collections::{HashMap, HashSet};

use domain::{Invalid, Item, ItemId, UserId};

use crate::builder::{Builder, ItemFacts, Row, TakenText};
use crate::dataset::{Interactions, Rows, Split, Text};
use crate::error::Error;

/// The rows of the data set. `kept` are the interactions that nothing left out;
/// `taken` the items that somebody interacted with, whether their interactions
/// were kept or not: they are not new.
pub(crate) fn number(
    builder: Builder,
    kept: Vec<Row>,
    taken: &HashSet<u32>,
) -> Result<Rows, Error> {
    let new_items = new_items(&builder, taken);
    let users = Numbered::new(
        builder.users.into_ids(),
        kept.iter().map(|row| row.user),
    );
    let items = Numbered::new(
        builder.items.into_ids(),
        kept.iter().map(|row| row.item).chain(new_items),
    );
    let mut texts = Vec::new();
    for text in builder.texts {
        texts.extend(numbered_text(text, &users, &items));
    }
    let interactions = interactions(kept, &users, &items);
    Ok(Rows {
        users: users.into_user_ids()?,
        items: items.into_items(builder.facts)?,
        interactions,
        texts,
    })
}

/// Items with a title that nobody interacted with, where they are wanted.
fn new_items(builder: &Builder, taken: &HashSet<u32>) -> Vec<u32> {
    let mut new_items = Vec::new();
    if !builder.with_new_items {
        return new_items;
    }
    for (number, facts) in &builder.facts {
        if !taken.contains(number) && !facts.title.is_empty() {
            new_items.push(*number);
        }
    }
    new_items
}

/// The users or the items that the data set has.
struct Numbered {
    /// Row of each of the builder's numbers that is in use.
    row_of: HashMap<u32, u32>,
    /// External ids by row, each with the builder's number.
    ids: Vec<(String, u32)>,
}

impl Numbered {
    /// Rows for the numbers in `used`, in the order of their ids.
    fn new(ids: Vec<Box<str>>, used: impl Iterator<Item = u32>) -> Self {
        let mut is_used = vec![false; ids.len()];
        for number in used {
            is_used[number as usize] = true;
        }
        let mut sorted = Vec::new();
        for (number, id) in (0_u32..).zip(ids) {
            if is_used[number as usize] {
                sorted.push((id.into_string(), number));
            }
        }
        sorted.sort_unstable();
        let numbers = sorted.iter().map(|(_, number)| *number);
        Self {
            row_of: numbers.zip(0..).collect(),
            ids: sorted,
        }
    }

    fn into_user_ids(self) -> Result<Vec<UserId>, Error> {
        let mut users = Vec::with_capacity(self.ids.len());
        for (id, _) in self.ids {
            users.push(UserId::new(id).map_err(|e| invalid_after_all(&e))?);
        }
        Ok(users)
    }

    fn into_items(
        self,
        mut facts: HashMap<u32, ItemFacts>,
    ) -> Result<Vec<Item>, Error> {
        let mut items = Vec::with_capacity(self.ids.len());
        for (id, number) in self.ids {
            let facts = facts.remove(&number).unwrap_or_default();
            items.push(Item {
                id: ItemId::new(id).map_err(|e| invalid_after_all(&e))?,
                title: facts.title,
                categories: facts.categories,
                attributes: facts.attributes,
            });
        }
        Ok(items)
    }
}

/// Ids were checked when their interactions were read; those of new items are
/// checked here only.
fn invalid_after_all(invalid: &Invalid) -> Error {
    Error::Empty(format!("an id that was accepted is invalid: {invalid}"))
}

/// Interactions in the order of the data set: by the user's row, then as they
/// were ordered.
fn interactions(
    mut kept: Vec<Row>,
    users: &Numbered,
    items: &Numbered,
) -> Interactions {
    kept.sort_by_key(|row| users.row_of[&row.user]);
    let mut columns = Interactions::default();
    for row in kept {
        columns.users.push(users.row_of[&row.user]);
        columns.items.push(items.row_of[&row.item]);
        columns.at_ms.push(row.at_ms);
        columns.splits.push(row.split.unwrap_or(Split::Train));
    }
    columns
}

/// A text with row numbers; `None` when its user or item was left out.
fn numbered_text(
    text: TakenText,
    users: &Numbered,
    items: &Numbered,
) -> Option<Text> {
    let mut numbered = Text {
        kind: text.kind,
        user: None,
        item: None,
        text: text.text,
    };
    if let Some(user) = text.user {
        numbered.user = Some(*users.row_of.get(&user)?);
    }
    if let Some(item) = text.item {
        numbered.item = Some(*items.row_of.get(&item)?);
    }
    Some(numbered)
}
