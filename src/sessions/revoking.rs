//! Revocations under every accepted name of an issuer: a token is looked up under the name in its own `iss`.

use std::collections::BTreeSet;

use crate::audit::handle::Draft;
use crate::clock::Timestamp;
use crate::error::operation::OperationError;
use crate::revocation::digest;
use crate::revocation::handle::Revocations;
use crate::revocation::writer::Revocation;
use crate::sessions::cause::{Cause, Whom};
use crate::sessions::counters::LogoutOutcome;
use crate::sessions::handle::Sessions;
use crate::sessions::session::Session;
use crate::store::feed::RegisterId;
use crate::token::policy::Policy;
use crate::token::tenants::Tenants;
use crate::token::verified::Verified;

impl<C> Sessions<C> {
    /// Revokes the session of that ID, under every name of its issuer; of all if it is not known.
    pub(crate) async fn record_session(
        &self,
        cause: Cause,
        whom: Whom<'_>,
    ) -> Result<(), OperationError> {
        self.counted(cause, self.try_record_session(cause, whom).await)
    }

    async fn try_record_session(&self, cause: Cause, whom: Whom<'_>) -> Result<(), OperationError> {
        let session_id = whom.session_id.unwrap_or_default();
        let is_own_id = self.0.policy.has_own_session_ids;
        // An ID of this crate is its own digest, whoever the issuer is.
        let names = self.names_of(whom.issuer, "a session with an ID of the issuer")?;
        let digests = names.iter().map(|name| digest::of_session(name, session_id, is_own_id));
        let digests = digests.collect::<BTreeSet<_>>();
        let last = digests.last().copied();
        for digest in digests {
            // Recorded under one name alone, it is not done.
            let is_last = Some(digest) == last;
            let event = if is_last { self.ending_event(cause, whom) } else { None };
            self.record(Revocation::Session(digest), event).await?;
        }
        Ok(())
    }

    /// Counts a logout.
    fn counted<T>(
        &self,
        cause: Cause,
        recorded: Result<T, OperationError>,
    ) -> Result<T, OperationError> {
        if let Some(reach) = cause.reach() {
            self.0.counters.logged_out(
                reach,
                match &recorded {
                    Ok(_) => LogoutOutcome::Recorded,
                    Err(_) => LogoutOutcome::Failed,
                },
            );
        }
        recorded
    }

    /// Revokes the logins of a subject until now, under every name of its issuer; of all if it is not known.
    pub(crate) async fn cut_off_subject(
        &self,
        issuer: Option<&str>,
        subject: &str,
    ) -> Result<(), OperationError> {
        let at = self.now();
        let names = self.names_of(issuer, "a subject")?;
        for (place, name) in names.iter().enumerate() {
            let event = || {
                let whom = Whom { issuer, session_id: None, subject: Some(subject) };
                self.cutoff_event(Cause::RevokeSubject, whom, at)
            };
            let event = if place + 1 == names.len() { event() } else { None };
            self.cut_off(name, subject, 0, at, event).await?;
        }
        Ok(())
    }

    fn cutoff_event(&self, cause: Cause, whom: Whom<'_>, at: Timestamp) -> Option<Draft> {
        let mut draft = self.ending_event(cause, whom)?;
        draft.event.effective_at = Some(at);
        Some(draft)
    }

    /// Revokes the logins of a session's subject until `at`, under every name of its issuer. Returns the
    /// version of the cutoff under the name that new tokens have.
    pub(crate) async fn cut_off_session(
        &self,
        cause: Cause,
        session: &Session<C>,
        at: Timestamp,
    ) -> Result<u64, OperationError> {
        self.counted(cause, self.try_cut_off_session(cause, session, at).await)
    }

    async fn try_cut_off_session(
        &self,
        cause: Cause,
        session: &Session<C>,
        at: Timestamp,
    ) -> Result<u64, OperationError> {
        let mut version = 0;
        let names = self.names_of(Some(session.issuer()), "a subject")?;
        for (place, issuer) in names.iter().enumerate() {
            // A session knows the version of its own name's register.
            let is_own = session.issuer() == issuer;
            let above = if is_own { session.verified().versions.subject } else { 0 };
            let is_last = place + 1 == names.len();
            let event =
                if is_last { self.cutoff_event(cause, Whom::of(session), at) } else { None };
            let advanced = self.cut_off(issuer, session.subject(), above, at, event).await?;
            if **issuer == *self.0.policy.issuers.first {
                version = advanced;
            }
        }
        Ok(version)
    }

