//! `maintenance`: changes how much is logged. Always answered with code 200 and a sentence, as the
//! Go tool does. Never logs rows, whatever is asked.

use super::fields::{Fields, Mismatches};
use crate::config;
use crate::http::answer::Data;
use crate::http::state::ApiState;
use serde_json::json;

/// Carries out an operation; the sentence says what came of it.
pub(super) fn maintenance(api: &ApiState, operation: &str, params: &Fields<'_>) -> Data {
    let sentence = match operation {
        "set_log_level" => set_log_level(api, params),
        "set_force_log_msg" => refused_flag(params),
        "reset_log_msg" => refused_counts(params),
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
            Err(what) => format!("set log level failed: {what}"),
        },
    }
}

/// Rows are never logged, so there is nothing to force.
fn refused_flag(params: &Fields<'_>) -> String {
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

fn refused_counts(params: &Fields<'_>) -> String {
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
