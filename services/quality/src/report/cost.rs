//! What a job costs: seconds and memory.

use crate::report::figures::mean;
use crate::report::grid_results::GridResults;

pub(crate) fn section(results: &GridResults<'_>) -> String {
    let mut section =
        "\n## Cost\n\nOf a job with the defaults, all baselines included.\n\n\
         | | seconds | peak memory | device |\n|---|---|---|---|\n"
            .to_owned();
    for data in results.data_sets() {
        let Some(lines) = results.lines_of_defaults(data) else {
            continue;
        };
        let seconds: Vec<f64> = lines.iter().map(|line| line.seconds).collect();
        let peaks: Vec<f64> = lines.iter().map(|line| line.peak_mb).collect();
        let (device, threads) = (&lines[0].device, lines[0].threads);
        section.push_str(&format!(
            "| {data} | {:.0} | {:.0} MiB | {device}, {threads} thread(s) |\n",
            mean(&seconds),
            mean(&peaks)
        ));
    }

    section
}
