//! The requirements of a [`ValidateLayer`] for a valid session.

use std::sync::Arc;
use std::time::Duration;

use crate::error::build::BuildError;
use crate::error::rejection::{Rejection, RejectionKind};
use crate::layer::validate::ValidateLayer;
use crate::sessions::handle::Sessions;
use crate::sessions::protected_resource::is_scope;
use crate::sessions::session::Session;

impl<C, T> ValidateLayer<C, T> {
    /// Requires `check` of a session; otherwise 403.
    #[must_use]
    #[doc(alias = "role")]
    #[doc(alias = "permission_required")]
    #[doc(alias = "PreAuthorize")]
    #[doc(alias = "policy")]
    pub fn authorize(self, check: impl Fn(&Session<C>) -> bool + Send + Sync + 'static) -> Self {
        self.refuse(move |session| {
            let found = || format!("a session of {:?}", session.issuer());
            let expected = "a session that the check of `authorize` accepts";
            (!check(session)).then(|| RejectionKind::Forbidden.about("session", found(), expected))
        })
    }

    /// Requires a session of this issuer, where the sessions accept
    /// [several](crate::SessionsBuilder::also_accept_sessions); otherwise 403. Another
    /// [name](crate::SessionsBuilder::also_accept_issuer) of the same issuer counts, too. With `{tenantid}` in
    /// it, any accepted tenant does; with a tenant in its place, that one alone.
    ///
    /// # Errors
    ///
    /// Fails if the sessions do not accept the issuer.
    pub fn require_issuer(self, issuer: impl Into<String>) -> Result<Self, BuildError>
    where
        C: Send + Sync + 'static,
    {
        let required = issuer.into();
        let sessions = self.sessions.clone();
        if !sessions.each().any(|sessions| sessions.may_be_of(&required)) {
            let help = format_args!(
                "these sessions do not accept it: give one of {}, exactly as it is written there",
                sessions.issuer_names()
            );
            return Err(BuildError::invalid("require_issuer", format_args!("{required:?}"), help));
        }
        Ok(self.refuse(move |session| {
            let issuer = session.issuer();
            let is_it = sessions.home_of(session).are_one_issuer(&required, issuer);
            let (found, expected) = (format_args!("{issuer:?}"), format_args!("{required:?}"));
            (!is_it).then(|| RejectionKind::Forbidden.about("iss", found, expected))
        }))
    }

    /// Requires a scope of a session, or several, separated by spaces; otherwise 403 with
    /// `insufficient_scope` and the `scope` (RFC 6750, section 3.1). A 401 of these routes names it, too, so
    /// that clients ask for it at once. If several are required, a session has to have all, and a challenge
    /// names all.
    ///
    /// A text without a scope is a mistake: it is logged as an error, and refuses every session.
    #[must_use]
    pub fn require_scope(mut self, scope: impl Into<String>) -> Self {
        let required: Vec<String> =
            scope.into().split(' ').filter(|it| !it.is_empty()).map(str::to_owned).collect();
        if required.is_empty() {
            let mistake = "`require_scope` is given no scope: every session is refused";
            tracing::error!(mistake, "a requirement can never be met");
        }
        let named = required.iter().map(|scope| &**scope).filter(|scope| is_scope(scope));
        let scopes: Vec<_> = self.scope.as_deref().into_iter().chain(named).collect();
        self.scope = (!scopes.is_empty()).then(|| scopes.join(" ").into());
        self.refuse(move |session| {
            let has_scope = |required: &String| session.scopes().any(|scope| scope == *required);
            if !required.is_empty() && required.iter().all(has_scope) {
                return None;
            }
            let found = session.scope().unwrap_or("none");
            let expected = match required.is_empty() {
                true => "a scope: `require_scope` is given none".to_owned(),
                false => required.join(" "),
            };
            Some(RejectionKind::InsufficientScope.about("scope", found, expected))
        })
    }

    /// Requires a role of a session, from the claim that
    /// [`roles_claim`](crate::SessionsBuilder::roles_claim) names for the session's issuer; otherwise 403.
    ///
    /// # Errors
    ///
    /// Fails if neither the sessions nor [those that they accept](crate::SessionsBuilder::also_accept_sessions)
    /// have a `roles_claim`, or the role is empty: no session would have it.
    #[doc(alias = "rbac")]
    #[doc(alias = "GrantedAuthority")]
    #[doc(alias = "authority")]
    pub fn require_role(self, role: impl Into<String>) -> Result<Self, BuildError>
    where
        C: Send + Sync + 'static,
    {
        let required = role.into();
        let invalid = |help: &str| {
            Err(BuildError::invalid("require_role", format_args!("{required:?}"), help))
        };
        if required.is_empty() {
            return invalid("give the name of a role");
        }
        let sessions = self.sessions.clone();
        if !sessions.each().any(Sessions::reads_roles) {
            return invalid(match sessions.0.others.is_empty() {
                true => "set `roles_claim` on the builder of the sessions",
                false => {
                    "neither these sessions nor accepted ones have a `roles_claim`: set it on the builder of \
                     the sessions of each issuer that writes roles"
                }
            });
        }
        Ok(self.refuse(move |session| {
            let has_role = session.roles().any(|role| role == required);
            (!has_role).then(|| sessions.home_of(session).lacks_role(session, &required))
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
        self.refuse(move |session| {
            let home = sessions.home_of(session);
            let allowed = max_age.saturating_add(home.keys().policy().clock_skew);
            let age = session.authenticated_at().map(|at| home.now() - at);
            let refusal = || {
                let found = age.map_or("none".into(), |age| format!("{} s ago", age.as_secs()));
                let expected = format_args!("at most {} s ago", max_age.as_secs());
                RejectionKind::InsufficientUserAuthentication { max_age }.about(
                    "auth_time",
                    found,
                    expected,
                )
            };
            age.is_none_or(|age| age > allowed).then(refusal)
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
            let stale = || revocations.stale("require_fresh_revocations", max_age);
            (!revocations.is_fresh(max_age)).then(stale)
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
