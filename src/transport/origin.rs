//! Origins (RFC 6454): as an application configures them, as browsers send them, and whether one is
//! that of the host which a request is for.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::uri::Authority;
use http::{HeaderName, HeaderValue, Request, header};

use crate::transport::credential::one;

/// An origin as browsers write it into `Origin`: in lower case, without a default port (RFC 6454,
/// section 6.2).
///
/// # Errors
///
/// If no browser ever sends it: how to write it instead.
pub(crate) fn canonical(origin: &str) -> Result<String, String> {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return Err("write it as `https://host` or `https://host:port`".into());
    };
    let scheme = scheme.to_ascii_lowercase();
    let Some(default_port) = default_port(scheme.as_bytes()) else {
        return app(&scheme, authority);
    };
    if authority.contains(['/', '?', '#']) {
        return Err(
            "end it after the host or port: an origin has no path, query or fragment".into()
        );
    }
    if authority.contains('@') {
        return Err("leave out the user name: an origin has none".into());
    }
    if authority.contains('*') {
        return Err("name each origin: there are no wildcards".into());
    }
    // Behind an IPv6 address's bracket, if there is one.
    let (host, port) = match authority.rfind(':').filter(|at| !authority[*at..].contains(']')) {
        Some(colon) => (&authority[..colon], Some(&authority[colon + 1..])),
        None => (authority, None),
    };
    let host = canonical_host(host)?;
    let port = match port.map(parse_port) {
        Some(None) => return Err("make the port 1 to 65535, or leave it and its colon out".into()),
        Some(Some(port)) if port != default_port => format!(":{port}"),
        _ => String::new(),
    };
    Ok(format!("{scheme}://{host}{port}"))
}

/// The origin of an app's or a browser extension's page.
fn app(scheme: &str, authority: &str) -> Result<String, String> {
    const SCHEMES: [&str; 7] = [
        "app",
        "capacitor",
        "chrome-extension",
        "ionic",
        "moz-extension",
        "safari-web-extension",
        "tauri",
    ];
    if !SCHEMES.contains(&scheme) {
        let schemes = SCHEMES.join("://`, `");
        return Err(format!(
            "begin it with `https://` or `http://`, or for an app or extension with `{schemes}://`: \
             pages have no other origins"
        ));
    }
    // It has no port, so that a colon is refused.
    Ok(format!("{scheme}://{}", canonical_host(authority)?))
}

/// Checks the domain of a cookie (RFC 6265, section 5.2.3), as one that several hosts share.
///
/// # Errors
///
/// How to write it instead.
pub(crate) fn check_domain(domain: &str) -> Result<(), String> {
    if domain.starts_with('.') || domain.ends_with('.') {
        return Err("write it without the dot at its beginning or end".into());
    }
    let host = canonical_host(domain)?;
    if host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok() {
        return Err("give a domain: an address has no sub-domains".into());
    }
    if !host.contains('.') {
        return Err(
            "give a domain of your own, such as `example.com`: browsers refuse cookies for \
                    a whole top-level domain"
                .into(),
        );
    }
    if host != domain {
        return Err(format!("write it in lower case: `{host}`"));
    }
    Ok(())
}

fn canonical_host(host: &str) -> Result<String, String> {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let Ok(address) = address.parse::<Ipv6Addr>() else {
            return Err("write an IPv6 address between the brackets".into());
        };
        // Browsers write no part of it as an IPv4 address.
        return Ok(match address.to_ipv4_mapped() {
            Some(_) => {
                let [.., high, low] = address.segments();
                format!("[::ffff:{high:x}:{low:x}]")
            }
            None => format!("[{address}]"),
        });
    }
    if !host.is_ascii() {
        return Err("write the host in Punycode (`xn--...`), as browsers send it".into());
    }
    let host = host.to_ascii_lowercase();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let mut labels = host.strip_suffix('.').unwrap_or(&host).split('.');
    if !host.bytes().all(is_name) || labels.any(|label| !(1..=63).contains(&label.len())) {
        return Err("give a host of letters, digits, `-` and `.`, or an address".into());
    }
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    if host.rsplit('.').next().is_some_and(|last| !last.is_empty() && is_number(last))
        && host.parse::<Ipv4Addr>().is_err()
    {
        return Err("write an IPv4 address as four numbers up to 255".into());
    }
    Ok(host)
}

