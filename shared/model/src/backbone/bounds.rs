//! Bounds of what a configuration may ask for, before anything is compared or
//! computed with it.

/// The way out of a configuration that is not its checkpoint's.
pub(crate) const FIELDS_ADVICE: &str =
    "take the config.json that `save_pretrained` writes beside the weights";

/// A size of a decoder, by its name in `config.json`, and more than any model
/// has.
pub(crate) struct Size {
    pub(crate) name: &'static str,
    pub(crate) value: usize,
    pub(crate) most: usize,
}

/// Refuses a size that is 0 or beyond its bound.
pub(crate) fn check_sizes(sizes: &[Size]) -> Result<(), String> {
    for Size { name, value, most } in sizes {
        if *value == 0 || value > most {
            return Err(format!(
                "{name} must be 1 to {most}, is {value}; {FIELDS_ADVICE}"
            ));
        }
    }
    Ok(())
}

/// Refuses what a norm adds to a variance where its root would not be a number.
pub(crate) fn check_epsilon(name: &str, value: f64) -> Result<(), String> {
    if value > 0.0 && value < 1.0 {
        return Ok(());
    }
    Err(format!(
        "{name} must be between 0 and 1, is {value}; {FIELDS_ADVICE}"
    ))
}
