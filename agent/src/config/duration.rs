//! Durations as people write them: `200ms`, `1.5s`, `1m30s`.

use std::time::Duration;

use thiserror::Error;

use super::error::quoted;

/// Why a text is no duration.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DurationError {
    /// A number alone.
    #[error("{found} has no unit; write {number}ms or {number}s")]
    NoUnit {
        /// What stands there.
        found: String,
        /// The number to complete.
        number: String,
    },
    /// Anything else that isn't one.
    #[error("{0} is no duration; write one such as 200ms, 1.5s or 2m")]
    NotADuration(String),
    /// Outside what the key takes.
    #[error("{found} is out of range for {key}; write {} to {}", written(*least), written(*most))]
    OutOfRange {
        /// What stands there.
        found: String,
        /// The key.
        key: &'static str,
        /// The least it takes.
        least: Duration,
        /// The most it takes.
        most: Duration,
    },
}

/// Reads a duration: numbers with units, the largest first by custom but not by rule, as Go and Talos write them.
/// Units are `us`, `ms`, `s`, `m` and `h`; `0` needs none.
pub(crate) fn duration(text: &str) -> Result<Duration, DurationError> {
    let not_one = || DurationError::NotADuration(quoted(text));
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.is_empty() || text.len() > 64 {
        return Err(not_one());
    }
    let mut total = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        if unit.is_empty() && number == text && whole_and_fraction(number).is_some() {
            return Err(DurationError::NoUnit { found: quoted(text), number: number.to_owned() });
        }
        let part = nanoseconds(number, unit).ok_or_else(not_one)?;
        total = total.checked_add(part).ok_or_else(not_one)?;
        rest = after;
    }
    Ok(Duration::from_nanos(total))
}

/// The duration, if it is within the range that the key takes.
pub(super) fn duration_within(
    text: &str,
    key: &'static str,
    least: Duration,
    most: Duration,
) -> Result<Duration, DurationError> {
    let found = duration(text)?;
    if (least..=most).contains(&found) {
        Ok(found)
    } else {
        Err(DurationError::OutOfRange { found: quoted(text), key, least, most })
    }
}

/// A duration as [`duration`] reads it, in the largest unit that leaves no fraction.
pub(super) fn written(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let units = [("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000)];
    match units.iter().find(|(_, unit)| nanos.is_multiple_of(*unit)) {
        _ if nanos == 0 => "0s".to_owned(),
        Some((name, unit)) => format!("{}{name}", nanos / unit),
        None => format!("{}us", nanos / 1000),
    }
}

/// Exact to the nanosecond; what is finer than that is cut off.
fn nanoseconds(number: &str, unit: &str) -> Option<u64> {
    let unit: u64 = match unit {
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3600 * 1_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = whole_and_fraction(number)?;
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()?.checked_mul(unit)? };
    let mut nanos = whole;
    let mut scale = unit;
    for digit in fraction.bytes() {
        // Each digit is worth a tenth of the one before; `unit` has no more than 13 decimal places to give.
        nanos = nanos.checked_add(u64::from(digit - b'0').checked_mul(scale)? / 10)?;
        scale /= 10;
    }
    Some(nanos)
}

/// The digits before and after the point: at least one, and no second point.
fn whole_and_fraction(number: &str) -> Option<(&str, &str)> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = !(whole.is_empty() && fraction.is_empty());
    (digits && !fraction.contains('.')).then_some((whole, fraction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_written() {
        for (text, millis) in [
            ("0", 0.0),
            ("0s", 0.0),
            ("200ms", 200.0),
            ("1s", 1000.0),
            ("1.5s", 1500.0),
            (".5s", 500.0),
            ("1.s", 1000.0),
            ("250us", 0.25),
            ("1m30s", 90_000.0),
            ("1h", 3_600_000.0),
            ("0.0000009s", 0.0009),
        ] {
            let found = duration(text).unwrap();
            assert!((found.as_secs_f64() * 1000.0 - millis).abs() < 1e-9, "{text}: {found:?}");
        }
    }

    #[test]
    fn what_is_no_duration_says_what_to_write() {
        for (text, error) in [
            ("200", r#""200" has no unit; write 200ms or 200s"#),
            ("1.5", r#""1.5" has no unit; write 1.5ms or 1.5s"#),
            ("", r#""" is no duration; write one such as 200ms, 1.5s or 2m"#),
            ("-1s", r#""-1s" is no duration; write one such as 200ms, 1.5s or 2m"#),
            ("1 s", r#""1 s" is no duration; write one such as 200ms, 1.5s or 2m"#),
            ("1.2.3s", r#""1.2.3s" is no duration; write one such as 200ms, 1.5s or 2m"#),
            (".s", r#"".s" is no duration; write one such as 200ms, 1.5s or 2m"#),
            ("1s2", r#""1s2" is no duration; write one such as 200ms, 1.5s or 2m"#),
            ("9d", r#""9d" is no duration; write one such as 200ms, 1.5s or 2m"#),
            (
                "99999999999999999999s",
                r#""99999999999999999999s" is no duration; write one such as 200ms, 1.5s or 2m"#,
            ),
        ] {
            assert_eq!(duration(text).unwrap_err().to_string(), error, "{text}");
        }
        let error = duration_within("2m", "refresh", Duration::from_secs(1), Duration::from_mins(1));
        assert_eq!(error.unwrap_err().to_string(), r#""2m" is out of range for refresh; write 1s to 1m"#);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9.]{0,25}(us|ms|s|m|h|µs|x)?[0-9.]{0,5}(ms|s)?") {
            let _ = duration(&text);
        }

        #[test]
        fn a_duration_is_read_back(millis in 0_u64..100_000_000) {
            let meant = Duration::from_millis(millis);
            proptest::prop_assert_eq!(duration(&format!("{millis}ms")).unwrap(), meant);
            proptest::prop_assert_eq!(duration(&written(meant)).unwrap(), meant);
            let seconds = format!("{}.{:03}s", millis / 1000, millis % 1000);
            proptest::prop_assert_eq!(duration(&seconds).unwrap(), meant);
        }
    }
}
