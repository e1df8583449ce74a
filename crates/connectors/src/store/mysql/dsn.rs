//! The address of a database as the Go tool writes it:
//! `user:password@tcp(host:port)/database?name=value&…`. Never connects, never shows the password.

use crate::tls::unreadable;
use crate::{Secret, TlsFiles};
use replication::error::Result;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

const DEFAULT_PORT: u16 = 3306;

/// Parameters of the Go driver that change how Go programs see values or wait for them. They make
/// no difference here.
const NO_DIFFERENCE: [&str; 20] = [
    "allowFallbackToPlaintext",
    "allowNativePasswords",
    "allowOldPasswords",
    "charset",
    "checkConnLiveness",
    "clientFoundRows",
    "collation",
    "columnsWithAlias",
    "connectionAttributes",
    "interpolateParams",
    "loc",
    "maxAllowedPacket",
    "multiStatements",
    "parseTime",
    "readTimeout",
    "rejectReadOnly",
    "timeTruncate",
    "timeout",
    "writeTimeout",
    "compress",
];

/// The use of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Tls {
    #[default]
    Off,
    /// TLS if the server supports it.
    Preferred,
    /// TLS without a check of the certificate.
    Unverified,
    /// TLS with a check of certificate and name.
    On,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Address {
    Tcp(String, u16),
    Unix(PathBuf),
}

/// The address of a database, and our login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dsn {
    user: String,
    password: Secret,
    address: Address,
    database: String,
    tls: Tls,
    cleartext: bool,
}

impl Default for Dsn {
    fn default() -> Self {
        Self {
            user: String::new(),
            password: Secret::default(),
            address: Address::Tcp("127.0.0.1".into(), DEFAULT_PORT),
            database: String::new(),
            tls: Tls::default(),
            cleartext: false,
        }
    }
}

