//! Replicas that lose their store for a while, and a store that comes back empty.
//!
//! First the network between replicas and store stands still, while another replica logs sessions out: all
//! must know them within the bound once it works again. Then the replicas' connections are closed, and new
//! ones lead to an empty server: all that was lost must be in it again, restored by one replica per part.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::time::sleep;
use tower_jwt_session::store::{FeedRead, RevocationStore};

use crate::counted::Counts;
use crate::engine::{Engine, FEED, Kind, SERVERS, fill, until};
use crate::figures::{Figure, Figures};
use crate::fleet::Fleet;
use crate::forwarder::Forwarder;
use crate::settings::Settings;

const PART: &str = "outage";
const INTERVAL: Duration = Duration::from_secs(15);
/// How often the other replica logs out a group of sessions.
const PAUSE: Duration = Duration::from_millis(100);
const GROUP: usize = 30;

pub(crate) fn run(settings: &Settings, figures: &mut Figures) {
    for kind in SERVERS {
        let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
        runtime.block_on(lose(kind, settings, figures));
    }
}

async fn lose(kind: Kind, settings: &Settings, figures: &mut Figures) {
    let Settings { outage_replicas: replicas, outage_revoked: revoked, outage_seconds, .. } =
        *settings;
    let engine = Engine::start(kind).await;
    fill(&*engine.door().store().await, revoked).await;
    let forwarder = Forwarder::to(engine.port(), Duration::ZERO).await;
    let fleet = Fleet::open(&engine.door_at(forwarder.port), replicas, INTERVAL).await;
    let bound = fleet.bound().as_secs_f64();
    let named = |what: &str| format!("{kind}, {replicas} replicas with {revoked}, {what}");
    let figure = |what: &str, found, unit| Figure::new(PART, named(what), found, unit);

    let other = Fleet::open(&engine.door(), 1, INTERVAL).await;
    forwarder.stop();
    let (start, mut ended) = (Instant::now(), Vec::new());
    while start.elapsed() < Duration::from_secs(outage_seconds) {
        let tokens = other.tokens(GROUP);
        let sessions = tokens.iter().map(|token| other.replicas[0].validate(token));
        let logouts = sessions.map(|session| {
            let other = other.replicas[0].clone();
            tokio::spawn(async move { other.logout(&session.expect("a good token")).await })
        });
        for logout in logouts.collect::<Vec<_>>() {
            logout.await.expect("does not panic").expect("is recorded");
        }
        ended.extend(tokens);
        sleep(PAUSE).await;
    }
    forwarder.go_on();
    let seen =
        until(fleet.bound() * 2, async || ended.iter().all(|token| fleet.accepting(token) == 0));
    let seconds = seen.await.map_or(f64::INFINITY, |time| time.as_secs_f64());
    let what =
        format!("all {} logouts seen after {outage_seconds} s without the store", ended.len());
    figures.add(figure(&what, seconds, "s").firm_limit(bound));
    drop(other);

    let empty = Engine::start(kind).await;
    let all = (revoked + ended.len()) as f64;
    let before = Counts::of(&fleet.counts.appended);
    forwarder.move_to(empty.port());
    let store = empty.door().store().await;
    let is_restored = async || {
        // It reads all of it.
        sleep(Duration::from_millis(500)).await;
        held(&*store).await as f64 >= all
    };
    let seconds = until(fleet.bound() * 8, is_restored).await;
    let seconds = seconds.map_or(f64::INFINITY, |time| time.as_secs_f64());
    figures.add(figure("an empty store has all again after", seconds, "s").firm_limit(bound * 8.0));
    // Whatever another replica would restore as well, it would begin now.
    sleep(Duration::from_secs(2)).await;
    let appended = (Counts::of(&fleet.counts.appended) - before) / all;
    figures.add(figure("records restored, of those lost", appended, "").firm_limit(1.2));
}

/// How many sessions the store holds.
async fn held(store: &dyn RevocationStore) -> usize {
    let (mut cursor, mut digests) = (None, HashSet::new());
    loop {
        match store.read_feed(FEED, cursor.as_ref()).await {
            Ok(FeedRead::Page(page)) => {
                digests.extend(page.sessions.iter().map(|session| session.digest));
                if !page.has_more {
                    return digests.len();
                }
                cursor = Some(page.cursor);
            }
            // It is read again.
            _ => return 0,
        }
    }
}
