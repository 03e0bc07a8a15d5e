//! Revocations under every accepted name of an issuer: a token is looked up under the name in its own `iss`.

use crate::clock::Timestamp;
use crate::error::operation::OperationError;
use crate::revocation::digest;
use crate::revocation::writer::Revocation;
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
        issuer: Option<&str>,
        session_id: &str,
    ) -> Result<(), OperationError> {
        let mut recorded = Vec::new();
        // An ID of this crate is its own digest, whoever the issuer is.
        for issuer in self.names_of(issuer, "a session with an ID of the issuer")? {
            let is_own_id = self.0.policy.has_own_session_ids;
            let digest = digest::of_session(&issuer, session_id, is_own_id);
            if !recorded.contains(&digest) {
                self.record(Revocation::Session(digest)).await?;
                recorded.push(digest);
            }
        }
        Ok(())
    }

    /// Revokes the logins of a subject until now, under every name of its issuer; of all if it is not known.
    pub(crate) async fn cut_off_subject(
        &self,
        issuer: Option<&str>,
        subject: &str,
    ) -> Result<(), OperationError> {
        let at = self.now();
        for issuer in self.names_of(issuer, "a subject")? {
            self.cut_off(&issuer, subject, 0, at).await?;
        }
        Ok(())
    }

    /// Revokes the logins of a session's subject until `at`, under every name of its issuer. Returns the
    /// version of the cutoff under the name that new tokens have.
    pub(crate) async fn cut_off_session(
        &self,
        session: &Session<C>,
        at: Timestamp,
    ) -> Result<u64, OperationError> {
        let mut version = 0;
        for issuer in self.names_of(Some(session.issuer()), "a subject")? {
            // A session knows the version of its own name's register.
            let is_own = session.issuer() == issuer;
            let above = if is_own { session.verified().versions.subject } else { 0 };
            let advanced = self.cut_off(&issuer, session.subject(), above, at).await?;
            if *issuer == *self.0.policy.issuers.first {
                version = advanced;
            }
        }
        Ok(version)
    }

    /// Marks the claims of a subject as stale, under every name of its issuer.
    pub(crate) async fn mark_claims_stale(&self, subject: &str) -> Result<(), OperationError> {
        let at = self.now();
        for issuer in self.names_of(None, "a subject")? {
            let id = RegisterId::Stale(digest::of_subject(&issuer, subject));
            self.record(Revocation::Cutoff { id, above: 0, at }).await?;
        }
        Ok(())
    }

    async fn cut_off(
        &self,
        issuer: &str,
        subject: &str,
        above: u64,
        at: Timestamp,
    ) -> Result<u64, OperationError> {
        let id = RegisterId::Subject(digest::of_subject(issuer, subject));
        self.record(Revocation::Cutoff { id, above, at }).await
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
}
