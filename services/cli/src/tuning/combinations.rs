//! Which combinations of values are tried: all, or some that are drawn.

use std::collections::BTreeSet;

use anyhow::bail;

use crate::tuning::axis::{Axis, Values};

/// Most jobs of one sweep.
const MOST_TRIALS: usize = 500;
/// So often a combination is drawn anew that was drawn before.
const N_DRAWS: usize = 1_000;

/// One combination: each field and its value, as they are typed.
pub(crate) type Combination = Vec<(String, String)>;

/// Lists every combination, the last field changing first.
pub(crate) fn grid(axes: &[Axis]) -> anyhow::Result<Vec<Combination>> {
    let mut combinations: Vec<Combination> = vec![Vec::new()];
    for axis in axes {
        let Values::Listed(values) = &axis.values else {
            bail!(
                "{} has a range: give `--random N`, which draws N combinations",
                axis.field
            );
        };
        let n = combinations.len().saturating_mul(values.len());
        if n > MOST_TRIALS {
            bail!(
                "these are {n} combinations or more, at most {MOST_TRIALS} are tried: give `--random N`, which draws N of them"
            );
        }

        let mut longer = Vec::with_capacity(n);
        for combination in &combinations {
            for value in values {
                let mut next = combination.clone();
                next.push((axis.field.clone(), value.clone()));
                longer.push(next);
            }
        }

        combinations = longer;
    }

    Ok(combinations)
}

/// Draws so many different combinations, or all where there are no more; the
/// same seed draws the same.
pub(crate) fn random(
    axes: &[Axis],
    n: usize,
    seed: u64,
) -> anyhow::Result<Vec<Combination>> {
    if n == 0 || n > MOST_TRIALS {
        bail!("--random must be 1 to {MOST_TRIALS}, is {n}");
    }

    if let Ok(all) = grid(axes)
        && all.len() <= n
    {
        return Ok(all);
    }

    let mut numbers = Numbers(seed);
    let mut drawn = Vec::new();
    let mut seen = BTreeSet::new();
    for _ in 0..N_DRAWS * n {
        if drawn.len() == n {
            break;
        }

        let combination = draw(axes, &mut numbers);
        if seen.insert(combination.clone()) {
            drawn.push(combination);
        }
    }

    Ok(drawn)
}

fn draw(axes: &[Axis], numbers: &mut Numbers) -> Combination {
    let mut combination = Vec::new();
    for axis in axes {
        let share = numbers.next_share();
        let value = match &axis.values {
            Values::Between(range) => range.at(share),
            Values::Listed(values) => {
                let place = (share * values.len() as f64) as usize;
                values[place.min(values.len() - 1)].clone()
            }
        };
        combination.push((axis.field.clone(), value));
    }

    combination
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Numbers(u64);

impl Numbers {
    /// The next number, 0 up to 1.
    fn next_share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axes(typed: &[&str]) -> Vec<Axis> {
        let parse = |typed: &&str| Axis::parse(typed).unwrap();
        typed.iter().map(parse).collect()
    }

    fn shown(combinations: &[Combination]) -> Vec<String> {
        let show = |combination: &Combination| {
            let values = combination.iter().map(|(_, value)| value.as_str());
            values.collect::<Vec<_>>().join(" ")
        };
        combinations.iter().map(show).collect()
    }

    #[test]
    fn a_grid_has_every_combination_once() {
        let all = grid(&axes(&["a=1,2", "b=x", "c=7,8,9"])).unwrap();
        let expected = ["1 x 7", "1 x 8", "1 x 9", "2 x 7", "2 x 8", "2 x 9"];
        assert_eq!(shown(&all), expected);
        assert_eq!(grid(&[]).unwrap().len(), 1);
        let range = grid(&axes(&["a=1..2"])).unwrap_err().to_string();
        assert!(range.contains("--random"), "{range}");
        let values: Vec<String> = (0..30).map(|n| n.to_string()).collect();
        let values = values.join(",");
        let many = [format!("a={values}"), format!("b={values}")];
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let many = grid(&axes(&many)).unwrap_err().to_string();
        assert!(many.contains("900 combinations"), "{many}");
    }

    #[test]
    fn drawn_combinations_differ_and_follow_from_the_seed() {
        let axes = axes(&["a=1,2,3,4", "b=1e-4..1e-2"]);
        let drawn = random(&axes, 50, 1).unwrap();
        assert_eq!(drawn.len(), 50);
        let different: BTreeSet<&Combination> = drawn.iter().collect();
        assert_eq!(different.len(), 50);
        assert_eq!(random(&axes, 50, 1).unwrap(), drawn);
        assert_ne!(random(&axes, 50, 2).unwrap(), drawn);
        for value in ["1", "2", "3", "4"] {
            assert!(drawn.iter().any(|one| one[0].1 == value), "{value}");
        }
    }

    #[test]
    fn no_more_is_drawn_than_there_is() {
        let axes = axes(&["a=1,2", "b=1,2"]);
        assert_eq!(random(&axes, 9, 1).unwrap(), grid(&axes).unwrap());
        assert_eq!(random(&axes, 3, 1).unwrap().len(), 3);
        assert!(random(&axes, 0, 1).is_err());
    }
}
