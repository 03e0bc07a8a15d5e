//! A logout on its way out: what it has to do in a store, and its answers.

use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::error::operation::OperationError;
use crate::error::rejection::RejectionKind;
use crate::layer::presented::{Presented, is_final};
use crate::layer::renew::Renewer;
use crate::layer::service::{Granted, Work};
use crate::response::respond::{self, Respond, problem, problem_because};
use crate::response::token_endpoint;
use crate::sessions::cause::Cause;
use crate::sessions::counters::LogoutOutcome;
use crate::sessions::handle::Sessions;
use crate::sessions::logout::{Logout, Reach};
use crate::sessions::pending::Pending;
use crate::sessions::session::Session;
use crate::transport::transports::append_cookie;

/// The work that ends the session of a request, or the others of its subject, if there is some; or the
/// answer if nothing can end it. `has_body` says whether the response can get a body.
#[cold]
pub(crate) fn begin<C: Send + Sync + 'static>(
    sessions: &Sessions<C>,
    presented: &Presented<C>,
    logout: Logout,
    renewer: Option<&Renewer<C>>,
    has_body: bool,
) -> Result<Option<Work>, Box<Response<Bytes>>> {
    let home = match &presented.session {
        Ok(session) => sessions.home_of(session),
        Err(_) => sessions,
    };
    let has_revocations = home.revocations().is_some();
    let is_cookies_alone = presented.by_cookie() && !has_revocations && logout.reach == Reach::This;
    match &presented.session {
        Ok(session) if is_cookies_alone => {
            home.0.counters.logged_out(Reach::This, LogoutOutcome::CookieOnly);
            let Some(event) = home.cookie_event(Cause::Logout(Reach::This), session) else {
                return Ok(None);
            };
            if !home.0.audit.has_sink() {
                event.note();
                return Ok(None);
            }
            Ok(Some(Box::pin(async move {
                event.record().await;
                Ok(None)
            })))
        }
        _ if is_cookies_alone => Ok(None),
        Ok(_) if !has_revocations => Err(no_revocations(logout).into()),
        Ok(session) => {
            let (sessions, session) = (sessions.clone(), session.clone());
            match (logout.reach, renewer) {
                (Reach::Others, None) => Err(mistake(ONLY_READ).into()),
                (Reach::Others, _) if !sessions.is_own(&session) => Err(mistake(OF_ANOTHER).into()),
                (Reach::Others, Some(_)) if !presented.by_cookie() && !has_body => {
                    Err(mistake(NO_BODY).into())
                }
                (Reach::Others, Some(renewer)) => {
                    Ok(Some((renewer.log_out_others)(sessions, session, presented.by_cookie())))
                }
                (Reach::Everywhere, _) => Ok(Some(Box::pin(async move {
                    sessions.logout_everywhere(&session).await.map(|()| None)
                }))),
                (Reach::This, _) => {
                    Ok(Some(Box::pin(
                        async move { sessions.logout(&session).await.map(|()| None) },
                    )))
                }
            }
        }
        Err(rejection) => match rejection.kind() {
            // No client of bearer tokens is without one: it forgot to send it.
            RejectionKind::Missing if sessions.transports().cookie.is_none() => {
                Err(respond::rejection(rejection.clone(), sessions).into())
            }
            kind if has_ended(kind, logout, presented.by_cookie()) => Ok(None),
            kind if is_unreadable(kind) && logout.reach != Reach::Others => {
                let mut answer = not_recorded(&format_args!("{rejection:#}"), logout);
                answer.extensions_mut().insert(rejection.clone());
                Err(answer.into())
            }
            _ => Err(respond::rejection(rejection.clone(), sessions).into()),
        },
    }
}

/// Whether the token is another service's, whose cookie stays.
fn is_of_another(kind: RejectionKind) -> bool {
    use RejectionKind::{WrongAudience, WrongClaim, WrongIssuer, WrongType};
    matches!(kind, WrongIssuer | WrongAudience | WrongType | WrongClaim)
}

/// Whether nothing is left to end for a request without a valid session. Other sessions of its subject are, and
/// so is the session of a bearer token: its client may hold a refresh token or a newer token.
fn has_ended(kind: RejectionKind, logout: Logout, by_cookie: bool) -> bool {
    use RejectionKind::{Missing, Revoked, WrongType};
    let is_ended = match kind {
        Missing | Revoked => true,
        // A refresh token, for example.
        WrongType if !by_cookie => false,
        _ => (is_final(kind) && by_cookie) || is_of_another(kind),
    };
    is_ended && logout.reach == Reach::This
}

