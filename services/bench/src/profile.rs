//! Where a stage's time goes, from the model's spans: a table by part of the
//! model and a flame graph by kernel.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use tracing::span::Id;
use tracing_subscriber::layer::{Context as Spans, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use crate::stage;

/// Which stage is profiled, and where the graph goes.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    #[command(flatten)]
    stage: stage::Arguments,

    /// Where the flame graph goes.
    #[arg(long, default_value = "target/flamegraph.svg")]
    flame_graph: PathBuf,
}

/// Runs a stage and says where its time went.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let profile = Profile::default();
    tracing::subscriber::set_global_default(
        Registry::default().with(profile.clone()),
    )?;
    stage::measure(&arguments.stage)?;
    let times = profile.times();
    times.print();
    let path = &arguments.flame_graph;
    std::fs::write(path, times.flame_graph())
        .with_context(|| format!("{} cannot be written", path.display()))
}

/// Hears of all spans: the model computes on one thread, which opens them.
#[derive(Clone, Default)]
struct Profile {
    times: Arc<Mutex<Times>>,
}

impl Profile {
    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names of spans, each inside the one before.
type Stack = Vec<&'static str>;

#[derive(Default)]
struct Times {
    /// Time in the innermost span of each stack.
    of_stack: BTreeMap<Stack, Duration>,
    /// The open spans, the innermost last.
    open: Stack,
    /// When a span was opened or closed last.
    since: Option<Instant>,
}

impl Times {
    /// Books the time since the last change.
    fn change(&mut self) {
        let now = Instant::now();
        if let Some(since) = self.since.filter(|_| !self.open.is_empty()) {
            *self.of_stack.entry(self.open.clone()).or_default() += now - since;
        }
        self.since = Some(now);
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Profile {
    fn on_enter(&self, id: &Id, spans: Spans<'_, S>) {
        let Some(span) = spans.span(id) else { return };
        let mut times = self.times();
        times.change();
        times.open.push(span.name());
    }

    fn on_exit(&self, _: &Id, _: Spans<'_, S>) {
        let mut times = self.times();
        times.change();
        times.open.pop();
    }
}

impl Times {
    fn all(&self) -> Duration {
        self.of_stack.values().sum()
    }

    /// By the two outermost spans: the step or the forward pass, and the part
    /// of the model.
    fn print(&self) {
        let mut parts: BTreeMap<String, Duration> = BTreeMap::new();
        for (stack, time) in &self.of_stack {
            let outermost = &stack[..stack.len().min(2)];
            *parts.entry(outermost.join(" / ")).or_default() += *time;
        }

        let all = self.all().as_secs_f64();
        for (part, time) in parts {
            let seconds = time.as_secs_f64();
            let share = 100.0 * seconds / all;
            println!("{part:24} {seconds:8.3} s {share:5.1} %");
        }
    }

    /// Seconds in the spans inside `stack` and in itself.
    fn seconds_below(&self, stack: &[&str]) -> f64 {
        let mut sum = Duration::ZERO;
        for (other, time) in &self.of_stack {
            if other.starts_with(stack) {
                sum += *time;
            }
        }
        sum.as_secs_f64()
    }

    /// Names of the spans right inside `stack`.
    fn names_inside(&self, stack: &[&str]) -> Vec<&'static str> {
        let mut names = Vec::new();
        for other in self.of_stack.keys() {
            if other.len() > stack.len() && other.starts_with(stack) {
                names.push(other[stack.len()]);
            }
        }
        names.dedup();
        names
    }

    /// Outermost spans at the top; a box is as wide as its share of the time.
    fn flame_graph(&self) -> String {
        let depth = self.of_stack.keys().map(Vec::len).max().unwrap_or(0);
        let mut graph = FlameGraph {
            times: self,
            scale: WIDTH / self.all().as_secs_f64(),
            svg: format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{}\" font-family=\"monospace\" \
                 font-size=\"12\">\n",
                depth * HEIGHT
            ),
        };
        graph.boxes(&mut Vec::new(), 0.0);
        graph.svg + "</svg>\n"
    }
}

/// Width of the flame graph, in pixels.
const WIDTH: f64 = 1200.0;
/// Height of a box, in pixels.
const HEIGHT: usize = 20;
/// Width of a letter, in pixels.
const LETTER: f64 = 8.0;

/// A flame graph in the making.
struct FlameGraph<'a> {
    times: &'a Times,
    /// Pixels a second.
    scale: f64,
    svg: String,
}

impl FlameGraph<'_> {
    /// Draws the boxes of the spans right inside `stack`, from `left` on.
    fn boxes(&mut self, stack: &mut Stack, mut left: f64) {
        for name in self.times.names_inside(stack) {
            stack.push(name);
            let seconds = self.times.seconds_below(stack);
            let width = seconds * self.scale;
            let top = (stack.len() - 1) * HEIGHT;
            let n_letters = (width / LETTER) as usize;
            let label: String = name.chars().take(n_letters).collect();
            self.svg.push_str(&format!(
                "<g><title>{name}: {seconds:.3} s</title><rect x=\"{left:.1}\" y=\"{top}\" width=\"{width:.1}\" \
                 height=\"{HEIGHT}\" fill=\"#f4a460\" stroke=\"white\"/><text x=\"{:.1}\" y=\"{}\">{label}</text></g>\n",
                left + 3.0,
                top + 14
            ));
            self.boxes(stack, left);
            left += width;
            stack.pop();
        }
    }
}
