//! What each of a data set's encoded texts is about and how long it is, as
//! columns in a file.

use std::path::Path;

use model::{NamedTensor, TensorFile, write_tensors};
use sha2::{Digest, Sha256};

use crate::error::Error;

/// What a text is about; rows where it has any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    Title { item: u32 },
    Review { user: u32, item: u32 },
    Description { item: u32 },
    Biography { user: u32 },
}

/// One entry a text in each column. The bits of rows and lengths are kept as
/// they are: the file has no unsigned numbers.
#[derive(Debug, Default)]
pub(super) struct Columns {
    kind: Vec<i32>,
    user: Vec<i32>,
    item: Vec<i32>,
    length: Vec<i32>,
    /// The [`digest`] of each text's words.
    digest: Vec<i32>,
}

/// What is checked of a text's words whenever they are read: the first bytes of
/// their SHA-256.
pub(super) fn digest(words: &[u8]) -> u32 {
    let hash = Sha256::digest(words);
    u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]])
}

impl Columns {
    /// Adds a text, by what it is about and the bytes of its words.
    pub(super) fn push(&mut self, about: About, words: &[u8]) {
        let n_words = words.len() / size_of::<u32>();
        let (kind, user, item) = match about {
            About::Title { item } => (0, 0, item),
            About::Review { user, item } => (1, user, item),
            About::Description { item } => (2, 0, item),
            About::Biography { user } => (3, user, 0),
        };
        self.kind.push(kind);
        self.user.push(user.cast_signed());
        self.item.push(item.cast_signed());
        self.length.push(i32::try_from(n_words).unwrap_or(i32::MAX));
        self.digest.push(digest(words).cast_signed());
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        let shape = vec![self.kind.len()];
        let columns = [
            NamedTensor::i32("kind", shape.clone(), &self.kind),
            NamedTensor::i32("user", shape.clone(), &self.user),
            NamedTensor::i32("item", shape.clone(), &self.item),
            NamedTensor::i32("length", shape.clone(), &self.length),
            NamedTensor::i32("digest", shape, &self.digest),
        ];
        write_tensors(path, &columns)?;
        Ok(())
    }

    /// Reads what [`Self::write`] wrote.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let file = TensorFile::open(path)?;
        Ok(Self {
            kind: file.i32("kind")?.1,
            user: file.i32("user")?.1,
            item: file.i32("item")?.1,
            length: file.i32("length")?.1,
            digest: file.i32("digest")?.1,
        })
    }

    /// What each text is about; `None` where a column says what no text can be
    /// about.
    pub(super) fn about(&self) -> Option<Vec<About>> {
        let rows = self.user.iter().zip(&self.item);
        self.kind
            .iter()
            .zip(rows)
            .map(|(&kind, (user, item))| {
                about(kind, user.cast_unsigned(), item.cast_unsigned())
            })
            .collect()
    }

    /// The digest of each text's words.
    pub(super) fn digests(&self) -> Vec<u32> {
        self.digest.iter().map(|d| d.cast_unsigned()).collect()
    }

    /// Where each text's words begin, and where the last one's end.
    pub(super) fn starts(&self) -> Vec<u64> {
        let mut starts = vec![0];
        let mut end = 0;
        for length in &self.length {
            end += u64::from(length.cast_unsigned());
            starts.push(end);
        }
        starts
    }
}

fn about(kind: i32, user: u32, item: u32) -> Option<About> {
    match kind {
        0 => Some(About::Title { item }),
        1 => Some(About::Review { user, item }),
        2 => Some(About::Description { item }),
        3 => Some(About::Biography { user }),
        _ => None,
    }
}
