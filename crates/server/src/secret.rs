//! How secrets are stored, and how they are masked where something is shown.
//! Never shows a secret: neither in logs, nor in answers, nor in a dump.

pub(crate) use connectors::Secret;
use std::collections::BTreeMap;

/// Shown instead of a secret.
pub(crate) const MASK: &str = "***";

/// Whether a setting of librdkafka may contain a secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "secret", "jaas", "key.pem", "token", "oauthbearer.config"]
        .iter()
        .any(|part| name.contains(part))
}

/// Settings of librdkafka with their secrets masked.
pub(crate) fn masked(mut settings: BTreeMap<String, String>) -> BTreeMap<String, String> {
    for (name, value) in &mut settings {
        if is_secret(name) {
            MASK.clone_into(value);
        }
    }
    settings
}

/// The stored form: clear text, because the service has to log in with it after a restart. A secret
/// is never serialized by accident: a stored record has to say `#[serde(with = …)]`.
pub(crate) mod stored {
    use super::Secret;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the clear text.
    pub(crate) fn serialize<S: Serializer>(
        secret: &Secret,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }

    /// Reads the clear text.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}
