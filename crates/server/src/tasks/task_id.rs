//! What the id of a task may look like. Never makes one.

use connectors::InvalidOption;

/// The longest task id.
pub const ID_MAX: usize = 128;

/// Refuses an id that can't be part of stored keys and of names.
pub fn check_id(id: &str) -> Result<(), InvalidOption> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if id.is_empty() || id.len() > ID_MAX || !id.chars().all(fits) {
        let problem =
            format!("the task_id is invalid, write 1 to {ID_MAX} letters, digits, - or _");
        return Err(InvalidOption::new("task_id", problem, "give another one, or none"));
    }
    Ok(())
}
