//! A small data set with something to learn, and jobs that train on it in seconds.

use std::fmt::Write;
use std::path::Path;

/// Users and items come in two groups; a user has eight of the ten items of their group: `u0` of
/// the even ones.
pub fn write_two_groups(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let mut rows = "user_id,item_id,timestamp,split\n".to_owned();
    for user in 0..60 {
        for place in 0..8 {
            let item = (user % 2) * 10 + (user / 2 + place) % 10;
            let split = [
                "train", "train", "train", "train", "train", "train", "valid", "test",
            ][place];
            writeln!(rows, "u{user},i{item:02},{place},{split}").unwrap();
        }
    }
    std::fs::write(folder.join("interactions.csv"), rows).unwrap();
    let items: String = (0..20)
        .map(|item| {
            let kind = if item < 10 { "space &amp; stars" } else { "garden" };
            let fields = format!("\"title\": \"A {kind} game, part {item}\", \"year\": {}", 2000 + item);
            let category = if item < 10 { "Space" } else { "Garden" };
            format!("{{\"item_id\": \"i{item:02}\", {fields}, \"categories\": [\"Games\", \"{category}\"]}}\n")
        })
        .collect();
    std::fs::write(folder.join("items.jsonl"), items).unwrap();
}

/// Ends within seconds.
pub const TINY_JOB: [&str; 7] = [
    "backbone.random.n_embd=32",
    "backbone.random.n_layer=1",
    "backbone.random.n_head=2",
    "backbone.random.n_positions=32",
    "pretraining.documents_per_epoch=20",
    "pretraining.epochs=1",
    "finetuning.epochs=4",
];

/// Goes on until somebody stops it or half a minute has passed.
pub const SLOW_JOB: [&str; 7] = [
    "backbone.random.n_embd=32",
    "backbone.random.n_layer=1",
    "backbone.random.n_head=2",
    "backbone.random.n_positions=32",
    "pretraining.documents_per_epoch=20",
    "finetuning.epochs=300",
    "evaluation.patience=0",
];
