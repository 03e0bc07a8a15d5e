//! What an operator tells a ring whose keys rotate in a store: rotate now, revoke a key, replace all.

use crate::clock::Timestamp;
use crate::keyring::ring::{KeyRing, RingError};

impl KeyRing {
    /// Begins a rotation ahead of time. The key that signs now stops once its successor has
    /// reached every replica and every cache of the JWKS; returns that time. Nothing is refused
    /// meanwhile or after, and nobody is logged out.
    ///
    /// # Errors
    ///
    /// If the store fails, the ring is not rotated here, no key signs, or no successor could be made:
    /// then nothing is retired.
    pub async fn rotate_now(&self) -> Result<Timestamp, RingError> {
        let rotator = self.rotator()?;
        let mut ledger = rotator.ledger.lock().await;
        let read = self.read(rotator, &mut ledger).await;
        self.note_refresh(&read);
        read?;
        let retired = rotator.in_time(rotator.retire_signer(&mut ledger)).await;
        self.publish(rotator.snapshot(&ledger));
        self.log_pause(self.now());
        retired
    }

    /// Revokes a key, for one that has leaked: it neither signs nor verifies any more, here at
    /// once and on the other replicas when they see it. Its published successor signs; where that has
    /// not reached every replica yet, after a second revocation or in a ring's first minutes, issuing
    /// is [paused](crate::RingStatus::issuing_paused) until it has, and answers 503. Replicas stay
    /// ready meanwhile. Whoever holds a token of that key has to log in again.
    ///
    /// Services that follow the JWKS may accept its tokens, and refuse its successor's, until
    /// their caches expire.
    ///
    /// # Errors
    ///
    /// If the ring has no such key, or the store fails; then the key is revoked here, and the
    /// others are told as soon as the store is back.
    pub async fn revoke(&self, key_id: &str) -> Result<(), RingError> {
        self.revoke_where(
            |held| held == key_id,
            |found| match found.is_empty() {
                false => Ok(()),
                true => Err(RingError::UnknownKey(key_id.to_owned())),
            },
        )
        .await
    }

    /// Revokes every key, for a store that has leaked, and makes new ones. Until every replica has
    /// the first of them, for the replica lead, issuing is
    /// [paused](crate::RingStatus::issuing_paused) and answers 503, while replicas stay ready;
    /// everyone logs in again.
    ///
    /// # Errors
    ///
    /// If the store fails; then the keys are revoked here, and the others are told as soon as the
    /// store is back.
    pub async fn replace_all(&self) -> Result<(), RingError> {
        self.revoke_where(|_| true, |_| Ok(())).await
    }

    /// Revokes the keys that `choose` takes: the known ones at once, before the store is asked and
    /// whatever becomes of it, or of this future; and those that the store adds.
    async fn revoke_where(
        &self,
        choose: impl Fn(&str) -> bool,
        check: impl FnOnce(&[String]) -> Result<(), RingError>,
    ) -> Result<(), RingError> {
        let rotator = self.rotator()?;
        self.revoke_here(self.0.keys.load().keys().iter().map(|key| key.key.key_id()), &choose);
        let mut ledger = rotator.ledger.lock().await;
        self.take_revocations(&mut ledger);
        let read = rotator.read(&mut ledger).await;
        let held = ledger.key_ids();
        self.revoke_here(held.iter().map(String::as_str), &choose);
        self.take_revocations(&mut ledger);
        self.publish(rotator.snapshot(&ledger));
        let chosen: Vec<_> = held.into_iter().filter(|key_id| choose(key_id)).collect();
        check(&chosen)?;
        let told = rotator.in_time(rotator.tell_revoked(&mut ledger, chosen)).await;
        self.publish(rotator.snapshot(&ledger));
        self.log_pause(self.now());
        read.map(|_| ()).and(told)
    }

    fn revoke_here<'k>(
        &self,
        key_ids: impl Iterator<Item = &'k str>,
        choose: impl Fn(&str) -> bool,
    ) {
        let chosen = key_ids.filter(|key_id| choose(key_id)).map(str::to_owned);
        let mut revocations = self.revocations();
        revocations.extend(chosen);
        let keys = (**self.0.keys.load()).clone();
        self.publish_less(keys, &revocations);
    }
}
