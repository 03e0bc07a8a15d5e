//! Faults and commands: the events of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;
use tower_jwt_session::{KeyState, OperationError};

use super::fleet;
use super::properties;
use super::world::{Replica, State, World, lock};

type Event = fn(&mut State, &Arc<World>, usize);

/// Something happens to a replica, or to the store. How often is up to the scenario.
pub(super) fn disturb(world: &Arc<World>) {
    let mut guard = lock(world);
    let state = &mut *guard;
    let faults = state.scenario.faults.clone();
    let events: [(u64, Event); 11] = [
        (faults.partition, cut_off),
        (faults.outage, outage),
        (faults.crash, crash),
        (faults.purge, |state, _, _| lose(state, false)),
        (faults.restore, |state, _, _| lose(state, true)),
        (faults.revoke, revoke),
        (faults.rotate, rotate),
        (faults.replace, replace_all),
        (faults.clock, |state, _, replica| set_clock(state, replica)),
        (faults.wild, go_wild),
        (faults.empty, empty_and_restart),
    ];
    let mut drawn = state.random.between(1, events.iter().map(|(weight, _)| weight).sum());
    let replica = state.random.index(state.replicas.len());
    for (weight, event) in events {
        if (1..=weight).contains(&drawn) {
            return event(state, world, replica);
        }
        drawn = drawn.saturating_sub(weight);
    }
}

/// The faults are over: from now on all has to come together.
pub(super) fn end(state: &mut State) {
    state.calm_ahead = true;
    state.trouble();
    state.shelf.down = false;
    for replica in 0..state.replicas.len() {
        state.replicas[replica].cut_off = false;
        fix_clock(state, replica);
    }
    state.tell("the faults are over".to_owned());
}

fn draw_duration(state: &mut State) -> Duration {
    let longest = state.scenario.overrun.max(2 * state.scenario.interval);
    Duration::from_millis(state.random.between(100, longest))
}

fn cut_off(state: &mut State, world: &Arc<World>, replica: usize) {
    if state.replicas[replica].cut_off {
        return;
    }
    let (lasts, world) = (draw_duration(state), world.clone());
    state.replicas[replica].cut_off = true;
    state.tell(format!("replica {replica}: cut off from the store for {lasts:?}"));
    tokio::spawn(async move {
        sleep(lasts).await;
        lock(&world).replicas[replica].cut_off = false;
    });
}

fn outage(state: &mut State, world: &Arc<World>, _: usize) {
    if state.shelf.down {
        return;
    }
    let (lasts, world) = (draw_duration(state), world.clone());
    state.shelf.down = true;
    state.tell(format!("store: down for {lasts:?}"));
    tokio::spawn(async move {
        sleep(lasts).await;
        lock(&world).shelf.down = false;
    });
}

/// A replica loses its memory; what it has asked the store for may still take place.
pub(super) fn crash(state: &mut State, world: &Arc<World>, replica: usize) {
    state.tell(format!("replica {replica}: crashes"));
    state.trouble();
    state.replicas[replica].life += 1;
    let (gone, life) = (state.replicas[replica].up.take(), state.replicas[replica].life);
    let wait = state.random.between(0, 2 * state.scenario.interval);
    tokio::spawn(fleet::start(world.clone(), replica, life, wait));
    // Its last tasks end with it, which must not be here: they tell of it.
    tokio::spawn(async move { drop(gone) });
}

/// The store loses what it holds, or what was written after its last backup.
pub(super) fn lose(state: &mut State, restore: bool) {
    // Not while a ring may still be born by someone slow: it would be the earlier one, and its
    // key would sign at once.
    if state.is_newborn() {
        return;
    }
    let now = state.now();
    state.shelf.entries = match restore {
        true => state.shelf.backup.clone(),
        false => BTreeMap::new(),
    };
    for held in state.shelf.entries.values_mut() {
        held.since = now;
    }
    let (entries, what) = (state.shelf.entries.len(), if restore { "restored" } else { "purged" });
    state.tell(format!("store: {what}, {entries} entries are left"));
    state.note_loss();
    state.push();
}

/// The store is emptied, and a replica restarted before the others have polled. The others go on, and
/// all have been ready before: what the store has lost they hold.
fn empty_and_restart(state: &mut State, world: &Arc<World>, replica: usize) {
    let is_ready = |replica: &Replica| {
        replica.up.as_ref().is_some_and(|up| !replica.cut_off && up.ring.ready().is_ok())
    };
    // The last restoration is over, its slowest write included: one that arrived in the emptied store
    // would be taken for the end of the next.
    let scenario = &state.scenario;
    let restoration = scenario.bound() + 2 * scenario.write_timeout;
    let whole =
        state.lost.is_none() || state.whole.is_some_and(|whole| whole + restoration < state.now());
    let ready = state.replicas.iter().all(is_ready);
    // What each has made or revoked, all others know: the one that is restarted may be the last to
    // hold it.
    let ups = state.replicas.iter().filter_map(|replica| replica.up.as_ref());
    let prints: BTreeSet<_> = ups.map(|up| up.ring.status().fingerprint).collect();
    if state.is_newborn() || !whole || !ready || prints.len() != 1 {
        return;
    }
    let now = state.now();
    let times = state.emptied.map_or(0, |(times, _)| times) + 1;
    state.emptied = Some((times, now));
    state.counted.emptied += 1;
    lose(state, false);
    state.tell(format!("replica {replica}: is restarted"));
    state.replicas[replica].life += 1;
    let (gone, life) = (state.replicas[replica].up.take(), state.replicas[replica].life);
    let wait = state.random.between(0, 200);
    tokio::spawn(fleet::start(world.clone(), replica, life, wait));
    tokio::spawn(async move { drop(gone) });
}

