//! Bars for counts, as a table whose numbers can be read without them.

use maud::{Markup, html};
use wording::grouped;

/// A row of a table of bars.
pub(crate) struct Bar {
    /// What is counted.
    pub(crate) label: String,
    /// How long the bar is, beside the others.
    pub(crate) size: f64,
    /// The number as people read it.
    pub(crate) shown: String,
}

impl Bar {
    pub(crate) fn counted(label: String, n: u64) -> Self {
        Self {
            label,
            size: n as f64,
            shown: grouped(n),
        }
    }
}

/// The heads of a table of bars.
pub(crate) struct Heads {
    pub(crate) caption: &'static str,
    pub(crate) label: &'static str,
    pub(crate) number: &'static str,
}

/// A table with a bar in each row; the longest fills its column.
pub(crate) fn bars(heads: &Heads, bars: &[Bar]) -> Markup {
    let longest = bars.iter().map(|bar| bar.size).fold(0.0, f64::max);
    html! {
        table.bars {
            caption { (heads.caption) }
            thead {
                tr {
                    th scope="col" { (heads.label) }
                    th scope="col" { (heads.number) }
                    td {}
                }
            }
            tbody {
                @for bar in bars {
                    @let width = 100.0 * bar.size / longest.max(f64::MIN_POSITIVE);
                    tr {
                        th scope="row" { (bar.label) }
                        td { (bar.shown) }
                        td.bar {
                            svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
                                rect width=(format!("{width:.1}")) height="10" {}
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_its_column_and_nothing_has_none() {
        let of = |n| Bar::counted(format!("{n}"), n);
        let heads = Heads {
            caption: "c",
            label: "l",
            number: "n",
        };
        let shown = bars(&heads, &[of(5), of(10), of(0)]).into_string();
        for width in ["50.0", "100.0", "0.0"] {
            assert!(shown.contains(&format!("width=\"{width}\"")), "{shown}");
        }
        let nothing = bars(&heads, &[of(0)]).into_string();
        assert!(nothing.contains("width=\"0.0\""), "{nothing}");
    }
}
