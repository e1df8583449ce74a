//! `maintenance`: changes the log level. The answer always has code 200 and a sentence, like the Go
//! tool's. Never logs rows, whatever is requested.

use super::fields::{Fields, Mismatches};
use crate::config;
use crate::http::answer::Data;
use crate::http::state::ApiState;
use serde_json::json;

/// Carries out an operation; the sentence in the answer says the outcome.
pub(super) fn maintenance(api: &ApiState, operation: &str, params: &Fields<'_>) -> Data {
    let sentence = match operation {
        "set_log_level" => set_log_level(api, params),
        "set_force_log_msg" => set_force_log_msg(params),
        "reset_log_msg" => reset_log_msg(params),
        other => format!("unsupported operation: {other}"),
    };
    let mut data = Data::new();
    data.insert("State".into(), json!(sentence));
    data
}

fn set_log_level(api: &ApiState, params: &Fields<'_>) -> String {
    let mut wrong = Mismatches::default();
    if !params.has("log_level") {
        return "log_level is required".into();
    }
    let text = params.text("log_level", &mut wrong);
    match (wrong.text(), config::log_level(&text)) {
        (Some(wrong), _) => format!("parse log level failed: {wrong}"),
        (None, None) => format!(
            "parse log level failed: {text:?} is not one of trace, debug, info, warn, error"
        ),
        (None, Some(level)) => match api.log_level.set(level) {
            Ok(()) => {
                tracing::info!(level, "log level changed");
                format!("set log level to {text}")
            }
            Err(error) => format!("set log level failed: {error}"),
        },
    }
}

/// Checks the parameter of a request that has no effect: rows are never logged.
fn set_force_log_msg(params: &Fields<'_>) -> String {
    let mut wrong = Mismatches::default();
    if !params.has("force") {
        return "force is required".into();
    }
    params.flag("force", &mut wrong);
    match wrong.text() {
        Some(wrong) => format!("parse force failed: {wrong}"),
        None => "set_force_log_msg has no effect: this version never logs rows".into(),
    }
}

/// Checks the parameters of a request that has no effect.
fn reset_log_msg(params: &Fields<'_>) -> String {
    let mut wrong = Mismatches::default();
    for key in ["count", "duration"] {
        if !params.has(key) {
            return format!("{key} is required");
        }
        params.number(key, &mut wrong);
        if let Some(wrong) = wrong.text() {
            return format!("parse {key} failed: {wrong}");
        }
    }
    "reset_log_msg has no effect: this version never logs rows".into()
}
