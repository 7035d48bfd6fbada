//! A data set's texts as GPT-2 words, encoded once and kept on the worker's disk: later jobs on the
//! data set read them there, and a job's memory does not grow with its texts.
//!
//! A folder for each data set and length: `texts.safetensors` says what each text is about and how
//! long it is, `words.u16` has their words one after the other. Two bytes a word are enough for
//! GPT-2's vocabulary.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use dataset::{Dataset, Text, TextKind};
use model::{NamedTensor, TensorFile, Token, Tokenizer, write_tensors};
use rayon::prelude::*;

use crate::Error;
use crate::input::put_in_place;
use crate::progress::Progress;

/// What a text is about; rows where it has any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    Title { item: u32 },
    Review { user: u32, item: u32 },
    Description { item: u32 },
    Biography { user: u32 },
}

/// Encoded texts: what they are about in memory, their words in a file.
#[derive(Debug)]
pub(crate) struct TokenFile {
    about: Vec<About>,
    /// Where each text's words begin, and where the last one's end.
    starts: Vec<u64>,
    words: File,
    path: PathBuf,
}

const ABOUT: &str = "texts.safetensors";
const WORDS: &str = "words.u16";
/// Texts that are encoded at once, on all cores.
const CHUNK: usize = 4_096;
/// Data sets whose words are kept; the one that was made first goes when there are more.
const N_KEPT: usize = 16;

impl TokenFile {
    /// Opens a data set's words, each text cut at `most`; encodes them first where nobody has.
    pub(crate) fn open(
        (dataset, folder): (&Dataset, &Path),
        (id, most): (&str, usize),
        kept_in: &Path,
        progress: &Progress,
    ) -> Result<Self, Error> {
        std::fs::create_dir_all(kept_in).map_err(Error::file(kept_in))?;
        let made = kept_in.join(format!("{id}-{most}"));
        if !made.exists() {
            let making = tempfile::Builder::new()
                .prefix("partial-")
                .tempdir_in(kept_in)
                .map_err(Error::file(kept_in))?;
            encode(dataset, folder, (most, making.path()), progress)?;
            put_in_place(making, &made)?;
            forget_the_first(kept_in)?;
        }
        Self::read(&made)
    }

    fn read(folder: &Path) -> Result<Self, Error> {
        let file = TensorFile::open(&folder.join(ABOUT))?;
        let column = |name: &str| file.i32(name).map(|(_, values)| values);
        let (kinds, users, items, lengths) = (
            column("kind")?,
            column("user")?,
            column("item")?,
            column("length")?,
        );
        let about =
            kinds
                .iter()
                .zip(users.iter().zip(&items))
                .filter_map(|(&kind, (&user, &item))| {
                    let (user, item) = (user.cast_unsigned(), item.cast_unsigned());
                    Some(match kind {
                        0 => About::Title { item },
                        1 => About::Review { user, item },
                        2 => About::Description { item },
                        3 => About::Biography { user },
                        _ => return None,
                    })
                });
        let mut starts = vec![0];
        lengths
            .iter()
            .for_each(|&n| starts.push(starts[starts.len() - 1] + u64::from(n.cast_unsigned())));
        let path = folder.join(WORDS);
        let words = File::open(&path).map_err(Error::file(&path))?;
        let file = Self {
            about: about.collect(),
            starts,
            words,
            path,
        };
        let n_bytes = file
            .words
            .metadata()
            .map_err(Error::file(&file.path))?
            .len();
        if file.about.len() + 1 != file.starts.len() || n_bytes != 2 * file.starts[file.about.len()]
        {
            let folder = folder.display();
            return Err(Error::Spec(format!(
                "the words in {folder} are not whole; remove the folder and try again"
            )));
        }
        Ok(file)
    }

    /// What each text is about.
    pub(crate) fn about(&self) -> &[About] {
        &self.about
    }

    /// Words of a text.
    pub(crate) fn length(&self, place: usize) -> usize {
        (self.starts[place + 1] - self.starts[place]) as usize
    }

