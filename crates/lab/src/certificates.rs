//! Certificates for tests of TLS, made by `openssl` in a folder. Never for anything but this
//! machine: they are of 127.0.0.1 and localhost, and for two days.

use crate::error::{Result, While};
use crate::processes::tool;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const MADE_WITHIN: Duration = Duration::from_secs(60);

/// Makes an authority, `ca.pem` and `ca.key`, and certificates of it for a server and a client,
/// `server.pem`, `client.pem` and their keys, in a folder that is there.
///
/// # Errors
/// If a file can't be written or `openssl` fails.
pub fn make_certificates(folder: &Path) -> Result<()> {
    let names = folder.join("names");
    fs::write(&names, "subjectAltName=IP:127.0.0.1,DNS:localhost")
        .while_doing(|| format!("write {}", names.display()))?;
    let openssl = |line: &str| {
        let mut command = Command::new("openssl");
        command.current_dir(folder).args(line.split(' '));
        tool::run(&mut command, MADE_WITHIN).map(drop)
    };
    // Pulsar reads no other keys.
    let key = "-newkey rsa:2048 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"))?;
    for name in ["server", "client"] {
        openssl(&format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN=root"))?;
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile \
             names -out {name}.pem"
        ))?;
    }
    Ok(())
}
