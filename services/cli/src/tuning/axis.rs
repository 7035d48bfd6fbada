//! Which values a field of the specification is tried with: a list
//! (`seed=1,2,3`), or a range that values are drawn from (`finetuning.dropout=0..0.5`).

use anyhow::{Context, bail};

/// A field and its values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    /// The field's path, such as `finetuning.learning_rate`.
    pub(crate) field: String,
    pub(crate) values: Values,
}

/// What a field is tried with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    /// These, as they are typed.
    Listed(Vec<String>),
    /// Numbers from the first to the last.
    Between(Range),
}

/// Numbers that are drawn by their logarithm where the first is above 0: as
/// many between 1e-4 and 1e-3 as between 1e-3 and 1e-2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Range {
    first: f64,
    last: f64,
    /// Both ends are whole numbers: so are those in between.
    is_whole: bool,
}

impl Axis {
    /// Reads `FIELD=VALUES`.
    pub(crate) fn parse(typed: &str) -> anyhow::Result<Self> {
        let (field, values) = typed
            .split_once('=')
            .with_context(|| format!("`{typed}` is not FIELD=VALUES"))?;
        let values = match Range::parse(values) {
            Some(range) => Values::Between(range),
            None => Values::Listed(split(values)),
        };
        let axis = Self {
            field: field.to_owned(),
            values,
        };
        axis.check(typed)?;
        Ok(axis)
    }

    fn check(&self, typed: &str) -> anyhow::Result<()> {
        match &self.values {
            Values::Listed(values) => {
                for (place, value) in values.iter().enumerate() {
                    if value.is_empty() {
                        bail!("`{typed}` has an empty value");
                    }

                    if values[..place].contains(value) {
                        bail!("`{typed}` has {value} twice");
                    }
                }
            }
            Values::Between(Range { first, last, .. }) => {
                if first >= last {
                    bail!("`{typed}`: {last} must be more than {first}");
                }
            }
        }

        Ok(())
    }

    /// Whether more than one value is tried.
    pub(crate) fn varies(&self) -> bool {
        match &self.values {
            Values::Listed(values) => values.len() > 1,
            Values::Between(_) => true,
        }
    }
}

impl Range {
    fn parse(typed: &str) -> Option<Self> {
        let (first, last) = typed.split_once("..")?;
        let is_whole =
            first.parse::<i64>().is_ok() && last.parse::<i64>().is_ok();
        let (first, last): (f64, f64) =
            (first.parse().ok()?, last.parse().ok()?);
        let is_finite = first.is_finite() && last.is_finite();
        is_finite.then_some(Self {
            first,
            last,
            is_whole,
        })
    }

    /// The number at a share of the way, 0 to 1.
    pub(crate) fn at(self, share: f64) -> String {
        let Self { first, last, .. } = self;
        let number = if first > 0.0 {
            (first.ln() + share * (last.ln() - first.ln())).exp()
        } else {
            first + share * (last - first)
        };
        if self.is_whole {
            return format!("{:.0}", number.round());
        }

        // As many digits as matter; with a point or an exponent, as TOML wants.
        let digits = format!("{number:.2e}");
        let rounded: f64 = digits.parse().unwrap_or(number);
        format!("{:?}", rounded.clamp(first, last))
    }
}

/// Splits at commas that are in no list, table or text.
fn split(values: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0_i32;
    let mut quote = None;
    for c in values.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth -= 1,
            (None, ',') if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            (Some(_) | None, _) => {}
        }

        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }

    parts.iter().map(|part| part.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(typed: &str) -> Vec<String> {
        match Axis::parse(typed).unwrap().values {
            Values::Listed(values) => values,
            Values::Between(range) => panic!("{typed} is {range:?}"),
        }
    }

    fn range(typed: &str) -> Range {
        match Axis::parse(typed).unwrap().values {
            Values::Between(range) => range,
            Values::Listed(values) => panic!("{typed} is {values:?}"),
        }
    }

    #[test]
    fn values_are_split_at_commas_outside_of_lists_and_texts() {
        assert_eq!(listed("seed=1, 2,3"), ["1", "2", "3"]);
        assert_eq!(listed("a.b=1e-4,1e-3"), ["1e-4", "1e-3"]);
        assert_eq!(listed("labels=[\"a\",\"b\"],[]"), ["[\"a\",\"b\"]", "[]"]);
        assert_eq!(listed("a='x,y'"), ["'x,y'"]);
        assert!(!Axis::parse("seed=1").unwrap().varies());
        for wrong in ["seed", "seed=", "seed=1,,2", "seed=1,1", "a=2..1"] {
            let refused = Axis::parse(wrong).unwrap_err().to_string();
            assert!(refused.contains(wrong), "{refused}");
        }
    }

    #[test]
    fn a_range_is_drawn_from_by_its_logarithm_and_keeps_to_its_ends() {
        let rate = range("finetuning.learning_rate=1e-4..1e-2");
        assert_eq!(rate.at(0.0), "0.0001");
        assert_eq!(rate.at(0.5), "0.001");
        assert_eq!(rate.at(1.0), "0.01");
        assert_eq!(range("a=0..0.5").at(0.5), "0.25");
        assert_eq!(range("batch=8..128").at(0.5), "32");
        assert_eq!(range("x=0..10").at(0.26), "3");
        let odd = range("x=0.12345..0.9");
        assert_eq!(odd.at(0.0), "0.12345", "not below its end");
    }
}
