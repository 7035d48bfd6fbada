//! A data set's texts as the backbone's words, encoded once and kept on the
//! worker's disk: later jobs on the data set read them there, and a job's
//! memory does not grow with its texts.
//!
//! A folder for each data set, length and tokenizer: `texts.safetensors` says what each
//! text is about, how long it is and its digest, `words.u32` has their words one after the
//! other, `seal.json` has the format, the folder's name and both files' hashes.
//! A folder of an older format, of something else, or a damaged one is made
//! anew. A text whose words change while a job reads them ends the attempt; the
//! next one makes the folder anew.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use model::Token;

use crate::contract::progress::Progress;
use crate::disk::{self, in_the_making, put_in_place};
use crate::error::Error;
use crate::material::about::{About, Columns, digest};
use crate::material::encode::{self, ABOUT, Texts, WORDS};
use crate::material::seal::{self, Form};

/// Encoded texts: what they are about in memory, their words in a file.
#[derive(Debug)]
pub(crate) struct TokenFile {
    about: Vec<About>,
    /// Where each text's words begin, and where the last one's end.
    starts: Vec<u64>,
    digests: Vec<u32>,
    words: File,
    path: PathBuf,
}

/// Where encoded texts are kept, and where they are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places<'a> {
    /// From job to job.
    pub(crate) kept_in: &'a Path,
    /// The attempt's own folder, on the same disk.
    pub(crate) made_in: &'a Path,
}

/// The version of the folder's layout. Format 1 had two bytes a word and no
/// seal, format 2 no digests.
const FORMAT: u32 = 3;
const BYTES_A_WORD: usize = size_of::<u32>();
/// Data sets whose words are kept; the one that was made first goes when there
/// are more.
const N_KEPT: usize = 16;

impl TokenFile {
    /// Opens a data set's words; encodes them first where they are not kept
    /// whole.
    pub(crate) fn open(
        texts: Texts<'_>,
        places: Places<'_>,
        progress: &Progress,
    ) -> Result<Self, Error> {
        let kept_in = places.kept_in;
        disk::make_folder(kept_in)?;
        let name = format!(
            "{}-{}-{}",
            texts.id,
            texts.max_words,
            texts.tokenizer.fingerprint()
        );
        let form = Form {
            format: FORMAT,
            of: &name,
        };
        let place = kept_in.join(&name);
        if place.exists() {
            match Self::read(&place, form) {
                Ok(kept) => return Ok(kept),
                Err(error) => tracing::warn!(
                    folder = %place.display(),
                    error = service::chain(&error),
                    "encoding texts again: the kept words are damaged or of an older format"
                ),
            }
        }
        let making = in_the_making(places.made_in)?;
        encode::write(texts, making.path(), progress)?;
        seal::write(making.path(), form)?;
        // Opened before it is moved: another worker may put its own in the same
        // place.
        let made = Self::read(making.path(), form)?;
        disk::remove_folder(&place)?;
        put_in_place(making, &place)?;
        forget_the_first(kept_in)?;
        Ok(made)
    }

    /// Opens a folder that is sealed and whole.
    fn read(folder: &Path, form: Form<'_>) -> Result<Self, Error> {
        seal::check(folder, form)?;
        let path = folder.join(ABOUT);
        let columns = Columns::read(&path)?;
        let about = columns
            .about()
            .ok_or_else(|| Error::damaged(&path, "a text of no known kind"))?;
        let path = folder.join(WORDS);
        let words = disk::open(&path)?;
        Ok(Self {
            about,
            starts: columns.starts(),
            digests: columns.digests(),
            words,
            path,
        })
    }

    pub(crate) fn about(&self) -> &[About] {
        &self.about
    }

    pub(crate) fn length(&self, place: usize) -> usize {
        (self.starts[place + 1] - self.starts[place]) as usize
    }

    pub(crate) fn words(&self, place: usize) -> Result<Vec<Token>, Error> {
        let mut bytes = vec![0; BYTES_A_WORD * self.length(place)];
        let start = BYTES_A_WORD as u64 * self.starts[place];
        self.words
            .read_exact_at(&mut bytes, start)
            .map_err(Error::file(&self.path))?;
        if digest(&bytes) != self.digests[place] {
            let reason = "its words were changed while a job read them";
            return Err(Error::damaged(&self.path, reason));
        }
        let (words, _) = bytes.as_chunks();
        Ok(words
            .iter()
            .map(|&word| Token::Word(u32::from_le_bytes(word)))
            .collect())
    }
}

