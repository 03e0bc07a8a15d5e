//! Affinity by a cookie: the balancer names the replica that has answered, and sends the user there
//! again for as long as that replica is up.

use axum::http::{HeaderMap, HeaderValue, header};
use cookie::Cookie;

/// The name of the balancer's cookie.
pub(crate) const COOKIE: &str = "balancer";

/// The replica that the request names.
pub(crate) fn wanted(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut cookies = lines.flat_map(Cookie::split_parse).filter_map(Result::ok);
    cookies.find(|cookie| cookie.name() == COOKIE).map(|cookie| cookie.value().to_owned())
}

/// Adds the name of the replica that answered to its answer.
pub(crate) fn name_in(headers: &mut HeaderMap, replica: &str) {
    let cookie = format!("{COOKIE}={replica}; Path=/; HttpOnly; SameSite=Lax");
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        headers.append(header::SET_COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_replica_is_named_beside_other_cookies() {
        let mut headers = HeaderMap::new();
        assert_eq!(wanted(&headers), None);
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; balancer2=x"));
        assert_eq!(wanted(&headers), None);
        headers.append(header::COOKIE, HeaderValue::from_static("c=d; balancer=127.0.0.1:9001"));
        assert_eq!(wanted(&headers).as_deref(), Some("127.0.0.1:9001"));
    }
}
