//! A chart for a page: one line through points, as SVG that needs nothing else.

use crate::output::html::escaped;

/// A place on a chart: an epoch, and what was measured after it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EpochValue {
    pub(crate) epoch: usize,
    pub(crate) value: f64,
}

/// Width of a chart, in the units of its drawing.
const WIDTH: f64 = 700.0;
/// Height of a chart, in the same units.
const HEIGHT: f64 = 180.0;
/// Room for the labels, on each side.
const MARGIN: f64 = 40.0;

/// A line through points; a single one is said in words.
pub(crate) fn curve(title: &str, points: &[EpochValue]) -> String {
    let title = escaped(title);
    match points {
        [] => String::new(),
        [only] => {
            let EpochValue { epoch, value } = only;
            format!("<p>{title}: {value:.4} after epoch {epoch}</p>\n")
        }
        [start, .., end] => {
            let mut axes = Axes {
                first: start.epoch,
                last: end.epoch,
                low: start.value,
                high: start.value,
            };
            for point in points {
                axes.low = axes.low.min(point.value);
                axes.high = axes.high.max(point.value);
            }

            figure(&title, points, &axes)
        }
    }
}

/// What the edges of a chart stand for.
struct Axes {
    first: usize,
    last: usize,
    low: f64,
    high: f64,
}

impl Axes {
    fn across(&self, epoch: usize) -> f64 {
        let width = WIDTH - 2.0 * MARGIN;
        let n_steps = (self.last - self.first).max(1);
        MARGIN + width * (epoch - self.first) as f64 / n_steps as f64
    }

    fn up(&self, value: f64) -> f64 {
        let height = HEIGHT - 2.0 * MARGIN;
        let range = (self.high - self.low).max(f64::MIN_POSITIVE);
        HEIGHT - MARGIN - height * (value - self.low) / range
    }
}

fn figure(title: &str, points: &[EpochValue], axes: &Axes) -> String {
    let mut line = Vec::new();
    for point in points {
        let (x, y) = (axes.across(point.epoch), axes.up(point.value));
        line.push(format!("{x:.1},{y:.1}"));
    }

    let Axes {
        first,
        last,
        low,
        high,
    } = axes;
    format!(
        "<figure><figcaption>{title}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\
         <polyline fill=\"none\" stroke=\"#1565c0\" stroke-width=\"2\" points=\"{}\"/>\
         <g font-size=\"12\" fill=\"#555\"><text x=\"0\" y=\"{:.1}\">{high:.4}</text><text x=\"0\" y=\"{:.1}\">{low:.4}</text>\
         <text x=\"{MARGIN}\" y=\"{:.1}\">{first}</text><text x=\"{:.1}\" y=\"{:.1}\">{last}</text></g></svg></figure>\n",
        line.join(" "),
        axes.up(*high),
        axes.up(*low),
        HEIGHT - MARGIN / 2.0,
        WIDTH - MARGIN,
        HEIGHT - MARGIN / 2.0,
    )
}
