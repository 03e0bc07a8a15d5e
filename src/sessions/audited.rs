//! What sessions write into the audit trail.

use crate::audit::event::{AuditKind, Outcome};
use crate::audit::handle::Draft;
use crate::revocation::digest;
use crate::sessions::cause::{Cause, Whom};
use crate::sessions::handle::Sessions;
use crate::sessions::logout::Reach;
use crate::sessions::session::Session;

impl<C> Sessions<C> {
    /// Returns the name of a subject of this issuer in audit events, by which a log is searched for a user's
    /// events; `None` [without subjects](crate::audit::AuditBuilder::without_subjects). Without a
    /// [`subject_key`](crate::audit::AuditBuilder::subject_key), it is the name in the events of this process
    /// alone. At a terminal: `sessionctl audit subject`.
    pub fn audit_subject(&self, subject: &str) -> Option<String> {
        let digest = digest::of_subject(&self.0.policy.issuers.first, subject);
        self.0.audit.subject(&digest, Some(subject))
    }

    /// The event of ending sessions, if there is a reader.
    pub(crate) fn ending_event(&self, cause: Cause, whom: Whom<'_>) -> Option<Draft> {
        let mut draft = self.event(cause.kind(), whom)?;
        draft.event.reach = cause.reach().map(Reach::as_str);
        draft.event.reason = cause.reason();
        Some(draft)
    }

    /// The event of a login, if there is a reader.
    pub(crate) fn login_event(&self, subject: &str, session_id: &str) -> Option<Draft> {
        let (session_id, subject) = (Some(session_id), Some(subject));
        self.event(AuditKind::Login, Whom { issuer: None, session_id, subject })
    }

    /// The event of a session whose cookie is cleared, where there are no revocations.
    pub(crate) fn cookie_event(&self, cause: Cause, session: &Session<C>) -> Option<Draft> {
        let mut draft = self.ending_event(cause, Whom::of(session))?;
        draft.event.outcome = Outcome::CookieOnly;
        Some(draft)
    }

    fn event(&self, kind: AuditKind, whom: Whom<'_>) -> Option<Draft> {
        let (audit, ring) = (&self.0.audit, self.0.keys.name());
        let mut draft = audit.begin(kind, ring, self.now())?;
        let Whom { issuer, session_id, subject } = whom;
        let issuer = issuer.unwrap_or(&self.0.policy.issuers.first);
        let event = &mut draft.event;
        if session_id.is_some() || subject.is_some() {
            event.issuer = Some(issuer.to_owned());
        }
        let is_own_id = self.0.policy.has_own_session_ids;
        event.session_id = session_id.map(|id| digest::shown_session(issuer, id, is_own_id));
        event.subject = subject
            .and_then(|subject| audit.subject(&digest::of_subject(issuer, subject), Some(subject)));
        Some(draft)
    }
}
