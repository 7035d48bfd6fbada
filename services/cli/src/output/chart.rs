//! A chart for a page: one line through points, as SVG that needs nothing else.
//! The values begin at zero, so that what hardly changes looks flat.

use crate::output::html::escaped;

/// A place on a chart: an epoch, and what was measured after it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EpochValue {
    pub(crate) epoch: usize,
    pub(crate) value: f64,
}

/// What a chart says beside its line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caption<'a> {
    pub(crate) title: &'a str,
    /// What the values are measured in.
    pub(crate) unit: &'a str,
    /// The largest value that the chart has room for: the same for charts that
    /// are compared.
    pub(crate) most: f64,
    /// What whoever knows nothing would reach, where that is known: a line
    /// across the chart.
    pub(crate) guessing: Option<f64>,
}

/// Width of a chart, in the units of its drawing.
const WIDTH: f64 = 400.0;
/// Height of a chart, in the same units.
const HEIGHT: f64 = 220.0;
/// Room on the left for the values' labels.
const LEFT: f64 = 48.0;
/// Room above the line, and on its right for the last value.
const TOP: f64 = 14.0;
const RIGHT: f64 = 16.0;
/// Room below for the epochs' labels.
const BOTTOM: f64 = 40.0;
/// Most labels of an axis.
const N_LABELS: f64 = 5.0;

/// A line through points; a single one is said in words.
pub(crate) fn curve(caption: Caption<'_>, points: &[EpochValue]) -> String {
    match points {
        [] => String::new(),
        [only] => {
            let EpochValue { epoch, value } = only;
            let title = escaped(caption.title);
            let unit = escaped(caption.unit);
            format!("<p>{title}: {value:.4} {unit} after epoch {epoch}</p>\n")
        }
        [start, .., end] => {
            let axes = Axes {
                first: start.epoch,
                last: end.epoch,
                value_step: step(
                    caption.most.max(caption.guessing.unwrap_or(0.0))
                        / N_LABELS,
                ),
                most: caption.most.max(caption.guessing.unwrap_or(0.0)),
            };
            figure(caption, points, &axes)
        }
    }
}

/// What the edges of a chart stand for; the lower one is zero.
struct Axes {
    first: usize,
    last: usize,
    /// Between two labels of the values.
    value_step: f64,
    most: f64,
}

impl Axes {
    /// The highest label: the first at or above the largest value.
    fn top(&self) -> f64 {
        (self.most / self.value_step - 1e-9).ceil().max(1.0) * self.value_step
    }

    fn across(&self, epoch: usize) -> f64 {
        let width = WIDTH - LEFT - RIGHT;
        let n_steps = (self.last - self.first).max(1);
        LEFT + width * (epoch - self.first) as f64 / n_steps as f64
    }

    fn up(&self, value: f64) -> f64 {
        let height = HEIGHT - TOP - BOTTOM;
        HEIGHT - BOTTOM - height * value / self.top()
    }

    /// Lines across the chart, each with its value.
    fn value_labels(&self) -> String {
        let n_steps = (self.top() / self.value_step).round() as usize;
        let digits = (-self.value_step.log10() + 1e-9).ceil().max(0.0) as usize;
        // A quarter needs a digit more than a half.
        let leading = self.value_step / 10_f64.powf(-(digits as f64));
        let digits =
            digits + usize::from((leading - leading.round()).abs() > 1e-6);
        let mut labels = String::new();
        for number in 0..=n_steps {
            let value = number as f64 * self.value_step;
            let y = self.up(value);
            let colour = if number == 0 { "#888" } else { "#e4e4e4" };
            labels.push_str(&format!(
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.digits$}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0
            ));
        }
        labels
    }

    /// The numbers of epochs below the chart.
    fn epoch_labels(&self) -> String {
        let n_steps = (self.last - self.first) as f64;
        let between = step(n_steps / N_LABELS).max(1.0).round() as usize;
        let mut labels = String::new();
        let mut epoch = self.first;
        while epoch <= self.last {
            let x = self.across(epoch);
            labels.push_str(&format!(
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{epoch}</text>",
                HEIGHT - BOTTOM + 16.0
            ));
            epoch += between;
        }
        labels.push_str(&format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">epoch</text>",
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 6.0
        ));
        labels
    }
}

