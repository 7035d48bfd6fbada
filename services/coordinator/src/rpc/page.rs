//! One page of a list. A token is the key of the last entry shown.

use domain::Invalid;
use storage::Listed;

const DEFAULT_SIZE: usize = 50;
const LARGEST_SIZE: usize = 1_000;

/// What a client asks of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Most entries; 0 means the default.
    pub(crate) size: i32,
    /// The key of the last entry shown; empty for the first page.
    pub(crate) token: &'a str,
}

/// A page, and the token of the next one.
#[derive(Debug)]
pub(crate) struct ListPage<T> {
    pub(crate) entries: Vec<T>,
    /// Empty on the last page.
    pub(crate) next_token: String,
    /// Keys of the records that are left out of the list; named with the first
    /// page.
    pub(crate) unreadable: Vec<String>,
}

/// Checks a page's size; fills in the default.
pub(crate) fn page_size(wanted: i32) -> Result<usize, Invalid> {
    match usize::try_from(wanted) {
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(size) => Ok(size.min(LARGEST_SIZE)),
        Err(_) => {
            let reason = format!("must not be negative, is {wanted}");
            Err(Invalid::one("page_size", reason))
        }
    }
}

impl<T> ListPage<T> {
    /// Cuts a page out of a list whose entries have unique, stable keys.
    pub(crate) fn of(
        listed: Listed<T>,
        key: impl Fn(&T) -> String,
        wanted: Wanted<'_>,
    ) -> Result<Self, Invalid> {
        let size = page_size(wanted.size)?;
        let all = listed.records;
        let mut start = 0;
        let mut unreadable = Vec::new();
        if wanted.token.is_empty() {
            unreadable = listed.unreadable;
        } else {
            let Some(last) =
                all.iter().position(|entry| key(entry) == wanted.token)
            else {
                let reason = "is not a token of this list; start again";
                return Err(Invalid::one("page_token", reason));
            };
            start = last + 1;
        }

        let has_more = all.len() > start + size;
        let entries: Vec<T> = all.into_iter().skip(start).take(size).collect();
        let last = entries.last().filter(|_| has_more);
        Ok(Self {
            next_token: last.map(key).unwrap_or_default(),
            entries,
            unreadable,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(size: i32, token: &str) -> Result<ListPage<u8>, Invalid> {
        let listed = Listed {
            records: vec![1, 2, 3],
            unreadable: vec!["4".to_owned()],
        };
        ListPage::of(listed, ToString::to_string, Wanted { size, token })
    }

    #[test]
    fn pages_follow_each_other_and_the_first_names_what_is_left_out() {
        let first = page(2, "").unwrap();
        assert_eq!(
            (first.entries, first.next_token.as_str()),
            (vec![1, 2], "2")
        );
        assert_eq!(first.unreadable, ["4"]);
        let last = page(2, "2").unwrap();
        assert_eq!((last.entries, last.next_token.as_str()), (vec![3], ""));
        assert!(last.unreadable.is_empty());
        assert_eq!(page(0, "").unwrap().entries, [1, 2, 3]);
    }

    #[test]
    fn a_bad_size_and_a_foreign_token_are_refused() {
        assert_eq!(page(-1, "").unwrap_err().0[0].field, "page_size");
        assert_eq!(page(1, "9").unwrap_err().0[0].field, "page_token");
    }
}
