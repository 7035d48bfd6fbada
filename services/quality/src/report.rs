//! The page: tables and curves from the results, then what is said about them.

use std::fmt::Write;

use domain::TrainSpec;

use crate::grid::{Grid, Table, Variant};
use crate::results::{Line, Results};

/// Names of the metrics, and their columns.
const METRICS: [&str; 3] = ["recall@20", "recall@40", "ndcg@100"];
const COLUMNS: &str = "Recall@20 | Recall@40 | NDCG@100";

/// The whole page; the same results give the same bytes.
pub(crate) fn page(grid: &Grid, results: &Results, conclusions: &str) -> String {
    let mut page = format!(
        "# Quality\n\n\
         Written by `make quality-report` from `quality/results.jsonl` and `quality/conclusions.md`; CI checks that it is.\n\
         `make quality DATA_ROOT=folder` trains what `quality/grid.toml` asks for and the results lack.\n\n\
         Protocol: the input is a user's training items, training and validation items are excluded from the ranking,\n\
         Recall@k is over min(k, items to find), figures are means of seeds {}. Everything that is chosen (epoch, rank, λ of\n\
         EASE, user token, weight of the hybrid) is chosen on the validation split; the figures are those of the test split.\n",
        grid.seeds
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    );
    let view = View { grid, results };
    view.main(&mut page);
    view.ablation(&mut page);
    view.lambda(&mut page);
    view.cold(&mut page);
    view.new_users(&mut page);
    view.cost(&mut page);
    page.push('\n');
    page.push_str(conclusions.trim());
    page.push('\n');
    page
}

struct View<'a> {
    grid: &'a Grid,
    results: &'a Results,
}

