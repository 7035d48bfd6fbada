//! `openapi`: the services' paths over HTTP, for programs.

use crate::output::writer::Output;

/// Writes the document; the same for people and for programs.
pub(crate) fn run(output: Output) -> anyhow::Result<()> {
    let document = service::openapi(proto::DESCRIPTORS)?;
    let text = serde_json::to_string_pretty(&document)?;
    output.write(&document, || text);
    Ok(())
}
