//! The requirements of a [`ValidateLayer`] for a valid session.

use std::sync::Arc;
use std::time::Duration;

use crate::error::build::BuildError;
use crate::error::rejection::{Rejection, RejectionKind};
use crate::layer::validate::ValidateLayer;
use crate::sessions::protected_resource::is_scope;
use crate::sessions::session::Session;

impl<C, T> ValidateLayer<C, T> {
    /// Requires `check` of a session; otherwise 403.
    #[must_use]
    #[doc(alias = "role")]
    pub fn authorize(self, check: impl Fn(&Session<C>) -> bool + Send + Sync + 'static) -> Self {
        self.refuse(move |session| {
            (!check(session)).then(|| Rejection::new(RejectionKind::Forbidden))
        })
    }

    /// Requires a scope of a session; otherwise 403 with `insufficient_scope` and the
    /// `scope` (RFC 6750, section 3.1). A 401 of these routes names it, too, so that clients ask for it at
    /// once. If several are required, a challenge names all.
    #[must_use]
    pub fn require_scope(mut self, scope: impl Into<String>) -> Self {
        let required = scope.into();
        if is_scope(&required) {
            let others = self.scope.iter().map(|scope| &**scope);
            let scopes: Vec<_> = others.chain([&*required]).collect();
            self.scope = Some(scopes.join(" ").into());
        }
        self.refuse(move |session| {
            let has_scope = session.scopes().any(|scope| scope == required);
            let found = session.scope().unwrap_or("none");
            (!has_scope).then(|| RejectionKind::InsufficientScope.about("scope", found, &required))
        })
    }

    /// Requires a role of a session, from the claim that
    /// [`roles_claim`](crate::SessionsBuilder::roles_claim) names; otherwise 403.
    ///
    /// # Errors
    ///
    /// Fails if the sessions have no `roles_claim`: no session would have a role.
    #[doc(alias = "rbac")]
    pub fn require_role(self, role: impl Into<String>) -> Result<Self, BuildError> {
        let required = role.into();
        if !self.sessions.reads_roles() {
            let help = "set `roles_claim` on the builder of the sessions";
            return Err(BuildError::invalid("require_role", format_args!("{required:?}"), help));
        }
        Ok(self.refuse(move |session| {
            let has_role = session.roles().any(|role| role == required);
            let found = || format!("{:?}", session.roles().collect::<Vec<_>>());
            (!has_role).then(|| RejectionKind::Forbidden.about("roles", found(), &required))
        }))
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
        let refusal = RejectionKind::InsufficientUserAuthentication { max_age };
        self.refuse(move |session| {
            let home = sessions.home_of(session);
            let allowed = max_age.saturating_add(home.keys().policy().clock_skew);
            let logged_in = session.authenticated_at();
            let is_recent = logged_in.is_some_and(|at| home.now() - at <= allowed);
            (!is_recent).then(|| Rejection::new(refusal))
        })
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
    /// [`refresh_bound`](crate::Revocations::refresh_bound); also if that is so for
    /// [accepted sessions](crate::SessionsBuilder::also_accept_sessions) of another issuer.
    pub fn require_fresh_revocations(self, max_age: Duration) -> Result<Self, BuildError>
    where
        C: Send + Sync + 'static,
    {
        let invalid = |help: &dyn std::fmt::Display| {
            Err(BuildError::invalid("require_fresh_revocations", format_args!("{max_age:?}"), help))
        };
        for sessions in self.sessions.each() {
            let Some(revocations) = sessions.revocations() else {
                let issuer = &sessions.0.policy.issuers.first;
                let help =
                    format_args!("set `revocations` on the builder of the sessions of {issuer}");
                return invalid(&help);
            };
            let bound = revocations.refresh_bound();
            if max_age < bound {
                let help = format_args!(
                    "make it at least the revocations' refresh bound ({bound:?}), or shorten their \
                     refresh_interval, refresh_timeout and insert_timeout"
                );
                return invalid(&help);
            }
        }
        let sessions = self.sessions.clone();
        Ok(self.refuse(move |session| {
            let revocations = sessions.home_of(session).revocations()?;
            (!revocations.is_fresh(max_age)).then(|| Rejection::new(revocations.stale()))
        }))
    }

    /// Adds a requirement: the rejection of a session that fails it.
    fn refuse(
        mut self,
        refusal: impl Fn(&Session<C>) -> Option<Rejection> + Send + Sync + 'static,
    ) -> Self {
        self.checks.push(Arc::new(refusal));
        self
    }
}