impl Dsn {
    /// Reads a Go DSN; the error says what is not understood, and never shows the password.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let mut dsn = Self::default();
        // The last slash: a password may contain more of them.
        let (head, tail) = text.rsplit_once('/').ok_or(
            "the slash before the database is missing: write user:password@tcp(host:port)/database",
        )?;
        let (database, parameters) = tail.split_once('?').unwrap_or((tail, ""));
        if database.is_empty() {
            return Err("the database behind the last slash is missing".into());
        }
        dsn.database = unescape(database)?;
        let (login, address) = head.rsplit_once('@').unwrap_or(("", head));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        dsn.user = user.to_owned();
        dsn.password = Secret::new(password);
        dsn.address = self::address(address)?;
        for parameter in parameters.split('&').filter(|p| !p.is_empty()) {
            dsn.set(parameter)?;
        }
        Ok(dsn)
    }

    fn set(&mut self, parameter: &str) -> std::result::Result<(), String> {
        let (name, value) = parameter
            .split_once('=')
            .ok_or_else(|| format!("the parameter {} has no value", shown(parameter)))?;
        let value = unescape(value)?;
        let flag = |value: &str| match value.to_ascii_lowercase().as_str() {
            "1" | "true" => Ok(true),
            "0" | "false" => Ok(false),
            _ => Err(format!("the parameter {name} is neither true nor false")),
        };
        match name {
            "tls" if value.eq_ignore_ascii_case("skip-verify") => self.tls = Tls::Unverified,
            "tls" if value.eq_ignore_ascii_case("preferred") => self.tls = Tls::Preferred,
            "tls" => {
                let on = flag(&value).map_err(|_| {
                    format!(
                        "tls={} is not understood: write true, false, skip-verify or preferred, \
                         and name certificates with metaStoreConfig.mysql.tlsCACertPath",
                        shown(&value)
                    )
                })?;
                self.tls = if on { Tls::On } else { Tls::Off };
            }
            "allowCleartextPasswords" => self.cleartext = flag(&value)?,
            _ if NO_DIFFERENCE.contains(&name) => {}
            _ => {
                return Err(format!(
                    "the parameter {} is not understood: remove it, or set it on the server",
                    shown(name)
                ));
            }
        }
        Ok(())
    }

    /// The address as text, with `mask` in the place of the password.
    pub fn masked(&self, mask: &str) -> String {
        let address = match &self.address {
            Address::Tcp(host, port) if host.contains(':') => format!("tcp([{host}]:{port})"),
            Address::Tcp(host, port) => format!("tcp({host}:{port})"),
            Address::Unix(path) => format!("unix({})", path.display()),
        };
        let tls = match self.tls {
            Tls::Off => "false",
            Tls::Preferred => "preferred",
            Tls::Unverified => "skip-verify",
            Tls::On => "true",
        };
        let mask = if self.password.is_empty() { "" } else { mask };
        let cleartext = if self.cleartext { "&allowCleartextPasswords=true" } else { "" };
        format!("{}:{mask}@{address}/{}?tls={tls}{cleartext}", self.user, self.database)
    }

    /// Whether TLS is used.
    pub fn tls(&self) -> bool {
        self.tls != Tls::Off
    }

    /// The options of the client. Certificates are only used with TLS.
    pub(super) fn connect_options(&self, files: &TlsFiles) -> Result<MySqlConnectOptions> {
        let mut options = MySqlConnectOptions::new()
            .username(&self.user)
            .password(self.password.expose())
            .database(&self.database)
            .enable_cleartext_plugin(self.cleartext)
            .ssl_mode(match self.tls {
                Tls::Off => MySqlSslMode::Disabled,
                Tls::Preferred => MySqlSslMode::Preferred,
                Tls::Unverified => MySqlSslMode::Required,
                Tls::On => MySqlSslMode::VerifyIdentity,
            });
        options = match &self.address {
            Address::Tcp(host, port) => options.host(host).port(*port),
            Address::Unix(path) => options.socket(path),
        };
        if !self.tls() {
            return Ok(options);
        }
        if !files.ca.as_os_str().is_empty() {
            check_readable(&files.ca)?;
            options = options.ssl_ca(&files.ca);
        }
        let Some((cert, key)) = files.identity()? else { return Ok(options) };
        check_readable(cert)?;
        check_readable(key)?;
        Ok(options.ssl_client_cert(cert).ssl_client_key(key))
    }
}

/// Opens a file that TLS needs: sqlx would only say that TLS failed.
fn check_readable(file: &Path) -> Result<()> {
    File::open(file).map(drop).map_err(|error| unreadable(file, error))
}

/// Without the login.
impl fmt::Display for Dsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp(host, port) => write!(f, "{host}:{port}/{}", self.database),
            Address::Unix(path) => write!(f, "{}/{}", path.display(), self.database),
        }
    }
}

/// `tcp(host:port)`, `unix(/path)` or nothing.
fn address(text: &str) -> std::result::Result<Address, String> {
    let (protocol, address) = match text.split_once('(') {
        Some((protocol, rest)) => {
            let address = rest.strip_suffix(')').ok_or_else(|| {
                format!("the bracket behind {}( is not closed before the database", shown(protocol))
            })?;
            (protocol, address)
        }
        None => (text, ""),
    };
    match protocol {
        "" | "tcp" => {
            let (host, port) = match address.rsplit_once(':') {
                // The colons of an IPv6 address stand in brackets.
                Some((host, port)) if !port.ends_with(']') => {
                    let number = port.parse().ok().filter(|port| *port > 0);
                    (
                        host,
                        number
                            .ok_or_else(|| format!("the port {} is not a number", shown(port)))?,
                    )
                }
                _ => (address, DEFAULT_PORT),
            };
            let host = if host.is_empty() { "127.0.0.1" } else { host };
            Ok(Address::Tcp(host.trim_matches(['[', ']']).to_owned(), port))
        }
        "unix" if !address.is_empty() => Ok(Address::Unix(address.into())),
        "unix" => Err("unix() needs the path of the server's socket".into()),
        _ => Err(format!(
            "the protocol {} is not understood: write tcp(host:port) or unix(path)",
            shown(protocol)
        )),
    }
}

