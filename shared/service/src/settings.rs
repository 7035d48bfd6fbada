//! Typed settings: a service's own defaults, then a file, then the environment. Unknown keys are
//! refused.

use std::path::Path;

use config::{Config, Environment, File, FileFormat};
use serde::de::DeserializeOwned;

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the settings of {service}")]
pub struct SettingsError {
    service: String,
    #[source]
    source: config::ConfigError,
}

/// Reads the settings of `service`: `defaults` (TOML), over them `file`, over that the environment,
/// where `SCORER__STORAGE__STORE` is `storage.store` of the service `scorer`.
pub fn load<T: DeserializeOwned>(
    service: &str,
    defaults: &str,
    file: Option<&Path>,
) -> Result<T, SettingsError> {
    let read = || {
        let mut builder = Config::builder().add_source(File::from_str(defaults, FileFormat::Toml));
        if let Some(file) = file {
            builder = builder.add_source(File::from(file).format(FileFormat::Toml));
        }
        let environment = Environment::with_prefix(&service.to_uppercase())
            .prefix_separator("__")
            .separator("__");
        builder
            .add_source(environment.try_parsing(true))
            .build()?
            .try_deserialize()
    };
    read().map_err(|source| SettingsError {
        service: service.to_owned(),
        source,
    })
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
        let unknown = load::<Settings>("settings-test", "port = 1\nprot = 2", None).unwrap_err();
        assert!(
            crate::chain(&unknown).contains("prot"),
            "{}",
            crate::chain(&unknown)
        );
    }
}