/// The least of 1, 2, 2.5 and 5 times a power of ten that is at least so large.
fn step(least: f64) -> f64 {
    if least <= 0.0 || !least.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(least.log10().floor());
    for times in [1.0, 2.0, 2.5, 5.0] {
        if times * power >= least * (1.0 - 1e-9) {
            return times * power;
        }
    }
    10.0 * power
}

fn figure(caption: Caption<'_>, points: &[EpochValue], axes: &Axes) -> String {
    let mut line = Vec::new();
    let mut dots = String::new();
    for point in points {
        let (x, y) = (axes.across(point.epoch), axes.up(point.value));
        line.push(format!("{x:.1},{y:.1}"));
        dots.push_str(&format!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"><title>epoch {}: {:.4}</title></circle>",
            point.epoch, point.value
        ));
    }

    let guessing = caption.guessing.map_or(String::new(), |value| {
        let y = axes.up(value);
        format!(
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"#a3261c\" stroke-dasharray=\"5 4\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" font-size=\"12\" fill=\"#a3261c\">guessing: ln V = {value:.2}</text>",
            WIDTH - RIGHT,
            WIDTH - RIGHT,
            y - 4.0
        )
    });
    let (title, unit) = (escaped(caption.title), escaped(caption.unit));
    let last = points.last().map_or(0.0, |point| point.value);
    format!(
        "<figure><figcaption>{title}<br><small>{unit}; {last:.4} at last</small></figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\
         <g font-size=\"12\" fill=\"#555\">{}{}</g>\
         <polyline fill=\"none\" stroke=\"#1565c0\" stroke-width=\"2\" points=\"{}\"/>\
         <g fill=\"#1565c0\">{dots}</g>{guessing}</svg></figure>\n",
        axes.value_labels(),
        axes.epoch_labels(),
        line.join(" "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(values: &[f64], most: f64) -> String {
        let mut points = Vec::new();
        for (place, &value) in values.iter().enumerate() {
            let epoch = place + 1;
            points.push(EpochValue { epoch, value });
        }
        let caption = Caption {
            title: "Loss",
            unit: "nats",
            most,
            guessing: None,
        };
        curve(caption, &points)
    }

    #[test]
    fn the_loss_of_guessing_is_a_line_that_the_chart_has_room_for() {
        let points = [1, 2].map(|epoch| EpochValue { epoch, value: 1.0 });
        let caption = Caption {
            title: "Loss",
            unit: "nats",
            most: 1.0,
            guessing: Some(50_f64.ln()),
        };
        let svg = curve(caption, &points);
        assert!(svg.contains("guessing: ln V = 3.91"), "{svg}");
        assert!(svg.contains(">4.0<"), "an axis that reaches it: {svg}");
    }

    /// The heights of the line's points.
    fn heights(svg: &str) -> Vec<f64> {
        let (_, points) = svg.split_once(" points=\"").unwrap();
        let (points, _) = points.split_once('"').unwrap();
        let heights = points.split([' ', ',']).skip(1).step_by(2);
        heights.map(|height| height.parse().unwrap()).collect()
    }

    #[test]
    fn a_loss_that_hardly_changes_is_a_flat_line() {
        let heights = heights(&drawn(&[6.10, 6.09, 6.08], 6.1));
        let range = heights[0] - heights[2];
        assert!(range.abs() < 1.0, "{heights:?}");
    }

    #[test]
    fn the_values_begin_at_zero_and_the_labels_are_round() {
        let svg = drawn(&[0.05, 0.1, 0.13], 0.13);
        for label in [">0.00<", ">0.05<", ">0.10<", ">0.15<", ">3<"] {
            assert!(svg.contains(label), "{label}: {svg}");
        }
        let svg = drawn(&[1.0, 1.2], 1.2);
        assert!(svg.contains(">0.25<") && svg.contains(">1.25<"), "{svg}");
    }

    #[test]
    fn charts_of_the_same_room_have_the_same_labels() {
        let (low, high) = (drawn(&[1.0, 0.9], 8.0), drawn(&[8.0, 7.0], 8.0));
        for label in [">2<", ">4<", ">6<", ">8<"] {
            assert!(low.contains(label) && high.contains(label), "{label}");
        }
        assert!(heights(&low)[0] > heights(&high)[0], "lower on the page");
    }

    #[test]
    fn one_point_is_said_and_no_number_breaks_the_drawing() {
        assert!(drawn(&[0.5], 0.5).contains("0.5000 nats after epoch 1"));
        assert_eq!(drawn(&[], 0.0), "");
        let svg = drawn(&[0.0, 0.0], 0.0);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
