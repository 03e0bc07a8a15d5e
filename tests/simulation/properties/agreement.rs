//! Properties of all replicas together, and of what they leave in the store.

use std::collections::BTreeSet;
use std::time::Duration;

use tower_jwt_session::Clock;

use super::super::scenario::Millis;
use super::super::store::Says;
use super::super::world::State;
use super::{CONVERGED, RESTORED, SLACK, TIDY, settling};

/// The time to restore all entries of a ring, one after the other.
const ALL_WRITES: Millis = 1_000;

/// Looks at all replicas at once.
pub(in super::super) fn compare(state: &mut State) {
    note_wholeness(state);
    if state.disturbed + settling(state) > state.now()
        || state
            .replicas
            .iter()
            .any(|replica| replica.up.is_none() || replica.cut_off || replica.wild)
        || state.shelf.down
        || is_some_key_ending(state)
    {
        return;
    }
    state.counted.fingerprints_compared += 1;
    let ups = state.replicas.iter().filter_map(|replica| replica.up.as_ref());
    let prints: Vec<_> = ups.map(|up| up.ring.status().fingerprint).collect();
    if prints.iter().any(|print| *print != prints[0]) {
        state.fail(CONVERGED, format!("{prints:?}"));
    }
    let values = state.shelf.entries.values();
    let keys = values.filter_map(|held| match &held.says {
        Says::Key { kid, .. } => Some(kid),
        _ => None,
    });
    let keys: BTreeSet<_> = keys.collect();
    let orphan = state.shelf.entries.values().find(|held| match &held.says {
        Says::Retire { kid } | Says::Revoke { kid } => !keys.contains(kid),
        _ => false,
    });
    if let Some(orphan) = orphan {
        let says = orphan.says.clone();
        state.fail(TIDY, format!("{says:?}"));
    }
}

/// Whether replicas are about to forget a key, each when its clock says so.
fn is_some_key_ending(state: &State) -> bool {
    let margin = Duration::from_millis(settling(state) + 4 * state.scenario.skew);
    state.replicas.iter().any(|replica| {
        let (now, ups) = (replica.clock.now(), replica.up.iter());
        ups.flat_map(|up| up.knows.values()).any(|times| {
            times.verifies_until <= now + margin && now <= times.verifies_until + margin
        })
    })
}

/// Notes when live replicas have restored what the store had lost; where it answers at once, that
/// is the next time that each of them reads it.
fn note_wholeness(state: &mut State) {
    let Some(lost) = state.lost.filter(|_| state.whole.is_none()) else { return };
    let scenario = &state.scenario;
    // A clock that is far off removes what the others restored.
    let wild = state.replicas.iter().any(|replica| replica.wild);
    let prompt = scenario.faults.slow == 0 && state.troubled <= lost && !wild;
    let within = scenario.bound() + scenario.write_timeout.max(ALL_WRITES) + SLACK;
    if is_whole(state) {
        state.whole = Some(state.now());
        state.tell("store: whole again".to_owned());
    } else if prompt && lost + within < state.now() {
        state.fail(RESTORED, "not yet");
    }
}

fn is_whole(state: &State) -> bool {
    let stands = |kid: &String, revoked: bool| {
        state.shelf.entries.values().any(|held| match &held.says {
            Says::Key { kid: held, .. } => !revoked && held == kid,
            Says::Revoke { kid: held } => revoked && held == kid,
            _ => false,
        })
    };
    state.replicas.iter().filter(|replica| !replica.wild).all(|replica| {
        let now = replica.clock.now() + Duration::from_millis(4 * state.scenario.skew);
        replica.up.iter().all(|up| {
            let mut lives = up.knows.iter().filter(|(_, times)| now < times.verifies_until);
            lives.all(|(kid, _)| {
                stands(kid, false) && (!up.revoked.contains(kid) || stands(kid, true))
            })
        })
    })
}
