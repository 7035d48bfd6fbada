//! The results of the grid's variants.

use crate::grid::{Grid, PageTable, Variant};
use crate::results::{Line, Results};

/// What is wanted beside what there is.
pub(crate) struct GridResults<'a> {
    pub(crate) grid: &'a Grid,
    pub(crate) results: &'a Results,
}

impl<'a> GridResults<'a> {
    /// Names of all data sets, in the order of the page.
    pub(crate) fn data_sets(&self) -> impl Iterator<Item = &'a str> {
        self.grid.data.keys().map(String::as_str)
    }

    /// The variants of a table, in the order of the page.
    pub(crate) fn variants(
        &self,
        table: PageTable,
    ) -> impl Iterator<Item = &'a Variant> {
        let variants = self.grid.variants.iter();
        variants.filter(move |variant| variant.table == table)
    }

    /// The lines of a variant on a data set, one a seed; none unless all are
    /// there.
    pub(crate) fn lines(
        &self,
        variant: &Variant,
        data: &str,
    ) -> Option<Vec<&'a Line>> {
        let is_cold = variant.cold_one_in > 0;
        let mut lines = Vec::new();
        for &seed in &self.grid.seeds {
            let spec = variant.spec(seed).ok()?;
            lines.push(self.results.find(data, &spec, is_cold)?);
        }
        Some(lines)
    }

    /// The variant that changes nothing: the defaults.
    fn defaults(&self) -> Option<&'a Variant> {
        self.variants(PageTable::Main).next()
    }

    /// The defaults without texts and without a teacher: the paper's model.
    pub(crate) fn paper(&self) -> Option<&'a Variant> {
        self.variants(PageTable::Main).nth(2)
    }

    pub(crate) fn lines_of_defaults(
        &self,
        data: &str,
    ) -> Option<Vec<&'a Line>> {
        self.lines(self.defaults()?, data)
    }

    pub(crate) fn lines_of_paper(&self, data: &str) -> Option<Vec<&'a Line>> {
        self.lines(self.paper()?, data)
    }
}
