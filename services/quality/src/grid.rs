//! What is wanted: variants of the default specification, on data sets, with
//! seeds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use domain::TrainSpec;
use serde::Deserialize;

/// What `quality/grid.toml` says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grid {
    /// Seeds of every cell.
    pub(crate) seeds: Vec<u64>,
    /// Data sets by name.
    pub(crate) data: BTreeMap<String, DataSet>,
    /// In the order of the page.
    pub(crate) variants: Vec<Variant>,
}

/// A data set that variants are trained on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataSet {
    /// Where it is, from the project's root; empty: in the folder that
    /// `--data-root` names.
    #[serde(default)]
    pub(crate) path: PathBuf,
    /// EASE's published figures on the same split: Recall@20, Recall@40,
    /// NDCG@100.
    pub(crate) bar: [f64; 3],
}

/// A way to train.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variant {
    pub(crate) name: String,
    /// Which table of the page it is in.
    pub(crate) table: PageTable,
    /// On which data sets.
    pub(crate) data: Vec<String>,
    /// Fields over the defaults.
    #[serde(default)]
    pub(crate) spec: toml::Table,
    /// Items, one in so many, lose their training interactions; 0: none do.
    #[serde(default)]
    pub(crate) cold_one_in: u64,
}

/// The tables of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PageTable {
    /// What a user gets.
    Main,
    /// What each part is worth, the language model alone.
    Ablation,
    /// The mutual regularisation's strength.
    Lambda,
    /// Items that nobody has interacted with.
    Cold,
}

/// One thing to train.
#[derive(Debug, Clone)]
pub(crate) struct Cell<'a> {
    pub(crate) data: &'a str,
    pub(crate) variant: &'a Variant,
    /// With the cell's seed; the data set's id is that of a place holder.
    pub(crate) spec: TrainSpec,
}

/// Stands in a specification for a data set that is named beside it.
pub(crate) const PLACE_HOLDER: &str = "d";

impl Grid {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let grid: Self = toml::from_str(&text)
            .with_context(|| format!("{} is not a grid", path.display()))?;
        for variant in &grid.variants {
            grid.check(variant)?;
        }
        Ok(grid)
    }

    fn check(&self, variant: &Variant) -> anyhow::Result<()> {
        let name = &variant.name;
        variant
            .spec(0)
            .with_context(|| format!("variant `{name}`"))?;
        for data in &variant.data {
            if !self.data.contains_key(data) {
                bail!("variant `{name}`: no data set `{data}`");
            }
        }

        Ok(())
    }

    /// All cells, in the order of the page.
    pub(crate) fn cells(&self) -> anyhow::Result<Vec<Cell<'_>>> {
        let mut cells = Vec::new();
        for variant in &self.variants {
            for data in &variant.data {
                for &seed in &self.seeds {
                    cells.push(Cell {
                        data,
                        variant,
                        spec: variant.spec(seed)?,
                    });
                }
            }
        }

        Ok(cells)
    }
}

impl Variant {
    /// The whole specification, with a seed.
    pub(crate) fn spec(&self, seed: u64) -> anyhow::Result<TrainSpec> {
        let mut table = self.spec.clone();
        table.insert("dataset".to_owned(), PLACE_HOLDER.into());
        table.insert("seed".to_owned(), i64::try_from(seed)?.into());
        // Without this section a specification is one from before texts were
        // read.
        table
            .entry("reading")
            .or_insert_with(|| toml::Table::new().into());
        let spec: TrainSpec = domain::read_strictly(table)?;
        spec.validate()?;
        Ok(spec)
    }
}