impl<'a> View<'a> {
    /// The lines of a variant on a data set, one a seed; none unless all are there.
    fn lines(&self, variant: &Variant, data: &str) -> Option<Vec<&'a Line>> {
        let spec = |seed: u64| -> Option<TrainSpec> { variant.spec(seed).ok() };
        let find = |&seed: &u64| {
            self.results
                .find(data, &spec(seed)?, variant.cold_one_in > 0)
        };
        self.grid.seeds.iter().map(find).collect()
    }

    fn variants(&self, table: Table) -> impl Iterator<Item = &'a Variant> {
        self.grid
            .variants
            .iter()
            .filter(move |variant| variant.table == table)
    }

    fn defaults(&self) -> Option<&'a Variant> {
        self.variants(Table::Main).next()
    }

    /// The defaults without a teacher: the paper's model, measured beside the baselines.
    fn paper(&self) -> Option<&'a Variant> {
        self.variants(Table::Main).nth(1)
    }

    fn main(&self, page: &mut String) {
        for (data, of_data) in &self.grid.data {
            let _ = write!(page, "\n## {data}\n\n| | {COLUMNS} |\n|---|---|---|---|\n");
            let Some(baselines) = self.paper().and_then(|variant| self.lines(variant, data)) else {
                continue;
            };
            for (name, prefix) in [
                ("popularity", "popularity_"),
                ("item-kNN", "knn_"),
                ("EASE", "ease_"),
            ] {
                row(page, name, &means(&baselines, prefix));
            }
            for variant in self.variants(Table::Main) {
                let Some(lines) = self.lines(variant, data) else {
                    continue;
                };
                row(
                    page,
                    &format!("language model alone: {}", variant.name),
                    &means(&lines, "llm_"),
                );
                row(
                    page,
                    &format!("**hybrid: {}**", variant.name),
                    &means(&lines, ""),
                );
            }
            let defaults = self
                .defaults()
                .and_then(|variant| self.lines(variant, data));
            if let Some(lines) = defaults {
                bars(page, &lines, means(&baselines, "ease_"), of_data.bar);
            }
        }
    }

    fn ablation(&self, page: &mut String) {
        let data: Vec<&String> = self
            .grid
            .data
            .keys()
            .filter(|data| {
                self.variants(Table::Ablation)
                    .any(|variant| variant.data.contains(*data))
            })
            .collect();
        let _ = write!(
            page,
            "\n## What each part is worth\n\nThe language model alone, without a teacher; differences to the first row.\n\n|"
        );
        for data in &data {
            let _ = write!(page, " | {data}: {COLUMNS}");
        }
        let _ = write!(page, " |\n|---|{}\n", "---|".repeat(3 * data.len()));
        let reference = |data: &str| Some(means(&self.lines(self.paper()?, data)?, "llm_"));
        let _ = write!(page, "| without a teacher |");
        for data in &data {
            for mean in reference(data).iter().flatten() {
                let _ = write!(page, " {} |", figure(*mean));
            }
        }
        page.push('\n');
        for variant in self.variants(Table::Ablation) {
            let _ = write!(page, "| {} |", variant.name);
            for data in &data {
                let lines = self.lines(variant, data);
                match lines
                    .map(|lines| means(&lines, "llm_"))
                    .zip(reference(data))
                {
                    Some((means, reference)) => {
                        means.iter().zip(reference).for_each(|(mean, reference)| {
                            let _ = write!(page, " {} |", signed(mean - reference));
                        })
                    }
                    None => page.push_str(" – | – | – |"),
                }
            }
            page.push('\n');
        }
        page.push_str(&self.spread());
    }

    /// How far apart the seeds are: what a difference has to beat.
    fn spread(&self) -> String {
        let mut text = "\nStandard deviation between the seeds, without a teacher:".to_owned();
        for data in self.grid.data.keys() {
            let Some(lines) = self.paper().and_then(|variant| self.lines(variant, data)) else {
                continue;
            };
            let deviations: Vec<String> = METRICS
                .map(|metric| figure(deviation(&values(&lines, &format!("llm_{metric}")))))
                .to_vec();
            let _ = write!(text, " {data} {};", deviations.join(" / "));
        }
        text.pop();
        text.push_str(".\n");
        text
    }

    /// The curve over λ of the finetuning, the language model alone.
    fn lambda(&self, page: &mut String) {
        let mut points: Vec<(f64, &Variant)> = self
            .variants(Table::Lambda)
            .filter_map(|variant| Some((variant.spec(0).ok()?.finetuning.lambda, variant)))
            .collect();
        points.extend(
            self.paper()
                .and_then(|variant| Some((variant.spec(0).ok()?.finetuning.lambda, variant))),
        );
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let _ = write!(
            page,
            "\n## Strength of the mutual regularisation in finetuning\n\nThe language model alone, without a teacher, by λ.\n"
        );
        for data in ["games", "musical_instruments"] {
            let of_points: Vec<(f64, [f64; 3])> = points
                .iter()
                .filter_map(|(lambda, variant)| {
                    Some((*lambda, means(&self.lines(variant, data)?, "llm_")))
                })
                .collect();
            let _ = write!(page, "\n| λ, {data} | {COLUMNS} |\n|---|---|---|---|\n");
            of_points
                .iter()
                .for_each(|(lambda, means)| row(page, &lambda.to_string(), means));
            curve(page, data, &of_points);
        }
    }

    fn cold(&self, page: &mut String) {
        let _ = write!(
            page,
            "\n## Items that nobody has interacted with\n\n\
             One item in ten loses its training and validation interactions and keeps its texts (reviews as descriptions);\n\
             these items are ranked among themselves, for the users who took one.\n\n| | {COLUMNS} |\n|---|---|---|---|\n"
        );
        for variant in self.variants(Table::Cold) {
            for data in &variant.data {
                let Some(lines) = self.lines(variant, data) else {
                    continue;
                };
                row(
                    page,
                    &format!("{data}: {}", variant.name),
                    &means(&lines, "cold_"),
                );
            }
        }
        for data in self.grid.data.keys() {
            let lines = self
                .variants(Table::Cold)
                .find_map(|variant| self.lines(variant, data));
            lines.iter().for_each(|lines| {
                row(
                    page,
                    &format!("{data}: popularity (all the same)"),
                    &means(lines, "cold_popularity_"),
                )
            });
        }
    }

    fn new_users(&self, page: &mut String) {
        let _ = write!(
            page,
            "\n## Users without a row\n\nThe language model as if nobody had a row: the better of no user token and the mean \
             row on validation.\n\n| | {COLUMNS} |\n|---|---|---|---|\n"
        );
        for data in self.grid.data.keys() {
            let Some(lines) = self
                .defaults()
                .and_then(|variant| self.lines(variant, data))
            else {
                continue;
            };
            row(
                page,
                &format!("{data}: nobody has a row"),
                &means(&lines, "new_user_"),
            );
            row(
                page,
                &format!("{data}: as served to known users"),
                &means(&lines, "llm_"),
            );
        }
    }

    fn cost(&self, page: &mut String) {
        let _ = write!(
            page,
            "\n## Cost\n\nOf a job without a teacher, all baselines included.\n\n| | seconds | peak memory | device |\n|---|---|---|---|\n"
        );
        for data in self.grid.data.keys() {
            let Some(lines) = self.paper().and_then(|variant| self.lines(variant, data)) else {
                continue;
            };
            let mean = |pick: fn(&Line) -> f64| {
                lines.iter().map(|line| pick(line)).sum::<f64>() / lines.len() as f64
            };
            let (device, threads) = (&lines[0].device, lines[0].threads);
            let _ = writeln!(
                page,
                "| {data} | {:.0} | {:.0} MiB | {device}, {threads} thread(s) |",
                mean(|line| line.seconds),
                mean(|line| line.peak_mb)
            );
        }
    }
}

