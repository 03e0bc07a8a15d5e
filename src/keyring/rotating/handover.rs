//! Rotation ahead of time: hands signing over to the next key of the ring's algorithm.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::keyring::error::RingError;
use crate::keyring::rotating::key_log::KeyLog;
use crate::keyring::rotating::record::{KeyRecord, MarkKind, Statement};
use crate::keyring::rotating::replica::{MOST_KEYS_AT_ONCE, Replica};
use crate::keys::schedule;
use crate::keys::schedule::{KeyTimes, ScheduledKey};

impl Replica {
    /// Hands signing over to the first later key of this replica's algorithm, for the time when that key
    /// has reached every replica and cache; all keys before it are retired for then. Makes it if there
    /// is none. Returns when it signs.
    ///
    /// # Errors
    ///
    /// If no key signs, or no such key could be made. Then no key is retired.
    pub(crate) async fn hand_over(&self, log: &mut KeyLog) -> Result<Timestamp, RingError> {
        if let Some(blocked) = &log.blocked {
            return Err(RingError::Blocked(blocked.clone()));
        }
        signing(log, self.clock.now())?;
        // A successor that is made only now takes the time of its writes: when the signer stops is
        // decided after that.
        self.create_due_keys(log).await?;
        self.create_successor(log).await?;
        let now = self.clock.now();
        let signer = signing(log, now)?;
        let next = self.successor(log, &signer, now).ok_or(RingError::NoSuccessor)?;
        let leads = Leads { replica: self.policy.replica_lead(), full: self.policy.full_lead() };
        let at = handover_at(&next, leads, now);
        let passed = passed_over(&log.schedule(), signer.generation, next.generation);
        let keys = signing_keys(log);
        let key_ids = passed.into_iter().map(|place| keys[place].0.key.key_id());
        for mark in key_ids.filter_map(|kid| log.mark(kid, at)).collect::<Vec<_>>() {
            self.write_statement(log, Statement::Mark(MarkKind::Retire, mark)).await?;
        }
        self.create_due_keys(log).await?;
        // Another replica's marks may have been there first.
        Ok(schedule::takes_over(&log.schedule(), next.generation, now).unwrap_or(at))
    }

    /// Makes a key of this replica's algorithm, unless one follows the signer: the published keys are of
    /// another where the setting was changed. Another replica may make a key of the same generation.
    async fn create_successor(&self, log: &mut KeyLog) -> Result<(), RingError> {
        for _ in 0..MOST_KEYS_AT_ONCE {
            let now = self.clock.now();
            let signer = signing(log, now)?;
            let Some(identity) = log.identity().cloned() else { break };
            if self.successor(log, &signer, now).is_some() {
                break;
            }
            let times = self.policy.handover_times(&log.schedule(), now);
            self.create_key(log, &identity, times).await?;
        }
        Ok(())
    }

    /// The first key after the signer that has this replica's algorithm and may sign.
    fn successor(
        &self,
        log: &KeyLog,
        signer: &ScheduledKey,
        now: Timestamp,
    ) -> Option<ScheduledKey> {
        let fits = |(record, next): &&(&KeyRecord, ScheduledKey)| {
            next.generation > signer.generation
                && next.is_unmarked()
                && !self.policy.is_of_the_future(next, now)
                && record.key.algorithm().canonical() == self.algorithm.canonical()
        };
        signing_keys(log).iter().find(fits).map(|(_, next)| next.clone())
    }
}

/// The keys that may sign, in order.
fn signing_keys(log: &KeyLog) -> Vec<(&KeyRecord, ScheduledKey)> {
    let (mut keys, signing) = log.keys();
    keys.truncate(signing);
    keys
}

/// The schedule of the key that signs.
fn signing(log: &KeyLog, now: Timestamp) -> Result<ScheduledKey, RingError> {
    let keys = signing_keys(log);
    let signer = schedule::signer(&keys, |(_, scheduled)| scheduled, now);
    signer.map(|(_, scheduled)| scheduled.clone()).ok_or(RingError::NoSigningKey)
}

/// How long before it signs a key is published: to replicas, and to caches of the JWKS, too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leads {
    pub(crate) replica: Duration,
    pub(crate) full: Duration,
}

/// When signing can be handed over to `next`: it has reached every replica and cache by then, and so have
/// the marks on the keys before it.
pub(crate) fn handover_at(next: &ScheduledKey, leads: Leads, now: Timestamp) -> Timestamp {
    let KeyTimes { published, propagated, jwks_propagated, .. } = next.times;
    let reached = (published + leads.full).max(propagated).max(jwks_propagated);
    (now + leads.replica).max(reached)
}

/// The places of the keys from the signer up to its successor that are not marked yet, the signer last: a
/// failure between two writes leaves it as it is.
pub(crate) fn passed_over(keys: &[ScheduledKey], signer: u64, next: u64) -> Vec<usize> {
    let is_passed =
        |key: &ScheduledKey| (signer..next).contains(&key.generation) && key.is_unmarked();
    (0..keys.len()).rev().filter(|place| is_passed(&keys[*place])).collect()
}
