//! Which users take part in a trial: a fixed share of them, chosen by name.

use sha2::{Digest, Sha256};

/// What a share of the users is set apart for; another purpose gets other
/// users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trial {
    Canary,
    Shadow,
}

impl Trial {
    /// Whether a user belongs to the share, 0 to 1: the same answer on every
    /// replica.
    pub(crate) fn includes(self, user: &str, share: f64) -> bool {
        self.place_of(user) < share
    }

    fn place_of(self, user: &str) -> f64 {
        let hash = Sha256::new()
            .chain_update(self.salt())
            .chain_update(user)
            .finalize();
        let first = hash.first_chunk();
        let number = first.map_or(0, |bytes| u32::from_le_bytes(*bytes));
        f64::from(number) / f64::from(u32::MAX)
    }

    fn salt(self) -> &'static str {
        match self {
            Self::Canary => "",
            Self::Shadow => "shadow",
        }
    }
}