    /// A text's words.
    pub(crate) fn words(&self, place: usize) -> Result<Vec<Token>, Error> {
        let mut bytes = vec![0; 2 * self.length(place)];
        self.words
            .read_exact_at(&mut bytes, 2 * self.starts[place])
            .map_err(Error::file(&self.path))?;
        Ok(bytes
            .as_chunks()
            .0
            .iter()
            .map(|&word| Token::Word(u16::from_le_bytes(word).into()))
            .collect())
    }
}

/// The columns of [`ABOUT`], row by row.
#[derive(Default)]
struct Columns {
    kind: Vec<i32>,
    user: Vec<i32>,
    item: Vec<i32>,
    length: Vec<i32>,
}

impl Columns {
    fn push(&mut self, about: About, length: usize) {
        let (kind, user, item) = match about {
            About::Title { item } => (0, 0, item),
            About::Review { user, item } => (1, user, item),
            About::Description { item } => (2, 0, item),
            About::Biography { user } => (3, user, 0),
        };
        self.kind.push(kind);
        self.user.push(user.cast_signed());
        self.item.push(item.cast_signed());
        self.length.push(i32::try_from(length).unwrap_or(i32::MAX));
    }
}

/// Titles in the order of items, then the other texts in theirs; a text without a user or item that
/// its prompt would name is left out.
fn encode(
    dataset: &Dataset,
    folder: &Path,
    (most, to): (usize, &Path),
    progress: &Progress,
) -> Result<(), Error> {
    let path = to.join(WORDS);
    let mut words = BufWriter::new(File::create(&path).map_err(Error::file(&path))?);
    let tokenizer = Tokenizer::gpt2();
    let titles = (0..)
        .zip(&dataset.items)
        .filter(|(_, item)| !item.title.is_empty());
    let titles = titles.map(|(row, item)| Ok((About::Title { item: row }, item.title.clone())));
    let texts = dataset::texts(folder).map_err(Error::Data)?;
    let texts = texts.filter_map(|text| {
        text.map(|text| Some((about(&text)?, text.text)))
            .transpose()
    });
    let mut all = titles.chain(texts);
    let mut columns = Columns::default();
    loop {
        progress.check()?;
        let chunk: Vec<(About, String)> = all
            .by_ref()
            .take(CHUNK)
            .collect::<Result<_, _>>()
            .map_err(Error::Data)?;
        if chunk.is_empty() {
            break;
        }
        let encoded: Vec<Vec<u32>> = chunk
            .par_iter()
            .map(|(_, text)| tokenizer.encode_main(text))
            .collect();
        for ((about, _), encoded) in chunk.into_iter().zip(encoded) {
            let encoded = &encoded[..encoded.len().min(most)];
            columns.push(about, encoded.len());
            for &word in encoded {
                let word = u16::try_from(word).expect("GPT-2 has 50,257 words");
                words
                    .write_all(&word.to_le_bytes())
                    .map_err(Error::file(&path))?;
            }
        }
    }
    words.flush().map_err(Error::file(&path))?;
    let column = |name: &'static str, values| {
        let values: &Vec<i32> = values;
        NamedTensor::i32(name, vec![values.len()], values)
    };
    let Columns {
        kind,
        user,
        item,
        length,
    } = &columns;
    let columns = [
        column("kind", kind),
        column("user", user),
        column("item", item),
        column("length", length),
    ];
    Ok(write_tensors(&to.join(ABOUT), &columns)?)
}

fn about(text: &Text) -> Option<About> {
    match (text.kind, text.user, text.item) {
        (TextKind::Review, Some(user), Some(item)) => Some(About::Review { user, item }),
        (TextKind::Description, _, Some(item)) => Some(About::Description { item }),
        (TextKind::Biography, Some(user), _) => Some(About::Biography { user }),
        (TextKind::Review | TextKind::Description | TextKind::Biography, ..) => None,
    }
}

/// Removes what was made first, where more is kept than should be.
fn forget_the_first(kept_in: &Path) -> Result<(), Error> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(kept_in).map_err(Error::file(kept_in))? {
        let entry = entry.map_err(Error::file(kept_in))?;
        let made = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .map_err(Error::file(entry.path()))?;
        folders.push((made, entry.path()));
    }
    folders.sort();
    for (_, folder) in folders.iter().take(folders.len().saturating_sub(N_KEPT)) {
        std::fs::remove_dir_all(folder).map_err(Error::file(folder))?;
    }
    Ok(())
}
