//! A small file that a client sends becomes a data set: received into a folder
//! of its own, read there, stored and its histories seeded, all or nothing.

/// How it is to be read.
mod options;

use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dataset::{Dataset, ImportOptions, Report, import};
use domain::Invalid;
use ingestion::{Ingested, Ingestion, SeededSplits, Seeding};
use proto::pb;
use proto::pb::import_dataset_request::{self as message, Part};
use storage::Storage;
use tempfile::TempDir;
use tonic::{Code, Status, Streaming};

use crate::error::Error;
use crate::upload::options::Checked;

/// Bytes of both files together.
const MOST_BYTES: u64 = 32 << 20;
/// A client that sends nothing for so long has given up.
const SILENCE: Duration = Duration::from_secs(30);
/// All of it has come within this time.
const LONGEST: Duration = Duration::from_secs(120);
/// Where the two files are in the folder: their names may be the same.
const FOLDERS: [&str; 2] = ["interactions", "items"];

/// What a client sent, whole.
pub(crate) struct Upload {
    /// The files are gone with it.
    folder: TempDir,
    interactions: PathBuf,
    options: ImportOptions,
    validate_only: bool,
    /// Whether much of an earlier data set of this name may leave the
    /// histories.
    may_replace: bool,
}

/// What became of an upload.
pub(crate) struct Imported {
    pub(crate) dataset: Dataset,
    pub(crate) report: Report,
    /// Absent where nothing was to be stored.
    pub(crate) stored: Option<Ingested>,
}

impl Upload {
    /// Receives what a client sends, up to its end.
    pub(crate) async fn receive(
        mut messages: Streaming<pb::ImportDatasetRequest>,
    ) -> Result<Self, Status> {
        let first = next(&mut messages).await?;
        let Some(Part::Options(options)) = first else {
            let reason = "must be in the first message, before any file";
            return Err(refused(&Invalid::one("options", reason)));
        };
        let upload = Self::begin(options)?;
        let received = upload.receive_files(&mut messages);
        let received = tokio::time::timeout(LONGEST, received).await;
        received.map_err(|_| {
            Status::deadline_exceeded(format!(
                "the files did not come within {LONGEST:?}"
            ))
        })??;
        Ok(upload)
    }

    async fn receive_files(
        &self,
        messages: &mut Streaming<pb::ImportDatasetRequest>,
    ) -> Result<(), Status> {
        let mut files = Files::create(self)?;
        while let Some(part) = next(messages).await? {
            files.add(part)?;
        }
        files.close(self)
    }

