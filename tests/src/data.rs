//! A small data set with something to learn, and jobs that train on it in
//! seconds.

use std::fmt::Write;
use std::path::Path;

use serde_json::json;

/// Writes a data set of two groups of thirty users and ten items each; a user
/// has eight of the ten items of their group, and `u0` is of the first.
pub fn write_two_groups(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let mut rows = "user_id,item_id,timestamp,split\n".to_owned();
    for user in 0..60 {
        for place in 0..8 {
            let item = (user % 2) * 10 + (user / 2 + place) % 10;
            let split = match place {
                6 => "valid",
                7 => "test",
                _ => "train",
            };
            writeln!(rows, "u{user},i{item:02},{place},{split}").unwrap();
        }
    }
    std::fs::write(folder.join("interactions.csv"), rows).unwrap();
    let mut items = String::new();
    for item in 0..20 {
        let (kind, category) = if item < 10 {
            ("space &amp; stars", "Space")
        } else {
            ("garden", "Garden")
        };
        let item = json!({
            "item_id": format!("i{item:02}"),
            "title": format!("A {kind} game, part {item}"),
            "year": 2000 + item,
            "categories": ["Games", category],
        });
        writeln!(items, "{item}").unwrap();
    }
    std::fs::write(folder.join("items.jsonl"), items).unwrap();
}

/// Fields of a job that ends within seconds.
pub const TINY_JOB: [&str; 7] = [
    "backbone.random.n_embd=32",
    "backbone.random.n_layer=1",
    "backbone.random.n_head=2",
    "backbone.random.n_positions=32",
    "pretraining.documents_per_epoch=20",
    "pretraining.epochs=1",
    "finetuning.epochs=4",
];

/// Fields of a job that goes on until somebody stops it or half a minute has
/// passed.
pub const SLOW_JOB: [&str; 7] = [
    "backbone.random.n_embd=32",
    "backbone.random.n_layer=1",
    "backbone.random.n_head=2",
    "backbone.random.n_positions=32",
    "pretraining.documents_per_epoch=20",
    "finetuning.epochs=10000",
    "evaluation.patience=0",
];

/// Fields of a job that takes several times as long as a worker lets pass
/// between two checkpoints.
pub const CHECKPOINTED_JOB: [&str; 3] = [
    "finetuning.epochs=1600",
    "finetuning.batch=4",
    "evaluation.patience=0",
];
