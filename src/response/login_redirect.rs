//! The answer to a browser that navigates to a page without a session: to the login page.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, VARY, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};

use crate::error::rejection::{Rejection, RejectionKind};
use crate::sessions::login_page::LoginPage;
use crate::transport::navigation;

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Redirected,
    Kept,
    /// It is kept: the browser navigates to the login page itself.
    PageItself,
}

/// Replaces a 401 to a navigation by `303 See Other`. Every other answer stays as it is.
#[cold]
pub(crate) fn redirect(answer: &mut Response<Bytes>, page: &LoginPage, request: &Parts) -> Outcome {
    if answer.status() != StatusCode::UNAUTHORIZED {
        return Outcome::Kept;
    }
    // What another client gets depends on these.
    answer.headers_mut().append(VARY, HeaderValue::from_static(navigation::DECIDING));
    if !navigation::is_navigation(request) {
        return Outcome::Kept;
    }
    let max_age = match answer.extensions().get().map(Rejection::kind) {
        Some(RejectionKind::InsufficientUserAuthentication { max_age }) => Some(max_age.as_secs()),
        _ => None,
    };
    let target = navigation::target(&request.uri, &request.extensions);
    if target.as_deref().is_some_and(|target| page.is_at(target)) {
        return Outcome::PageItself;
    }
    let location = page.location(target.as_deref(), max_age);
    let Ok(location) = HeaderValue::try_from(location) else { return Outcome::Kept };
    *answer.status_mut() = StatusCode::SEE_OTHER;
    *answer.body_mut() = Bytes::new();
    let headers = answer.headers_mut();
    headers.remove(CONTENT_TYPE);
    headers.remove(WWW_AUTHENTICATE);
    headers.insert(LOCATION, location);
    Outcome::Redirected
}
