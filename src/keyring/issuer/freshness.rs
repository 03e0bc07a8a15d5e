//! The lifetime that an answer's headers give it (RFC 9111, section 4.2), as far as a ring uses it.

use std::time::Duration;

use http::HeaderMap;
use http::header::{AGE, CACHE_CONTROL};

/// The rest of an answer's lifetime; `None` if it gives none. An unreadable or forbidden lifetime
/// is zero.
pub(crate) fn remaining(headers: &HeaderMap) -> Option<Duration> {
    let directives = headers.get_all(CACHE_CONTROL).iter().map(|value| value.to_str());
    // An unreadable line may forbid what a readable one allows.
    let directives = directives.map(|line| line.unwrap_or("no-store"));
    let lifetimes = directives.flat_map(|line| line.split(',')).filter_map(lifetime);
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()).and_then(seconds);
    // Of several the least (section 4.2.1).
    lifetimes.min().map(|lifetime| lifetime.saturating_sub(age.unwrap_or_default()))
}

/// The lifetime that one directive gives. `s-maxage` is for shared caches only.
fn lifetime(directive: &str) -> Option<Duration> {
    let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
    match name.trim().to_ascii_lowercase().as_str() {
        "max-age" => Some(seconds(value.trim().trim_matches('"')).unwrap_or_default()),
        "no-cache" | "no-store" => Some(Duration::ZERO),
        _ => None,
    }
}

/// RFC 9111, section 1.2.2: a number too large to be held counts as 2^31.
fn seconds(digits: &str) -> Option<Duration> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| Duration::from_secs(digits.parse().unwrap_or(1 << 31).min(1 << 31)))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_shortest_lifetime_counts_less_the_age() {
        let cases = [
            (&[][..], "", None),
            (&["public"], "", None),
            (&["s-maxage=60"], "", None),
            (&["max-age=600"], "", Some(600)),
            (&["public, Max-Age=\"600\", must-revalidate"], "", Some(600)),
            (&["max-age=600"], "120", Some(480)),
            (&["max-age=600"], "700", Some(0)),
            (&["max-age=600"], "soon", Some(600)),
            (&["max-age=600, max-age=60"], "", Some(60)),
            (&["max-age=600", "max-age=60"], "", Some(60)),
            (&["max-age=600, no-cache"], "", Some(0)),
            (&["no-store"], "", Some(0)),
            (&["max-age=ten"], "", Some(0)),
            (&["max-age=-1"], "", Some(0)),
            (&["max-age"], "", Some(0)),
            (&["max-age=99999999999999999999999"], "", Some(1 << 31)),
        ];
        for (lines, age, expected) in cases {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CACHE_CONTROL, HeaderValue::from_static(line));
            }
            if !age.is_empty() {
                headers.insert(AGE, HeaderValue::from_static(age));
            }
            assert_eq!(remaining(&headers), expected.map(Duration::from_secs), "{lines:?} {age}");
        }
    }
}
