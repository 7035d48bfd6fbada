//! Backbones from a hub.

use std::path::PathBuf;

use domain::{Backbone, BackboneLocation, RandomBackbone, TrainSpec};
use worker::{Progress, train};

use crate::bench::{Bench, device, nothing};

/// Serves the files of a folder as a hub does:
/// `/{repo}/resolve/{revision}/{file}`. Ends with its listener's thread.
fn serve_as_hub(folder: PathBuf) -> String {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let path = lines
                .next()
                .unwrap()
                .unwrap()
                .split(' ')
                .nth(1)
                .unwrap()
                .to_owned();
            lines
                .take_while(|line| {
                    line.as_ref().is_ok_and(|line| !line.is_empty())
                })
                .for_each(drop);
            let name = path
                .strip_prefix("/own/tiny/resolve/v1/")
                .map(|name| folder.join(name));
            let (status, body) =
                match name.and_then(|path| std::fs::read(path).ok()) {
                    Some(body) => ("200 OK", body),
                    None => ("404 Not Found", Vec::new()),
                };
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            stream
                .write_all(&[head.as_bytes(), &body].concat())
                .unwrap();
        }
    });
    format!("http://{address}")
}

/// A folder with a tiny backbone.
fn tiny_backbone() -> tempfile::TempDir {
    let shape = RandomBackbone {
        n_embd: 16,
        n_head: 2,
        n_positions: 48,
        ..Default::default()
    };
    let backbone = model::Backbone::random(&shape, &device());
    let files = tempfile::tempdir().unwrap();
    backbone.write(files.path()).unwrap();
    files
}

/// A job that learns nothing, on a backbone of the hub's.
fn on_hub(location: &str) -> TrainSpec {
    let mut spec = nothing();
    let location = BackboneLocation::new(location).unwrap();
    spec.backbone = Backbone::Path(location);
    spec
}

#[test]
fn a_hubs_backbone_that_is_damaged_on_the_workers_disk_is_fetched_again() {
    let files = tiny_backbone();
    let mut bench = Bench::new();
    bench.hub_url = serve_as_hub(files.path().to_owned());
    let spec = on_hub("hf://own/tiny@v1");
    let fetched = bench.train(&spec);
    let kept = bench.folder.path().join("hub/own/tiny/revisions/v1");
    let weights = kept.join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    bench.hub_url = serve_as_hub(files.path().to_owned());
    let again = bench.train(&spec);
    assert_eq!(
        again.artifact.manifest.backbone, fetched.artifact.manifest.backbone,
        "never another model"
    );
}

#[test]
fn a_hubs_backbone_is_fetched_once_and_then_read_without_a_network() {
    let files = tiny_backbone();
    let mut bench = Bench::new();
    bench.hub_url = serve_as_hub(files.path().to_owned());
    let mut spec = on_hub("hf://own/tiny@v1");
    let fetched = bench.train(&spec);
    bench.hub_url = "http://127.0.0.1:9".to_owned(); // nobody is there
    let cached = bench.train(&spec);
    assert_eq!(
        fetched.artifact.manifest.backbone, cached.artifact.manifest.backbone,
        "the hash of its files"
    );

    // The same in shards.
    std::fs::rename(
        files.path().join("model.safetensors"),
        files.path().join("model-1-of-1.safetensors"),
    )
    .unwrap();
    let index = r#"{"weight_map": {"wte.weight": "model-1-of-1.safetensors"}}"#;
    std::fs::write(files.path().join("model.safetensors.index.json"), index)
        .unwrap();
    let mut other = Bench::new();
    other.hub_url = serve_as_hub(files.path().to_owned());
    assert_eq!(other.train(&spec).tables_file, cached.tables_file);

    spec = on_hub("hf://own/tiny@v2");
    let scratch = tempfile::tempdir().unwrap();
    let (mut progress, _watch) =
        Progress::new("flex", tokio_util::sync::CancellationToken::new());
    let error = train(&bench.input(&spec, scratch.path(), None), &mut progress)
        .unwrap_err();
    assert_eq!(
        error.cause().kind,
        domain::CauseKind::Unavailable,
        "a hub that may be back"
    );
    let message = error.cause().message;
    assert!(
        message.contains("127.0.0.1:9")
            && message.contains("without a network"),
        "{message}"
    );
}
