//! What a session that was accepted still hangs on, for connections that outlive its request.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::RejectionKind;
use crate::keyring::ring::KeyRing;
use crate::revocation::handle::Revocations;
use crate::token::verified::Verified;

/// A lifeline, many times. Each verification takes hold of one, and threads that took hold of the same
/// would wait for each other to count themselves.
#[derive(Clone, Debug)]
pub(crate) struct Lifelines(Arc<[Arc<Lifeline>]>);

/// More than there are threads that verify, as a rule.
const LIFELINES: usize = 64;

impl Lifelines {
    pub(crate) fn new(lifeline: &Lifeline) -> Self {
        Self((0..LIFELINES).map(|_| Arc::new(lifeline.clone())).collect())
    }

    /// One to look at.
    pub(crate) fn any(&self) -> &Lifeline {
        &self.0[0]
    }

    /// The one that this thread takes hold of, mostly alone.
    pub(crate) fn of_this_thread(&self) -> &Arc<Lifeline> {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static NUMBER: usize = THREADS.fetch_add(1, Relaxed));
        &self.0[NUMBER.with(|number| number % LIFELINES)]
    }
}

/// The ring with its clock, and what has been ended. It begins a line of the processor's cache, so that
/// its count of references has one to itself.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(crate) struct Lifeline {
    pub(crate) keys: KeyRing,
    pub(crate) revocations: Option<Revocations>,
    /// Whether `iat` stands in for a login time that is missing.
    pub(crate) revokes_by_issued_at: bool,
}

impl Lifeline {
    /// Refuses a session that was ended before its time; the version in which it was looked up.
    pub(crate) fn check<C>(
        &self,
        verified: &Verified<C>,
        now: Timestamp,
    ) -> Result<u64, RejectionKind> {
        let leeway = self.keys.policy().clock_skew;
        let check = |revocations: &Revocations| {
            let mut candidate = verified.candidate();
            if candidate.authenticated_at.is_none() && self.revokes_by_issued_at {
                candidate.authenticated_at = Some(verified.issued_at);
            }
            revocations.check(candidate, leeway, now)
        };
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
            let key_id = &verified.key_id;
            let keys = self.keys.keys(now);
            let key = keys.by_key_id(key_id, verified.algorithm);
            if !key.is_some_and(|key| keys.verifies(key, now)) {
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::thread;

    use super::*;
    use crate::Algorithm;
    use crate::keys::key::Key;

    #[test]
    #[cfg_attr(miri, ignore = "keys are not of Rust alone")]
    fn threads_have_lifelines_of_their_own() {
        let key = Key::hmac_from_text(Algorithm::HS256, [7; 32]).expect("long enough");
        let keys = KeyRing::fixed([key]).expect("one key");
        let lifelines =
            Lifelines::new(&Lifeline { keys, revocations: None, revokes_by_issued_at: false });
        let taken = || Arc::as_ptr(lifelines.of_this_thread()).addr();
        assert_eq!(taken(), taken());
        // Other tests start threads, too, so that two may have come by the same.
        let of_others: HashSet<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(taken)).collect();
            threads.into_iter().map(|thread| thread.join().expect("an address")).collect()
        });
        assert!(of_others.len() > 1);
    }
}
