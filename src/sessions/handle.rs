//! [`Sessions`]: the object that an application builds. It makes the layers, and also issues and
//! validates directly.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::HeaderValue;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::audit::handle::{Audit, Draft};
use crate::clock::Timestamp;
use crate::error::operation::OperationError;
use crate::error::rejection::{Rejection, RejectionKind};
use crate::keyring::ring::KeyRing;
use crate::revocation::digest;
use crate::revocation::handle::Revocations;
use crate::revocation::known::Candidate;
use crate::revocation::versions::Versions;
use crate::sessions::counters::Counters;
use crate::sessions::failure_log::FailureLog;
use crate::sessions::hook::Hook;
use crate::sessions::issued::IssuedToken;
use crate::sessions::lifetimes::Lifetimes;
use crate::sessions::login::Login;
use crate::sessions::login_page::LoginPage;
use crate::sessions::protected_resource::Described;
use crate::sessions::refresh_tokens::Refreshing;
use crate::sessions::session::Session;
use crate::token;
use crate::token::cache::TokenCache;
use crate::token::cache::entry::Shared;
use crate::token::checks::Nobody;
use crate::token::policy::Policy;
use crate::token::verified::Verified;
use crate::transport::transports::Transports;

/// Claims that are read from tokens: the bounds of a service that only validates. Implemented for every
/// type that is deserializable and shared by threads.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the claims of a session: derive `serde::Serialize` and \
               `serde::Deserialize`",
    label = "these claims cannot be read from a token",
    note = "claims are owned, `Send`, `Sync` and `'static`; a service that only validates needs no \
            `Serialize`; use `()` for no claims"
)]
pub trait ReadClaims: DeserializeOwned + Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<C: DeserializeOwned + Send + Sync + 'static> ReadClaims for C {}

/// Claims that are also issued: the bounds of an application's claims. Implemented for every
/// [`ReadClaims`] that is serializable; use `()` for none.
///
/// They are written as members of the token's payload, beside the registered claims, whose names
/// they can't use: `iss sub aud iat nbf exp jti sid auth_time scope rv rg rc pu seq`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the claims of a session: derive `serde::Serialize` and \
               `serde::Deserialize`",
    label = "these claims cannot be issued",
    note = "claims are owned, `Send`, `Sync` and `'static`; use `()` for no claims",
    note = "a service that only validates needs no `Serialize`: use `validate_only_layer()`, and in tests \
            `TestSession::from_json`"
)]
pub trait SessionClaims: ReadClaims + Serialize {}

#[diagnostic::do_not_recommend]
impl<C: ReadClaims + Serialize> SessionClaims for C {}

/// The sessions of a service: who issues them, for whom, how long, how they travel, with which
/// keys. `C` are the application's claims. Clones share it.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use tower_jwt_session::{Login, KeyRing, Sessions, store::MemoryStore};
///
/// #[derive(Serialize, Deserialize)]
/// struct User {
///     name: String,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = KeyRing::builder("app").store(MemoryStore::new()).open().await?;
/// let sessions = Sessions::<User>::builder(keys, "https://app.example", "app").build()?;
///
/// let login = Login::new("alice", User { name: "Alice".into() });
/// let token = sessions.issue(&login)?;
///
/// let session = sessions.validate(token.as_str())?;
/// assert_eq!(session.subject(), "alice");
/// assert_eq!(session.claims().name, "Alice");
///
/// let forged = format!("{}A", token.as_str());
/// assert!(sessions.validate(&forged).is_err());
/// # Ok(())
/// # }
/// ```
#[doc(alias = "jwt")]
#[doc(alias = "cookie authentication")]
#[doc(alias = "authentication scheme")]
#[doc(alias = "AuthManagerLayer")]
pub struct Sessions<C>(pub(crate) Arc<Inner<C>>);

/// The identity of sessions; clones share it. A request carries it instead of a clone, whose reference
/// count all threads would write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionsId(u64);

impl SessionsId {
    pub(crate) fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Relaxed))
    }
}

pub(crate) struct Inner<C> {
    pub(crate) id: SessionsId,
    pub(crate) keys: KeyRing,
    pub(crate) counters: Counters,
    pub(crate) policy: Policy,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) transports: Transports,
    pub(crate) login_page: Option<LoginPage>,
    pub(crate) cache: Option<TokenCache<C>>,
    pub(crate) refreshing: Option<Refreshing>,
    pub(crate) revocations: Option<Revocations>,
    pub(crate) on_renewal: Option<Hook<C>>,
    /// Whether `iat` replaces a login time that is missing.
    pub(crate) revokes_by_issued_at: bool,
    /// Whether a replica that accepts these sessions is ready before their keys are there.
    #[cfg(feature = "axum")]
    pub(crate) ready_without_keys: bool,
    /// The sessions of other issuers that these accept.
    pub(crate) others: Box<[Sessions<C>]>,
    /// How the service describes itself to OAuth clients, if it does.
    pub(crate) resource: Option<Described>,
    pub(crate) audit: Audit,
    pub(crate) failure_log: FailureLog,
}

