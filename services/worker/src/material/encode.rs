//! Encodes a data set's texts: titles in the order of items, then the other
//! texts in theirs.

use std::io::{BufWriter, Write};
use std::path::Path;

use dataset::{Dataset, Text, TextKind};
use domain::Item;
use model::Tokenizer;
use rayon::prelude::*;

use crate::contract::progress::Progress;
use crate::disk;
use crate::error::Error;
use crate::material::about::{About, Columns};

/// The texts that are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Texts<'a> {
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) dataset: &'a Dataset,
    /// The data set's id; names the folder where the words are kept.
    pub(crate) id: &'a str,
    /// The data set's own folder.
    pub(crate) folder: &'a Path,
    /// Each text is cut at this many words.
    pub(crate) max_words: usize,
}

/// A text and what it is about.
struct Subject {
    about: About,
    text: String,
}

/// The file with what each text is about.
pub(super) const ABOUT: &str = "texts.safetensors";
/// The file with all words, one after the other, each a little-endian u32.
pub(super) const WORDS: &str = "words.u32";
/// Texts that are encoded at once, on all cores.
const CHUNK: usize = 4_096;

/// Writes [`ABOUT`] and [`WORDS`] into a folder.
pub(super) fn write(
    texts: Texts<'_>,
    folder: &Path,
    progress: &Progress,
) -> Result<(), Error> {
    let path = folder.join(WORDS);
    let mut words = BufWriter::new(disk::create(&path)?);
    let mut columns = Columns::default();
    let mut subjects = subjects(texts)?;
    loop {
        progress.check()?;
        let chunk: Result<Vec<Subject>, _> =
            subjects.by_ref().take(CHUNK).collect();
        let chunk = chunk.map_err(Error::Data)?;
        if chunk.is_empty() {
            break;
        }
        let encoded: Vec<Vec<u32>> = chunk
            .par_iter()
            .map(|subject| texts.tokenizer.encode_main(&subject.text))
            .collect();
        for (subject, encoded) in chunk.iter().zip(&encoded) {
            let kept = &encoded[..encoded.len().min(texts.max_words)];
            let bytes = bytes_of(kept);
            columns.push(subject.about, &bytes);
            words.write_all(&bytes).map_err(Error::file(&path))?;
        }
    }
    words.flush().map_err(Error::file(&path))?;
    columns.write(&folder.join(ABOUT))
}

fn bytes_of(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Everything to encode; a text without a user or item that its prompt would
/// name is left out.
fn subjects(
    texts: Texts<'_>,
) -> Result<impl Iterator<Item = Result<Subject, dataset::Error>>, Error> {
    let titles = (0..)
        .zip(&texts.dataset.items)
        .filter(|(_, item)| !item.title.is_empty())
        .map(|(row, item)| Ok(title(row, item)));
    let others = dataset::texts(texts.folder).map_err(Error::Data)?;
    Ok(titles.chain(others.filter_map(|text| text.map(subject).transpose())))
}

fn title(row: u32, item: &Item) -> Subject {
    Subject {
        about: About::Title { item: row },
        text: item.title.clone(),
    }
}

fn subject(text: Text) -> Option<Subject> {
    let about = match (text.kind, text.user, text.item) {
        (TextKind::Review, Some(user), Some(item)) => {
            About::Review { user, item }
        }
        (TextKind::Description, _, Some(item)) => About::Description { item },
        (TextKind::Biography, Some(user), _) => About::Biography { user },
        (
            TextKind::Review | TextKind::Description | TextKind::Biography,
            ..,
        ) => return None,
    };
    let text = text.text;
    Some(Subject { about, text })
}
