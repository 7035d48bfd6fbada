//! What a scorer multiplies: item rows and user states, in f32 or, in half the
//! memory, in bf16.

use std::sync::Arc;

use burn::tensor::bf16;

use crate::backbone::kernels;
use crate::device::Precision;
use crate::tokens::tables::TokenTables;

/// Item rows that user states are multiplied with (tied: the input embeddings
/// themselves).
#[derive(Debug)]
pub struct ScoringTables {
    tables: Arc<TokenTables>,
    /// The item rows again, rounded; prompts take theirs from the tables.
    bf16: Option<Vec<bf16>>,
}

/// A user state `[embed]` in the precision of the item rows.
#[derive(Debug, Clone)]
pub struct UserState {
    values: StateValues,
}

#[derive(Debug, Clone)]
enum StateValues {
    F32(Arc<[f32]>),
    Bf16(Arc<[bf16]>),
}

impl ScoringTables {
    /// Rounds the item rows once, where they are to be bf16.
    pub fn new(tables: Arc<TokenTables>, precision: Precision) -> Self {
        let bf16 = match precision {
            Precision::F32 => None,
            Precision::Bf16 => Some(rounded(&tables.items.values()).collect()),
        };
        Self { tables, bf16 }
    }

    /// User and item rows in f32.
    pub fn tables(&self) -> &TokenTables {
        &self.tables
    }

    /// The precision in which item rows and user states are multiplied.
    pub fn precision(&self) -> Precision {
        if self.bf16.is_some() {
            Precision::Bf16
        } else {
            Precision::F32
        }
    }

    /// How many numbers the item rows are.
    pub fn n_values(&self) -> usize {
        self.tables.items.n_rows() * self.tables.items.width()
    }

    /// The memory of all rows, in bytes.
    pub fn n_bytes(&self) -> usize {
        let users = &self.tables.users;
        let n_values = users.n_rows() * users.width() + self.n_values();
        let rounded = self.bf16.as_deref().unwrap_or_default();
        n_values * size_of::<f32>() + size_of_val(rounded)
    }

    /// A user's state as it is kept: rounded where the item rows are.
    pub fn state(&self, values: &[f32]) -> UserState {
        let values = match self.bf16 {
            None => StateValues::F32(values.into()),
            Some(_) => StateValues::Bf16(rounded(values).collect()),
        };
        UserState { values }
    }

    /// A state from [`UserState::to_bytes`]; `None` when it is not of this
    /// width and precision.
    pub fn state_of_bytes(&self, bytes: &[u8]) -> Option<UserState> {
        let values = match self.bf16 {
            None => {
                let words = bytes.as_chunks().0.iter();
                StateValues::F32(
                    words.map(|&word| f32::from_le_bytes(word)).collect(),
                )
            }
            Some(_) => {
                let words = bytes.as_chunks().0.iter();
                StateValues::Bf16(
                    words.map(|&word| bf16::from_le_bytes(word)).collect(),
                )
            }
        };
        let state = UserState { values };
        let is_whole = bytes.len() == state.n_bytes();
        let fits = state.width() == self.tables.items.width();
        (is_whole && fits).then_some(state)
    }

    /// Inner products of user states and item rows, on the thread that calls it
    /// while there are few items. A state's scores are the same bits alone and
    /// among others.
    ///
    /// Shapes: `states [states][embed]` → `[states, items]`, row-major.
    pub fn scores(&self, states: &[&UserState]) -> Vec<f32> {
        let width = self.tables.items.width();
        let mut values = Vec::new();
        for state in states {
            state.push_to(&mut values);
        }
        match &self.bf16 {
            None => {
                kernels::products(&self.tables.items.values(), &values, width)
            }
            Some(rows) => kernels::products(rows, &values, width),
        }
    }
}

impl UserState {
    /// The inner product with a row `[embed]` that is not in the tables.
    pub fn score(&self, row: &[f32]) -> f32 {
        let mut values = Vec::with_capacity(row.len());
        self.push_to(&mut values);
        values.iter().zip(row).map(|(x, y)| x * y).sum()
    }
}

fn rounded(values: &[f32]) -> impl Iterator<Item = bf16> + '_ {
    values.iter().map(|&value| bf16::from_f32(value))
}

