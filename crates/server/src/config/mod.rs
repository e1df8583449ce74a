//! The configuration: file and environment in, one checked value out. Nothing outside this module
//! reads a configuration file or an environment variable of the service.
//!
//! `keys` is the list of possible keys, `raw` has what was written, `resolve` checks it with a
//! `reader`, and `resolved` is what the program sees.

mod api;
mod dump;
mod etcd;
mod fault;
pub mod keys;
mod log_level;
mod pulsar;
mod raw;
mod reader;
mod resolve;
mod resolved;
mod source;
mod store;
mod time;

pub use fault::{Fault, Faults};
pub use log_level::log_level;
pub use raw::ENV_PREFIX;
pub use resolved::{
    ApiConfig, Config, EtcdConfig, KafkaConfig, Log, PulsarConfig, QueueConfig, SharedStores,
    SourceConfig, StoreConfig,
};

use raw::Raw;
use std::path::{Path, PathBuf};

/// The files that are looked for if none is named: ours, and the Go tool's.
const DEFAULT_FILES: [&str; 2] = ["cdc.yaml", "configs/cdc.yaml"];

/// A configuration as it was found, with its faults.
#[derive(Debug)]
pub struct Loaded {
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// `None` if there are errors.
    pub config: Option<Config>,
    /// Errors and warnings.
    pub faults: Faults,
}

/// Reads the file, which must exist if it is named, and lays the environment over it.
pub fn load(named: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Loaded {
    let file = match named {
        Some(path) => Some(path.to_owned()),
        None => DEFAULT_FILES.iter().map(PathBuf::from).find(|p| p.exists()),
    };
    let mut faults = Faults::default();
    let text = match &file {
        None => String::new(),
        Some(path) => std::fs::read_to_string(path).unwrap_or_else(|e| {
            let what = format!("the configuration file {} can't be read: {e}", path.display());
            faults.error("", "", &what, "name a file that this user may read with --config");
            String::new()
        }),
    };
    let config = if faults.errors.is_empty() { parse(&text, env, &mut faults) } else { None };
    Loaded { file, config, faults }
}

/// The environment of the process. A variable that is not Unicode can't be one of ours.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
}

/// Reads the text of a configuration and lays the environment over it.
pub fn parse(
    text: &str,
    env: impl Iterator<Item = (String, String)>,
    faults: &mut Faults,
) -> Option<Config> {
    let mut raw = Raw::read(text, faults);
    raw.overlay(env, faults);
    resolve::resolve(&raw, faults)
}

#[cfg(test)]
mod fuzz {
    use super::*;

    #[test]
    fn any_text_is_a_configuration_or_has_errors() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            let mut faults = Faults::default();
            let config = parse(text, std::iter::empty(), &mut faults);
            assert_eq!(config.is_some(), faults.errors.is_empty());
        });
    }
}