fn set_clock(state: &mut State, replica: usize) {
    if state.replicas[replica].wild {
        return;
    }
    let half = state.scenario.skew_of_clocks() / 2;
    let offset = state.random.between(0, 2 * half) as i64 - half as i64;
    state.replicas[replica].clock.offset.store(offset, Ordering::Relaxed);
    state.tell(format!("replica {replica}: its clock is now off by {offset} ms"));
}

/// A clock that is off by more than the policy allows for. It serves nobody, and does to the store
/// whatever it finds right.
fn go_wild(state: &mut State, world: &Arc<World>, replica: usize) {
    if state.replicas[replica].wild {
        return;
    }
    let (lasts, world) = (draw_duration(state), world.clone());
    let least = 2 * state.scenario.skew + 1_000;
    let most =
        [state.scenario.interval, 10 * state.scenario.interval, 40 * state.scenario.interval];
    let most = least + most[state.random.index(3)];
    let off = state.random.between(least, most) as i64;
    let offset = if state.random.percent(50) { off } else { -off };
    state.replicas[replica].clock.offset.store(offset, Ordering::Relaxed);
    state.replicas[replica].wild = true;
    state.was_wild = true;
    state.tell(format!("replica {replica}: its clock is off by {offset} ms for {lasts:?}"));
    state.note_loss();
    tokio::spawn(async move {
        sleep(lasts).await;
        fix_clock(&mut lock(&world), replica);
    });
}

fn fix_clock(state: &mut State, replica: usize) {
    if !state.replicas[replica].wild {
        return;
    }
    state.replicas[replica].wild = false;
    state.replicas[replica].trouble = Some(state.now());
    set_clock(state, replica);
    let now = state.now();
    // It has forgotten what ended by that clock, and will read it again.
    state.replicas[replica].up.iter_mut().for_each(|up| {
        up.knows.clear();
        up.revoked.clear();
        up.opened = now;
    });
    state.note_loss();
    state.note_emergency();
}

fn rotate(state: &mut State, world: &Arc<World>, replica: usize) {
    let Some(ring) = state.up(replica).map(|up| up.ring.clone()) else { return };
    let world = world.clone();
    state.trouble();
    state.tell(format!("replica {replica}: rotate_now()"));
    tokio::spawn(async move {
        let outcome = ring.rotate_now().await.map(|at| at.to_string());
        tell_outcome(&mut lock(&world), replica, "rotate_now", &outcome);
    });
}

fn replace_all(state: &mut State, world: &Arc<World>, replica: usize) {
    let Some(ring) = state.up(replica).map(|up| up.ring.clone()) else { return };
    let (world, asked) = (world.clone(), state.now());
    let all: Vec<_> = ring.status().keys.into_iter().map(|key| key.key_id).collect();
    state.tell(format!("replica {replica}: replace_all()"));
    note_revocation(state, replica, &all);
    state.replacing.insert(replica);
    tokio::spawn(async move {
        let outcome = ring.replace_all().await.map(|()| "done".to_owned());
        let state = &mut lock(&world);
        tell_outcome(state, replica, "replace_all", &outcome);
        if outcome.is_ok() {
            all.iter()
                .for_each(|kid| properties::tokens::reported_revoked(state, replica, kid, asked));
        }
    });
}

fn revoke(state: &mut State, world: &Arc<World>, replica: usize) {
    let Some(ring) = state.up(replica).map(|up| up.ring.clone()) else { return };
    let (world, asked, status) = (world.clone(), state.now(), ring.status());
    let alive = |state: KeyState| !matches!(state, KeyState::Revoked | KeyState::Gone);
    let keys: Vec<_> = status.keys.iter().filter(|key| alive(key.state)).collect();
    let drawn = state.random.index(keys.len());
    let kid = match status.signing_key_id.clone().filter(|_| state.random.percent(60)) {
        Some(signer) => signer,
        None if keys.is_empty() => return,
        None => keys[drawn].key_id.clone(),
    };
    let name = state.name(&kid);
    state.tell(format!("replica {replica}: revoke({name})"));
    note_revocation(state, replica, std::slice::from_ref(&kid));
    let successor = properties::tokens::has_successor(state, replica, &status, &kid);
    tokio::spawn(async move {
        let revoking = ring.revoke(&kid);
        let mut revoking = std::pin::pin!(revoking);
        // As far as it goes without waiting: the key is revoked here in the same instant.
        let outcome = tokio::select! {
            biased;
            outcome = &mut revoking => outcome,
            () = std::future::ready(()) => {
                if successor {
                    properties::tokens::successor_signs(&mut lock(&world), replica, &ring, &kid);
                }
                revoking.await
            }
        };
        let outcome = outcome.map(|()| "done".to_owned());
        let state = &mut lock(&world);
        tell_outcome(state, replica, "revoke", &outcome);
        if outcome.is_ok() {
            properties::tokens::reported_revoked(state, replica, &kid, asked);
        }
    });
}

fn note_revocation(state: &mut State, replica: usize, kids: &[String]) {
    state.trouble();
    state.note_emergency();
    for kid in kids {
        // To be seen by the task that revokes, which runs at this same time.
        state.replicas[replica].up.iter_mut().for_each(|up| _ = up.revoked.insert(kid.clone()));
        state.revocations.insert(kid.clone());
    }
}

fn tell_outcome(
    state: &mut State,
    replica: usize,
    what: &str,
    outcome: &Result<String, OperationError>,
) {
    state.trouble();
    let outcome = outcome.as_ref().map_or_else(ToString::to_string, Clone::clone);
    state.tell(format!("replica {replica}: {what}: {outcome}"));
}
