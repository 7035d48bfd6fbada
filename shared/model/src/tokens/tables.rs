//! What is learned: two pairs of user and item tables.

use crate::error::Error;
use crate::tensors::{NamedTensor, TensorFile};
use crate::tokens::table::Table;

/// The user and the item table of one language model.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenTables {
    /// The user table, one row a user.
    pub users: Table,
    /// The item table, one row an item.
    pub items: Table,
}

impl TokenTables {
    /// The tables with one more user row, the mean of all: somebody about whom
    /// nothing is known. Returns that row.
    pub fn push_mean_user(&mut self) -> u32 {
        let mean = self.users.mean_row();
        self.users.push(&mean)
    }

    fn read(file: &TensorFile, model: &str) -> Result<Self, Error> {
        Ok(Self {
            users: Table::read(file, &format!("{model}.users"))?,
            items: Table::read(file, &format!("{model}.items"))?,
        })
    }
}

/// Both pairs: collaborative `z^l` and content `z^c` (paper, section 3.1).
#[derive(Debug, Clone, PartialEq)]
pub struct Tables {
    /// `z^l`: learned from interactions; these are served.
    pub collaborative: TokenTables,
    /// `z^c`: learned from text.
    pub content: TokenTables,
}

impl Tables {
    /// Fresh rows, N(0, 0.02²), the same for the same seed; those of users are
    /// drawn when they are first moved.
    pub fn normal(
        n_users: usize,
        n_items: usize,
        width: usize,
        seed: u64,
    ) -> Self {
        let mut tables = Self {
            collaborative: TokenTables {
                users: Table::normal(n_users, width, seed, 1),
                items: Table::normal(n_items, width, seed, 2),
            },
            content: TokenTables {
                users: Table::normal(n_users, width, seed, 3),
                items: Table::normal(n_items, width, seed, 4),
            },
        };
        // Every step reads all item rows: they are drawn at once.
        tables.collaborative.items.values_mut();
        tables.content.items.values_mut();
        tables
    }

    /// The tables by the names they have in `tables.safetensors`.
    fn named(&self) -> [(&'static str, &Table); 4] {
        [
            ("collaborative.items", &self.collaborative.items),
            ("collaborative.users", &self.collaborative.users),
            ("content.items", &self.content.items),
            ("content.users", &self.content.users),
        ]
    }

    /// The tables as named tensors, a prefix in front of each name.
    pub fn tensors(&self, prefix: &str) -> Vec<NamedTensor<'_>> {
        let mut tensors = Vec::with_capacity(4);
        for (name, table) in self.named() {
            let name = format!("{prefix}{name}");
            let shape = vec![table.n_rows(), table.width()];
            tensors.push(NamedTensor::f32(name, shape, table.values()));
        }
        tensors
    }

    /// The tables as named tensors, of a fresh table only the rows that were
    /// moved.
    pub fn moved(&self, prefix: &str) -> Vec<NamedTensor<'_>> {
        let mut tensors = Vec::new();
        for (name, table) in self.named() {
            tensors.extend(table.moved(&format!("{prefix}{name}")));
        }
        tensors
    }

    /// Reads the four tables, a prefix in front of each name, from a tensor
    /// file.
    pub fn read(file: &TensorFile, prefix: &str) -> Result<Self, Error> {
        Ok(Self {
            collaborative: TokenTables::read(
                file,
                &format!("{prefix}collaborative"),
            )?,
            content: TokenTables::read(file, &format!("{prefix}content"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_user_is_one_more_row_of_any_table() {
        let users = Table::normal(4, 3, 1, 2);
        let mut drawn = users.clone();
        drawn.values_mut();
        let pair = |users: Table| TokenTables {
            items: users.clone(),
            users,
        };
        let (mut fresh, mut drawn) = (pair(users), pair(drawn));
        assert_eq!((fresh.push_mean_user(), drawn.push_mean_user()), (4, 4));
        assert_eq!(fresh.users, drawn.users);
        assert_eq!(fresh.users.n_rows(), 5);
    }
}
