//! A logout on its way out: what it has to do in a store, and its answers.

use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::error::rejection::RejectionKind;
use crate::layer::presented::{Presented, is_final};
use crate::layer::service::Work;
use crate::response::respond::{self, Respond, problem_because};
use crate::sessions::handle::Sessions;
use crate::sessions::logout::Logout;
use crate::sessions::pending::Pending;

/// The work that ends the session of a request, if there is some; or the answer if nothing can end it.
#[cold]
pub(crate) fn begin<C: Send + Sync + 'static>(
    sessions: &Sessions<C>,
    presented: &Presented<C>,
    logout: Logout,
) -> Result<Option<Work>, Box<Response<Bytes>>> {
    let home = match &presented.session {
        Ok(session) => sessions.home_of(session),
        Err(_) => sessions,
    };
    let has_revocations = home.revocations().is_some();
    let is_cookies_alone = presented.by_cookie() && !has_revocations && !logout.everywhere;
    match &presented.session {
        _ if is_cookies_alone => Ok(None),
        Ok(_) if !has_revocations => Err(no_revocations(logout).into()),
        Ok(session) => {
            let (sessions, session) = (sessions.clone(), session.clone());
            Ok(Some(Box::pin(async move {
                match logout.everywhere {
                    true => sessions.logout_everywhere(&session).await?,
                    false => sessions.logout(&session).await?,
                }
                Ok(None)
            })))
        }
        Err(rejection) => match rejection.kind() {
            RejectionKind::Missing => Ok(None),
            kind if is_final(kind) || is_of_another(kind) => Ok(None),
            kind if kind.is_temporary() || kind == RejectionKind::Ambiguous => {
                Err(respond::rejection(rejection.clone(), sessions).into())
            }
            // Another replica may accept the token, and this one cannot read whose session it is.
            kind => Err(not_recorded(&kind).into()),
        },
    }
}

/// Whether the token is another service's, whose cookie stays.
fn is_of_another(kind: RejectionKind) -> bool {
    use RejectionKind::{WrongAudience, WrongClaim, WrongIssuer, WrongType};
    matches!(kind, WrongIssuer | WrongAudience | WrongType | WrongClaim)
}

/// The response to a logout that is done.
#[cold]
pub(crate) fn complete<B, C>(
    sessions: &Sessions<C>,
    presented: &Presented<C>,
    response: &mut Response<B>,
    respond: &impl Respond<B>,
) {
    let Some(pending) = response.extensions().get::<Arc<Pending<Logout>>>().cloned() else {
        return;
    };
    let pending = pending.take();
    if pending.is_whole {
        respond::answer_whole(response, respond::no_content(), respond);
    }
    let headers = response.headers_mut();
    let is_ours = match &presented.session {
        Ok(_) => true,
        Err(rejection) => !is_of_another(rejection.kind()),
    };
    if presented.by_cookie() && is_ours {
        sessions.transports().clear_cookie(headers);
    }
    if pending.intent.clear_site_data {
        // Not "cookies": those of every service on the registered domain would go.
        let fields = HeaderValue::from_static(r#""cache", "storage""#);
        headers.insert(HeaderName::from_static("clear-site-data"), fields);
    }
}

/// The answer to a logout that is not recorded.
#[cold]
pub(crate) fn not_recorded(error: &dyn Display) -> Response<Bytes> {
    tracing::error!(%error, "a logout was not recorded");
    let detail = "The logout was not recorded, and the session is still valid. Try again.";
    let mut answer = problem_because(StatusCode::SERVICE_UNAVAILABLE, detail);
    respond::try_again(&mut answer);
    answer
}

/// The application's mistake: it is shown to the client, too, so that it is seen. It holds no secret.
fn no_revocations(logout: Logout) -> Response<Bytes> {
    let detail = match logout.everywhere {
        true => "A logout everywhere needs `revocations`: add them to the builder of the sessions.",
        false => {
            "A logout of a bearer session needs `revocations`: add them to the builder of the \
             sessions."
        }
    };
    tracing::error!(mistake = detail, "a session cannot be ended");
    problem_because(StatusCode::INTERNAL_SERVER_ERROR, detail)
}
