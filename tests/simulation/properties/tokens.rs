//! Properties of tokens: who issues, who accepts, who refuses.

use std::time::Duration;

use tower_jwt_session::{Clock, KeyRing, KeyRingStatus, KeyState};

use super::super::scenario::Millis;
use super::super::store::Says;
use super::super::world::{State, Token};
use super::{
    AVAILABLE, EXPIRED, FOUNDED, ONE_KEY, REFUSED, REVOKED, REVOKED_HERE, SUCCEEDS, has_seen,
    is_newcomer, keys, millis_ago,
};

/// Presents a token at a replica.
pub(in super::super) fn present(state: &mut State, token: &Token, replica: usize) {
    let Some(up) = state.up(replica).filter(|_| !state.replicas[replica].wild) else { return };
    let (ready, knows) = (up.ring.ready().is_ok(), up.knows.contains_key(&token.kid));
    let revoked_here = up.revoked.contains(&token.kid);
    let result = up.sessions.validate(&token.text);
    let local = state.replicas[replica].clock.now();
    let name = state.name(&token.kid);
    let detail = format!("token of {name}, issued by replica {}, at replica {replica}", token.by);
    if let Err(rejection) = result {
        if state.scenario.founding.is_some()
            && ready
            && local < token.expires
            && !state.revocations.contains(&token.kid)
            && state.emptied.is_some_and(|(_, since)| token.issued < since)
        {
            state.fail(FOUNDED, &detail);
        }
        let excused = local >= token.expires
            || state.revocations.contains(&token.kid)
            || state.replacing.contains(&replica) && is_revoked_at(state, replica, &token.kid)
            || !knows && (!ready || may_not_know(state, &token.kid, replica));
        match excused {
            true => state.counted.excused += 1,
            false => state.fail(REFUSED, format!("{detail}: {rejection}")),
        }
        return;
    }
    state.counted.accepted += 1;
    if local >= token.expires + Duration::from_millis(state.scenario.skew) {
        state.fail(EXPIRED, &detail);
    }
    if revoked_here {
        state.fail(REVOKED_HERE, &detail);
    }
    let marked = state.standing(&Says::Revoke { kid: token.kid.clone() });
    let reported = state
        .reported_revoked
        .get(&token.kid)
        .filter(|reported| state.lost_nothing_since(**reported));
    if marked.or(reported.copied()).is_some_and(|since| has_seen(state, replica, since)) {
        state.fail(REVOKED, detail);
    }
}

/// Whether a replica says that this key is revoked.
fn is_revoked_at(state: &State, replica: usize, kid: &str) -> bool {
    let keys = state.up(replica).map(|up| up.ring.status().keys).unwrap_or_default();
    keys.iter().any(|key| key.key_id == kid && key.state == KeyState::Revoked)
}

/// Whether a replica's reads have failed for too long, or the store has lost the key and not had
/// it back for long enough.
fn may_not_know(state: &State, kid: &str, replica: usize) -> bool {
    let key = |says: &Says| matches!(says, Says::Key { kid: held, .. } if held == kid);
    let mut standing = state.shelf.entries.values().filter(|held| key(&held.says));
    let seen = |since| has_seen(state, replica, since);
    !seen(0) || state.lost.is_some() && !standing.any(|held| seen(held.since))
}

/// Notes which key signs for a generation, of which there is one.
pub(in super::super) fn issued(state: &mut State, replica: usize, kid: &str) {
    let Some(fact) = state.keys.get(kid) else {
        return state.fail(ONE_KEY, format!("replica {replica} signs with one that nobody stored"));
    };
    let generation = (fact.ring.clone(), fact.generation);
    let signer = state.signers.entry(generation).or_insert_with(|| kid.to_owned());
    if signer != kid && state.lost.is_none() {
        let [one, other] = [signer.clone(), kid.to_owned()].map(|kid| state.name(&kid));
        state.fail(ONE_KEY, format!("{one} has signed, and now {other} at replica {replica}"));
    }
}

/// A replica that can't issue.
pub(in super::super) fn unavailable(state: &mut State, replica: usize, ring: &KeyRing) {
    let status = ring.status();
    let (now, local) = (state.now(), state.replicas[replica].clock.now());
    let Some(up) = state.up(replica) else { return };
    let lead = state.scenario.replica_lead() + 2 * state.scenario.skew + state.scenario.bound();
    let steady = up.steady.is_some_and(|since| since + lead <= now);
    let refreshed = status.refreshed_at.map_or(Millis::MAX, |at| millis_ago(local, at));
    let slow = 5 * state.scenario.write_timeout + 2 * state.scenario.skew;
    let down = refreshed.saturating_add(slow);
    let excused = (state.last_revocation.is_some() && !steady)
        || down >= state.scenario.overrun
        || state.replicas.iter().any(|replica| replica.wild)
        || is_newcomer(state, replica)
        || state.scenario.founding.is_some() && ring.ready().is_err();
    if !excused {
        state.fail(AVAILABLE, format!("replica {replica}, {refreshed} ms after its refresh"));
    }
}

/// Whether beside this key there is another that can take over at once, and is revoked nowhere:
/// revoking reads the store, which may be as fast as that.
pub(in super::super) fn has_successor(
    state: &State,
    replica: usize,
    status: &KeyRingStatus,
    kid: &str,
) -> bool {
    let now = state.replicas[replica].clock.now();
    let signer = status.signing_key_id.as_deref();
    let mut after = status.keys.iter().skip_while(|key| Some(&*key.key_id) != signer).skip(1);
    signer == Some(kid)
        && after.any(|key| {
            key.times.signs_from > now
                && keys::may_sign(key, now)
                && !state.revocations.contains(&key.key_id)
        })
}

pub(in super::super) fn successor_signs(
    state: &mut State,
    replica: usize,
    ring: &KeyRing,
    kid: &str,
) {
    let signer = ring.status().signing_key_id;
    if signer.is_none() || signer.as_deref() == Some(kid) {
        state.fail(SUCCEEDS, format!("replica {replica}"));
    }
}

/// A revocation that its replica calls done stands in the store, for all to see.
pub(in super::super) fn reported_revoked(
    state: &mut State,
    replica: usize,
    kid: &str,
    asked: Millis,
) {
    let now = state.now();
    if !state.lost_nothing_since(asked) {
        return;
    }
    state.reported_revoked.insert(kid.to_owned(), now);
    let ended = keys::has_ended(state, kid, state.replicas[replica].clock.now());
    if state.standing(&Says::Revoke { kid: kid.to_owned() }).is_none() && !ended {
        let name = state.name(kid);
        state.fail(REVOKED, format!("replica {replica} says that it has revoked {name}"));
    }
}