impl<C> Sessions<C> {
    /// Issues a new session, with a new ID, for one idle lifetime, where no layer does it. With
    /// revocations, this first reads from the store whether the subject or everyone was logged out: so a
    /// login right after that holds, on every replica. If the store fails, what this replica last read
    /// counts.
    ///
    /// # Errors
    ///
    /// Fails if no key may sign, the claims can't be written, the token is too long, or the
    /// [audit sink](crate::audit::AuditSink) did not record the login.
    pub async fn login(&self, login: &Login<C>) -> Result<IssuedToken, OperationError>
    where
        C: SessionClaims,
    {
        let (token, event) = self.issue_under(login, self.versions_for_login(login).await)?;
        if let Some(event) = event {
            event.record_first().await?;
        }
        Ok(token)
    }

    /// Issues a new session like [`login`](Self::login), without reading the store. A login right after
    /// the subject was logged out everywhere by another replica may be revoked, too. An
    /// [audit sink](crate::audit::AuditSink) gets the event in the background.
    ///
    /// # Errors
    ///
    /// Fails if no key may sign, the claims can't be written, or the token is too long.
    pub fn issue(&self, login: &Login<C>) -> Result<IssuedToken, OperationError>
    where
        C: SessionClaims,
    {
        let (token, event) = self.issue_under(login, self.known_versions(login))?;
        event.into_iter().for_each(Draft::note);
        Ok(token)
    }

    /// Issues the session of a login, with the event that the caller has recorded.
    pub(crate) fn issue_under(
        &self,
        login: &Login<C>,
        versions: Versions,
    ) -> Result<(IssuedToken, Option<Draft>), OperationError>
    where
        C: SessionClaims,
    {
        let issued = self.sign_login(login, versions);
        self.0.counters.issued(&issued);
        issued
    }

    /// Returns a login that continues the session with other claims, for example after a role was
    /// granted; return it from the handler. The session keeps its ID, its scope and the time of its login.
    ///
    /// The old token stays valid until it expires, and the session's other clients keep theirs. A bearer
    /// client's refresh token keeps the claims of the login; this issues none. To read claims again at each
    /// renewal and refresh, see [`on_renewal`](crate::SessionsBuilder::on_renewal).
    #[doc(alias = "role")]
    pub fn reissue(&self, session: &Session<C>, claims: C) -> Login<C> {
        let mut issue = Login::new(session.subject(), claims);
        issue.scope = session.scope().map(str::to_owned);
        issue.continues = Some(session.clone());
        issue
    }
}

impl<C: ReadClaims> Sessions<C> {
    /// Validates a token from a client.
    ///
    /// # Errors
    ///
    /// Fails if it is not a valid token of these sessions. The reason is for logs, not for the client.
    pub fn validate(&self, token: &str) -> Result<Session<C>, Rejection> {
        self.validate_bytes(token.as_bytes(), self.now())
    }

    #[inline]
    pub(crate) fn validate_bytes(
        &self,
        token: &[u8],
        now: Timestamp,
    ) -> Result<Session<C>, Rejection> {
        match self.0.others.is_empty() {
            true => self.validate_own(token, now),
            false => self.validate_among(token, now),
        }
    }

    /// Validates a token with the keys of these sessions' own issuer.
    #[inline(never)]
    pub(crate) fn validate_alone(
        &self,
        token: &[u8],
        now: Timestamp,
    ) -> Result<Session<C>, Rejection> {
        self.validate_own(token, now)
    }

    #[inline(always)]
    fn validate_own(&self, token: &[u8], now: Timestamp) -> Result<Session<C>, Rejection> {
        let (ring, mut is_cached) = (&self.0.keys, self.0.cache.as_ref().map(|_| true));
        let keys = ring.keys(now);
        let mut verify = || {
            is_cached = is_cached.map(|_| false);
            token::verify::verify(token, &keys, &self.0.policy, now, &mut Nobody)
        };
        let verified = match &self.0.cache {
            Some(cache) => cache.get_or_verify(token, &keys, now, verify),
            None => verify().map(Shared::Owned),
        };
        let checked = verified.and_then(|verified| {
            self.check_tenant(&verified)?;
            self.check_revocation(&verified, now)?;
            Ok(verified)
        });
        match checked {
            Ok(verified) => {
                self.0.counters.valid(is_cached);
                Ok(Session::new(verified))
            }
            Err(rejection) => {
                self.note_invalid(is_cached, rejection.kind(), now);
                Err(rejection)
            }
        }
    }

