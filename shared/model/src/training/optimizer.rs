//! Adam on table rows (reference: `torch.optim.Adam`).
//!
//! Only rows with a gradient are touched, so a step costs what the batch costs.
//! For rows that get one in every step this equals dense Adam; a row that is
//! left out keeps its moments as they are (the lazy rule), where dense Adam
//! would decay them and move the row on. [`RowGradients::dense`] gives the
//! dense behaviour.

use rayon::prelude::*;

use crate::error::Error;
use crate::tensors::{NamedTensor, TensorFile};
use crate::tokens::row_gradients::RowGradients;
use crate::tokens::table::Table;
use crate::tokens::tables::TokenTables;
use crate::training::step::Step;

/// The constants of Adam.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// The step size.
    pub learning_rate: f64,
    /// The decay of the first moment.
    pub beta_1: f64,
    /// The decay of the second moment.
    pub beta_2: f64,
    /// What is added to the denominator, so that the quotient stays finite.
    pub epsilon: f64,
}

impl Adam {
    /// Adam with torch's defaults at a given step size.
    pub fn new(learning_rate: f64) -> Self {
        Self {
            learning_rate,
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
        }
    }
}

/// Adam's state for one table.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    first: Table,
    second: Table,
    n_steps: u64,
}

impl Moments {
    /// The state of a table before its first step.
    pub fn zeros(table: &Table) -> Self {
        Self {
            first: Table::zeros_like(table),
            second: Table::zeros_like(table),
            n_steps: 0,
        }
    }

    /// How many steps were made, for a checkpoint.
    pub fn n_steps(&self) -> u64 {
        self.n_steps
    }

    /// The rows that were moved as named tensors, for a checkpoint.
    pub fn tensors(&self, name: &str) -> Vec<NamedTensor<'_>> {
        let mut tensors = self.first.moved(&format!("{name}.first"));
        tensors.extend(self.second.moved(&format!("{name}.second")));
        tensors
    }

    /// Reads the state of a table from a checkpoint.
    pub fn read(
        file: &TensorFile,
        name: &str,
        n_steps: u64,
    ) -> Result<Self, Error> {
        Ok(Self {
            first: Table::read(file, &format!("{name}.first"))?,
            second: Table::read(file, &format!("{name}.second"))?,
            n_steps,
        })
    }

    /// Moves the rows with a gradient one Adam step on.
    pub fn update(
        &mut self,
        adam: &Adam,
        table: &mut Table,
        gradients: &RowGradients,
    ) {
        self.n_steps += 1;
        if gradients.rows.is_empty() {
            return;
        }
        let steps = i32::try_from(self.n_steps).unwrap_or(i32::MAX);
        let rule = AdamStep {
            adam: *adam,
            size: adam.learning_rate / (1.0 - adam.beta_1.powi(steps)),
            correction: (1.0 - adam.beta_2.powi(steps)).sqrt(),
        };
        if gradients.rows.len() == table.n_rows() {
            (
                table.values_mut(),
                self.first.values_mut(),
                self.second.values_mut(),
                &gradients.values[..],
            )
                .into_par_iter()
                .with_min_len(16 * 1024)
                .for_each(|(z, m, v, &g)| *z -= rule.distance(m, v, g));
            return;
        }
        for (row, gradient) in gradients.iter(table.width()) {
            let first = self.first.row_mut(row);
            let second = self.second.row_mut(row);
            for (((z, m), v), &g) in table
                .row_mut(row)
                .iter_mut()
                .zip(first)
                .zip(second)
                .zip(gradient)
            {
                *z -= rule.distance(m, v, g);
            }
        }
    }
}

/// Adam's state of one language model's tables.
#[derive(Debug, Clone)]
pub struct PairMoments {
    /// The state of the user table.
    pub users: Moments,
    /// The state of the item table.
    pub items: Moments,
}

impl PairMoments {
    /// The state of both tables before their first step.
    pub fn zeros(tables: &TokenTables) -> Self {
        Self {
            users: Moments::zeros(&tables.users),
            items: Moments::zeros(&tables.items),
        }
    }

    /// Moves the rows with a gradient one Adam step on; the others stay (the
    /// lazy rule).
    #[tracing::instrument(level = "trace", name = "optimiser", skip_all)]
    pub fn update(
        &mut self,
        adam: &Adam,
        tables: &mut TokenTables,
        step: &Step,
    ) {
        self.users.update(adam, &mut tables.users, &step.users);
        self.items.update(adam, &mut tables.items, &step.items);
    }

    /// Moves all rows one Adam step on, those without a gradient by their
    /// moments.
    #[tracing::instrument(level = "trace", name = "optimiser", skip_all)]
    pub fn update_dense(
        &mut self,
        adam: &Adam,
        tables: &mut TokenTables,
        step: &Step,
    ) {
        let users = dense(&step.users, &tables.users);
        self.users.update(adam, &mut tables.users, &users);
        drop(users);
        let items = dense(&step.items, &tables.items);
        self.items.update(adam, &mut tables.items, &items);
    }
}

fn dense(gradients: &RowGradients, table: &Table) -> RowGradients {
    gradients.dense(table.n_rows(), table.width())
}

/// One step of Adam, the same for all entries of a table.
struct AdamStep {
    adam: Adam,
    /// The step size over the first moment's correction for the number of
    /// steps.
    size: f64,
    /// The root of the second moment's correction for the number of steps.
    correction: f64,
}

impl AdamStep {
    /// Moves the moments of an entry on. Returns how far the entry itself
    /// moves, downwards.
    fn distance(
        &self,
        first: &mut f32,
        second: &mut f32,
        gradient: f32,
    ) -> f32 {
        let beta_1 = self.adam.beta_1 as f32;
        let beta_2 = self.adam.beta_2 as f32;
        let epsilon = self.adam.epsilon as f32;
        *first = beta_1 * *first + (1.0 - beta_1) * gradient;
        *second = beta_2 * *second + (1.0 - beta_2) * gradient * gradient;
        let denominator = second.sqrt() / self.correction as f32 + epsilon;
        self.size as f32 * *first / denominator
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparse_adam_equals_dense_adam_where_the_gradients_are_the_same() {
        let start = Table::new((0..12).map(|i| i as f32 / 10.0).collect(), 3);
        let gradients = RowGradients {
            rows: vec![1, 3],
            values: vec![0.1, -0.2, 0.3, 1.0, 2.0, -3.0],
        };
        let adam = Adam::new(1e-2);
        let (mut sparse, mut dense) = (start.clone(), start.clone());
        let (mut sparse_moments, mut dense_moments) =
            (Moments::zeros(&start), Moments::zeros(&start));
        for _ in 0..5 {
            sparse_moments.update(&adam, &mut sparse, &gradients);
            dense_moments.update(&adam, &mut dense, &gradients.dense(4, 3));
        }
        assert_eq!(sparse, dense);
        assert_eq!(sparse.row(0), start.row(0));
    }

    #[test]
    fn a_row_without_a_gradient_stays_where_it_is() {
        let start = Table::new(vec![1.0; 4], 2);
        let mut table = start.clone();
        let mut moments = Moments::zeros(&start);
        let adam = Adam::new(1e-2);
        moments.update(
            &adam,
            &mut table,
            &RowGradients {
                rows: vec![0],
                values: vec![1.0, 1.0],
            },
        );
        let moved = table.row(0).to_vec();
        moments.update(
            &adam,
            &mut table,
            &RowGradients {
                rows: vec![1],
                values: vec![1.0, 1.0],
            },
        );
        assert_eq!(table.row(0), moved);
    }
}
