//! Where a stage's time goes, from the model's spans: a table by part of the model and a flame
//! graph by kernel.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use tracing::span::Id;
use tracing_subscriber::layer::{Context as Spans, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use crate::stage;

/// Of the command.
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
    tracing::subscriber::set_global_default(Registry::default().with(profile.clone()))?;
    stage::measure(&arguments.stage)?;
    let times = profile.0.lock().unwrap_or_else(PoisonError::into_inner);
    times.print();
    let path = &arguments.flame_graph;
    std::fs::write(path, times.flame_graph())
        .with_context(|| format!("{} cannot be written", path.display()))
}

/// The model computes on one thread, which opens all spans.
#[derive(Clone, Default)]
struct Profile(Arc<Mutex<Times>>);

type Stack = Vec<&'static str>;

#[derive(Default)]
struct Times {
    /// Time in the innermost span of each stack.
    of_stack: BTreeMap<Stack, Duration>,
    /// The open spans, the innermost last.
    open: Stack,
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
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.change();
        times.open.push(span.name());
    }

    fn on_exit(&self, _: &Id, _: Spans<'_, S>) {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.change();
        times.open.pop();
    }
}

/// Of the flame graph, in pixels.
const WIDTH: f64 = 1200.0;
const HEIGHT: usize = 20;

impl Times {
    fn all(&self) -> Duration {
        self.of_stack.values().sum()
    }

    /// By the two outermost spans: the step or the forward pass, and the part of the model.
    fn print(&self) {
        let mut parts: BTreeMap<String, Duration> = BTreeMap::new();
        for (stack, time) in &self.of_stack {
            *parts
                .entry(
                    stack
                        .iter()
                        .take(2)
                        .copied()
                        .collect::<Vec<_>>()
                        .join(" / "),
                )
                .or_default() += *time;
        }
        for (part, time) in parts {
            let share = 100.0 * time.as_secs_f64() / self.all().as_secs_f64();
            println!("{part:24} {:8.3} s {share:5.1} %", time.as_secs_f64());
        }
    }

    /// Outermost spans at the top; a box is as wide as its share of the time.
    fn flame_graph(&self) -> String {
        let depth = self.of_stack.keys().map(Vec::len).max().unwrap_or(0);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{}\" font-family=\"monospace\" \
             font-size=\"12\">\n",
            depth * HEIGHT
        );
        let scale = WIDTH / self.all().as_secs_f64();
        self.boxes(&mut Vec::new(), 0.0, scale, &mut svg);
        svg + "</svg>\n"
    }

    /// The boxes of the spans right inside `stack`, from `left` on.
    fn boxes(&self, stack: &mut Stack, mut left: f64, scale: f64, svg: &mut String) {
        let inside = |stack: &Stack| {
            let time = self
                .of_stack
                .iter()
                .filter(|(other, _)| other.starts_with(stack))
                .map(|(_, time)| *time);
            time.sum::<Duration>().as_secs_f64()
        };
        let mut names: Vec<&'static str> = self
            .of_stack
            .keys()
            .filter(|other| other.len() > stack.len() && other.starts_with(stack))
            .map(|other| other[stack.len()])
            .collect();
        names.dedup();
        for name in names {
            stack.push(name);
            let (seconds, top) = (inside(stack), (stack.len() - 1) * HEIGHT);
            let width = seconds * scale;
            // Writing to a string cannot fail.
            let _written = writeln!(
                svg,
                "<g><title>{name}: {seconds:.3} s</title><rect x=\"{left:.1}\" y=\"{top}\" width=\"{width:.1}\" \
                 height=\"{HEIGHT}\" fill=\"#f4a460\" stroke=\"white\"/><text x=\"{:.1}\" y=\"{}\">{}</text></g>",
                left + 3.0,
                top + 14,
                name.chars()
                    .take((width / 8.0) as usize)
                    .collect::<String>()
            );
            self.boxes(stack, left, scale, svg);
            left += width;
            stack.pop();
        }
    }
}
