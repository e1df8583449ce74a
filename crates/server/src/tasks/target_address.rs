//! The address of a target Milvus, in one spelling, so that two tasks on one target are seen to be
//! on the same one. Never resolves a name.

use connectors::InvalidOption;
use std::fmt;

/// Milvus's port.
const DEFAULT_PORT: u16 = 19530;

/// How a target is named.
pub const HOW_TO_NAME: &str = "give the target as http(s)://host:port in milvus_connect_param.uri";

/// A target's address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetAddress {
    host: String,
    port: u16,
    tls: bool,
}

impl TargetAddress {
    /// Reads `http(s)://host[:port][/]` or `host[:port]`.
    pub fn parse(uri: &str) -> Result<Self, InvalidOption> {
        let uri = uri.trim();
        let lower = uri.to_ascii_lowercase();
        let (tls, rest) = match (lower.strip_prefix("https://"), lower.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ if lower.contains("://") => return Err(invalid("write it as http(s)://host:port")),
            _ => (false, lower.as_str()),
        };
        let rest = rest.trim_end_matches('/');
        if rest.contains(['/', '?', '#', ' ']) {
            return Err(invalid("nothing may follow the port: write it as http(s)://host:port"));
        }
        if rest.contains('@') {
            return Err(invalid("user and password belong into `token`, not into the address"));
        }
        let (host, port) = split_port(rest)?;
        let host = match host {
            "" => return Err(invalid("the host is missing: write it as http(s)://host:port")),
            "localhost" => "127.0.0.1",
            host => host,
        };
        Ok(Self { host: host.into(), port, tls })
    }

    /// What a client connects to.
    pub fn uri(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{self}")
    }

    /// Whether TLS is spoken.
    pub fn tls(&self) -> bool {
        self.tls
    }
}

/// The name of the target, the same whether TLS is spoken or not.
impl fmt::Display for TargetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

fn invalid(problem: &str) -> InvalidOption {
    InvalidOption::new("milvus_connect_param.uri", problem, HOW_TO_NAME)
}

fn split_port(rest: &str) -> Result<(&str, u16), InvalidOption> {
    // The colons of an IPv6 address stand in brackets.
    let after_host = rest.rfind(']').unwrap_or(0);
    match rest[after_host..].rfind(':') {
        None => Ok((rest, DEFAULT_PORT)),
        Some(at) => {
            let (host, port) = rest.split_at(after_host + at);
            let port = port[1..].parse::<u16>().ok().filter(|p| *p > 0);
            let port = port.ok_or_else(|| invalid("the port is not a number from 1 to 65535"))?;
            Ok((host, port))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_one_target_have_one_name() {
        for uri in [
            "http://localhost:19530",
            "HTTP://LocalHost",
            "https://127.0.0.1:19530/",
            "127.0.0.1",
            "localhost:19530",
        ] {
            assert_eq!(TargetAddress::parse(uri).unwrap().to_string(), "127.0.0.1:19530", "{uri}");
        }
        let v6 = TargetAddress::parse("https://[::1]:7").unwrap();
        assert_eq!((v6.to_string(), v6.uri()), ("[::1]:7".into(), "https://[::1]:7".into()));
    }

    #[test]
    fn a_text_that_is_not_an_address_is_refused() {
        for uri in [
            "",
            "http://",
            "ftp://a:1",
            "http://a:0",
            "http://a:b",
            "http://a:1/x",
            "http://u:p@a:1",
        ] {
            assert!(TargetAddress::parse(uri).is_err(), "{uri}");
        }
    }
}
