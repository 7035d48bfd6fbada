//! What a job starts from: named sets of fields that a specification and
//! `--set` go over.

use clap::ValueEnum;
use toml::Table;

/// Sizes of a job.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Preset {
    /// The defaults: a random backbone 256 wide, minutes on two cores.
    Small,
    /// Three times as wide, all texts in every epoch.
    Base,
    /// On SmolLM2-135M, a real language model: `cllm4rec backbone add smollm2`
    /// fetches it.
    Smollm2,
}

const BASE: &str = "
backbone.random = { n_embd = 768, n_head = 12 }
pretraining = { documents_per_epoch = 0 }
";
const SMOLLM2: &str = "
backbone.path = 'smollm2'
pretraining = { content_epochs = 2, documents_per_epoch = 500, max_text_tokens = 64 }
finetuning = { epochs = 3 }
";

impl Preset {
    /// The fields of a specification that it sets.
    pub(crate) fn fields(self) -> Table {
        let fields = match self {
            Self::Small => "",
            Self::Base => BASE,
            Self::Smollm2 => SMOLLM2,
        };
        fields.parse().expect("the presets are TOML")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::spec::checked;

    #[test]
    fn every_preset_is_a_specification() {
        for preset in Preset::value_variants() {
            let mut table = preset.fields();
            table.insert("dataset".to_owned(), "d".into());
            assert!(checked(table).is_ok(), "{preset:?}");
        }
    }
}
