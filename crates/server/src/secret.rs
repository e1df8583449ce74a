//! How secrets are stored and what stands in their place when something is shown.
//! Never shows what a secret holds: not in logs, not in answers, not in a dump.

pub use connectors::Secret;
use std::collections::BTreeMap;

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// Whether a setting of librdkafka holds something that must not be seen.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "secret", "jaas", "key.pem", "token", "oauthbearer.config"]
        .iter()
        .any(|part| name.contains(part))
}

/// Settings of librdkafka as they may be shown.
pub fn masked(mut settings: BTreeMap<String, String>) -> BTreeMap<String, String> {
    for (name, value) in &mut settings {
        if is_secret(name) {
            MASK.clone_into(value);
        }
    }
    settings
}

/// The stored form: clear text, because the service has to log in with it after a restart. A
/// secret can't be serialized by accident; a stored record says `#[serde(with = …)]`.
pub mod stored {
    use super::Secret;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the clear text.
    pub fn serialize<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }

    /// Reads the clear text.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}
