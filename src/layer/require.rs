//! The requirements of a [`ValidateLayer`] for a valid session.

use std::time::Duration;

use crate::error::build::BuildError;
use crate::error::rejection::RejectionKind;
use crate::layer::checks::Check;
use crate::layer::validate::ValidateLayer;
use crate::sessions::session::Session;

impl<C, T> ValidateLayer<C, T> {
    /// Requires `check` of a session; otherwise 403.
    #[must_use]
    #[doc(alias = "role")]
    pub fn authorize(self, check: impl Fn(&Session<C>) -> bool + Send + Sync + 'static) -> Self {
        self.check(check, RejectionKind::Forbidden)
    }

    /// Requires a scope of a session; otherwise 403 with `insufficient_scope` and the
    /// `scope` (RFC 6750, section 3.1).
    #[must_use]
    pub fn require_scope(self, scope: impl Into<String>) -> Self {
        self.add(Check::scope(scope.into().into()))
    }

    /// Requires that the user has logged in no longer than `max_age` ago, the ring's clock skew
    /// aside; otherwise 401 with `insufficient_user_authentication` and the `max_age` in whole
    /// seconds (RFC 9470, section 3). The session and its cookie stay valid.
    ///
    /// Use it where a stolen session would do most harm: a new password, a payment. Renewals keep the time
    /// of the login. A token of another issuer without `auth_time` has no login time, and is refused.
    #[must_use]
    pub fn max_auth_age(self, max_age: Duration) -> Self
    where
        C: Send + Sync + 'static,
    {
        let sessions = self.sessions.clone();
        let is_recent = move |session: &Session<C>| {
            let allowed = max_age.saturating_add(sessions.keys().policy().clock_skew);
            session.authenticated_at().is_some_and(|at| sessions.now() - at <= allowed)
        };
        self.check(is_recent, RejectionKind::InsufficientUserAuthentication { max_age })
    }

    /// Requires revocations that are at most `max_age` old; otherwise 503 with `Retry-After`. The store's
    /// staleness counts, and setting the system's clock back makes nothing look fresh. Other routes use the
    /// last known revocations, up to [`max_staleness`](crate::RevocationsBuilder::max_staleness).
    ///
    /// Use it where a revoked session must never be accepted, even while the store is down. Revocations
    /// written by a newer version of this crate fail it, too.
    ///
    /// # Errors
    ///
    /// Fails if the sessions have no revocations, or `max_age` is less than their
    /// [`refresh_bound`](crate::Revocations::refresh_bound).
    pub fn require_fresh_revocations(self, max_age: Duration) -> Result<Self, BuildError>
    where
        C: Send + Sync + 'static,
    {
        let invalid = |help: &dyn std::fmt::Display| {
            Err(BuildError::invalid("require_fresh_revocations", format_args!("{max_age:?}"), help))
        };
        let Some(revocations) = self.sessions.revocations().cloned() else {
            return invalid(&"set `revocations` on the builder of the sessions");
        };
        let bound = revocations.refresh_bound();
        if max_age < bound {
            let help = format_args!(
                "make it at least the revocations' refresh bound ({bound:?}), or shorten their \
                 refresh_interval, refresh_timeout and insert_timeout"
            );
            return invalid(&help);
        }
        let otherwise = revocations.stale();
        let is_fresh = move |_: &Session<C>| revocations.is_fresh(max_age);
        Ok(self.check(is_fresh, otherwise))
    }

    fn check(
        self,
        passes: impl Fn(&Session<C>) -> bool + Send + Sync + 'static,
        otherwise: RejectionKind,
    ) -> Self {
        self.add(Check::new(passes, otherwise))
    }

    fn add(mut self, check: Check<C>) -> Self {
        self.checks = self.checks.iter().cloned().chain([check]).collect();
        self
    }
}
