//! A softmax over a sample of the catalogue (Jean et al., "On Using Very Large
//! Target Vocabulary", 2015), for catalogues whose every item is too much for a
//! step.

use rand::seq::index;
use rand_chacha::ChaCha8Rng;

/// The items that a step's softmax is over: all targets of the batch, and some
/// of the others, drawn uniformly.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidates {
    /// The candidates' item rows, ascending.
    pub(crate) rows: Vec<u32>,
    /// What is added to each one's logit: minus the logarithm of its chance to
    /// be among the candidates (logQ correction), so that the denominator is
    /// right on average.
    pub(crate) offsets: Vec<f32>,
}

impl Candidates {
    /// Takes all of `targets`, and draws `n_sampled` others of `n_items`.
    pub(crate) fn draw(
        targets: &[Vec<u32>],
        n_sampled: usize,
        n_items: usize,
        rng: &mut ChaCha8Rng,
    ) -> Self {
        let mut wanted = targets.concat();
        wanted.sort_unstable();
        wanted.dedup();
        let n_others = n_items.saturating_sub(wanted.len());
        let n_sampled = n_sampled.min(n_others);

        // The others are numbered past the targets: the place-th is as far on
        // as there are targets before it.
        let mut places = index::sample(rng, n_others, n_sampled).into_vec();
        places.sort_unstable();

        let one_in = n_others as f64 / n_sampled.max(1) as f64;
        let offset = one_in.ln() as f32;

        let mut drawn = Self {
            rows: Vec::new(),
            offsets: Vec::new(),
        };
        let mut targets = wanted.into_iter().peekable();
        let mut n_before = 0;
        for place in places {
            let place = place as u32;
            while let Some(target) =
                targets.next_if(|&row| row <= place + n_before)
            {
                drawn.push(target, 0.0);
                n_before += 1;
            }
            drawn.push(place + n_before, offset);
        }
        for target in targets {
            drawn.push(target, 0.0);
        }
        drawn
    }

    fn push(&mut self, row: u32, offset: f32) {
        self.rows.push(row);
        self.offsets.push(offset);
    }

    /// The place of a target's row among the candidates.
    pub(crate) fn place(&self, row: u32) -> u32 {
        let place = self.rows.binary_search(&row);
        place.expect("all targets are candidates") as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn targets_are_always_there_and_others_each_with_the_same_chance() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let targets = [vec![3, 7], vec![7, 0]];
        let mut n_drawn = [0_i32; 12];
        for _ in 0..3000 {
            let candidates = Candidates::draw(&targets, 3, 12, &mut rng);
            assert!(
                candidates.rows.is_sorted_by(|a, b| a < b)
                    && candidates.rows.len() == 6
            );
            for (row, offset) in candidates.rows.iter().zip(&candidates.offsets)
            {
                n_drawn[*row as usize] += 1;
                let expected = if [0, 3, 7].contains(row) {
                    0.0
                } else {
                    3_f32.ln()
                };
                assert!((offset - expected).abs() < 1e-6);
            }
        }
        for (row, n) in n_drawn.into_iter().enumerate() {
            let expected = if [0, 3, 7].contains(&row) { 3000 } else { 1000 };
            assert!((n - expected).abs() < 110, "{row}: {n}");
        }
    }

    #[test]
    fn a_sample_of_everything_is_the_catalogue_without_a_correction() {
        let candidates = Candidates::draw(
            &[vec![2]],
            100,
            5,
            &mut ChaCha8Rng::seed_from_u64(0),
        );
        assert_eq!(
            candidates,
            Candidates {
                rows: (0..5).collect(),
                offsets: vec![0.0; 5]
            }
        );
    }
}
