//! Times in a configuration: a whole number and its unit.
//! Never accepts a number without a unit: it could mean seconds or milliseconds.

use std::time::Duration;

/// Reads `500ms`, `30s`, `2m` or `1h`.
pub(super) fn read(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    match unit.trim() {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    }
}

/// Writes what [`read`] reads.
pub(super) fn write(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        format!("{}s", time.as_secs())
    } else {
        format!("{}ms", time.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit() {
        assert_eq!(read("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(read("2 m"), Some(Duration::from_secs(120)));
        for wrong in ["30", "", "s", "-1s", "1.5s", "99999999999999999999s", "99999999999999999h"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        for time in [Duration::from_millis(1500), Duration::from_secs(30), Duration::ZERO] {
            assert_eq!(read(&write(time)), Some(time));
        }
    }
}
