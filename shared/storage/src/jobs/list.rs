//! Pages of jobs: what a page costs follows from its size, not from how many
//! jobs there are.

use domain::{DatasetId, Job, Label, State};

use crate::error::Error;
use crate::jobs::{JOBS, Jobs, index};
use crate::store::{Order, Range};

/// So many keys of an index are looked at for one page; where other filters
/// leave few of them, the page is short.
const MOST_LOOKED_AT: usize = 2_000;
/// So many records are read at once where a filter may leave some out.
const LOOK: usize = 200;

/// A page ends after so many bytes of records: clients take answers of up to
/// 4 MiB.
const MOST_PAGE_BYTES: usize = 1 << 20;

/// Which jobs are wanted.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Those in this state.
    pub state: Option<State>,
    /// Those on this data set.
    pub dataset: Option<DatasetId>,
    /// Those whose model gets this label.
    pub label: Option<Label>,
}

/// One page of a list of jobs.
#[derive(Debug, Clone)]
pub struct JobQuery {
    /// Which jobs are wanted.
    pub filter: JobFilter,
    /// From the oldest on, or from the newest on.
    pub order: Order,
    /// The id that the page follows; `None` for the first page.
    pub after: Option<String>,
    /// Most jobs of the page, at least 1.
    pub size: usize,
}

/// Jobs of a list, and where it goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct JobPage {
    /// The jobs that can be read.
    pub jobs: Vec<Job>,
    /// Ids of the jobs among them that cannot be read.
    pub unreadable: Vec<String>,
    /// The id that the next page follows; `None` on the last page.
    pub next: Option<String>,
    /// Bytes of its jobs' records.
    n_bytes: usize,
}

impl JobFilter {
    /// The index with the fewest jobs that has all that are wanted.
    fn index(&self) -> String {
        match self {
            // Few jobs are being worked on.
            Self {
                state: Some(state @ (State::Running | State::Cancelling)),
                ..
            } => index::in_state(*state),
            Self {
                label: Some(label), ..
            } => index::with_label(label),
            Self {
                dataset: Some(dataset),
                ..
            } => index::on_dataset(dataset),
            Self {
                state: Some(state), ..
            } => index::in_state(*state),
            Self { .. } => index::ALL.to_owned(),
        }
    }

    fn takes(&self, job: &Job) -> bool {
        let Self {
            state,
            dataset,
            label,
        } = self;
        state.is_none_or(|state| state == job.state)
            && dataset.as_ref().is_none_or(|id| *id == job.spec.dataset)
            && label.as_ref().is_none_or(|l| job.spec.labels.contains(l))
    }

    fn n_filters(&self) -> usize {
        usize::from(self.state.is_some())
            + usize::from(self.dataset.is_some())
            + usize::from(self.label.is_some())
    }
}

impl Jobs {
    /// Reads one page of the jobs that a filter takes.
    pub async fn page(&self, query: &JobQuery) -> Result<JobPage, Error> {
        let index = query.filter.index();
        let mut page = JobPage {
            jobs: Vec::new(),
            unreadable: Vec::new(),
            next: query.after.clone(),
            n_bytes: 0,
        };
        let mut n_looked_at = 0;
        while n_looked_at < MOST_LOOKED_AT {
            let missing = query.size - page.jobs.len();
            let range = Range {
                after: page.next.clone(),
                order: query.order,
                // One more says whether there is another page.
                most: match query.filter.n_filters() {
                    0 | 1 => missing + 1,
                    _ => LOOK,
                },
            };
            let most = range.most;
            let keys = self.store.range(&index, range).await?;
            let is_end = keys.len() < most;
            n_looked_at += keys.len();
            if self.add(&mut page, query, keys).await? {
                return Ok(page);
            }

            if is_end {
                page.next = None;
                return Ok(page);
            }
        }

        Ok(page)
    }

    /// Adds the jobs behind these keys that are wanted; true once the page is
    /// full and more follow.
    async fn add(
        &self,
        page: &mut JobPage,
        query: &JobQuery,
        keys: Vec<String>,
    ) -> Result<bool, Error> {
        let last = keys.last().cloned();
        for pair in self.store.get_pairs(JOBS, keys).await? {
            let is_long = page.n_bytes >= MOST_PAGE_BYTES;
            if page.jobs.len() == query.size || is_long {
                return Ok(true);
            }

            let key = pair.key.clone();
            let n_bytes = pair.value.len();
            let read = self.left_out.read_all::<Job>("job", &[pair]);
            page.unreadable.extend(read.unreadable);
            let mut wanted = read.records;
            wanted.retain(|job| query.filter.takes(job));
            page.n_bytes += n_bytes * wanted.len();
            page.jobs.extend(wanted);
            page.next = Some(key);
        }

        page.next = last.or(page.next.take());
        Ok(false)
    }
}
