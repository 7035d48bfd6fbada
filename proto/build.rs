//! Compiles the wire definitions; `protox` needs no `protoc` on the machine.

use prost::Message;

const FILES: [&str; 6] = [
    "training",
    "model",
    "recommendation",
    "history",
    "worker",
    "upkeep",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=cllm4rec");
    let paths = FILES.map(|name| format!("cllm4rec/v1/{name}.proto"));
    let descriptors = protox::compile(paths, ["."])?;
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo tells build scripts by the environment"
    )]
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