    #[cold]
    fn note_invalid(&self, is_cached: Option<bool>, kind: RejectionKind, now: Timestamp) {
        let ring = &self.0.keys;
        self.0.counters.invalid(is_cached, kind);
        match kind {
            RejectionKind::UnknownKey | RejectionKind::KeysUnavailable => ring.request_refetch(now),
            RejectionKind::IssuedInFuture => ring.warn_of_future_token(now),
            _ => {}
        }
    }
}

impl<C> Sessions<C> {
    /// The `Set-Cookie` field that clears the session's cookie, where no layer does it; `None` if the
    /// sessions have no cookie.
    pub fn clear_cookie(&self) -> Option<HeaderValue> {
        self.transports().clearing_cookie()
    }

    /// Returns the `Set-Cookie` field for a token, if no layer sets it. It has a `Max-Age` if the login
    /// is [persistent](crate::Login::persistent).
    ///
    /// # Errors
    ///
    /// Fails if the sessions have no cookie transport, or name and value are too long for a cookie.
    pub fn set_cookie(&self, token: &IssuedToken) -> Result<HeaderValue, OperationError> {
        let max_age = token.is_persistent.then(|| token.lifetime());
        self.transports().cookie_of(token.as_str(), token.room, max_age)
    }

    /// Returns the ring that signs these sessions.
    pub fn keys(&self) -> &KeyRing {
        &self.0.keys
    }

    /// Returns the revocations, if they are configured.
    pub fn revocations(&self) -> Option<&Revocations> {
        self.0.revocations.as_ref()
    }

    /// Refuses a session whose tenant is no longer allowed, also if its token is in the cache.
    #[inline]
    pub(crate) fn check_tenant(&self, verified: &Verified<C>) -> Result<(), Rejection> {
        let Policy { others, issuers, .. } = &self.0.policy;
        match others {
            Some(others) => others.check_tenant(issuers, verified.texts.issuer()),
            None => Ok(()),
        }
    }

    /// Refuses a session that is revoked.
    pub(crate) fn check_revocation(
        &self,
        verified: &Verified<C>,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        match self.candidate(verified) {
            Some((revocations, candidate)) => revocations
                .check(candidate, now)
                .map_err(|error| self.about_session(error, verified)),
            None => Ok(()),
        }
    }

    /// A rejection with the ID of the session that is rejected.
    #[cold]
    pub(crate) fn about_session(&self, rejection: Rejection, verified: &Verified<C>) -> Rejection {
        let (texts, is_own_id) = (&verified.texts, self.0.policy.has_own_session_ids);
        let id = digest::shown_session(texts.issuer(), texts.session_id(), is_own_id);
        rejection.of_session(id)
    }

    /// Whether a token claims the version of a cutoff that this replica has not read, so that no token follows
    /// it yet.
    pub(crate) fn has_unread_version(&self, verified: &Verified<C>, now: Timestamp) -> bool {
        let candidate = self.candidate(verified);
        candidate.is_some_and(|(revocations, candidate)| revocations.is_unread(&candidate, now))
    }

    /// The values of a token that decide whether it is revoked; `None` if nothing can be.
    #[inline]
    pub(crate) fn candidate(&self, verified: &Verified<C>) -> Option<(&Revocations, Candidate)> {
        let (revocations, digests) = self.revocations().zip(verified.digests)?;
        let login = verified.authenticated_at;
        let login = login.or(Some(verified.issued_at).filter(|_| self.0.revokes_by_issued_at));
        // Tokens of issuers that write no versions are judged by their times alone.
        let has_versions = self.0.policy.dialect.reads_versions();
        let slack = if has_versions { revocations.slack() } else { self.0.policy.leeway };
        let Versions { subject, all, .. } = verified.versions;
        let candidate = Candidate {
            digests,
            login,
            issued_at: verified.issued_at,
            subject_version: subject,
            all_version: all,
            slack,
        };
        Some((revocations, candidate))
    }

    pub(crate) fn transports(&self) -> &Transports {
        &self.0.transports
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.keys.now()
    }
}

impl<C> Clone for Sessions<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C> fmt::Debug for Sessions<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("issuer", &self.0.policy.issuers.first)
            .field("audience", &self.0.policy.audiences.first)
            .field("keys", &self.0.keys)
            .finish_non_exhaustive()
    }
}
