//! Times and durations as operators write and read them.

use std::fmt;
use std::time::{Duration, SystemTime};

use tower_jwt_session::Timestamp;

/// Reads a time: RFC 3339 (`2027-01-15T08:00:00Z`), seconds since 1970, `now`, or a duration before or after
/// now (`-15m`, `+2h`).
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    let (text, now) = (text.trim(), now());
    let relative = |text: &str| duration(text);
    match text.split_at_checked(1) {
        _ if text == "now" => return Ok(now),
        Some(("-", ago)) => return relative(ago).map(|ago| now - ago),
        Some(("+", later)) => return relative(later).map(|later| now + later),
        _ => {}
    }
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(Timestamp::from_unix_seconds(seconds.into()));
    }
    // A space where RFC 3339 has a `T`, as logs and `date` write it.
    let text = text.replacen(' ', "T", 1);
    serde_json::from_value(serde_json::Value::String(text)).map_err(|_| {
        "expected a time such as 2027-01-15T08:00:00Z, seconds since 1970, `now`, -15m or +2h"
            .into()
    })
}

/// Reads a duration: a number of seconds, or one with `s`, `m`, `h` or `d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|it: char| !it.is_ascii_digit());
    let factor = match text[digits.len()..].trim() {
        "" | "s" => Some(1),
        "m" | "min" => Some(60),
        "h" => Some(3600),
        "d" => Some(24 * 3600),
        _ => None,
    };
    let seconds = digits.parse::<u64>().ok().zip(factor);
    seconds
        .and_then(|(number, factor)| number.checked_mul(factor))
        .map(Duration::from_secs)
        .ok_or_else(|| "expected a duration such as 90s, 15m, 24h or 30d".into())
}

pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// A duration in its two largest units.
pub(crate) fn words(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1000 {
        return format!("{millis} ms");
    }
    let units = [(24 * 3600, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let (mut rest, mut parts) = (duration.as_secs(), Vec::new());
    for (length, unit) in units {
        if rest >= length && parts.len() < 2 {
            parts.push(format!("{} {unit}", rest / length));
        }
        rest %= length;
    }
    parts.join(" ")
}

/// How far a time is from another one.
pub(crate) fn relative(time: Timestamp, now: Timestamp) -> String {
    match time <= now {
        true => format!("{} ago", words(now - time)),
        false => format!("in {}", words(time - now)),
    }
}

/// A time to the second, and how far it is from `now`.
pub(crate) struct When {
    pub(crate) at: Timestamp,
    pub(crate) now: Timestamp,
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = Timestamp::from_unix_seconds(self.at.as_unix_seconds());
        write!(f, "{shown} ({})", relative(self.at, self.now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_read_in_every_form() {
        let expected = Timestamp::from_unix_seconds(1_800_000_000);
        for text in ["2027-01-15T08:00:00Z", "2027-01-15 08:00:00Z", "1800000000"] {
            assert_eq!(time(text), Ok(expected), "{text}");
        }
        let (before, after) = (time("-15m").expect("a time"), time("+2h").expect("a time"));
        let apart = (after - before).as_secs();
        assert!((8100..=8101).contains(&apart), "{apart}");
        for text in ["", "yesterday", "2027-01-15", "-", "+1y", "-15", "8:00"] {
            let is_number = text == "-15";
            assert_eq!(time(text).is_ok(), is_number, "{text}");
        }
    }

    #[test]
    fn duration_is_shown_in_two_units() {
        for (text, shown) in [
            ("90", "1 min 30 s"),
            ("24h", "1 d"),
            ("93784s", "1 d 2 h"),
            ("59m", "59 min"),
            ("0", "0 ms"),
        ] {
            assert_eq!(words(duration(text).expect("a duration")), shown);
        }
        assert!(duration("99999999999999999999d").is_err() && duration("1w").is_err());
    }
}
