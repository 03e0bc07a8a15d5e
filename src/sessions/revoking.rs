//! Revocations under every accepted name of an issuer: a token is looked up under the name in its own `iss`.

use crate::clock::Timestamp;
use crate::error::operation::OperationError;
use crate::revocation::digest;
use crate::revocation::writer::Revocation;
use crate::sessions::handle::Sessions;
use crate::sessions::session::Session;
use crate::store::feed::RegisterId;
use crate::token::verified::Verified;

impl<C> Sessions<C> {
    /// Revokes the session of that ID, under every name of its issuer.
    pub(crate) async fn record_session(&self, session_id: &str) -> Result<(), OperationError> {
        let mut recorded = Vec::new();
        for issuer in self.0.policy.issuers.iter() {
            let digest = digest::of_session(issuer, session_id);
            // An ID of this crate is its own digest, whoever the issuer is.
            if !recorded.contains(&digest) {
                self.record(Revocation::Session(digest)).await?;
                recorded.push(digest);
            }
        }
        Ok(())
    }

    /// Revokes the logins of a subject until `at`, under every name of its issuer. `session` is one of its
    /// sessions, if one is at hand.
    pub(crate) async fn cut_off_subject(
        &self,
        subject: &str,
        session: Option<&Session<C>>,
        at: Timestamp,
    ) -> Result<(), OperationError> {
        for issuer in self.0.policy.issuers.iter() {
            let id = RegisterId::Subject(digest::of_subject(issuer, subject));
            // A session knows the version of its own name's register.
            let own = session.filter(|session| session.issuer() == issuer);
            let above = own.map_or(0, |session| session.verified().versions.subject);
            self.record(Revocation::Cutoff { id, above, at }).await?;
        }
        Ok(())
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
