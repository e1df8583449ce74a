//! Numbers, and how they are shown: what was measured, beside what is aimed at. Never judges.

use std::io::Write;

/// A part of the benchmark begins.
pub(crate) fn chapter(title: &str) {
    println!("\n== {title}");
    // Whoever watches through a pipe wants to see it now.
    let _ = std::io::stdout().flush();
}

/// One line: a name, a value, what is aimed at.
pub(crate) fn line(name: &str, value: &str, aim: &str) {
    let aim = if aim.is_empty() { String::new() } else { format!("   (aim: {aim})") };
    println!("  {name:<44} {value:>16}{aim}");
    let _ = std::io::stdout().flush();
}

/// The value below which this share of the sorted values lies.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (share * last as f64).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// Sorts and takes the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile(&values, 0.5)
}

/// Bytes as MiB.
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let values = [1.0, 2.0, 3.0, 4.0, 100.0];
        assert_eq!(quantile(&values, 0.5), 3.0);
        assert_eq!(quantile(&values, 1.0), 100.0);
        assert_eq!(median(vec![9.0, 1.0, 5.0]), 5.0);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
