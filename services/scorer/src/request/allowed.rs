//! Which rows of a catalogue may be in a list: what the request allows, as
//! bits.

use domain::{Allowed, Degradation};
use fixedbitset::FixedBitSet;

use crate::error::Error;
use crate::request::filter::Filters;
use crate::versions::loaded::LoadedModel;

#[derive(Debug)]
pub(crate) struct AllowedRows {
    /// The rows that meet everything that was asked for.
    pub(super) strict: FixedBitSet,
    /// The rows that may follow when those are too few; absent where the
    /// request is strict.
    pub(super) relaxed: Option<FixedBitSet>,
    pub(super) degradations: Vec<Degradation>,
}

impl AllowedRows {
    pub(super) async fn new(
        model: &LoadedModel,
        wanted: &Allowed,
        seen: &[u32],
        filters: &Filters,
    ) -> Result<Self, Error> {
        let mut rows = Self::candidates(model, wanted);
        for item in &wanted.excluded {
            if let Some(row) = model.item_row(item) {
                rows.strict.remove(row as usize);
            }
        }
        if wanted.exclude_seen {
            for &row in seen {
                rows.strict.remove(row as usize);
            }
        }
        if !wanted.filter.is_empty() {
            let passing = filters.rows(model, &wanted.filter).await?;
            if wanted.relax_filter {
                let mut others = rows.strict.clone();
                others.difference_with(&passing);
                rows.relaxed = Some(others);
            }
            rows.strict.intersect_with(&passing);
        }
        Ok(rows)
    }

    /// The items that the request names, or all.
    fn candidates(model: &LoadedModel, wanted: &Allowed) -> Self {
        let mut rows = Self {
            strict: FixedBitSet::with_capacity(model.n_items()),
            relaxed: None,
            degradations: Vec::new(),
        };
        let Some(candidates) = &wanted.candidates else {
            rows.strict.insert_range(..);
            return rows;
        };
        let mut n_unknown = 0;
        for item in candidates {
            match model.item_row(item) {
                Some(row) => rows.strict.insert(row as usize),
                None => n_unknown += 1,
            }
        }
        if n_unknown > 0 {
            let unknown = Degradation::UnknownCandidates(n_unknown);
            rows.degradations.push(unknown);
        }
        rows
    }
}
