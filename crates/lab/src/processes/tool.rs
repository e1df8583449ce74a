//! Runs a program to its end (apt-get, pip, mvn, etcdctl), always with a deadline. Never used for
//! servers: those are processes with a life of their own.

use crate::error::{Error, Result, While};
use crate::wait;
use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Runs `command` and returns what it wrote to standard output.
pub(crate) fn run(command: &mut Command, within: Duration) -> Result<String> {
    let Output { status, stdout, stderr } = output(command, within)?;
    let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    if status.success() {
        return Ok(stdout);
    }
    Err(Error::new(format!("{command:?} failed ({status}):\n{stdout}{stderr}")))
}

/// Runs `command` and returns how it ended and what it wrote, whether or not it succeeded.
pub(crate) fn output(command: &mut Command, within: Duration) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let capture = || tempfile::tempfile().while_doing(|| format!("capture the output of {name}"));
    // Files, not pipes: a full pipe would stall a program nobody reads.
    let (mut out, mut err) = (capture()?, capture()?);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(share(&out)?)
        .stderr(share(&err)?)
        .spawn()
        .while_doing(|| format!("run {name}"))?;
    let ended = wait::until(within, &format!("the end of {name}"), || {
        child.try_wait().while_doing(|| format!("wait for {name}"))
    });
    let status = ended.inspect_err(|_| {
        let _ = child.kill();
        let _ = child.wait();
    })?;
    Ok(Output { status, stdout: bytes(&mut out)?, stderr: bytes(&mut err)? })
}

fn share(file: &File) -> Result<File> {
    file.try_clone().while_doing(|| "share an output file".into())
}

fn bytes(file: &mut File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()
        .and_then(|()| file.read_to_end(&mut bytes))
        .while_doing(|| "read an output file".into())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn output_is_returned_and_a_failure_shows_both_streams() {
        assert_eq!(run(Command::new("echo").arg("yes"), SOON).unwrap(), "yes\n");
        let failing = &mut Command::new("sh");
        failing.args(["-c", "echo out; echo err >&2; exit 3"]);
        let error = run(failing, SOON).unwrap_err().to_string();
        assert!(error.contains("out\nerr\n"), "{error}");
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        assert!(run(Command::new("sleep").arg("600"), Duration::from_millis(50)).is_err());
    }
}
