//! One MariaDB server, a process of its own with a data folder of its own. Never the service that
//! the Debian package may have set up.

use crate::error::{Result, While};
use crate::ports::{self, Port};
use crate::processes::process::Process;
use crate::processes::spawner;
use crate::processes::tool;
use crate::servers::server::{Server, ask, own_folder, seal};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Not in everybody's `PATH`.
pub(crate) const PROGRAM: &str = "/usr/sbin/mariadbd";

/// It writes a hundred megabytes.
const FORMAT_WITHIN: Duration = Duration::from_secs(120);

/// A fresh server's data is small, and so is the machine.
const SMALL: [&str; 2] = ["--innodb-log-file-size=16M", "--innodb-buffer-pool-size=32M"];

/// How a server is to be run.
#[derive(Debug, Clone, Default)]
pub struct MariadbOptions {
    /// More arguments of the server, such as `--ssl-cert=...`.
    pub server_args: Vec<String>,
}

/// A running MariaDB.
#[derive(Debug)]
pub struct Mariadb {
    name: String,
    folder: PathBuf,
    options: MariadbOptions,
    port: Port,
    process: Option<Process>,
}

impl Mariadb {
    /// The only user, with all rights on [`DATABASE`](Self::DATABASE).
    pub const USER: &str = "cdc";

    /// The user's password.
    pub const PASSWORD: &str = "cdc@p/w:d";

    /// The user's database.
    pub const DATABASE: &str = "cdc";

    /// Starts a server in `folder`, made if absent, whose last part names it in messages. Does not
    /// wait until it is ready.
    ///
    /// # Errors
    /// If the folder cannot be made or the program not be started.
    pub fn start(folder: &Path, options: MariadbOptions) -> Result<Self> {
        let (folder, name) = own_folder(folder)?;
        let mut server = Self { name, folder, options, port: ports::claim()?, process: None };
        if !server.data().exists() {
            server.format()?;
        }
        seal::Inner::launch(&mut server)?;
        Ok(server)
    }

    /// `127.0.0.1:<port>`.
    pub fn address(&self) -> String {
        self.port.address()
    }

    /// Runs statements as the user, over TCP and without TLS unless `args` say so, and returns what
    /// they print.
    ///
    /// # Errors
    /// If one fails or there is no answer.
    pub fn run(&self, args: &[&str], statements: &str) -> Result<String> {
        let mut command = Command::new("mariadb");
        command
            .args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--batch", "--raw"])
            .arg("--skip-column-names")
            .arg(format!("--port={}", self.port.number()))
            .args([format!("--user={}", Self::USER), format!("--password={}", Self::PASSWORD)])
            .args(args)
            .arg(format!("--execute={statements}"))
            .arg(Self::DATABASE);
        tool::run(&mut command, FORMAT_WITHIN).while_doing(|| format!("ask {}", self.name))
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn format(&self) -> Result<()> {
        let mut command = Command::new("mariadb-install-db");
        command
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .args(SMALL)
            .args(self.user())
            .arg(format!("--datadir={}", self.data().display()));
        tool::run(&mut command, FORMAT_WITHIN)
            .map(drop)
            .while_doing(|| format!("make the data folder of {}", self.name))
    }

    /// As root it wants to be told whom to run as.
    fn user(&self) -> Option<&'static str> {
        rustix::process::geteuid().is_root().then_some("--user=root")
    }
}

impl Server for Mariadb {
    fn name(&self) -> &str {
        &self.name
    }
}

impl seal::Inner for Mariadb {
    fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    fn process_mut(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    fn launch(&mut self) -> Result<()> {
        let (user, password, database) = (Self::USER, Self::PASSWORD, Self::DATABASE);
        let init = self.folder.join("init.sql");
        let statements = format!(
            "CREATE DATABASE IF NOT EXISTS {database};\n\
             CREATE USER IF NOT EXISTS '{user}'@'%' IDENTIFIED BY '{password}';\n\
             GRANT ALL ON {database}.* TO '{user}'@'%';\n"
        );
        fs::write(&init, statements).while_doing(|| format!("write {}", init.display()))?;
        let mut command = spawner::mortal(PROGRAM);
        command
            .arg("--no-defaults")
            .arg(format!("--datadir={}", self.data().display()))
            .arg(format!("--init-file={}", init.display()))
            .args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--performance-schema=OFF"])
            .arg(format!("--port={}", self.port.number()))
            // Relative to the data folder: the full path may be longer than a socket's may be.
            .args(["--socket=mariadb.sock", "--pid-file=mariadb.pid"])
            .args(SMALL)
            .args(self.user())
            .args(&self.options.server_args);
        self.process = Some(Process::start_in(&self.folder, &self.name, command)?);
        Ok(())
    }

    fn probe(&self) -> Result<bool> {
        // It greets first: four bytes of a packet's head, then the version of the protocol.
        let answer = ask(self.port.number(), &[], |answer| answer.len() >= 5);
        Ok(answer.is_some_and(|answer| answer.get(4) == Some(&10)))
    }
}
