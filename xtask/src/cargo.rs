//! The Cargo that runs us. Never passes on what it has set for us: build scripts watch some of
//! those variables, and a build from here would not be the same as one from the shell.

use std::process::Command;

/// What Cargo sets for a program that it runs, besides [`BEGINNINGS`].
const NAMES: [&str; 4] = ["CARGO", "CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE"];

/// How the names of the others begin.
const BEGINNINGS: [&str; 2] = ["CARGO_MANIFEST_", "CARGO_PKG_"];

/// The command, with the environment that the user's shell would give it.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_set_for_a_run) {
            command.env_remove(name);
        }
    }
    command
}

/// Whether Cargo sets this variable for the program that it runs. The user's own settings are
/// others: `CARGO_HOME`, `CARGO_TARGET_DIR`, `CARGO_INCREMENTAL`, `CARGO_BUILD_JOBS` and so on.
fn is_set_for_a_run(name: &str) -> bool {
    NAMES.contains(&name) || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_has_set_for_us_is_not_passed_on() {
        // Cargo runs this test, and so it has set these.
        assert!(std::env::var_os("CARGO_PKG_NAME").is_some());
        let command = cargo();
        let removed = |name: &str| command.get_envs().any(|it| it == (name.as_ref(), None));
        for name in ["CARGO", "CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION_MAJOR"] {
            assert!(removed(name), "{name} is passed on");
        }
    }

    #[test]
    fn the_users_settings_are_kept() {
        let settings = [
            "CARGO_HOME",
            "CARGO_TARGET_DIR",
            "CARGO_INCREMENTAL",
            "CARGO_BUILD_JOBS",
            "CARGO_NET_OFFLINE",
            "CARGO_TERM_COLOR",
            "CARGO_PROFILE_DEV_DEBUG",
            "RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
        ];
        for name in settings {
            assert!(!is_set_for_a_run(name), "{name} is not passed on");
        }
    }
}
