//! Reads row counts out of the text of the metrics. Never needs more of that format than this.

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

/// Sums up a task's rows. Task ids need no escapes in a label.
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
        let text = "\
# TYPE milvus_cdc_replicate_data_cnt counter
milvus_cdc_replicate_data_cnt{api_type=\"insert\",collection_id=\"1\",collection_name=\"a b\",op_type=\"write\",task_id=\"t\"} 10
milvus_cdc_replicate_data_cnt{api_type=\"delete\",collection_id=\"1\",collection_name=\"a\",op_type=\"write\",task_id=\"t\"} 5
milvus_cdc_replicate_data_cnt{api_type=\"insert\",collection_id=\"1\",collection_name=\"a\",op_type=\"read\",task_id=\"t\"} 20
milvus_cdc_replicate_data_cnt{api_type=\"insert\",collection_id=\"1\",collection_name=\"a\",op_type=\"read\",task_id=\"u\"} 99
";
        assert_eq!(of_task(text, "t"), Rows { read: 20.0, written: 15.0 });
    }
}
