//! Mutual regularisation (paper, section 3.2.3): each language model's rows are
//! pulled to the other's.

use std::collections::HashMap;

use crate::tokens::prompt::Token;
use crate::tokens::row_gradients::RowGradients;
use crate::tokens::table::Table;
use crate::tokens::tables::TokenTables;

/// The other model's tables, held constant, and how strongly they pull.
#[derive(Debug, Clone, Copy)]
pub struct Pull<'a> {
    /// The tables that are pulled to.
    pub toward: &'a TokenTables,
    /// The strength λ of the pull: summed over the positions of the batch, not
    /// averaged.
    pub lambda: f64,
    /// The strength λ_l of the prior `λ_l/2 ‖z‖²` on the rows of the batch.
    pub prior: f64,
}

/// How often each row occurs among the soft tokens of a batch.
pub(crate) struct Occurrences {
    pub(crate) users: HashMap<u32, usize>,
    pub(crate) items: HashMap<u32, usize>,
}

impl Occurrences {
    /// Counts the users and the items among tokens.
    pub(crate) fn count(tokens: &[Token]) -> Self {
        let mut counts = Self {
            users: HashMap::new(),
            items: HashMap::new(),
        };
        for token in tokens {
            match *token {
                Token::User(row) => *counts.users.entry(row).or_default() += 1,
                Token::Item(row) => *counts.items.entry(row).or_default() += 1,
                Token::Word(_) => {}
            }
        }
        counts
    }
}

/// Squared lengths that the regulariser adds up.
pub(crate) struct Squares {
    /// How far the models are apart: `Σ_positions ‖z − z_other‖²`.
    pub(crate) distance: f64,
    /// How long the rows are: `Σ_rows ‖z‖²`.
    pub(crate) norm: f64,
}

/// A table, and the other model's rows of the same users or items.
pub(crate) struct Pulled<'a> {
    pub(crate) own: &'a Table,
    pub(crate) other: &'a Table,
}

/// Computes `λ Σ_positions ‖z − z_other‖² + λ_l/2 Σ_rows ‖z‖²`: returns the
/// squares, and adds the gradient to `gradients`.
pub(crate) fn regularize(
    tables: &Pulled<'_>,
    counts: &HashMap<u32, usize>,
    pull: &Pull<'_>,
    gradients: &mut RowGradients,
) -> Squares {
    let width = tables.own.width();
    let mut squares = Squares {
        distance: 0.0,
        norm: 0.0,
    };

    gradients.include(counts.keys().copied(), width);
    for (place, row) in gradients.rows.iter().enumerate() {
        let Some(&count) = counts.get(row) else {
            continue;
        };
        let count = count as f64;
        let gradient = &mut gradients.values[place * width..][..width];
        let own = tables.own.row(*row);
        let other = tables.other.row(*row);
        let entries = gradient.iter_mut().zip(&*own).zip(&*other);
        for ((slope, &z), &constant) in entries {
            let z = f64::from(z);
            let difference = z - f64::from(constant);
            squares.distance += count * difference * difference;
            squares.norm += z * z;
            let pulled = 2.0 * pull.lambda * count * difference;
            *slope += (pulled + pull.prior * z) as f32;
        }
    }
    squares
}