/// Removes what was made first, where more is kept than should be.
fn forget_the_first(kept_in: &Path) -> Result<(), Error> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(kept_in).map_err(Error::file(kept_in))? {
        let entry = entry.map_err(Error::file(kept_in))?;
        if disk::is_in_the_making(&entry.path()) {
            continue;
        }
        let metadata = entry.metadata();
        match metadata.and_then(|metadata| metadata.modified()) {
            Ok(made) => folders.push((made, entry.path())),
            // Another worker that shares the folder has replaced it.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Error::file(entry.path())(error)),
        }
    }
    folders.sort();
    let n_too_many = folders.len().saturating_sub(N_KEPT);
    for (_, folder) in folders.iter().take(n_too_many) {
        disk::remove_folder(folder)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataset::{Dataset, ImportOptions, import};
    use model::Tokenizer;
    use tempfile::TempDir;
    use tokio_util::sync::CancellationToken;

    const FORM: Form<'_> = Form {
        format: FORMAT,
        of: "d-64-gpt2",
    };

    /// A data set with three texts, and the folder where its words are kept.
    struct Kept {
        folder: TempDir,
        dataset: Dataset,
    }

    impl Kept {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("reviews.csv");
            let rows = "user_id,item_id,split,text\na,x,train,a fine thing\na,y,test,another thing\nb,x,train,so so\n";
            std::fs::write(&path, rows).unwrap();
            let dataset = import(&path, &ImportOptions::default()).unwrap().0;
            dataset.write(folder.path()).unwrap();
            Self { folder, dataset }
        }

        fn open(&self) -> TokenFile {
            let texts = Texts {
                tokenizer: &Tokenizer::gpt2(),
                dataset: &self.dataset,
                id: "d",
                folder: self.folder.path(),
                max_words: 64,
            };
            let (progress, _watch) =
                Progress::new("flex", CancellationToken::new());
            let places = Places {
                kept_in: &self.folder.path().join("tokens"),
                made_in: self.folder.path(),
            };
            TokenFile::open(texts, places, &progress).unwrap()
        }

        /// The file with the words.
        fn path(&self) -> PathBuf {
            self.folder.path().join("tokens/d-64-gpt2").join(WORDS)
        }

        /// True when what is kept can be used as it is.
        fn is_whole(&self) -> bool {
            let place = self.path().parent().unwrap().to_owned();
            TokenFile::read(&place, FORM).is_ok()
        }
    }

    fn all_words(file: &TokenFile) -> Vec<Vec<Token>> {
        (0..file.about().len())
            .map(|place| file.words(place).unwrap())
            .collect()
    }

    /// Opens the words, damages what is kept, and opens them again.
    fn made_anew_after(damage: impl FnOnce(&Path)) {
        let kept = Kept::new();
        let first = kept.open();
        let words = all_words(&first);
        assert_eq!(words.len(), 3);
        let file = std::fs::read(kept.path()).unwrap();
        damage(&kept.path());
        assert!(!kept.is_whole());
        let again = kept.open();
        assert_eq!(all_words(&again), words);
        assert_eq!(again.about(), first.about());
        assert_eq!(std::fs::read(kept.path()).unwrap(), file);
        assert!(kept.is_whole());
    }

    #[test]
    fn what_is_whole_is_read_without_the_texts() {
        let kept = Kept::new();
        let words = all_words(&kept.open());
        std::fs::remove_file(kept.folder.path().join("texts.jsonl")).unwrap();
        assert_eq!(all_words(&kept.open()), words);
    }

    #[test]
    fn a_truncated_file_is_made_anew() {
        made_anew_after(|path| {
            let bytes = std::fs::read(path).unwrap();
            std::fs::write(path, &bytes[..bytes.len() - BYTES_A_WORD]).unwrap();
        });
    }

    #[test]
    fn a_flipped_byte_is_noticed_and_the_file_made_anew() {
        made_anew_after(|path| {
            let mut bytes = std::fs::read(path).unwrap();
            bytes[0] ^= 1;
            std::fs::write(path, bytes).unwrap();
        });
    }

    #[test]
    fn the_columns_are_sealed_too() {
        made_anew_after(|path| {
            let path = path.with_file_name(ABOUT);
            let mut bytes = std::fs::read(&path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            std::fs::write(path, bytes).unwrap();
        });
    }

    #[test]
    fn a_folder_of_the_first_format_is_made_anew() {
        made_anew_after(|path| {
            let bytes = std::fs::read(path).unwrap();
            let (words, _) = bytes.as_chunks::<BYTES_A_WORD>();
            let halves: Vec<u8> =
                words.iter().flat_map(|word| [word[0], word[1]]).collect();
            std::fs::write(path.with_file_name("words.u16"), halves).unwrap();
            std::fs::remove_file(path).unwrap();
            std::fs::remove_file(path.with_file_name("seal.json")).unwrap();
        });
    }

    #[test]
    fn a_folder_of_another_format_is_made_anew() {
        made_anew_after(|path| {
            let format = FORMAT + 1;
            let form = Form { format, ..FORM };
            seal::write(path.parent().unwrap(), form).unwrap();
        });
    }

    #[test]
    fn whole_words_of_another_data_set_are_not_taken_for_these() {
        made_anew_after(|path| {
            let form = Form {
                of: "e-64-gpt2",
                ..FORM
            };
            seal::write(path.parent().unwrap(), form).unwrap();
        });
    }

    #[test]
    fn a_file_in_the_folders_place_is_no_obstacle() {
        made_anew_after(|path| {
            let folder = path.parent().unwrap();
            std::fs::remove_dir_all(folder).unwrap();
            std::fs::write(folder, "").unwrap();
        });
    }

    #[test]
    fn words_that_change_while_they_are_read_are_not_learned_from() {
        let kept = Kept::new();
        let file = kept.open();
        let words = all_words(&file);
        let mut bytes = std::fs::read(kept.path()).unwrap();
        bytes[0] ^= 1;
        std::fs::write(kept.path(), bytes).unwrap();
        let error = file.words(0).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        assert!(error.is_passing(), "the next attempt makes them anew");
        assert_eq!(file.words(1).unwrap(), words[1]);
        assert_eq!(all_words(&kept.open()), words);
    }
}
