//! Where a backbone is added from, as people write it.

use std::path::{Path, PathBuf};

use domain::BackboneLocation;

use crate::backbones::hub::CACHE;
use crate::backbones::known::KnownBackbone;
use crate::error::Error;

/// A place that has a backbone.
#[derive(Debug)]
pub(crate) enum Source {
    /// A package of PyPI.
    Known(&'static KnownBackbone),
    /// A revision of a hub's repository.
    Hub { repo: String, revision: String },
    /// A GGUF file, or a folder with a backbone's files.
    Path(PathBuf),
}

impl Source {
    /// Reads a known model's name, `hf://OWNER/NAME@REVISION` or a path.
    pub(crate) fn parse(written: &str) -> Result<Self, Error> {
        if let Some(known) = KnownBackbone::named(written) {
            return Ok(Self::Known(known));
        }
        if written.contains("://") {
            return Self::of_hub(written);
        }
        let path = Path::new(written);
        if path.is_dir() || (path.is_file() && model::is_gguf(path)) {
            return Ok(Self::Path(path.to_owned()));
        }
        let reason = format!(
            "it is neither a model that is known by name ({}) nor a folder, a file.gguf or \
             hf://OWNER/NAME@REVISION",
            KnownBackbone::names()
        );
        Err(Error::not_added(written, reason))
    }

    fn of_hub(written: &str) -> Result<Self, Error> {
        match BackboneLocation::new(written) {
            Ok(BackboneLocation::Hub { repo, revision }) => {
                Ok(Self::Hub { repo, revision })
            }
            _ => Err(Error::not_added(
                written,
                "what is fetched is hf://OWNER/NAME@REVISION, with a tag, branch or commit",
            )),
        }
    }

    /// The name that it gets where nobody gives it another.
    pub(crate) fn usual_name(&self) -> String {
        match self {
            Self::Known(known) => known.name.to_owned(),
            Self::Hub { repo, .. } => last_part(Path::new(repo)),
            Self::Path(path) if path.is_file() => {
                last_part(&path.with_extension(""))
            }
            Self::Path(path) => match path.canonicalize() {
                Ok(whole) => last_part(&whole),
                Err(_) => last_part(path),
            },
        }
    }
}

fn last_part(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// An error unless a backbone can have this name: one that a specification can
/// write, and nobody else's folder.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let is_plain =
        matches!(BackboneLocation::new(name), Ok(BackboneLocation::Folder(_)));
    if is_plain && !name.contains('/') && name != CACHE {
        return Ok(());
    }
    let reason = format!(
        "a backbone's name has letters, digits, `-`, `_`, `.` and `+`, and is not `{CACHE}`; give \
         another with `--name`"
    );
    Err(Error::not_added(name, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_a_specification_can_write() {
        for name in ["smollm2", "Qwen2.5-0.5B", "a_b"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "..", "a/b", "hub", "é", ".x", "hf://a/b@c"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn what_is_written_says_where_it_is_and_what_it_is_called() {
        let name = |written: &str| Source::parse(written).unwrap().usual_name();
        assert_eq!(name("smollm2"), "smollm2");
        assert_eq!(name("hf://Qwen/Qwen2.5-0.5B@main"), "Qwen2.5-0.5B");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tiny.Q4_1.gguf");
        std::fs::write(&file, "").unwrap();
        assert_eq!(name(file.to_str().unwrap()), "tiny.Q4_1");
        assert_eq!(name(env!("CARGO_MANIFEST_DIR")), "worker");
    }

    #[test]
    fn what_is_nowhere_is_refused_with_all_that_could_be_meant() {
        for written in ["nowhere", "hf://Qwen/Qwen3", "https://x/y.gguf"] {
            let refused = Source::parse(written).unwrap_err().to_string();
            assert!(
                refused.contains(written) && refused.contains("hf://OWNER"),
                "{refused}"
            );
        }
    }
}
