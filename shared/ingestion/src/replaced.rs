//! What an import takes the place of: the data set that was imported last under
//! the same name and catalogue.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use dataset::{Dataset, Manifest, Report, date_of};
use domain::ArtifactId;
use storage::{Artifacts, Kind};
use wording::short;

use crate::error::Error;

/// A data set that another one of its name takes the place of.
#[derive(Debug)]
pub struct Replaced {
    /// Its hash.
    pub id: ArtifactId,
    name: String,
    folder: PathBuf,
    put_ms: i64,
}

impl Replaced {
    /// All data sets of the name and catalogue of a new one that are not the
    /// same, the latest first. A damaged one says nothing of what it seeded.
    pub async fn all_by(
        new: &Dataset,
        artifacts: &Artifacts,
    ) -> Result<Vec<Self>, Error> {
        let manifest = &new.manifest;
        let mut replaced = Vec::new();
        for id in artifacts.list(Kind::Dataset).await? {
            let folder = artifacts.folder(Kind::Dataset, &id).await;
            let Ok(folder) = folder else { continue };
            let Ok(old) = Manifest::read(&folder) else {
                continue;
            };
            let is_same_name =
                old.name == manifest.name && old.catalog == manifest.catalog;
            if !is_same_name
                || (old == *manifest && seeds_the_same(&folder, new))
            {
                continue;
            }
            let put_ms = artifacts.put_ms(Kind::Dataset, &id).await?;
            replaced.push(Self {
                id,
                name: old.name,
                folder,
                put_ms: put_ms.unwrap_or_default(),
            });
        }
        replaced.sort_by_key(|one| std::cmp::Reverse(one.put_ms));
        Ok(replaced)
    }

    /// The data set without its texts; `None` where it is damaged.
    pub fn dataset(&self) -> Option<Dataset> {
        Dataset::read_without_texts(&self.folder).ok()
    }

    /// Says how many of its interactions the new one lacks, and which share
    /// that is; `None` where it has all of them.
    fn lacking(&self, new: &Dataset) -> Option<(f64, String)> {
        let before = self.dataset()?;
        let n_lacking = n_lacking(&before, new);
        if n_lacking == 0 {
            return None;
        }
        let n_before = before.interactions.users.len();
        let id = short(self.id.as_str());
        // To the minute.
        let imported: String = date_of(self.put_ms).chars().take(16).collect();
        let text = format!(
            "this takes the place of `{}` of {imported} ({id}), and lacks {n_lacking} of its {n_before} interactions: \
             they leave the histories (export everything again, or `--name` keeps both)",
            self.name
        );
        Some((n_lacking as f64 / n_before as f64, text))
    }
}

/// Whether a stored data set has the very interactions of another one with the
/// same counts: a corrected id or time changes no count.
fn seeds_the_same(folder: &Path, new: &Dataset) -> bool {
    let Ok(old) = Dataset::read_without_texts(folder) else {
        return false;
    };
    let ids = |dataset: &Dataset| -> Vec<String> {
        let items = dataset.items.iter();
        items.map(|item| item.id.to_string()).collect()
    };
    let (ours, theirs) = (&new.interactions, &old.interactions);
    old.users == new.users
        && ids(&old) == ids(new)
        && ours.users == theirs.users
        && ours.items == theirs.items
        && ours.at_ms == theirs.at_ms
}

/// A data set that lacks a larger share of what it replaces may be a part of an
/// export.
const SHARE_OF_A_PART: f64 = 0.1;

/// Adds to a report what the histories lose by an import; true where that is so
/// much that the data may be a part of an export.
pub async fn tell(
    report: &mut Report,
    dataset: &Dataset,
    artifacts: &Artifacts,
) -> Result<bool, Error> {
    let replaced = Replaced::all_by(dataset, artifacts).await?;
    // What the others seeded has been replaced already.
    let latest = replaced.first();
    if let Some((share, text)) = latest.and_then(|one| one.lacking(dataset)) {
        if share > SHARE_OF_A_PART {
            report.warnings.push(text);
            return Ok(true);
        }
        report.notes.push(text);
    }
    Ok(false)
}

/// How many interactions of a data set are of a user and an item that never
/// meet in another one; a corrected time does not count.
fn n_lacking(before: &Dataset, after: &Dataset) -> usize {
    let items: HashSet<(usize, &str)> = (0..after.interactions.users.len())
        .map(|row| {
            let item = after.interactions.items[row] as usize;
            let user = after.interactions.users[row] as usize;
            (user, after.items[item].id.as_str())
        })
        .collect();
    let users: Vec<Option<usize>> = before
        .users
        .iter()
        .map(|user| after.users.binary_search(user).ok())
        .collect();
    let rows = &before.interactions;
    let mut n = 0;
    for (user, item) in rows.users.iter().zip(&rows.items) {
        let item = before.items[*item as usize].id.as_str();
        let is_there = users[*user as usize]
            .is_some_and(|user| items.contains(&(user, item)));
        n += usize::from(!is_there);
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataset::{ImportOptions, import};

    fn read(folder: &Path, rows: &str) -> Dataset {
        let path = folder.join("orders.csv");
        std::fs::write(&path, format!("user,item,timestamp\n{rows}")).unwrap();
        import(&path, &ImportOptions::default()).unwrap().0
    }

    #[test]
    fn pairs_that_are_gone_are_counted_and_corrected_times_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let before = read(folder.path(), "a,x,1\na,y,2\nb,x,3\nc,z,4\n");
        let after = read(folder.path(), "a,x,9\nb,y,3\nc,z,4\n");
        assert_eq!(n_lacking(&before, &after), 2, "a's y and b's x");
        assert_eq!(n_lacking(&before, &before), 0);
    }
}
