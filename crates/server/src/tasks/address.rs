//! One spelling for every address that means the same target, so that two tasks on one target are
//! seen to be on one. Never resolves a name.

use std::fmt;

/// Milvus's port.
const DEFAULT_PORT: u16 = 19530;

/// A target's address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetAddress {
    host: String,
    port: u16,
    tls: bool,
}

impl TargetAddress {
    /// Reads `http(s)://host[:port][/]` or `host[:port]`; the error says what is wrong.
    pub fn parse(uri: &str) -> Result<Self, String> {
        let uri = uri.trim();
        let lower = uri.to_ascii_lowercase();
        let (tls, rest) = match (lower.strip_prefix("https://"), lower.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ if lower.contains("://") => return Err("write it as http(s)://host:port".into()),
            _ => (false, lower.as_str()),
        };
        let rest = rest.trim_end_matches('/');
        if rest.contains(['/', '?', '#', ' ']) {
            return Err("nothing may follow the port: write it as http(s)://host:port".into());
        }
        if rest.contains('@') {
            return Err("user and password belong into `token`, not into the address".into());
        }
        let (host, port) = split_port(rest)?;
        let host = match host {
            "" => return Err("the host is missing: write it as http(s)://host:port".into()),
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

fn split_port(rest: &str) -> Result<(&str, u16), String> {
    // The colons of an IPv6 address stand in brackets.
    let after_host = rest.rfind(']').unwrap_or(0);
    match rest[after_host..].rfind(':') {
        None => Ok((rest, DEFAULT_PORT)),
        Some(at) => {
            let (host, port) = rest.split_at(after_host + at);
            let port = port[1..].parse::<u16>().ok().filter(|p| *p > 0);
            Ok((host, port.ok_or("the port is not a number from 1 to 65535")?))
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
    fn what_is_no_address_is_refused() {
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
