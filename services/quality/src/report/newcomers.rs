//! Items and users that nothing is known about.

use domain::RankedBy;

use crate::grid::PageTable;
use crate::report::figures::{COLUMNS, is_measured, means, row};
use crate::report::grid_results::GridResults;

/// Items that nobody has interacted with, ranked by their texts.
pub(crate) fn items(results: &GridResults<'_>) -> String {
    let mut section = format!(
        "\n## Items that nobody has interacted with\n\n\
         One item in ten loses its training and validation interactions and keeps its texts (reviews as descriptions);\n\
         these items are ranked among themselves, for the users who took one.\n\n| | {COLUMNS} |\n|---|---|---|---|\n"
    );
    for variant in results.variants(PageTable::Cold) {
        for data in &variant.data {
            if let Some(lines) = results.lines(variant, data) {
                let name = format!("{data}: {}", variant.name);
                let alone = means(&lines, RankedBy::ColdItems);
                section.push_str(&row(&name, &alone));
                if is_measured(&lines, RankedBy::ColdItemsServed) {
                    let served = means(&lines, RankedBy::ColdItemsServed);
                    section.push_str(&row(
                        &format!("**{name}, served**"),
                        &served,
                    ));
                }
            }
        }
    }

    for data in results.data_sets() {
        let mut variants = results.variants(PageTable::Cold);
        if let Some(lines) =
            variants.find_map(|variant| results.lines(variant, data))
        {
            let name = format!("{data}: popularity (all the same)");
            let means = means(&lines, RankedBy::ColdItemsByPopularity);
            section.push_str(&row(&name, &means));
        }
    }

    section
}

/// Users without a row of their own, as all of them would be ranked for.
pub(crate) fn users(results: &GridResults<'_>) -> String {
    let mut section = format!(
        "\n## Users without a row\n\nThe language model as if nobody had a row: the better of no user token and the mean \
         row on validation.\n\n| | {COLUMNS} |\n|---|---|---|---|\n"
    );
    for data in results.data_sets() {
        let Some(lines) = results.lines_of_defaults(data) else {
            continue;
        };
        let without = means(&lines, RankedBy::NewUser);
        let with = means(&lines, RankedBy::LanguageModel);
        section.push_str(&row(&format!("{data}: nobody has a row"), &without));
        section.push_str(&row(
            &format!("{data}: as served to known users"),
            &with,
        ));
    }

    section
}
