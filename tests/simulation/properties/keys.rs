//! Properties of what one replica holds: its signer, its memory, what it knows of the store.

use std::collections::BTreeSet;

use tower_jwt_session::{KeyRingStatus, KeyState, KeyStatus, KeyTimes, Timestamp};

use super::super::store::Says;
use super::super::world::State;
use super::{
    KNOWN, ONE_KEY, ONE_RING, REVOKED_HERE, SIGNER, TWO_AHEAD, UNLEARNED, has_seen, is_calm,
};

pub(super) fn check(state: &mut State, replica: usize, status: &KeyRingStatus, local: Timestamp) {
    check_signer(state, replica, status, local);
    check_memory(state, replica, status, local);
    check_knowledge(state, replica, status, local);
    check_two_ahead(state, replica, status, local);
}

fn ring_of<'s>(state: &'s State, key: &KeyStatus) -> Option<&'s str> {
    state.keys.get(&key.key_id).map(|fact| &*fact.ring)
}

/// The keys that may sign: those of the first ring.
fn signing<'s>(state: &'s State, status: &'s KeyRingStatus) -> impl Iterator<Item = &'s KeyStatus> {
    let first = status.keys.first().and_then(|key| ring_of(state, key));
    status.keys.iter().take_while(move |key| ring_of(state, key) == first)
}

fn is_revoked(key: &KeyStatus) -> bool {
    key.state == KeyState::Revoked
}

pub(super) fn may_sign(key: &KeyStatus, now: Timestamp) -> bool {
    let has_lead = key.times.propagated > key.times.published;
    (!has_lead || key.times.propagated <= now)
        && !is_revoked(key)
        && key.retire_at.is_none_or(|retire_at| now < retire_at)
        && now < key.times.signs_latest
}

/// The rule for who signs, written once more: so that replicas with the same keys agree.
fn check_signer(state: &mut State, replica: usize, status: &KeyRingStatus, local: Timestamp) {
    let keys: Vec<_> = signing(state, status).collect();
    let generations: BTreeSet<_> = keys.iter().map(|key| key.generation).collect();
    let doubled = generations.len() < keys.len();
    let begun = keys.iter().filter(|key| key.times.signs_from <= local);
    let last_begun = begun.map(|key| key.generation).max().unwrap_or(0);
    let mut expected =
        keys.iter().filter(|key| key.generation >= last_begun && may_sign(key, local));
    let expected = expected.next().map(|key| key.key_id.clone());
    if expected != status.signing_key_id {
        let [expected, signer] = [expected.as_ref(), status.signing_key_id.as_ref()]
            .map(|kid| kid.map_or_else(|| "none".to_owned(), |kid| state.name(kid)));
        state.fail(SIGNER, format!("replica {replica} signs with {signer}, not {expected}"));
    }
    if doubled && state.lost.is_none() {
        state.fail(ONE_KEY, format!("replica {replica} has two of one"));
    }
    let rings: BTreeSet<_> = state.keys.values().map(|fact| &fact.ring).collect();
    let rings = rings.len();
    if rings > 1 && (state.lost.is_none() || state.scenario.founding.is_some()) {
        state.fail(ONE_RING, format!("there are {rings}"));
    }
}

fn check_memory(state: &mut State, replica: usize, status: &KeyRingStatus, local: Timestamp) {
    let Some(up) = &mut state.replicas[replica].up else { return };
    let held: BTreeSet<_> = status.keys.iter().map(|key| &*key.key_id).collect();
    let lives = |times: &KeyTimes| local < times.verifies_until;
    let forgotten = up.knows.iter().find(|(kid, times)| lives(times) && !held.contains(&***kid));
    let forgotten = forgotten.map(|(kid, _)| kid.clone());
    let revoked =
        |kid: &String| status.keys.iter().any(|key| key.key_id == *kid && is_revoked(key));
    // What it is about to revoke is none of what it has been seen to know.
    up.knows = status.keys.iter().map(|key| (key.key_id.clone(), key.times)).collect();
    up.revoked.extend(status.keys.iter().filter(|k| is_revoked(k)).map(|k| k.key_id.clone()));
    let alive = |kid: &&String| up.knows.get(*kid).is_some_and(lives);
    let risen = up.revoked.iter().filter(alive).find(|kid| !revoked(kid)).cloned();
    if let Some(kid) = forgotten {
        state.fail(UNLEARNED, format!("replica {replica}: {}", state.name(&kid)));
    }
    if let Some(kid) = risen {
        let name = state.name(&kid);
        state.fail(REVOKED_HERE, format!("replica {replica}: {name} is not revoked"));
    }
}

/// R itself: what has stood in the store for that long is known.
fn check_knowledge(state: &mut State, replica: usize, status: &KeyRingStatus, local: Timestamp) {
    let unknown = state.shelf.entries.values().find(|held| {
        let key = |kid: &String| status.keys.iter().find(|key| key.key_id == *kid);
        let known = match &held.says {
            Says::Birth { .. } | Says::Note => true,
            Says::Key { kid, .. } => key(kid).is_some() || has_ended(state, kid, local),
            Says::Retire { kid } => key(kid).is_none_or(|key| key.retire_at.is_some()),
            Says::Revoke { kid } => key(kid).is_none_or(is_revoked),
        };
        !known && has_seen(state, replica, held.since)
    });
    if let Some(held) = unknown {
        let (since, says) = (held.since, held.says.clone());
        state.fail(KNOWN, format!("replica {replica}: {says:?}, there since {since} ms"));
    }
}

/// A key that a replica need not have any more, as another knows by its times.
pub(super) fn has_ended(state: &State, kid: &str, local: Timestamp) -> bool {
    state.keys.get(kid).is_some_and(|fact| fact.verifies_until <= local)
}

/// What a calm fleet must have beside its signer.
fn check_two_ahead(state: &mut State, replica: usize, status: &KeyRingStatus, local: Timestamp) {
    // What a wrong clock has made stays until its time has passed.
    if state.was_wild || !is_calm(state, state.scenario.replica_lead()) {
        return;
    }
    let signer = status.signing_key_id.as_ref();
    let after = signing(state, status).skip_while(|key| Some(&key.key_id) != signer).skip(1);
    let next = after.filter(|key| key.retire_at.is_none() && may_sign(key, local));
    if next.count() == 0 || status.rotation_overdue {
        let overdue = status.rotation_overdue;
        state.fail(TWO_AHEAD, format!("replica {replica}, overdue: {overdue}"));
    }
}
