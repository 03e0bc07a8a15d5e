//! The check of a verified token's session: what a request waits for.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::rejection::RejectionKind;
use crate::revocation::handle::{Inner, Revocations};
use crate::revocation::known::Candidate;
use crate::revocation::rules::{self, Issued};
use crate::store::feed::{Register, RegisterId};

impl Revocations {
    /// Checks that a verified token's session is not revoked.
    pub(crate) fn check(
        &self,
        mut candidate: Candidate,
        now: Timestamp,
    ) -> Result<(), RejectionKind> {
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
        inner.known.check(&candidate)?;
        // Huge if the clock was set back before `known_at`.
        let age = now.as_unix_millis().wrapping_sub(known_at).cast_unsigned();
        if age > inner.usual_age { self.check_age(known_at, now) } else { Ok(()) }
    }

    /// Refuses a session once what is held is too old, by either clock. The request may be the first to
    /// notice: the process may have been stopped, and no task has run since.
    #[cold]
    fn check_age(&self, known_at: i64, now: Timestamp) -> Result<(), RejectionKind> {
        let age = now - Timestamp::from_unix_millis(known_at);
        if age > self.0.max_staleness || self.is_stale() { Err(self.stale()) } else { Ok(()) }
    }

    /// Whether all is known that was recorded until that long ago.
    pub(crate) fn is_fresh(&self, longest: Duration) -> bool {
        let found = self.0.found.load();
        self.age() <= longest && found.wait.is_none() && found.newer_format.is_none()
    }

    /// The rejection if fresher revocations are required; the next read may have them.
    pub(crate) fn stale(&self) -> RejectionKind {
        RejectionKind::StaleRevocations { retry_after: self.0.place.polling.interval }
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