    /// Marks the claims of a subject as stale, under every name of its issuer.
    pub(crate) async fn mark_claims_stale(&self, subject: &str) -> Result<(), OperationError> {
        let at = self.now();
        let names = self.names_of(None, "a subject")?;
        for (place, name) in names.iter().enumerate() {
            let id = RegisterId::Stale(digest::of_subject(name, subject));
            let whom = Whom { subject: Some(subject), ..Whom::default() };
            let is_last = place + 1 == names.len();
            let event = if is_last { self.ending_event(Cause::ReloadClaims, whom) } else { None };
            self.record(Revocation::Cutoff { id, above: 0, at }, event).await?;
        }
        Ok(())
    }

    async fn cut_off(
        &self,
        issuer: &str,
        subject: &str,
        above: u64,
        at: Timestamp,
        event: Option<Draft>,
    ) -> Result<u64, OperationError> {
        let id = RegisterId::Subject(digest::of_subject(issuer, subject));
        self.record(Revocation::Cutoff { id, above, at }, event).await
    }

    /// The names of one issuer, or of all that these sessions accept.
    fn names_of(
        &self,
        issuer: Option<&str>,
        whose: &'static str,
    ) -> Result<Vec<String>, OperationError> {
        let Policy { issuers, others, .. } = &self.0.policy;
        if let Some(issuer) = issuer {
            if !issuers.accept(issuer) {
                let text = format!("the issuer is {issuer:?}, expected {issuers}");
                return Err(OperationError::not_configured(text));
            }
            return Ok(issuers.of_tenant(issuers.tenant(issuer)));
        }
        let mut names = issuers.of_tenant(None);
        match others.as_ref().and_then(|others| others.tenants.as_ref()) {
            None => {}
            Some(Tenants::Listed(tenants)) => {
                names.extend(tenants.iter().flat_map(|tenant| issuers.of_tenant(Some(tenant))));
            }
            Some(Tenants::Where(_)) => {
                let text = format!(
                    "the tenants of {issuers} are not listed, so {whose} cannot be revoked in each: use \
                     `revoke_subject_of` or `logout`, which name the issuer"
                );
                return Err(OperationError::not_configured(text));
            }
        }
        Ok(names)
    }

    /// The version of the subject's cutoffs that the next token of a session carries: that of its login.
    /// Versions of two names cannot be compared. If the next token has another `iss`, it gets the version
    /// that its own register is known to have, if the login was made under the same cutoff; otherwise 0, so
    /// that the time of the login decides.
    pub(crate) fn next_subject_version(&self, verified: &Verified<C>, now: Timestamp) -> u64 {
        let (held, next) = (verified.texts.issuer(), &*self.0.policy.issuers.first);
        let version = verified.versions.subject;
        match self.revocations() {
            Some(revocations) if held != next => {
                let subject = verified.texts.subject();
                let [held, next] = [held, next].map(|issuer| digest::of_subject(issuer, subject));
                revocations.renamed_version(&held, version, &next, now)
            }
            _ => version,
        }
    }

    pub(crate) fn require_revocations(&self) -> Result<&Revocations, OperationError> {
        self.revocations().ok_or_else(|| {
            OperationError::not_configured(
                "the sessions have no revocations: add `.revocations(..)` to their builder",
            )
        })
    }

    /// Revocations are kept for as long as the ring's tokens need it: those of the ring's policy, and
    /// of keys that were made under another one and still verify.
    /// The event is recorded once the revocation is, whether or not the caller still waits.
    pub(crate) async fn record(
        &self,
        revocation: Revocation,
        event: Option<Draft>,
    ) -> Result<u64, OperationError> {
        let revocations = self.require_revocations()?;
        revocations.keep_for(self.keys().longest_token_lifetime(), self.keys().policy().clock_skew);
        let recorded = revocations.record(revocation, event).await;
        recorded.map_err(|error| OperationError::store(error))
    }
}
