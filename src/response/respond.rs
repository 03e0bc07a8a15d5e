//! The layers' own answers: made as bytes, and turned into the service's body type by a
//! [`Respond`].

use std::mem;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, SET_COOKIE, VARY, WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::error::operation::{OperationError, OperationErrorKind};
use crate::error::rejection::{Rejection, RejectionKind};
use crate::sessions::failure_log::Entrance;
use crate::sessions::handle::Sessions;
use crate::sessions::protected_resource::is_scope;
use crate::transport::caching::remove_targeted;

/// Turns an answer of the layers into a response of the inner service's type. Requests share
/// it: where they are answered by several threads, it has to be `Send` and `Sync`.
///
/// Implemented by [`WithBody`], the default, by [`HeadersOnly`] and [`Grpc`](crate::layer::Grpc), and by any
/// `Fn(Response<Bytes>, Option<&Parts>) -> Response<B> + Clone`. A rejection's reason is in the
/// answer's extensions, and the request that was rejected comes with it, so that an application can
/// make answers of its own:
///
/// ```
/// use bytes::Bytes;
/// use http::{Response, request::Parts};
/// use tower_jwt_session::Rejection;
///
/// let own = |answer: Response<Bytes>, _: Option<&Parts>| match answer.extensions().get::<Rejection>() {
///     Some(rejection) if rejection.is_expired() => answer.map(|_| "please log in again".into()),
///     _ => answer,
/// };
/// # fn is_respond<B>(_: impl tower_jwt_session::layer::Respond<B>) {}
/// # is_respond::<Bytes>(own);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot turn the layers' own answers into responses with body `{B}`",
    label = "these layers cannot answer for a service of this body",
    note = "give `respond_with` a closure or function of `(Response<Bytes>, Option<&Parts>)` that \
            returns `Response<{B}>` and is `Clone`, or `HeadersOnly` if the body has a default"
)]
pub trait Respond<B>: Clone {
    /// Whether the body arrives. A bearer token can't be issued where it does not.
    const CARRIES_BODY: bool = true;

    /// Turns the answer into a response. `request` is the request that was rejected, without its body;
    /// `None` where the handler has answered, as with a login.
    fn respond(&self, answer: Response<Bytes>, request: Option<&Parts>) -> Response<B>;

    /// Turns the answer into a response where the handler has answered with the headers `handler`, as with
    /// a login, or a logout that could not be recorded. Default: [`respond`](Self::respond) without a
    /// request. If it refuses the login or the logout, the handler's other cookies are added to it: those that
    /// are neither the session's nor set by it. A login from another site gets none.
    fn respond_after(&self, answer: Response<Bytes>, handler: &HeaderMap) -> Response<B> {
        let _ = handler;
        self.respond(answer, None)
    }
}

#[diagnostic::do_not_recommend]
impl<B, F: Fn(Response<Bytes>, Option<&Parts>) -> Response<B> + Clone> Respond<B> for F {
    fn respond(&self, answer: Response<Bytes>, request: Option<&Parts>) -> Response<B> {
        self(answer, request)
    }
}

/// Answers with bodies, where they can be made from bytes: those of axum, and `Full<Bytes>`.
#[derive(Clone, Copy, Debug, Default)]
pub struct WithBody;

#[diagnostic::do_not_recommend]
impl<B: From<Bytes>> Respond<B> for WithBody {
    fn respond(&self, answer: Response<Bytes>, _: Option<&Parts>) -> Response<B> {
        answer.map(B::from)
    }
}

/// Answers with headers and a default body, where bodies can't be made from bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadersOnly;

#[diagnostic::do_not_recommend]
impl<B: Default> Respond<B> for HeadersOnly {
    const CARRIES_BODY: bool = false;

    fn respond(&self, answer: Response<Bytes>, _: Option<&Parts>) -> Response<B> {
        let mut answer = answer.map(|_| B::default());
        answer.headers_mut().remove(CONTENT_TYPE);
        answer
    }
}

/// The answer to a rejected request: the same for every reason that has the same status.
pub(crate) fn rejection<C>(rejection: Rejection, sessions: &Sessions<C>) -> Response<Bytes> {
    rejection_where(rejection, sessions, None)
}

/// The same, on a route that requires these scopes (RFC 6750, section 3).
pub(crate) fn rejection_where<C>(
    rejection: Rejection,
    sessions: &Sessions<C>,
    scope: Option<&str>,
) -> Response<Bytes> {
    sessions.0.failure_log.log(&rejection, Entrance::Layer, sessions.now());
    sessions.count_rejected(&rejection);
    let mut answer = problem(rejection.status());
    if let Some(challenge) = challenge(&rejection, sessions, scope) {
        answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    match rejection.kind() {
        RejectionKind::StaleRevocations { retry_after } => {
            let seconds = retry_after.as_secs().max(1);
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        RejectionKind::KeysUnavailable => try_again(&mut answer),
        _ => {}
    }
    answer.extensions_mut().insert(rejection);
    answer
}

/// Says when to try again, where no key signs and it is known when one will.
pub(crate) fn retry_issuing<C>(
    answer: &mut Response<Bytes>,
    error: &OperationError,
    sessions: &Sessions<C>,
) {
    if error.kind() == OperationErrorKind::Audit {
        try_again(answer);
    }
    let is_paused = error.kind() == OperationErrorKind::NoSigningKey;
    if let Some(wait) = is_paused.then(|| sessions.keys().issues_again_in()).flatten() {
        let seconds = wait.as_millis().div_ceil(1000).clamp(1, u64::MAX.into());
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds as u64));
    }
}

