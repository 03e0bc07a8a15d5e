//! The check of a verified token's session: what a request waits for.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::rejection::{Rejection, RejectionKind};
use crate::replica::founding::Wait;
use crate::revocation::handle::{Inner, Revocations};
use crate::revocation::known::Candidate;
use crate::revocation::rules::{self, Issued};
use crate::store::feed::{Register, RegisterId};

impl Revocations {
    /// Checks that a verified token's session is not revoked.
    pub(crate) fn check(&self, mut candidate: Candidate, now: Timestamp) -> Result<(), Rejection> {
        let inner = &*self.0;
        // Before the lookups: what was read until then is in the table.
        let known_at = inner.known_at.load(Ordering::Acquire);
        let subject = RegisterId::Subject(candidate.digests.subject);
        let versions = [
            (subject, &mut candidate.subject_version),
            (RegisterId::All, &mut candidate.all_version),
        ];
        for (id, version) in versions.into_iter().filter(|(_, version)| **version > 0) {
            let held = inner.known.register(id);
            let token = Issued { at: candidate.issued_at, version: *version };
            if held.is_none_or(|held| held.version < *version)
                && inner.note_claimed(id, held.as_ref(), &token, now)
            {
                *version = 0;
            }
        }
        inner.known.check(&candidate).map_err(Rejection::new)?;
        // Huge if the clock was set back before `known_at`.
        let age = now.as_unix_millis().wrapping_sub(known_at).cast_unsigned();
        if age > inner.usual_age { self.check_age(known_at, now) } else { Ok(()) }
    }

    /// Whether a token claims the version of a cutoff that this replica has not read.
    ///
    /// SECURITY: such a token is good, for the time that a read takes. It is not signed again, with a new
    /// `iat`: a version that was invented would be believed anew with each token.
    pub(crate) fn is_unread(&self, candidate: &Candidate, now: Timestamp) -> bool {
        let Candidate { digests, subject_version, all_version, .. } = candidate;
        let (subject, all) = (RegisterId::Subject(digests.subject), RegisterId::All);
        let mut claimed = [(subject, *subject_version), (all, *all_version)].into_iter();
        claimed.any(|(id, version)| {
            let held = (version > 0).then(|| self.0.known.register(id));
            held.is_some_and(|held| self.0.durations().is_unread(held.as_ref(), version, now))
        })
    }

    /// The kind of a rejection that the next read may lift.
    fn behind(&self) -> RejectionKind {
        RejectionKind::StaleRevocations { retry_after: self.0.place.polling.interval }
    }

    /// The rejection of a token with such a version where another one would follow: the next read shows it.
    #[cold]
    pub(crate) fn unread(&self) -> Rejection {
        let kind = self.behind();
        let expected =
            "a version that this replica has read: the next read shows it, or that there is none";
        kind.about("revocations", "the claim rv or rg is above them", expected)
    }

    /// The revocation that refuses a session, as text; `None` if none does.
    #[cold]
    pub(crate) fn describe(&self, token: &Candidate) -> Option<String> {
        let known = &self.0.known;
        let subject = known.subject(&token.digests.subject);
        let cutoffs = [
            (subject, token.subject_version, "logins of the subject"),
            (known.all(), token.all_version, "all logins"),
        ];
        let hit = cutoffs.into_iter().find_map(|(register, version, which)| {
            let register = register?;
            let is_hit = rules::hits(&register, version, token.login, token.slack);
            is_hit.then(|| {
                let login = token.login.map_or_else(|| "unknown".to_owned(), |it| it.to_string());
                let Register { at, version: of_cutoff, .. } = register;
                let slack = match token.login.is_some_and(|login| login > at) {
                    true => format!(
                        "; a login that did not know of it is refused for {:?} after it, too",
                        token.slack
                    ),
                    false => String::new(),
                };
                format!(
                    "{which} up to {at} were revoked (version {of_cutoff}); the login was at {login} \
                     (version {version}){slack}"
                )
            })
        });
        let is_session = || known.has_session(&token.digests.session);
        hit.or_else(|| is_session().then(|| "the session of this ID was revoked".to_owned()))
    }

    /// Refuses a session once what is held is too old, by either clock. The request may be the first to
    /// notice: the process may have been stopped, and no task has run since.
    #[cold]
    fn check_age(&self, known_at: i64, now: Timestamp) -> Result<(), Rejection> {
        let (age, limit) = (now - Timestamp::from_unix_millis(known_at), self.0.max_staleness);
        let is_stale = age > limit || self.is_stale();
        if is_stale { Err(self.stale("max_staleness", limit)) } else { Ok(()) }
    }

    /// Whether all is known that was recorded until that long ago.
    pub(crate) fn is_fresh(&self, longest: Duration) -> bool {
        let found = self.0.found.load();
        self.age() <= longest && found.wait.is_none() && found.newer_format.is_none()
    }

    /// The rejection where a setting requires fresher revocations; the next read may have them.
    #[cold]
    pub(crate) fn stale(&self, setting: &str, limit: Duration) -> Rejection {
        let kind = self.behind();
        let found = self.0.found.load();
        let (read_at, age) = (self.read_at(), self.age());
        let found = match (&found.wait, found.newer_format) {
            (Some(Wait { since, .. }), _) => {
                format!("waiting since {since} for live replicas to restore them")
            }
            (None, Some(format)) if age <= limit => {
                format!("revocations written by a newer version (format {format})")
            }
            _ => format!("last read {age:?} ago, at {read_at}"),
        };
        kind.about("revocations", found, format_args!("read at most {limit:?} ago (`{setting}`)"))
    }
}

impl Inner {
    /// Whether a version that a token claims, above the one that is held, counts as none: no issuer can
    /// know it, or the register was lost, which is then advanced. Otherwise this replica may be behind,
    /// and reads at once, unless a read was begun or asked for just now. Never waits: it is on the way of
    /// a request.
    #[cold]
    fn note_claimed(
        &self,
        id: RegisterId,
        held: Option<&Register>,
        token: &Issued,
        now: Timestamp,
    ) -> bool {
        if token.version > rules::highest_version(now) {
            return true;
        }
        let known_at = Timestamp::from_unix_millis(self.known_at.load(Ordering::Relaxed));
        let is_lost = self.durations().is_lost(held, token, Some(known_at), now);
        if is_lost {
            self.claims.note(id, token.version);
        }
        if self.cooldown.try_begin(now) {
            self.wake.notify_one();
        }
        is_lost
    }
}
