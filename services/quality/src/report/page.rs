//! The whole page: tables and curves from the results, then what is said about
//! them.

use crate::grid::Grid;
use crate::report::grid_results::GridResults;
use crate::report::{cost, data_sets, newcomers, parts, regularization};
use crate::results::Results;

/// Writes the page; the same results give the same bytes.
pub(crate) fn page(
    grid: &Grid,
    results: &Results,
    conclusions: &str,
) -> String {
    let results = GridResults { grid, results };
    let sections = [
        head(grid),
        data_sets::section(&results),
        parts::section(&results),
        regularization::section(&results),
        newcomers::items(&results),
        newcomers::users(&results),
        cost::section(&results),
    ];
    let measured = sections.concat();
    format!("{measured}\n{}\n", conclusions.trim())
}

fn head(grid: &Grid) -> String {
    let seeds: Vec<String> =
        grid.seeds.iter().map(ToString::to_string).collect();
    format!(
        "# Quality\n\n\
         Written by `make quality-report` from `quality/results.jsonl` and `quality/conclusions.md`; CI checks that it is.\n\
         `make quality DATA_ROOT=folder` trains what `quality/grid.toml` asks for and the results lack.\n\n\
         Protocol: the input is a user's training items, training and validation items are excluded from the ranking,\n\
         Recall@k is over min(k, items to find), figures are means of seeds {}. Everything that is chosen (epoch, rank, λ of\n\
         EASE, user token, weight of the hybrid) is chosen on the validation split; the figures are those of the test split.\n",
        seeds.join(", ")
    )
}
