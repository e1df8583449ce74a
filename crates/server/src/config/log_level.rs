//! The names of log levels: ours, and those of the Go tool's logger. Never sets a level.

/// What the levels of the Go tool's logger are called here.
const LEVELS: [(&str, &str); 8] = [
    ("trace", "trace"),
    ("debug", "debug"),
    ("info", "info"),
    ("warn", "warn"),
    ("error", "error"),
    ("dpanic", "error"),
    ("panic", "error"),
    ("fatal", "error"),
];

/// The level that a name means, ours or the Go tool's.
pub fn log_level(name: &str) -> Option<&'static str> {
    LEVELS.iter().find(|(theirs, _)| theirs.eq_ignore_ascii_case(name)).map(|(_, ours)| *ours)
}
