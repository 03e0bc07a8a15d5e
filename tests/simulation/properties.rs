//! The properties that must always hold. Each property has its name and is checked all the time.

pub(super) mod agreement;
pub(super) mod keys;
pub(super) mod tokens;

use tower_jwt_session::{Clock, Timestamp};

use super::scenario::Millis;
use super::world::State;

pub(super) const REFUSED: &str = "a token that is valid by policy is accepted by every replica";
pub(super) const EXPIRED: &str = "a token is not accepted past its time and the leeway";
pub(super) const REVOKED: &str = "within R of its revocation a key is refused everywhere";
pub(super) const REVOKED_HERE: &str =
    "a replica that knows of a revocation, or makes it, accepts that key never again";
pub(super) const SUCCEEDS: &str = "a revoked key's published successor signs in the same instant";
pub(super) const KNOWN: &str = "what stands in the store is known to every replica within R";
pub(super) const UNLEARNED: &str = "a replica un-learns no key before its life has ended";
pub(super) const SIGNER: &str =
    "the signer is that of the rule: the first that may, and none below the last that has begun";
pub(super) const ONE_KEY: &str =
    "a generation has one key and one signer, unless the store lost it";
pub(super) const ONE_RING: &str = "on an empty store one ring is born";
pub(super) const FOUNDED: &str =
    "a ready replica knows the keys that live replicas held when the store was emptied";
pub(super) const AVAILABLE: &str = "a replica issues, until the store has been down for G";
pub(super) const TWO_AHEAD: &str = "beside the key that signs there is one whose lead is complete";
pub(super) const RESTORED: &str =
    "what the store lost is restored within R, and known to all within R of that";
pub(super) const CONVERGED: &str = "replicas that nothing disturbs have the same keys";
pub(super) const TIDY: &str = "nothing stays in the store past the life of its key";

/// What timers may add by counting whole milliseconds.
const SLACK: Millis = 5;

/// Looks at what a replica holds and says.
pub(super) fn inspect(state: &mut State, replica: usize) {
    let Some(up) = state.up(replica).filter(|_| !state.replicas[replica].wild) else { return };
    let status = up.ring.status();
    let local = state.replicas[replica].clock.now();
    keys::check(state, replica, &status, local);
    note_steady(state, replica, &status, local);
}

/// Notes the first refresh after a revocation that did all there was to do.
fn note_steady(
    state: &mut State,
    replica: usize,
    status: &tower_jwt_session::KeyRingStatus,
    local: Timestamp,
) {
    let Some(last) = state.last_revocation else { return };
    let now = state.now();
    let settled = last + state.scenario.write_timeout + SLACK;
    let Some(up) = &mut state.replicas[replica].up else { return };
    let refreshed =
        status.refreshed_at.filter(|_| status.failure.is_none() && status.write_failure.is_none());
    let after = refreshed.is_some_and(|at| millis_ago(local, at) + settled < now);
    if up.steady.is_none() && after {
        up.steady = Some(now);
    }
}

/// Whether what happened at `since` is something that this replica must have seen, its reads of
/// the store having been answered.
fn has_seen(state: &State, replica: usize, since: Millis) -> bool {
    let latest = since.max(state.replicas[replica].trouble.unwrap_or(0));
    latest + state.scenario.bound() + SLACK <= state.now()
}

/// Whether a replica started on a store that had lost what others know, and may not know it yet.
fn is_newcomer(state: &State, replica: usize) -> bool {
    let Some((lost, up)) = state.lost.zip(state.up(replica)) else { return false };
    let whole = state.whole.is_some_and(|whole| has_seen(state, replica, whole));
    // It may have read the store before the loss, and opened after it, or the other way round.
    up.opened + state.scenario.bound() + SLACK >= lost && !whole
}

/// Whether for so long, and for the time that replicas take to tell each other, nothing has
/// failed and nothing was changed but keys made in their turn.
fn is_calm(state: &State, at_least: Millis) -> bool {
    let all_up = state.replicas.iter().all(|replica| replica.up.is_some());
    all_up && state.troubled + settling(state) + at_least <= state.now()
}

/// The time until restored entries reach the other replicas.
fn settling(state: &State) -> Millis {
    2 * state.scenario.bound() + 4 * state.scenario.write_timeout + 2 * state.scenario.skew + SLACK
}

fn millis_ago(now: Timestamp, then: Timestamp) -> Millis {
    (now - then).as_millis() as Millis
}
