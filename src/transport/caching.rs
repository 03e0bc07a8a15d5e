//! Responses that no cache may store: with a cookie or a token of one user.

use http::header::{CACHE_CONTROL, EXPIRES};
use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

/// Replaces what a response says to caches by `no-store` (RFC 9111, section 5.2.2.5).
pub(crate) fn forbid_storing(headers: &mut HeaderMap) {
    remove_targeted(headers);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// Removes the fields that some caches obey in place of `Cache-Control`: targeted fields, such as
/// `CDN-Cache-Control` (RFC 9213, section 2.2), and those that are older than their RFC.
pub(crate) fn remove_targeted(headers: &mut HeaderMap) {
    let targeted = headers.keys().filter(|name| is_targeted(name));
    for name in targeted.cloned().collect::<SmallVec<[HeaderName; 4]>>() {
        headers.remove(name);
    }
}

fn is_targeted(name: &HeaderName) -> bool {
    // Of Fastly and others, Akamai, and nginx.
    const OTHERS: [&str; 3] = ["surrogate-control", "edge-control", "x-accel-expires"];
    let text = name.as_str();
    *name == EXPIRES || text.ends_with("-cache-control") || OTHERS.contains(&text)
}