impl UserState {
    fn push_to(&self, values: &mut Vec<f32>) {
        match &self.values {
            StateValues::F32(state) => values.extend_from_slice(state),
            StateValues::Bf16(state) => {
                values.extend(state.iter().map(|value| value.to_f32()));
            }
        }
    }

    fn width(&self) -> usize {
        match &self.values {
            StateValues::F32(state) => state.len(),
            StateValues::Bf16(state) => state.len(),
        }
    }

    /// The memory of the numbers, in bytes.
    pub fn n_bytes(&self) -> usize {
        match &self.values {
            StateValues::F32(state) => size_of_val(&**state),
            StateValues::Bf16(state) => size_of_val(&**state),
        }
    }

    /// The numbers as bytes for a cache, little-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.values {
            StateValues::F32(state) => {
                state.iter().flat_map(|value| value.to_le_bytes()).collect()
            }
            StateValues::Bf16(state) => {
                state.iter().flat_map(|value| value.to_le_bytes()).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::decoder::Backbone;
    use crate::backbone::tokenizer::Tokenizer;
    use crate::device::compute_device;
    use crate::metrics::top_k;
    use crate::tokens::prompt::PromptTexts;
    use crate::tokens::tables::Tables;
    use crate::training::recommender::user_states;
    use domain::RandomBackbone;

    #[test]
    fn bf16_ranks_random_weights_almost_as_f32_does() {
        let shape = RandomBackbone {
            n_embd: 64,
            n_layer: 2,
            n_head: 4,
            n_positions: 64,
            ..Default::default()
        };
        let backbone =
            Backbone::random(&shape, &compute_device("flex").unwrap().device);
        let tables = Arc::new(Tables::normal(1, 2_000, 64, 3).collaborative);
        let texts = PromptTexts::new(&Tokenizer::gpt2());
        let history = |user: u32| {
            (0..8)
                .map(|place| (user * 97 + place * 31) % 2_000)
                .collect::<Vec<u32>>()
        };
        let prompts: Vec<_> = (0..200)
            .map(|user| texts.recommend(None, &history(user), 64))
            .collect();
        let states = user_states(&backbone, &tables, &prompts).unwrap();
        let best = |precision| {
            let scoring = ScoringTables::new(Arc::clone(&tables), precision);
            let kept: Vec<UserState> = states
                .chunks(64)
                .map(|state| scoring.state(state))
                .collect();
            assert_eq!(
                kept[0].to_bytes(),
                scoring
                    .state_of_bytes(&kept[0].to_bytes())
                    .unwrap()
                    .to_bytes()
            );
            let all = scoring.scores(&kept.iter().collect::<Vec<_>>());
            assert_eq!(scoring.scores(&[&kept[7]]), all[7 * 2_000..8 * 2_000]);
            let list = |scores: &[f32]| {
                top_k(scores, 20, |_| true)
                    .into_iter()
                    .map(|(item, _)| item)
                    .collect()
            };
            (
                all.chunks(2_000).map(list).collect::<Vec<Vec<u32>>>(),
                kept[0].n_bytes(),
            )
        };
        let ((f32, bytes), (bf16, half)) =
            (best(Precision::F32), best(Precision::Bf16));
        let same = f32.iter().zip(&bf16).map(|(one, other)| {
            one.iter().filter(|item| other.contains(item)).count()
        });
        let overlap = same.sum::<usize>() as f64 / (200.0 * 20.0);
        assert!(overlap >= 0.97, "{overlap}");
        assert_ne!(f32, bf16, "bf16 rounds");
        assert_eq!(bytes, 2 * half);
    }

    #[test]
    fn a_state_of_another_width_or_precision_is_none() {
        let tables = Arc::new(Tables::normal(1, 3, 8, 3).collaborative);
        let [f32, bf16] = [Precision::F32, Precision::Bf16].map(|precision| {
            ScoringTables::new(Arc::clone(&tables), precision)
        });
        assert!(
            bf16.state_of_bytes(&f32.state(&[1.0; 8]).to_bytes())
                .is_none()
        );
        assert!(
            f32.state_of_bytes(&bf16.state(&[1.0; 8]).to_bytes())
                .is_none()
        );
        assert!(f32.state_of_bytes(&[0; 33]).is_none());
    }
}
