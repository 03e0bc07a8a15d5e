//! A path on this site, with its query: what a redirect may lead to without leaving the site.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};

/// Longer ones are refused: they have to fit into a `Location` beside the login page's own path.
const MOST_BYTES: usize = 2048;

/// Escaped for `Location` and for an attribute of HTML: what no URL holds as it is (WHATWG URL, section 1.3),
/// and quotes.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'\'').add(b'<').add(b'>');

/// Checks a path with its query and fragment, and escapes what URLs do not hold as it is. `None` for what
/// a browser, or a server or proxy that decodes or normalizes it, may read as a URL of another site: a
/// scheme, a host (`//host`), a backslash, which browsers read as `/`, a tab or line break, which they
/// remove, and dot segments.
pub(crate) fn parse(text: &str) -> Option<Cow<'_, str>> {
    if text.len() > MOST_BYTES || !text.starts_with('/') {
        return None;
    }
    if text.contains(|next: char| next == '\\' || next.is_control()) {
        return None;
    }
    let path = text.split(['?', '#']).next()?;
    is_local_when_decoded(path.as_bytes()).then_some(())?;
    let escaped = Cow::from(utf8_percent_encode(text, ESCAPED));
    (escaped.len() <= MOST_BYTES).then_some(escaped)
}

/// Whether it stays local however often it is decoded: a proxy may do so once, and the server again.
fn is_local_when_decoded(path: &[u8]) -> bool {
    const MOST_OFTEN: usize = 3;
    let mut path = Cow::Borrowed(path);
    for _ in 0..=MOST_OFTEN {
        if !is_local(&path) {
            return false;
        }
        let decoded: Vec<u8> = percent_decode(&path).collect();
        if decoded == *path {
            return true;
        }
        path = decoded.into();
    }
    false
}

fn is_local(path: &[u8]) -> bool {
    // Some servers ignore parameters, as in `/..;/` (RFC 3986, section 3.3).
    let is_dots = |segment: &[u8]| {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        matches!(name, b"." | b"..")
    };
    path.starts_with(b"/")
        && !path.starts_with(b"//")
        && !path.iter().any(|byte| *byte == b'\\' || byte.is_ascii_control())
        && !path.split(|byte| *byte == b'/').any(is_dots)
}
