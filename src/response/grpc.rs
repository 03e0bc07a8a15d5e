//! [`Grpc`]: the layers' own answers for gRPC clients.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::response::respond::{HeadersOnly, ProblemDetail, Respond};

/// Answers gRPC requests in gRPC, and all others as `T` does: for services of tonic, alone or beside an
/// axum router on one port.
///
/// A request is gRPC if its `Content-Type` is `application/grpc` or `application/grpc-web`, or begins with
/// one of them and `+` or `-text`. Its answer has no body, and the status in the headers (trailers-only):
/// HTTP 200, `grpc-status`, `grpc-message`, and the `www-authenticate` and `retry-after` that every answer
/// has. The message says no more than the status.
///
/// | the layers answer | `grpc-status` |
/// |---|---|
/// | 400 | 3, `INVALID_ARGUMENT` |
/// | 401 | 16, `UNAUTHENTICATED` |
/// | 403 | 7, `PERMISSION_DENIED` |
/// | 503 | 14, `UNAVAILABLE` |
/// | 500 | 13, `INTERNAL` |
///
/// A method's answer is its message. To log in, send the token of
/// [`Sessions::login`](crate::Sessions::login) in it; a [`Login::bearer`](crate::Login::bearer) is answered
/// `INTERNAL`. To log out, put a [`Logout`](crate::Logout) into the response with `insert_into`.
///
/// ```
/// use tower_jwt_session::Sessions;
/// use tower_jwt_session::layer::{Grpc, ValidateLayer, WithBody};
///
/// fn tonic_alone(sessions: &Sessions<()>) -> ValidateLayer<(), Grpc> {
///     sessions.validate_layer().respond_with(Grpc::new())
/// }
///
/// fn beside_axum(sessions: &Sessions<()>) -> ValidateLayer<(), Grpc<WithBody>> {
///     sessions.validate_layer().respond_with(Grpc::or(WithBody))
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[doc(alias = "tonic")]
pub struct Grpc<T = HeadersOnly> {
    other: T,
}

impl Grpc {
    /// Answers requests that are not gRPC with status and headers, as [`HeadersOnly`] does.
    pub const fn new() -> Self {
        Self { other: HeadersOnly }
    }
}

impl<T> Grpc<T> {
    /// Answers requests that are not gRPC as `other` does.
    pub const fn or(other: T) -> Self {
        Self { other }
    }
}

#[diagnostic::do_not_recommend]
impl<B: Default, T: Respond<B>> Respond<B> for Grpc<T> {
    const CARRIES_BODY: bool = T::CARRIES_BODY;

    fn respond(&self, answer: Response<Bytes>, request: Option<&Parts>) -> Response<B> {
        match request.and_then(|request| protocol(&request.headers)) {
            Some(protocol) => trailers_only(answer, protocol),
            None => self.other.respond(answer, request),
        }
    }

    fn respond_after(&self, answer: Response<Bytes>, handler: &HeaderMap) -> Response<B> {
        match protocol(handler) {
            Some(protocol) => trailers_only(answer, protocol),
            None => self.other.respond_after(answer, handler),
        }
    }
}

/// The content type of a gRPC message's answer; `None` for other messages.
fn protocol(headers: &HeaderMap) -> Option<&'static str> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let base = media_type.split('+').next().unwrap_or_default();
    [GRPC, GRPC_WEB, GRPC_WEB_TEXT].into_iter().find(|known| base.eq_ignore_ascii_case(known))
}

/// A response without a body, whose headers end the call ("Trailers-Only", PROTOCOL-HTTP2.md of gRPC, and
/// "Trailers-only responses", PROTOCOL-WEB.md).
fn trailers_only<B: Default>(answer: Response<Bytes>, protocol: &'static str) -> Response<B> {
    let (code, message) = match answer.status() {
        // The token would be lost.
        status if status.is_success() && !answer.body().is_empty() => {
            tracing::error!(mistake = LOST_TOKEN, "a login was lost");
            (13, LOST_TOKEN)
        }
        status if status.is_success() => (0, ""),
        StatusCode::BAD_REQUEST => (3, "invalid credentials"),
        StatusCode::UNAUTHORIZED => (16, "no valid session"),
        StatusCode::FORBIDDEN => (7, "permission denied"),
        StatusCode::SERVICE_UNAVAILABLE => (14, "try again later"),
        _ => (13, "internal error"),
    };
    let detail = answer.extensions().get::<ProblemDetail>();
    let message = detail.map_or(message, |ProblemDetail(detail)| detail);
    let mut answer = answer.map(|_| B::default());
    *answer.status_mut() = StatusCode::OK;
    let headers = answer.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(protocol));
    headers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from(code));
    if let Ok(message) = HeaderValue::try_from(percent_encoded(message)) {
        headers.insert(HeaderName::from_static("grpc-message"), message);
    }
    answer
}

/// `Percent-Encoded` of gRPC's PROTOCOL-HTTP2.md: all bytes but printable ASCII without `%`.
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        match byte {
            b' '..=b'$' | b'&'..=b'~' => encoded.push(byte.into()),
            // Writing to a string does not fail.
            _ => _ = write!(encoded, "%{byte:02X}"),
        }
        encoded
    })
}

const GRPC: &str = "application/grpc";
const GRPC_WEB: &str = "application/grpc-web";
const GRPC_WEB_TEXT: &str = "application/grpc-web-text";
const LOST_TOKEN: &str = "a gRPC method returned `Login::bearer`, whose token has no place in its \
                          answer: send the token of `sessions.login(..)` in the method's message";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_percent_encoded() {
        assert_eq!(percent_encoded("100% of $5~\u{e9}\n"), "100%25 of $5~%C3%A9%0A");
    }

    #[test]
    fn protocol_of_content_type() {
        for (content_type, expected) in [
            ("application/grpc", Some(GRPC)),
            ("application/grpc+proto", Some(GRPC)),
            ("Application/gRPC+json; charset=x", Some(GRPC)),
            ("application/grpc;a=b", Some(GRPC)),
            ("application/grpc-web", Some(GRPC_WEB)),
            ("application/grpc-web+proto", Some(GRPC_WEB)),
            ("application/grpc-web-text", Some(GRPC_WEB_TEXT)),
            ("application/grpc-web-text+proto", Some(GRPC_WEB_TEXT)),
            ("application/grpcx", None),
            ("application/json", None),
            ("", None),
        ] {
            let headers =
                HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().expect("a value"))]);
            assert_eq!(protocol(&headers), expected, "{content_type}");
        }
        assert_eq!(protocol(&HeaderMap::new()), None);
    }
}
