//! What a [`ValidateLayer`] requires of a session, beyond that it is valid.

use std::time::Duration;

use crate::error::build::BuildError;
use crate::error::rejection::RejectionKind;
use crate::layer::checks::Check;
use crate::layer::validate::ValidateLayer;
use crate::sessions::session::Session;

impl<C, T> ValidateLayer<C, T> {
    /// Requires `check` of a session; otherwise 403.
    #[must_use]
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
    /// seconds (RFC 9470, section 3). The session itself goes on, with its cookie.
    ///
    /// For what a stolen session should not do: a new password, a payment. Renewals don't count:
    /// they keep the time of the login. A token of another issuer without `auth_time` does not say
    /// when the login was, and is refused in the same way.
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

    /// Requires that it is known what had been ended until `max_age` ago; otherwise 503 with
    /// `Retry-After`. What the store may be behind counts, and setting the system's clock back changes
    /// nothing. Other routes go on with the last known, to the revocations'
    /// [`max_staleness`](crate::RevocationsBuilder::max_staleness).
    ///
    /// For what a session that was ended must never do, even while the store is down. A replica that
    /// finds in the store what only a newer version of this crate understands fails it, too.
    ///
    /// # Errors
    ///
    /// If the sessions have no revocations, or a replica whose store is up could not keep to it:
    /// `max_age` has to be at least their [`refresh_bound`](crate::Revocations::refresh_bound).
    pub fn require_fresh_revocations(self, max_age: Duration) -> Result<Self, BuildError>
    where
        C: Send + Sync + 'static,
    {
        let invalid = |mend: &dyn std::fmt::Display| {
            Err(BuildError::invalid("require_fresh_revocations", format_args!("{max_age:?}"), mend))
        };
        let Some(revocations) = self.sessions.revocations().cloned() else {
            return invalid(&"give the sessions' builder revocations");
        };
        let bound = revocations.refresh_bound();
        if max_age < bound {
            let mend = format_args!(
                "make it at least the revocations' refresh bound ({bound:?}), or shorten their \
                 refresh_interval, refresh_timeout and insert_timeout"
            );
            return invalid(&mend);
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