/// A part of the text for an error. If a character is missing, any part may contain the password.
fn shown(part: &str) -> &str {
    let is_name = part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_name && part.len() < 40 { part } else { "…" }
}

/// Decodes `%41` to `A`.
fn unescape(text: &str) -> std::result::Result<String, String> {
    let wrong = || "a % is not followed by two hexadecimal digits".to_owned();
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        bytes.push(digits.and_then(|d| u8::from_str_radix(d, 16).ok()).ok_or_else(wrong)?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        Dsn::parse(text).unwrap_err()
    }

    #[test]
    fn addresses_of_the_go_driver_are_understood() {
        let dsn = Dsn::parse("root:a@b/c:d@tcp(db.example:3307)/cdc?charset=utf8mb4").unwrap();
        assert_eq!((dsn.user.as_str(), dsn.password.expose()), ("root", "a@b/c:d"));
        assert_eq!(dsn.address, Address::Tcp("db.example".into(), 3307));
        assert_eq!((dsn.database.as_str(), dsn.tls), ("cdc", Tls::Off));

        let dsn = Dsn::parse("u@tcp([::1]:7)/d?tls=skip-verify&parseTime=true").unwrap();
        assert_eq!(dsn.address, Address::Tcp("::1".into(), 7));
        assert_eq!((dsn.password.is_empty(), dsn.tls), (true, Tls::Unverified));

        let dsn = Dsn::parse("u:p@unix(/run/my.sock)/d%20d?tls=true").unwrap();
        assert_eq!(dsn.address, Address::Unix("/run/my.sock".into()));
        assert_eq!((dsn.database.as_str(), dsn.tls), ("d d", Tls::On));
        for bare in ["/d", "u:p@/d", "u:p@tcp/d", "u:p@tcp(127.0.0.1)/d"] {
            let address = Dsn::parse(bare).unwrap().address;
            assert_eq!(address, Address::Tcp("127.0.0.1".into(), 3306), "{bare}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert!(wrong("u:p@tcp(h:1)").contains("slash before the database"));
        assert!(wrong("u:p@tcp(h:1)/").contains("database behind the last slash"));
        assert!(wrong("u:p@udp(h:1)/d").contains("protocol udp"));
        assert!(wrong("u:p@tcp(h:x)/d").contains("port x"));
        assert!(wrong("u:p@tcp(h:1/d").contains("bracket"));
        assert!(wrong("u:p@tcp(h:1)/d?tls=mine").contains("tls=mine"));
        assert!(wrong("u:p@tcp(h:1)/d?sql_mode=ANSI").contains("parameter sql_mode"));
        assert!(wrong("u:p@tcp(h:1)/d?loc").contains("parameter loc has no value"));
        assert!(wrong("u:p@tcp(h:1)/d%2").contains('%'));
    }

    #[test]
    fn neither_password_nor_user_is_shown() {
        for broken in [
            "u:hunter2/d",
            "u:hunter2tcp(h:1)/d",
            "u:x/y?:hunter2@tcp(h:1)",
            "u:x/:hunter2%",
            "u:hunter2(/d",
        ] {
            assert!(!wrong(broken).contains("hunter"), "{}", wrong(broken));
        }
        let dsn = Dsn::parse("somebody:hunter2@tcp(h:1)/d").unwrap();
        let shown = format!("{dsn} {dsn:?}");
        assert!(!shown.contains("hunter") && !dsn.to_string().contains("somebody"), "{shown}");
        assert_eq!(dsn.to_string(), "h:1/d");
        assert_eq!(dsn.masked("***"), "somebody:***@tcp(h:1)/d?tls=false");
    }
}