/// Compares a request's `Origin` with the host that it is for, without case and with default ports
/// folded: the one in its target, which HTTP/2 calls `:authority`, or else `Host` (RFC 9110,
/// section 7.2).
///
/// A request does not say its own scheme where a proxy speaks TLS for the service. One with a
/// `Secure` cookie came by https, or to this machine: `is_secure`.
pub(crate) fn is_same_origin<B>(request: &Request<B>, is_secure: bool) -> bool {
    let (host, origin) = (host(request), field(request, header::ORIGIN));
    let compare = || {
        let origin = origin?;
        let end = origin.windows(3).position(|bytes| bytes == b"://")?;
        let (scheme, default_port) = (&origin[..end], default_port(&origin[..end])?);
        let (origin, host) = (split(&origin[end + 3..])?, split(host?)?);
        let port = |authority: &(Authority, Option<u16>)| authority.1.unwrap_or(default_port);
        let is_same_host = origin.0.host().eq_ignore_ascii_case(host.0.host());
        let is_https = scheme.eq_ignore_ascii_case(b"https");
        let is_same_scheme = is_https || !is_secure || is_this_machine(origin.0.host());
        Some(is_same_host && port(&origin) == port(&host) && is_same_scheme)
    };
    compare().unwrap_or(false)
}

/// The host that a request is for, and its port.
fn host<B>(request: &Request<B>) -> Option<&[u8]> {
    let target = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    target.or_else(|| field(request, header::HOST))
}

/// A field's value. One that comes twice counts as none.
fn field<B>(request: &Request<B>, name: HeaderName) -> Option<&[u8]> {
    let value = one(request.headers().get_all(name)).ok().flatten();
    value.map(HeaderValue::as_bytes)
}

/// Whether a request is for this machine. A proxy may replace `Host` by `localhost`; then the origin of the
/// service's own page shows the host: `has_own_origin`.
pub(crate) fn is_local<B>(request: &Request<B>, has_own_origin: bool) -> bool {
    let is_local = |authority: &[u8]| {
        split(authority).is_some_and(|(authority, _)| is_this_machine(authority.host()))
    };
    let origin = field(request, header::ORIGIN).filter(|_| has_own_origin).unwrap_or_default();
    let page = origin.strip_prefix(b"https://").or_else(|| origin.strip_prefix(b"http://"));
    host(request).is_some_and(is_local) && page.is_none_or(is_local)
}

/// Whether a request's `Origin` is plain http on another machine, where browsers keep no `Secure` cookie.
pub(crate) fn is_plain<B>(request: &Request<B>) -> bool {
    let page = field(request, header::ORIGIN).and_then(|origin| origin.strip_prefix(b"http://"));
    page.and_then(split).is_some_and(|(authority, _)| !is_this_machine(authority.host()))
}

/// An authority without a user, and its port.
fn split(authority: &[u8]) -> Option<(Authority, Option<u16>)> {
    let authority = Authority::try_from(authority).ok()?;
    let rest = authority.as_str().strip_prefix(authority.host())?;
    let port = match rest.strip_prefix(':') {
        Some("") => None,
        Some(port) => Some(parse_port(port)?),
        None => rest.is_empty().then_some(None)?,
    };
    Some((authority, port))
}

fn parse_port(port: &str) -> Option<u16> {
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    port.parse().ok().filter(|port| is_number && *port > 0)
}

fn default_port(scheme: &[u8]) -> Option<u16> {
    match scheme {
        scheme if scheme.eq_ignore_ascii_case(b"https") => Some(443),
        scheme if scheme.eq_ignore_ascii_case(b"http") => Some(80),
        _ => None,
    }
}

/// Browsers trust these without TLS (W3C Secure Contexts, section 3.1).
fn is_this_machine(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || host == "[::1]"
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}
