//! What the demo prints. Never more than one line a second.

use std::io::Write;

/// A part of the demo begins.
pub(crate) fn chapter(title: &str) {
    println!("\n== {title}");
    // Whoever watches through a pipe wants to see it now.
    let _ = std::io::stdout().flush();
}

/// One moment of a replication.
pub(crate) struct Moment {
    /// Since the writing began.
    pub(crate) seconds: f64,
    /// `count(*)` of all collections.
    pub(crate) source_rows: u64,
    /// The same, at the same moment.
    pub(crate) target_rows: u64,
    /// As milvus-cdc tells it; none while it does not know.
    pub(crate) lag: Option<f64>,
}

impl Moment {
    /// One line.
    pub(crate) fn print(&self) {
        let lag = self.lag.map_or("unknown".to_owned(), |lag| format!("{lag:.1} s"));
        println!(
            "  {:5.1} s   source {:>7} rows   target {:>7} rows   lag {lag}",
            self.seconds, self.source_rows, self.target_rows
        );
        let _ = std::io::stdout().flush();
    }
}