fn values(lines: &[&Line], metric: &str) -> Vec<f64> {
    lines
        .iter()
        .filter_map(|line| line.metrics.get(metric).copied())
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    (values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / (values.len() as f64 - 1.0))
        .sqrt()
}

fn means(lines: &[&Line], prefix: &str) -> [f64; 3] {
    METRICS.map(|metric| mean(&values(lines, &format!("{prefix}{metric}"))))
}

/// `.1234`, as the field writes it.
fn figure(value: f64) -> String {
    let text = format!("{value:.4}");
    text.strip_prefix('0')
        .map_or(text.clone(), ToOwned::to_owned)
}

fn signed(difference: f64) -> String {
    let size = figure(difference.abs());
    let sign = match difference {
        _ if size == ".0000" => "±",
        negative if negative < 0.0 => "−",
        _ => "+",
    };
    format!("{sign}{size}")
}

fn percent(ratio: f64) -> String {
    format!("{:+.1} %", 100.0 * ratio).replace('-', "−")
}

fn row(page: &mut String, name: &str, means: &[f64; 3]) {
    let _ = writeln!(
        page,
        "| {name} | {} | {} | {} |",
        figure(means[0]),
        figure(means[1]),
        figure(means[2])
    );
}

/// Whether the bars are met.
fn bars(page: &mut String, lines: &[&Line], ease: [f64; 3], bar: [f64; 3]) {
    let (alone, hybrid) = (means(lines, "llm_"), means(lines, ""));
    let against = |ours: [f64; 3], other: [f64; 3]| {
        let ratios: Vec<String> = ours
            .iter()
            .zip(other)
            .map(|(ours, other)| percent(ours / other - 1.0))
            .collect();
        ratios.join(" / ")
    };
    let better: Vec<f64> = alone.iter().zip(ease).map(|(a, b)| a.max(b)).collect();
    let _ = write!(
        page,
        "\nWith the defaults, against EASE's published {} / {} / {}: the language model alone {}, the hybrid {}.\n\
         The hybrid against the better of the two it mixes, metric by metric: {}.\n",
        figure(bar[0]),
        figure(bar[1]),
        figure(bar[2]),
        against(alone, bar),
        against(hybrid, bar),
        against(hybrid, [better[0], better[1], better[2]])
    );
}

/// Recall@20 and NDCG@100 as a chart that the forge draws.
fn curve(page: &mut String, data: &str, points: &[(f64, [f64; 3])]) {
    let series = |place: usize| {
        points
            .iter()
            .map(|(_, means)| format!("{:.4}", means[place]))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let labels = points
        .iter()
        .map(|(lambda, _)| format!("\"{lambda}\""))
        .collect::<Vec<_>>()
        .join(", ");
    let _ = write!(
        page,
        "\n```mermaid\nxychart-beta\n  title \"{data}: Recall@20 and NDCG@100 by λ\"\n  x-axis \"λ\" [{labels}]\n  \
         y-axis \"metric\"\n  line [{}]\n  line [{}]\n```\n",
        series(0),
        series(2)
    );
}