/// Whether another replica may accept the token, and this one cannot read whose session it is.
fn is_unreadable(kind: RejectionKind) -> bool {
    use RejectionKind::{Ambiguous, Missing, Revoked, StaleClaims};
    let is_answered = matches!(kind, Missing | Ambiguous | Revoked | StaleClaims);
    !is_answered && !is_final(kind) && !is_of_another(kind) && !kind.is_temporary()
}

/// The response to a completed logout, with the new token of a session that stays.
#[cold]
pub(crate) fn complete<B, C>(
    sessions: &Sessions<C>,
    presented: &Presented<C>,
    response: &mut Response<B>,
    respond: &impl Respond<B>,
    granted: Option<Granted>,
) {
    let Some(pending) = response.extensions().get::<Arc<Pending<Logout>>>().cloned() else {
        return;
    };
    let pending = pending.take();
    let scope = presented.session.as_ref().ok().and_then(Session::scope);
    let (cookie, answer) = match &granted {
        Some(Granted::Token(token)) if presented.by_cookie() => {
            (sessions.set_cookie(token).ok(), respond::no_content())
        }
        Some(Granted::Token(token)) => (None, token_endpoint::granted(token, None, scope)),
        Some(Granted::Pair(tokens)) => {
            let refresh_token = Some(&tokens.refresh_token);
            (None, token_endpoint::granted(&tokens.access_token, refresh_token, scope))
        }
        _ => (None, respond::no_content()),
    };
    if pending.is_whole {
        respond::answer_whole(response, answer, respond);
    }
    let headers = response.headers_mut();
    let is_ours = match &presented.session {
        Ok(_) => true,
        Err(rejection) => !is_of_another(rejection.kind()),
    };
    if let Some(cookie) = cookie {
        sessions.transports().remove_set_cookie(headers);
        append_cookie(headers, cookie);
    } else if presented.by_cookie() && is_ours {
        sessions.transports().clear_cookie(headers);
    }
    if pending.intent.clear_site_data {
        // Not "cookies": those of every service on the registered domain would go.
        let fields = HeaderValue::from_static(r#""cache", "storage""#);
        headers.insert(HeaderName::from_static("clear-site-data"), fields);
    }
}

/// The answer to a logout whose work failed.
#[cold]
pub(crate) fn failed<C>(
    sessions: &Sessions<C>,
    logout: Logout,
    error: &OperationError,
) -> Response<Bytes> {
    let mut answer = match error.rejection() {
        Some(rejection) => return respond::rejection(rejection.clone(), sessions),
        None if error.is_temporary() => not_recorded(error, logout),
        None => {
            tracing::error!(%error, "a logout was not recorded");
            problem(error.status())
        }
    };
    answer.extensions_mut().insert(error.clone());
    answer
}

/// The answer to a logout that is not recorded.
#[cold]
fn not_recorded(error: &dyn Display, logout: Logout) -> Response<Bytes> {
    tracing::error!(%error, "a logout was not recorded");
    let detail = match logout.reach {
        Reach::This | Reach::Everywhere => {
            "The logout was not recorded, and the session is still valid. Try again."
        }
        // The handler may have done more, such as changing the password.
        Reach::Others => {
            "The logout of the other sessions was not recorded, and they are still valid."
        }
    };
    let mut answer = problem_because(StatusCode::SERVICE_UNAVAILABLE, detail);
    respond::try_again(&mut answer);
    answer
}

/// The application's mistake: it is shown to the client, too, so that it is seen. It holds no secret.
fn no_revocations(logout: Logout) -> Response<Bytes> {
    mistake(match logout.reach {
        Reach::Everywhere => {
            "A logout everywhere needs `revocations`: add them to the builder of the sessions."
        }
        Reach::Others => {
            "A logout of other sessions needs `revocations`: add them to the builder of the \
             sessions."
        }
        Reach::This => {
            "A logout of a bearer session needs `revocations`: add them to the builder of the \
             sessions."
        }
    })
}

fn mistake(detail: &'static str) -> Response<Bytes> {
    tracing::error!(mistake = detail, "a session cannot be ended");
    problem_because(StatusCode::INTERNAL_SERVER_ERROR, detail)
}

const ONLY_READ: &str = "A logout of other sessions issues a new token: use `layer()` or \
                         `validate_layer()` instead of `validate_only_layer()`.";
const OF_ANOTHER: &str = "Only its own issuer can issue a session again: return \
                          `Logout::new().everywhere()` for this one.";
const NO_BODY: &str = "The new token of a bearer session is a whole response: return \
                       `Logout::new().others()` by itself.";
