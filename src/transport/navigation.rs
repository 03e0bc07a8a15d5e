//! Whether a request is a browser's navigation to a page, and to which path.

use http::header::ACCEPT;
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, Method, Uri};

/// The header fields that decide it, for `Vary`.
pub(crate) const DECIDING: &str = "accept, sec-fetch-mode, sec-fetch-dest";

/// Whether a browser navigates to a page, or a frame of it, and can show HTML. What a script fetches is
/// none, although its method is `GET`, too.
pub(crate) fn is_navigation(request: &Parts) -> bool {
    let is = |name: &'static str, allowed: &[&[u8]]| {
        // Browsers send these to https and localhost alone (Fetch Metadata, section 2).
        let mut values = request.headers.get_all(HeaderName::from_static(name)).iter();
        values.all(|value| allowed.contains(&value.as_bytes()))
    };
    matches!(request.method, Method::GET | Method::HEAD)
        && is("sec-fetch-mode", &[b"navigate"])
        && is("sec-fetch-dest", &[b"document", b"iframe", b"frame"])
        && accepts_html(&request.headers)
}

/// Whether `text/html` is accepted by its name or as `text/*`, with the more specific range deciding
/// (RFC 9110, section 12.5.1). `*/*` is what scripts and tools send.
fn accepts_html(headers: &HeaderMap) -> bool {
    let (mut html, mut any_text) = (None, None);
    for field in headers.get_all(ACCEPT) {
        for range in unquoted(field.as_bytes(), b',') {
            let mut parts = unquoted(range, b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let found = match name {
                name if name.eq_ignore_ascii_case(b"text/html") => &mut html,
                name if name.eq_ignore_ascii_case(b"text/*") => &mut any_text,
                _ => continue,
            };
            *found = Some(found.unwrap_or(false) || !parts.any(is_zero_weight));
        }
    }
    html.or(any_text).unwrap_or(false)
}

/// The parts of a list between separators that are not quoted (RFC 9110, section 5.6.4).
fn unquoted(list: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    list.split(move |byte| {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            byte if *byte == separator => return !is_quoted,
            _ => {}
        }
        false
    })
}

/// Whether it is the weight 0 (RFC 9110, section 12.4.2).
fn is_zero_weight(parameter: &[u8]) -> bool {
    let [b'q' | b'Q', b'=', weight @ ..] = parameter else { return false };
    weight.starts_with(b"0") && weight.iter().all(|byte| matches!(byte, b'0' | b'.'))
}

/// The path and query for which the browser asked, also inside of axum's nested routers, which remove
/// their prefix. `None` if it is unknown, because the prefix has captures.
#[cfg_attr(not(feature = "axum"), expect(unused_variables, reason = "axum's extension is there"))]
pub(crate) fn target(uri: &Uri, extensions: &Extensions) -> Option<String> {
    let seen = uri.path_and_query()?;
    #[cfg(feature = "axum")]
    if let Some(nested) = extensions.get::<axum::extract::NestedPath>() {
        let prefix = nested.as_str().trim_end_matches('/');
        // The router itself is at its prefix, without a slash.
        let path = if seen.path() == "/" { "" } else { seen.path() };
        let query = seen.query().map_or(String::new(), |query| format!("?{query}"));
        return (!prefix.contains('{')).then(|| format!("{prefix}{path}{query}"));
    }
    Some(seen.as_str().to_owned())
}
