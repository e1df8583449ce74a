//! The part of a configuration that names the source's Pulsar and our login to it, as the Go tool
//! writes them. Never opens a connection; opens files only to see that they can be read.

use super::reader::{Reader, is_host_and_port};
use super::resolved::PulsarConfig;
use crate::secret::Secret;
use connectors::TlsFiles;
use connectors::pulsar::PulsarLogin;
use std::collections::BTreeMap;

const ADDRESS: &str = "sourceConfig.pulsar.address";
const PLUGIN: &str = "sourceConfig.pulsar.authPlugin";
const PARAMS: &str = "sourceConfig.pulsar.authParams";
const TRUST: &str = "sourceConfig.pulsar.tlsTrustCertsFilePath";

/// The login methods with their names. Pulsar's clients accept both names.
const METHODS: [(&str, [&str; 2]); 3] = [
    ("token", ["token", "org.apache.pulsar.client.impl.auth.AuthenticationToken"]),
    ("basic", ["basic", "org.apache.pulsar.client.impl.auth.AuthenticationBasic"]),
    ("tls", ["tls", "org.apache.pulsar.client.impl.auth.AuthenticationTls"]),
];

/// `None` if no address is given.
pub(super) fn resolve(reader: &mut Reader<'_>) -> Option<PulsarConfig> {
    let address = reader.list(ADDRESS);
    if address.is_empty() {
        return None;
    }
    let (brokers, speaks_tls) = brokers(reader, &address);
    let (login, mut files) = login(reader);
    files.ca = reader.file(TRUST);
    if !speaks_tls && files != TlsFiles::default() {
        reader.wrong(
            ADDRESS,
            "certificates are given, but TLS is not spoken",
            "begin the address with pulsar+ssl://, or leave the certificates out",
        );
    }
    Some(PulsarConfig {
        brokers,
        tenant: name(reader, "sourceConfig.pulsar.tenant", "public"),
        namespace: name(reader, "sourceConfig.pulsar.namespace", "default"),
        login,
        tls: speaks_tls.then_some(files),
    })
}

/// Reads `pulsar://a:1,b:2`, also with a scheme before each. Without a scheme there is no TLS, as
/// in Milvus.
fn brokers(reader: &mut Reader<'_>, address: &[String]) -> (Vec<String>, bool) {
    const REMEDY: &str = "write pulsar://host:6650 or, for TLS, pulsar+ssl://host:6651; several \
                          hosts separated by commas";
    let speaks_tls = address.iter().any(|broker| broker.starts_with("pulsar+ssl://"));
    let scheme = if speaks_tls { "pulsar+ssl://" } else { "pulsar://" };
    let brokers: Vec<String> = address
        .iter()
        .map(|broker| broker.strip_prefix(scheme).unwrap_or(broker).trim_end_matches('/').into())
        .collect();
    if brokers.iter().any(|broker| broker.contains("://")) {
        reader.wrong(ADDRESS, "not the addresses of brokers of one kind", REMEDY);
    } else if brokers.iter().any(|broker| !is_host_and_port(broker)) {
        reader.wrong(ADDRESS, "not a list of brokers", REMEDY);
    }
    (brokers, speaks_tls)
}

/// The name of a tenant or namespace.
fn name(reader: &mut Reader<'_>, key: &'static str, default: &str) -> String {
    let name = reader.text(key);
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.=:".contains(c);
    if !name.chars().all(fits) {
        reader.wrong(key, "not a name", "write it without its tenant, slashes or blanks");
    }
    if name.is_empty() { default.into() } else { name }
}

/// Our login, and the files of a certificate if that is the login.
fn login(reader: &mut Reader<'_>) -> (PulsarLogin, TlsFiles) {
    let none = (PulsarLogin::None, TlsFiles::default());
    let plugin = reader.text(PLUGIN);
    let mut given = params(reader);
    if plugin.is_empty() {
        if !given.is_empty() {
            let what = "is missing, but authParams says how to log in";
            reader.wrong(PLUGIN, what, "write token, basic or tls, or remove authParams");
        }
        return none;
    }
    let Some((method, _)) = METHODS.iter().find(|(_, names)| names.contains(&&*plugin)) else {
        let what = "not a known way to log in";
        reader.wrong(PLUGIN, what, "write token, basic or tls, or Pulsar's name for one of them");
        return none;
    };
    let mut take = |key: &str| given.remove(key).filter(|value| !value.is_empty());
    let understood = match *method {
        "token" => match (take("token"), take("file")) {
            (Some(token), None) => Some((PulsarLogin::Token(Secret::new(token)), none.1.clone())),
            (None, Some(path)) => token_in(reader, &path).map(|login| (login, none.1.clone())),
            _ => None,
        },
        "basic" => take("username").zip(take("password")).map(|(user, password)| {
            (PulsarLogin::Basic(user, Secret::new(password)), none.1.clone())
        }),
        _ => take("tlsCertFile").zip(take("tlsKeyFile")).map(|(cert, key)| {
            let [cert, key] = [cert, key].map(|path| reader.readable(PARAMS, &path));
            (PulsarLogin::None, TlsFiles { cert, key, ..TlsFiles::default() })
        }),
    };
    if understood.is_none() || !given.is_empty() {
        reader.wrong(
            PARAMS,
            &format!("not what the plugin {method} needs, and nothing else"),
            "write token:<token> or file:<path>; or username:<name>,password:<password>; or \
             tlsCertFile:<path>,tlsKeyFile:<path>",
        );
    }
    understood.unwrap_or(none)
}

/// Reads `key:value,key:value`. Reports what it does not understand; the Go tool drops it.
fn params(reader: &mut Reader<'_>) -> BTreeMap<String, String> {
    let text = reader.verbatim(PARAMS);
    let mut params = BTreeMap::new();
    for (place, entry) in text.split(',').enumerate().filter(|(_, entry)| !entry.is_empty()) {
        match entry.split_once(':') {
            Some((key, value))
                if params.insert(key.trim().to_owned(), value.to_owned()).is_none() => {}
            _ => reader.wrong(
                PARAMS,
                &format!("entry {} has no key of its own", place + 1),
                "write key:value, several separated by commas",
            ),
        }
    }
    params
}

/// The token in a file.
fn token_in(reader: &mut Reader<'_>, path: &str) -> Option<PulsarLogin> {
    let path = path.trim_start_matches("//");
    match std::fs::read_to_string(path) {
        Ok(token) => Some(PulsarLogin::Token(Secret::new(token.trim()))),
        Err(error) => {
            reader.wrong(
                PARAMS,
                &format!("the file of the token can't be read: {error}"),
                "name a file that this user may read",
            );
            Some(PulsarLogin::None)
        }
    }
}
