//! The part of a configuration that secures the HTTP API: TLS and tokens.
//! Never opens a connection; reads the files to check their contents.

use super::reader::Reader;
use super::resolved::ApiConfig;
use crate::api_tokens::Tokens;
use crate::listener_tls::{self, ListenerFiles};
use crate::secret::Secret;

/// A shorter token could be guessed.
const TOKEN_MIN: usize = 16;

/// Every HTTP client and proxy can send a header of this size.
const TOKEN_MAX: usize = 512;

const TOKEN_REMEDY: &str =
    "write 16 to 512 letters, digits or signs without blanks and commas: `openssl rand -hex 32`";

pub(super) fn resolve(reader: &mut Reader<'_>) -> ApiConfig {
    ApiConfig { tls: listener(reader), tokens: all_tokens(reader) }
}

fn listener(reader: &mut Reader<'_>) -> Option<ListenerFiles> {
    let cert = reader.file("api.tlsCertPath");
    let key = reader.file("api.tlsKeyPath");
    let client_ca = reader.file("api.tlsClientCAPath");
    let given = |path: &std::path::Path| !path.as_os_str().is_empty();
    if given(&cert) != given(&key) {
        reader.wrong(
            "api.tlsCertPath",
            "only one of tlsCertPath and tlsKeyPath is set",
            "set both or none",
        );
        return None;
    }
    if !given(&cert) {
        if given(&client_ca) {
            reader.wrong(
                "api.tlsClientCAPath",
                "TLS is not spoken, so no client can show a certificate",
                "set api.tlsCertPath and api.tlsKeyPath, or remove it",
            );
        }
        return None;
    }
    let client_ca = given(&client_ca).then_some(client_ca);
    let listener = ListenerFiles { cert, key, client_ca };
    // A file that can't be opened has been reported already.
    let opens = |path: &std::path::Path| std::fs::File::open(path).is_ok();
    let all = [Some(&listener.cert), Some(&listener.key), listener.client_ca.as_ref()];
    if all.into_iter().flatten().all(|path| opens(path))
        && let Err(wrong) = listener_tls::load(&listener)
    {
        reader.wrong(wrong.field, &wrong.problem, &wrong.remedy);
    }
    Some(listener)
}

fn all_tokens(reader: &mut Reader<'_>) -> Tokens {
    let found = Tokens {
        read: tokens(reader, "api.readTokens"),
        manage: tokens(reader, "api.manageTokens"),
    };
    if !found.read.is_empty() && found.manage.is_empty() {
        reader.wrong(
            "api.manageTokens",
            "there are only tokens for reading, so tasks can't be created",
            "set it too, or remove api.readTokens",
        );
    }
    if found.read.iter().any(|r| found.manage.iter().any(|m| m.expose() == r.expose())) {
        reader.wrong(
            "api.readTokens",
            "a token is also one of api.manageTokens",
            "give each role its own tokens",
        );
    }
    found
}

fn tokens(reader: &mut Reader<'_>, path: &'static str) -> Vec<Secret> {
    let tokens = reader.list(path);
    let fits = |token: &String| {
        (TOKEN_MIN..=TOKEN_MAX).contains(&token.len())
            && token.chars().all(|c| c.is_ascii_graphic())
    };
    if !tokens.iter().all(fits) {
        reader.wrong(path, "a token is too short, too long, or contains blanks", TOKEN_REMEDY);
    }
    tokens.into_iter().map(Secret::new).collect()
}