    /// Checks the options, and makes a folder for the files.
    fn begin(options: message::Options) -> Result<Self, Status> {
        let validate_only = options.validate_only;
        let may_replace = options.replace;
        let checked = Checked::try_from(options);
        let checked = checked.map_err(|invalid| refused(&invalid))?;
        // Nobody else on the machine reads what a client sends.
        let folder = tempfile::Builder::new()
            .prefix("cllm4rec-upload-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(|error| no_room(&error))?;
        let [of_interactions, of_items] =
            FOLDERS.map(|name| folder.path().join(name));
        Ok(Self {
            interactions: of_interactions.join(checked.interactions),
            options: ImportOptions {
                items: checked.items.map(|name| of_items.join(name)),
                ..checked.options
            },
            validate_only,
            may_replace,
            folder,
        })
    }

    /// Reads what was received, and stores it.
    pub(crate) async fn import(
        self,
        storage: Storage,
    ) -> Result<Imported, Status> {
        let reading = tokio::task::spawn_blocking(move || {
            let read = import(&self.interactions, &self.options);
            (read, self)
        });
        let (read, upload) = reading.await.map_err(|error| {
            Status::internal(format!("the reading ended: {error}"))
        })?;
        let read = read.map_err(|error| {
            Status::invalid_argument(upload.without_folder(&said(&error)))
        });
        let (dataset, mut report) = read?;
        upload.clean(&mut report);
        let artifacts = storage.artifacts.clone();
        let told = ingestion::tell(&mut report, &dataset, &artifacts).await;
        let is_part = told.map_err(failed)?;
        if is_part && !upload.validate_only && !upload.may_replace {
            let why = report.warnings.last().cloned().unwrap_or_default();
            return Err(Status::failed_precondition(format!(
                "nothing was imported: {why}; `replace` imports it all the same"
            )));
        }
        if upload.validate_only {
            return Ok(Imported {
                dataset,
                report,
                stored: None,
            });
        }
        let begun = Ingestion::begin(&artifacts, &dataset, &report).await;
        let mut seeding = Seeding {
            splits: SeededSplits::All,
            keeper: storage,
        };
        let stored = begun.map_err(failed)?.seed(&mut seeding).await;
        Ok(Imported {
            stored: Some(stored.map_err(failed)?),
            dataset,
            report,
        })
    }

    /// Takes the folder's name out of a text: it says nothing to a client.
    fn without_folder(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for name in FOLDERS {
            let folder = self.folder.path().join(name);
            text = text.replace(&format!("{}/", folder.display()), "");
        }
        text
    }

    fn clean(&self, report: &mut Report) {
        for line in report.warnings.iter_mut().chain(&mut report.notes) {
            *line = self.without_folder(line);
        }
        for column in &mut report.columns {
            column.file = self.without_folder(&column.file);
        }
    }
}

/// The options of the command line, which errors of files name, and the fields
/// of a request that are the same.
const FIELDS: [(&str, &str); 11] = [
    ("--user-column", "columns.user"),
    ("--item-column", "columns.item"),
    ("--timestamp-column", "columns.timestamp"),
    ("--rating-column", "columns.rating"),
    ("--split-column", "columns.split"),
    ("--text-column", "columns.text"),
    ("--title-column", "columns.title"),
    ("--category-column", "columns.category"),
    ("--min-rating", "min_rating"),
    ("--dates day-first", "dates: DAY_FIRST"),
    ("--dates month-first", "dates: MONTH_FIRST"),
];

fn said(error: &dataset::Error) -> String {
    let mut said = service::chain(error);
    for (option, field) in FIELDS {
        said = said.replace(option, field);
    }
    domain::shortened(said, 1_000)
}

/// The status of a data set that could not be stored.
fn failed(error: ingestion::Error) -> Status {
    match error {
        ingestion::Error::Storage(error) => Error::from(error).into(),
        error @ (ingestion::Error::Dataset(_)
        | ingestion::Error::Folder(_)
        | ingestion::Error::Seeding(_)
        | ingestion::Error::Replacing(_)) => {
            service::status(Code::Unavailable, &error)
        }
    }
}

fn refused(invalid: &Invalid) -> Status {
    proto::invalid_argument(invalid)
}

/// The next part; `None` at the end.
async fn next(
    messages: &mut Streaming<pb::ImportDatasetRequest>,
) -> Result<Option<Part>, Status> {
    let message = tokio::time::timeout(SILENCE, messages.message()).await;
    let message = message.map_err(|_| {
        Status::deadline_exceeded(format!(
            "nothing came for {SILENCE:?}: send the file again"
        ))
    })??;
    match message {
        None => Ok(None),
        Some(message) => match message.part {
            Some(part) => Ok(Some(part)),
            None => {
                let reason = "must be given: the options, or a piece of a file";
                Err(refused(&Invalid::one("part", reason)))
            }
        },
    }
}

/// The files that are being received.
struct Files {
    interactions: File,
    items: Option<File>,
    n_bytes: u64,
    n_of_items: u64,
}

impl Files {
    fn create(upload: &Upload) -> Result<Self, Status> {
        let create = |path: &Path| {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            File::create_new(path)
        };
        let items = upload.options.items.as_deref().map(create);
        Ok(Self {
            interactions: create(&upload.interactions)
                .map_err(|error| no_room(&error))?,
            items: items.transpose().map_err(|error| no_room(&error))?,
            n_bytes: 0,
            n_of_items: 0,
        })
    }

    fn add(&mut self, part: Part) -> Result<(), Status> {
        let (file, bytes) = match part {
            Part::Options(_) => {
                let reason = "must be in the first message alone";
                return Err(refused(&Invalid::one("options", reason)));
            }
            Part::Interactions(bytes) => (&mut self.interactions, bytes),
            Part::Items(bytes) => {
                let Some(file) = &mut self.items else {
                    let reason =
                        "must be left out where `items_file_name` is empty";
                    return Err(refused(&Invalid::one("items", reason)));
                };
                self.n_of_items += bytes.len() as u64;
                (file, bytes)
            }
        };
        if bytes.is_empty() {
            let reason = "must not be empty";
            return Err(refused(&Invalid::one("part", reason)));
        }
        self.n_bytes += bytes.len() as u64;
        if self.n_bytes > MOST_BYTES {
            return Err(Status::resource_exhausted(format!(
                "files of more than {} MiB are imported by `cllm4rec dataset import`",
                MOST_BYTES >> 20
            )));
        }
        file.write_all(&bytes).map_err(|error| no_room(&error))
    }

    /// Refuses a file of which nothing came.
    fn close(self, upload: &Upload) -> Result<(), Status> {
        if self.n_bytes == self.n_of_items {
            let reason = "is empty: no message had a piece of it";
            return Err(refused(&Invalid::one("interactions", reason)));
        }
        if upload.options.items.is_some() && self.n_of_items == 0 {
            let reason = "is empty: no message had a piece of it";
            return Err(refused(&Invalid::one("items", reason)));
        }
        let items = upload.options.items.iter().map(|path| ("items", path));
        let files = [("interactions", &upload.interactions)].into_iter();
        for (field, path) in files.chain(items) {
            if is_packed(path).map_err(|error| no_room(&error))? {
                let reason = "is packed, or no text: send it unpacked, or use `cllm4rec dataset import`";
                return Err(refused(&Invalid::one(field, reason)));
            }
        }
        Ok(())
    }
}

/// How packed and binary files begin: what they become in memory has no bound.
const PACKED: [&[u8]; 5] = [
    b"\x1f\x8b",
    b"\x28\xb5\x2f\xfd",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PAR1",
];

fn is_packed(path: &Path) -> std::io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(8).read_to_end(&mut head)?;
    Ok(PACKED.iter().any(|packed| head.starts_with(packed)))
}

fn no_room(error: &std::io::Error) -> Status {
    Status::unavailable(format!("the file cannot be received: {error}"))
}
