//! `./x chaos --fuzz`: runs the fuzz targets under libFuzzer, one after the other. A target is a
//! unit test in a module `fuzz`, so `./x check` builds all of them, and runs each for a moment.
//! Never needs a nightly compiler, a server or another command of Cargo.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cargo::cargo;
use crate::command::{Result, shown};

/// Everything of it is built apart: each crate is instrumented.
const FOLDER: &str = "target/fuzz";

/// libFuzzer is the engine of the targets, and learns from the program which way an input took.
const FLAGS: [&str; 8] = [
    "--cfg fuzzing",
    "--cfg fuzzing_libfuzzer",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-sanitizer-coverage-stack-depth",
];

/// The crates with targets, and their test programs. One without a target could not be linked: it
/// would lack libFuzzer.
const PACKAGES: [&str; 4] = ["milvus-wire", "replication", "connectors", "server"];
const PROGRAMS: [&[&str]; 2] = [&["--lib"], &["--test", "it"]];

/// An input may take this long, in seconds, and this much memory, in MiB: what a message claims to
/// be in its few bytes is not allocated.
const LIMITS: &str = "-timeout=10 -rss_limit_mb=1024 -max_len=4096";

/// The command: all targets together have so many minutes.
pub(crate) fn run(minutes: &str) -> Result<()> {
    let minutes: u64 = minutes
        .parse()
        .map_err(|_| format!("--fuzz takes a number of minutes, not {minutes:?}"))?;
    lab::install_build_packages()?;
    let mut targets = vec![];
    for program in PROGRAMS {
        let names = listed(program)?;
        targets.extend(names.into_iter().map(|name| (program, name)));
    }
    let seconds = (60 * minutes / targets.len().max(1) as u64).max(1);
    println!("{} fuzz targets, {seconds} s each", targets.len());
    let failed: Vec<String> = targets
        .into_iter()
        .map(|(program, name)| Ok((fuzz(program, &name, seconds)?, name)))
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .filter_map(|(sound, name)| (!sound).then_some(name))
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", ")).into()) }
}

/// The names of the targets in the test programs of a kind.
fn listed(program: &[&str]) -> Result<Vec<String>> {
    let mut command = instrumented(program)?;
    let output = command.args(["fuzz::", "--list"]).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{}: {}", shown(&command), output.status).into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|line| Some(line.strip_suffix(": test")?.to_owned())).collect())
}

/// Runs one target; whether nothing was found.
fn fuzz(program: &[&str], name: &str, seconds: u64) -> Result<bool> {
    let folder = |kind: &str| -> Result<PathBuf> {
        let folder = std::env::current_dir()?.join(FOLDER).join(kind).join(name.replace("::", "."));
        fs::create_dir_all(&folder)?;
        Ok(folder)
    };
    let (inputs, found) = (folder("inputs")?, folder("found")?);
    let log = found.with_extension("log");
    let (inputs, found) = (inputs.display(), found.display());
    let arguments =
        format!("{inputs} -max_total_time={seconds} -artifact_prefix={found}/ {LIMITS}");
    let mut command = instrumented(program)?;
    command.args(["--exact", "--nocapture", name]).env("BOLERO_LIBFUZZER_ARGS", arguments);
    let out = File::create(&log)?;
    let status = command.stdout(out.try_clone()?).stderr(out).status()?;
    let last = outcome(&log)?;
    if status.success() {
        println!("sound   {name}: {last}");
        return Ok(true);
    }
    println!("FAILED  {name}: the input is in {found}/, the log is {}", log.display());
    Ok(false)
}

/// What libFuzzer says last: how often the target ran.
fn outcome(log: &Path) -> Result<String> {
    let text = fs::read(log)?;
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().rfind(|line| line.starts_with("Done ")).unwrap_or("did not end").to_owned())
}

/// Test programs of a kind, built for libFuzzer. With the name of a machine, build scripts are not
/// built so.
fn instrumented(program: &[&str]) -> Result<Command> {
    let version = Command::new("rustc").arg("-vV").output()?;
    let version = String::from_utf8_lossy(&version.stdout);
    let machine = version.lines().find_map(|line| line.strip_prefix("host: "));
    let machine = machine.ok_or("rustc does not say for which machine it compiles")?;
    let mut command = cargo();
    command
        .args(["test", "--quiet", "--target", machine, "--target-dir", FOLDER])
        .args(PACKAGES.iter().flat_map(|package| ["--package", package]))
        .args(program)
        .arg("--")
        .env("RUSTFLAGS", FLAGS.join(" "));
    Ok(command)
}