/// An answer in the place of a handler's response, of which everything beside its body stays: what
/// inner layers, or the handler, have said in headers and extensions.
pub(crate) fn put_in_place<B>(response: &mut Response<B>, mut answer: Response<B>) {
    let mut headers = mem::take(response.headers_mut());
    headers.remove(CONTENT_TYPE);
    headers.remove(CONTENT_LENGTH);
    if answer.headers().contains_key(CACHE_CONTROL) {
        // Else a cache would obey these of the handler's.
        remove_targeted(&mut headers);
    }
    for (name, value) in answer.headers() {
        if name != SET_COOKIE && name != VARY {
            headers.remove(name);
        }
        headers.append(name, value.clone());
    }
    let mut extensions = mem::take(response.extensions_mut());
    extensions.extend(mem::take(answer.extensions_mut()));
    *answer.headers_mut() = headers;
    *answer.extensions_mut() = extensions;
    *response = answer;
}

/// The answer that the handler's whole response asked for, with the status that it was given, if it
/// was.
pub(crate) fn answer_whole<B>(
    response: &mut Response<B>,
    mut answer: Response<Bytes>,
    respond: &impl Respond<B>,
) {
    if response.status() != StatusCode::INTERNAL_SERVER_ERROR {
        *answer.status_mut() = response.status();
    }
    let answer = respond.respond_after(answer, response.headers());
    put_in_place(response, answer);
}

/// Refuses in the place of a handler's response. The other cookies that it sets stay: what they refer to,
/// such as the new ID of a cart, is stored. A request from another site sets none.
#[cold]
pub(crate) fn refuse<B, C>(
    response: &mut Response<B>,
    answer: Response<Bytes>,
    respond: &impl Respond<B>,
    sessions: &Sessions<C>,
) {
    let rejection = answer.extensions().get::<Rejection>();
    let is_cross_site = rejection.is_some_and(|it| it.kind() == RejectionKind::CrossSite);
    let mut answer = respond.respond_after(answer, response.headers());
    if !is_cross_site {
        sessions.transports().keep_other_cookies(response.headers(), answer.headers_mut());
    }
    *response = answer;
}

/// Says that the same request may succeed in some seconds.
pub(crate) fn try_again(answer: &mut Response<Bytes>) {
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
}

pub(crate) fn no_content() -> Response<Bytes> {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

/// An RFC 9457 problem that says no more than its status.
pub(crate) fn problem(status: StatusCode) -> Response<Bytes> {
    problem_of(status, None)
}

/// An RFC 9457 problem that says what happened.
pub(crate) fn problem_because(status: StatusCode, detail: &'static str) -> Response<Bytes> {
    let mut answer = problem_of(status, Some(detail));
    answer.extensions_mut().insert(ProblemDetail(detail));
    answer
}

/// In an answer's extensions: the detail that its body has, for answers of another form.
#[derive(Clone, Copy)]
pub(crate) struct ProblemDetail(pub(crate) &'static str);

fn problem_of(status: StatusCode, detail: Option<&'static str>) -> Response<Bytes> {
    #[derive(Serialize)]
    struct Problem {
        r#type: &'static str,
        title: &'static str,
        status: u16,
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<&'static str>,
    }
    let title = status.canonical_reason().unwrap_or_default();
    let mut answer =
        json(status, &Problem { r#type: "about:blank", title, status: status.as_u16(), detail });
    let problem = HeaderValue::from_static("application/problem+json");
    answer.headers_mut().insert(CONTENT_TYPE, problem);
    answer
}

/// An answer with a JSON body, which no cache stores.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response<Bytes> {
    // A struct of strings, numbers and times always serializes.
    let mut answer = Response::new(Bytes::from(serde_json::to_vec(body).unwrap_or_default()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// RFC 6750, section 3: no error code where no credential came. Where only cookies are taken there
/// is no registered scheme; a 401 has to name one all the same (RFC 9110, section 11.6.1).
fn challenge<C>(
    rejection: &Rejection,
    sessions: &Sessions<C>,
    required: Option<&str>,
) -> Option<HeaderValue> {
    let scheme = sessions.transports().scheme();
    let is_bearer = scheme == "Bearer";
    let (mut error, mut scope, mut age) = (None, required, None);
    match rejection.kind() {
        RejectionKind::Forbidden
        | RejectionKind::CrossSite
        | RejectionKind::StaleRevocations { .. }
        | RejectionKind::KeysUnavailable => return None,
        // Scripts of a page have to see it, too: the session is good, and its user is to log in.
        RejectionKind::InsufficientUserAuthentication { max_age } => {
            (error, age) = (Some("insufficient_user_authentication"), Some(max_age.as_secs()));
        }
        _ if !is_bearer => return Some(HeaderValue::from_static("Cookie")),
        RejectionKind::Missing => {}
        RejectionKind::Ambiguous => (error, scope) = (Some("invalid_request"), None),
        RejectionKind::InsufficientScope => {
            error = Some("insufficient_scope");
            scope = required.or_else(|| rejection.expected().filter(|scope| is_scope(scope)));
        }
        _ => error = Some("invalid_token"),
    }
    let age = age.map(|age| age.to_string());
    let resource = sessions.0.resource.as_ref().map(|resource| &*resource.url);
    let parameters = [
        ("error", error),
        ("max_age", age.as_deref()),
        ("scope", scope.filter(|_| is_bearer)),
        // RFC 9728, section 5.1.
        ("resource_metadata", resource.filter(|_| is_bearer)),
    ];
    let set =
        parameters.iter().filter_map(|(name, value)| Some(format!(r#"{name}="{}""#, (*value)?)));
    let set = set.collect::<Vec<_>>().join(", ");
    HeaderValue::try_from(format!("{scheme} {set}").trim_end()).ok()
}
