//! How a command ended, as the exit code that scripts see. Never a text: the command has printed
//! that.

use std::process::ExitCode;

/// How a command ended; scripts rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The command succeeded.
    Done = 0,
    /// The server refused it, or the service could not start.
    Refused = 1,
    /// The command line is wrong. The parser ends with this code too.
    Usage = 2,
    /// The server does not answer.
    Unreachable = 3,
    /// `watch` ran out of time.
    TooLate = 4,
    /// Everything has arrived but what belongs to collections that are out of step.
    OutOfStep = 5,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome as u8)
    }
}
