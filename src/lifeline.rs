//! What a session that was accepted still hangs on, for connections that outlive its request.

use std::future::pending;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::RejectionKind;
use crate::keys::KeyRing;
use crate::revocation::Revocations;
use crate::token::Verified;

/// The ring with its clock, and what has been ended.
#[derive(Clone, Debug)]
pub(crate) struct Lifeline {
    pub(crate) keys: KeyRing,
    pub(crate) revocations: Option<Revocations>,
}

impl Lifeline {
    /// Refuses a session that was ended before its time; the version in which it was looked up.
    pub(crate) fn check<C>(
        &self,
        verified: &Verified<C>,
        now: Timestamp,
    ) -> Result<u64, RejectionKind> {
        let leeway = self.keys.policy().clock_skew;
        let check =
            |revocations: &Revocations| revocations.check(&verified.candidate(), leeway, now);
        self.revocations.as_ref().map_or(Ok(0), check)
    }

    /// Waits until a request with the session would be refused, and says why.
    pub(crate) async fn cut<C>(&self, verified: &Verified<C>) -> RejectionKind {
        let mut changes = self.revocations.as_ref().map(Revocations::changes);
        loop {
            let now = self.keys.now();
            if verified.valid.end <= now {
                return RejectionKind::Expired;
            }
            let key_id = verified.texts.key_id();
            let keys = self.keys.keys(now);
            if !keys.by_key_id(key_id).is_some_and(|key| key.scheduled.verifies(now)) {
                return RejectionKind::UnknownKey;
            }
            drop(keys);
            if let Err(kind) = self.check(verified, now) {
                return kind;
            }
            let changed = async {
                match &mut changes {
                    // It ends only with the revocations, which are held here.
                    Some(changes) => drop(changes.changed().await),
                    None => pending().await,
                }
            };
            // Nobody tells of a key that was revoked, nor of a clock that was set.
            let longest = LOOK_AGAIN.min(verified.valid.end - now);
            let _ = tokio::time::timeout(longest, changed).await;
        }
    }
}

const LOOK_AGAIN: Duration = Duration::from_secs(15);
