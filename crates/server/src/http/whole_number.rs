//! Whole numbers in the JSON of a request. Never rounds one.

use serde_json::Number;

/// Up to this size a floating-point number has no gaps between whole numbers.
const EXACT_MAX: f64 = 9e15;

/// The number if it is whole. JSON has one kind of number, so 3.0 is whole.
pub(super) fn whole(number: &Number) -> Option<i64> {
    let whole = |f: f64| (f.fract() == 0.0 && f.abs() < EXACT_MAX).then_some(f as i64);
    number.as_i64().or_else(|| number.as_f64().and_then(whole))
}
