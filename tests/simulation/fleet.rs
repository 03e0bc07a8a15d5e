//! Replicas: how they start, and issue.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tower_jwt_session::{BuildError, KeyRing, Login, Sessions};

use super::properties;
use super::scenario::{Broken, Millis};
use super::store::Link;
use super::world::{State, Token, Up, World, lock};

/// Starts a replica, again and again until it opens.
pub(super) async fn start(world: Arc<World>, replica: usize, life: u64, wait: Millis) {
    sleep(Duration::from_millis(wait)).await;
    loop {
        let builder = {
            let mut state = lock(&world);
            if state.replicas[replica].life != life {
                return;
            }
            state.replicas[replica].trouble = None;
            let changed = state.replicas[replica].changed.clone();
            let link = Link { world: world.clone(), replica, life, changed };
            let scenario = &state.scenario;
            let at_once = scenario.founding.is_none() || scenario.broken == Some(Broken::Founding);
            let builder = KeyRing::builder("app").store(link);
            if at_once { builder.found_now() } else { builder }
                .algorithm(state.scenario.algorithm_of(replica, life))
                .rotation(state.scenario.policy.clone())
                .clock(state.replicas[replica].clock.clone())
                .jitter_seed(state.random.next())
        };
        let opened = builder.open().await;
        if is_up(&mut lock(&world), replica, life, opened) {
            return;
        }
        sleep(Duration::from_millis(500)).await;
    }
}

fn is_up(
    state: &mut State,
    replica: usize,
    life: u64,
    opened: Result<KeyRing, BuildError>,
) -> bool {
    if state.replicas[replica].life != life {
        return true;
    }
    let ring = match opened {
        Ok(ring) => ring,
        Err(error) => {
            state.tell(format!("replica {replica}: could not open: {error}"));
            return false;
        }
    };
    let lifetime = Duration::from_millis(state.scenario.token_lifetime);
    let sessions = Sessions::<()>::builder(ring.clone(), "https://app.example", "app")
        .idle_lifetime(lifetime)
        .absolute_lifetime(lifetime)
        // Thousands of replicas in one process have no room for a full one each.
        .token_cache_bytes(if state.replicas.len() < 100 { 65_536 } else { 0 })
        .build()
        .expect("the policy is good");
    let opened = state.now();
    let (knows, revoked, steady) = (BTreeMap::new(), BTreeSet::new(), None);
    state.replicas[replica].up = Some(Up { ring, sessions, opened, knows, revoked, steady });
    state.trouble();
    state.tell(format!("replica {replica}: opened"));
    properties::inspect(state, replica);
    true
}

/// A user logs in.
pub(super) fn issue(state: &mut State, replica: usize) {
    let Some(up) = state.up(replica).filter(|_| !state.replicas[replica].wild) else { return };
    let (ring, sessions) = (up.ring.clone(), up.sessions.clone());
    match sessions.issue(&Login::new("alice", ())) {
        Ok(token) => {
            state.counted.issued += 1;
            let text = token.as_str().to_owned();
            let session = sessions.validate(&text);
            let Ok(session) = session else {
                return state.fail(properties::REFUSED, "by the replica that issued it");
            };
            let (kid, expires) = (session.key_id().to_owned(), token.expires_at());
            properties::tokens::issued(state, replica, &kid);
            if state.tokens.len() == 40 {
                state.tokens.pop_front();
            }
            let issued = state.now();
            state.tokens.push_back(Token { text, kid, expires, by: replica, issued });
        }
        Err(error) => {
            if error.is_temporary() {
                state.counted.unavailable += 1;
                properties::tokens::unavailable(state, replica, &ring);
            }
        }
    }
}
