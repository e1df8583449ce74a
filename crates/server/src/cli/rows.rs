//! Reads row counts from the text of the metrics. Never reads any other metric.

/// Rows of a task by direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rows {
    /// Read from the source.
    pub(super) read: f64,
    /// Written to the target.
    pub(super) written: f64,
}

/// The metric that counts rows.
const METRIC: &str = "milvus_cdc_replicate_data_cnt{";

/// The rows of a task over all its collections. Ids of tasks need no escapes in a label.
pub(super) fn of_task(metrics: &str, task: &str) -> Rows {
    let label = format!("task_id=\"{task}\"");
    let mut rows = Rows::default();
    for line in metrics.lines().filter(|l| l.starts_with(METRIC) && l.contains(&label)) {
        let value = line.rsplit(' ').next().and_then(|v| v.parse::<f64>().ok()).unwrap_or(0.0);
        if line.contains("op_type=\"write\"") {
            rows.written += value;
        } else {
            rows.read += value;
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_summed_over_collections_and_kinds() {
        let line = |kind: &str, name: &str, op: &str, task: &str, rows: u64| {
            let labels = [
                ("api_type", kind),
                ("collection_id", "1"),
                ("collection_name", name),
                ("op_type", op),
                ("task_id", task),
            ];
            let labels = labels.map(|(name, value)| format!("{name}=\"{value}\"")).join(",");
            format!("milvus_cdc_replicate_data_cnt{{{labels}}} {rows}\n")
        };
        let text = &[
            "# TYPE milvus_cdc_replicate_data_cnt counter\n".to_owned(),
            line("insert", "a b", "write", "t", 10),
            line("delete", "a", "write", "t", 5),
            line("insert", "a", "read", "t", 20),
            line("insert", "a", "read", "u", 99),
        ]
        .concat();
        assert_eq!(of_task(text, "t"), Rows { read: 20.0, written: 15.0 });
    }
}
