//! Which headers a proxy passes on, and which end at the connection they came by (RFC 9110, 7.6.1).

use axum::http::{HeaderMap, HeaderName, header};

/// Headers that speak of one connection only, whether or not `Connection` lists them.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Removes the headers that belong to one connection, and those that `Connection` names.
///
/// `Host` stays even if `Connection` names it: without it the replica would refuse the request.
/// Everything else, `Origin`, `Cookie` and `Forwarded` among it, passes as it came.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| name != header::HOST)
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn stripped(lines: &[(&'static str, &'static str)]) -> Vec<&'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        strip_hop_by_hop(&mut headers);
        let left = |name: &&str| headers.contains_key(*name);
        lines.iter().map(|(name, _)| *name).filter(left).collect()
    }

    #[test]
    fn end_to_end_headers_pass() {
        let lines = [
            ("host", "example.com"),
            ("origin", "https://example.com"),
            ("cookie", "a=b"),
            ("authorization", "Bearer x"),
            ("content-length", "2"),
            ("sec-fetch-site", "same-origin"),
        ];
        assert_eq!(stripped(&lines).len(), lines.len());
    }

    #[test]
    fn headers_of_one_connection_do_not() {
        let lines = HOP_BY_HOP.map(|name| (name, "x"));
        assert_eq!(stripped(&lines), [""; 0]);
    }

    #[test]
    fn what_connection_names_goes_too_in_every_line_and_case() {
        let lines = [
            ("connection", "close, X-Once"),
            ("connection", " x-twice ,, "),
            ("x-once", "1"),
            ("x-twice", "2"),
            ("x-stays", "3"),
        ];
        assert_eq!(stripped(&lines), ["x-stays"]);
    }

    #[test]
    fn host_stays_whatever_connection_says() {
        assert_eq!(stripped(&[("connection", "host"), ("host", "example.com")]), ["host"]);
    }
}
