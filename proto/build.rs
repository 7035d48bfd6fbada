//! Compiles the wire definitions; `protox` needs no `protoc` on the machine.

const FILES: [&str; 7] = [
    "training",
    "dataset",
    "model",
    "recommendation",
    "history",
    "worker",
    "upkeep",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=cllm4rec");
    println!("cargo:rerun-if-changed=google");
    let paths = FILES.map(|name| format!("cllm4rec/v1/{name}.proto"));
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(paths)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo tells build scripts by the environment"
    )]
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    // Encoded by the compiler: prost's own messages drop options such as a
    // method's HTTP path.
    let descriptors = compiler.encode_file_descriptor_set();
    std::fs::write(out.join("descriptors.bin"), descriptors)?;
    tonic_prost_build::configure()
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
