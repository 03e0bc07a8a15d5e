//! When a session ends, for connections that outlive their request.

use std::future::pending;
use std::time::Duration;

use crate::error::rejection::{Rejection, RejectionKind};
use crate::sessions::handle::Sessions;
use crate::sessions::session::Session;
use crate::token::verified::Verified;

impl<C: Send + Sync + 'static> Sessions<C> {
    /// Completes with the reason as soon as a request with the session would be refused: the session
    /// has expired or was revoked, or its key was removed. For streams and WebSockets.
    ///
    /// A revocation completes it as soon as this replica knows of it, a revoked key within 15 seconds.
    /// A renewed session has another token: let the client connect again with that one.
    ///
    /// ```
    /// use std::convert::Infallible;
    ///
    /// use axum::extract::State;
    /// use axum::response::sse::{Event, Sse};
    /// use futures_util::{Stream, StreamExt, stream};
    /// use tower_jwt_session::{Session, Sessions};
    ///
    /// async fn events(
    ///     State(sessions): State<Sessions<()>>,
    ///     session: Session<()>,
    /// ) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    ///     let events = stream::pending();
    ///     Sse::new(events.take_until(sessions.ended(&session)))
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, as its timers do.
    pub fn ended(&self, session: &Session<C>) -> impl Future<Output = Rejection> + Send + use<C> {
        let (sessions, session) = (self.home_of(session).clone(), session.clone());
        async move { Rejection::new(sessions.until_refused(session.verified()).await) }
    }

    async fn until_refused(&self, verified: &Verified<C>) -> RejectionKind {
        let waiter =
            self.revocations().zip(verified.digests).map(|(it, digests)| it.wait_for(digests));
        loop {
            let now = self.now();
            if verified.valid.end <= now {
                return RejectionKind::Expired;
            }
            let key_id = verified.texts.key_id();
            let keys = self.keys().keys(now);
            let key = keys.by_key_id(key_id, verified.algorithm);
            if keys.is_out_of_date(now) {
                return RejectionKind::KeysUnavailable;
            }
            if !key.is_some_and(|key| keys.verifies(key, now)) {
                return RejectionKind::UnknownKey;
            }
            drop(keys);
            if let Err(rejection) = self.check_tenant(verified) {
                return rejection.kind();
            }
            if let Err(rejection) = self.check_revocation(verified, now) {
                return rejection.kind();
            }
            let changed = async {
                match &waiter {
                    Some(waiter) => waiter.changed().await,
                    None => pending().await,
                }
            };
            // No change is reported for a revoked key or a clock that was set.
            let longest = LOOK_AGAIN.min(verified.valid.end - now);
            let _ = tokio::time::timeout(longest, changed).await;
        }
    }
}

const LOOK_AGAIN: Duration = Duration::from_secs(15);
