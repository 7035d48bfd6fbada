//! Which rows of a catalogue may be in a list: what the request allows, as bits.

use domain::{Allowed, Degradation};
use fixedbitset::FixedBitSet;

use crate::Error;
use crate::filter::Filters;
use crate::loaded::Loaded;

/// The rows of a list.
#[derive(Debug)]
pub(crate) struct Rows {
    /// May be in it.
    pub(crate) allowed: FixedBitSet,
    /// May follow when those are too few; absent where the request is strict.
    pub(crate) relaxed: Option<FixedBitSet>,
    pub(crate) degradations: Vec<Degradation>,
}

impl Rows {
    /// `seen` are the rows of the history.
    pub(crate) async fn new(
        model: &Loaded,
        wanted: &Allowed,
        seen: &[u32],
        filters: &Filters,
    ) -> Result<Self, Error> {
        let mut degradations = Vec::new();
        let mut allowed = FixedBitSet::with_capacity(model.n_items());
        match &wanted.candidates {
            Some(candidates) => {
                let known = candidates.iter().filter_map(|item| model.item_row(item));
                let n_known = known.map(|row| allowed.insert(row as usize)).count();
                if n_known < candidates.len() {
                    degradations.push(Degradation::UnknownCandidates(candidates.len() - n_known));
                }
            }
            None => allowed.insert_range(..),
        }
        let left_out = wanted
            .excluded
            .iter()
            .filter_map(|item| model.item_row(item));
        let seen: &[u32] = if wanted.exclude_seen { seen } else { &[] };
        left_out
            .chain(seen.iter().copied())
            .for_each(|row| allowed.remove(row as usize));
        if wanted.filter.is_empty() {
            return Ok(Self {
                allowed,
                relaxed: None,
                degradations,
            });
        }
        let passing = filters.rows(model, &wanted.filter).await?;
        let relaxed = wanted.relax_filter.then(|| {
            let mut others = allowed.clone();
            others.difference_with(&passing);
            others
        });
        allowed.intersect_with(&passing);
        Ok(Self {
            allowed,
            relaxed,
            degradations,
        })
    }
}
