//! Typed settings: a service's own defaults, then a file, then the environment.
//! Unknown keys are refused.

use std::path::Path;

use config::{Config, ConfigError, Environment, File, FileFormat};
use serde::de::DeserializeOwned;

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the settings of {service}")]
pub struct SettingsError {
    service: String,
    #[source]
    source: ConfigError,
}

/// Reads the settings of `service`: `defaults` (TOML), over them `file`, over
/// that the environment, where `SCORER__STORAGE__STORE` is `storage.store` of
/// the service `scorer`.
///
/// # Errors
/// When the file cannot be read, a key is unknown or missing, or a value is of
/// a wrong kind.
pub fn load<T: DeserializeOwned>(
    service: &str,
    defaults: &str,
    file: Option<&Path>,
) -> Result<T, SettingsError> {
    let read = read(service, defaults, file);
    read.map_err(|source| SettingsError {
        service: service.to_owned(),
        source,
    })
}

fn read<T: DeserializeOwned>(
    service: &str,
    defaults: &str,
    file: Option<&Path>,
) -> Result<T, ConfigError> {
    let defaults = File::from_str(defaults, FileFormat::Toml);
    let mut builder = Config::builder().add_source(defaults);
    if let Some(file) = file {
        let file = File::from(file).format(FileFormat::Toml);
        builder = builder.add_source(file);
    }
    // Text, until a setting wants a number: a token may look like one.
    let environment = Environment::with_prefix(&service.to_uppercase())
        .prefix_separator("__")
        .separator("__");
    builder.add_source(environment).build()?.try_deserialize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        port: u16,
    }

    #[test]
    fn an_unknown_key_is_refused_and_named() {
        let known: Settings = load("settings-test", "port = 1", None).unwrap();
        assert_eq!(known.port, 1);
        let unknown =
            load::<Settings>("settings-test", "port = 1\nprot = 2", None)
                .unwrap_err();
        let chain = crate::status::chain(&unknown);
        assert!(chain.contains("prot"), "{chain}");
    }
}
