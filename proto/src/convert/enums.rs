//! What is said of a number that is no value of an enum.

use domain::Invalid;

/// Numbers that are tried for the values that there are.
const MOST_VALUES: i32 = 64;

/// Says which values an enum has, as `name` calls them.
pub(crate) fn no_value<E: TryFrom<i32>>(
    field: &str,
    number: i32,
    name: fn(&E) -> &'static str,
) -> Invalid {
    let mut values = Vec::new();
    for value in 1..MOST_VALUES {
        if let Ok(known) = E::try_from(value) {
            values.push(format!("{} ({value})", name(&known)));
        }
    }

    let values = values.join(", ");
    Invalid::one(field, format!("{number} is no value; there are {values}"))
}
