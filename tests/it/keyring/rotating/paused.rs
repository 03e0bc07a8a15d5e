//! While no key signs: replicas stay ready, the status says why and until when, and clients are told
//! when to try again. A rotation by hand never leads to that.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get as on_get;
use http::StatusCode;
use tower::ServiceExt as _;
use tower_jwt_session::store::{
    Entry, EntryName, Insertion, Loaded, SealingNeed, Store, StoreFuture,
};
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{
    Clock as _, IssueError, IssuingPaused, Login, NotReady, PauseReason, RefreshTokens, RingError,
    Sessions,
};

use crate::support::recorder::Events;
use crate::support::replicas::{
    LEAD, LIFE, MILLI, OVERRUN, PERIOD, REFRESH, Replica, START, pass, policy, seconds,
};
use crate::support::stores::{Operation, TestStore};
use crate::support::web::{Answer, get, post, send};

impl Replica {
    fn paused(&self) -> Option<IssuingPaused> {
        self.ring.status().issuing_paused
    }

    /// It is paused for that reason, and will not be at that time, nor for any moment before.
    #[track_caller]
    fn assert_paused(&self, reason: PauseReason, until: tower_jwt_session::Timestamp) {
        let paused = self.paused().expect("no key signs");
        assert_eq!((paused.reason, paused.until), (reason, Some(until)));
        assert!(matches!(self.try_issue(), Err(IssueError::NoSigningKey)));
        assert_eq!(self.ring.ready(), Ok(()));
        let now = self.clock.now();
        assert_eq!(self.signs_at(until - MILLI), None);
        assert!(self.signs_at(until).is_some());
        assert_eq!(self.paused(), None);
        self.clock.set(now);
    }
}

/// Two replicas that have just been started on an empty store.
async fn replicas() -> (TestStore, [Replica; 2]) {
    let store = TestStore::new();
    let one = Replica::open(store.clone(), START).await;
    let two = Replica::open(store.sibling(), START).await;
    (store, [one, two])
}

#[tokio::test]
async fn key_revoked_in_the_first_minutes_of_a_ring_leaves_every_replica_ready() {
    let (store, [one, two]) = replicas().await;
    one.revoke(0).await;
    two.refresh().await;
    let newcomer = Replica::open(store.sibling(), START).await;
    for replica in [&one, &two, &newcomer] {
        replica.assert_paused(PauseReason::Revoked, START + LEAD);
    }
}

#[tokio::test]
async fn second_revocation_leaves_every_replica_ready() {
    let (store, [one, two]) = replicas().await;
    pass(&[&one, &two], LEAD).await;
    one.revoke(0).await;
    assert_eq!(one.paused(), None, "its successor signs");
    two.refresh().await;
    two.revoke(1).await;
    one.refresh().await;
    let newcomer = Replica::open(store.sibling(), START + LEAD).await;
    for replica in [&one, &two, &newcomer] {
        replica.assert_paused(PauseReason::Revoked, START + 2 * LEAD);
    }
}

#[tokio::test]
async fn all_keys_replaced_leaves_every_replica_ready() {
    let (store, [one, two]) = replicas().await;
    pass(&[&one, &two], LEAD).await;
    one.ring.replace_all().await.expect("the store is up");
    two.refresh().await;
    let newcomer = Replica::open(store.sibling(), START + LEAD).await;
    for replica in [&one, &two, &newcomer] {
        replica.assert_paused(PauseReason::Revoked, START + 2 * LEAD);
    }
}

/// Another replica that has no way to make a key, and has never been ready.
#[tokio::test]
async fn replica_never_ready_stays_unready_while_nobody_knows_when_a_key_signs() {
    let (store, [one, _]) = replicas().await;
    let overrun = one.times(1).signs_latest;
    store.down();
    one.clock.set(overrun);
    one.ring.refresh().await.expect_err("the store is down");
    let unknown = |replica: &Replica| {
        let paused = replica.paused().expect("no key signs");
        assert_eq!((paused.reason, paused.until), (PauseReason::Overdue, None));
    };
    unknown(&one);
    assert_eq!(one.ring.ready(), Ok(()), "it verifies, and so do all the others");
    let blind = store.sibling();
    blind.fail(&[Operation::Insert]);
    let newcomer = Replica::open(blind.clone(), overrun).await;
    unknown(&newcomer);
    assert_eq!(newcomer.ring.ready(), Err(NotReady::NoSigningKey));
    // As soon as it can make a key, it is known.
    blind.up();
    newcomer.refresh().await;
    newcomer.assert_paused(PauseReason::Overdue, overrun + LEAD);
    // Without a key that verifies it serves nobody.
    one.clock.set(overrun + LIFE + 2 * OVERRUN);
    assert_eq!(one.ring.ready(), Err(NotReady::NoSigningKey));
}

#[tokio::test]
async fn pause_is_logged_once_with_its_reason_and_end() {
    const PAUSED: &str = "issuing is paused: no key signs";
    const RESUMED: &str = "issuing is no longer paused";
    let scenario = async || {
        let (_, [one, two]) = replicas().await;
        one.ring.replace_all().await.expect("the store is up");
        two.refresh().await;
        one.refresh().await;
        pass(&[&one, &two], LEAD).await;
    };
    let told = Events::of(scenario, |told| told.count(RESUMED) == 2).await;
    assert_eq!((told.count(PAUSED), told.count(RESUMED)), (2, 2), "once at each replica");
    for event in told.all().iter().filter(|event| event.message == PAUSED) {
        assert_eq!(event.fields["reason"], "\"revoked\"");
        assert_eq!(event.fields["until"], (START + LEAD).to_string());
    }
    assert_eq!(told.count("a key was revoked"), 4, "two keys at two replicas");
}

#[tokio::test]
async fn login_and_refresh_while_paused_answer_503_with_the_time_to_try_again() {
    let replica = Replica::open(TestStore::new(), START).await;
    let sessions = Sessions::<()>::builder(replica.ring.clone(), "https://app.example", "app");
    let sessions = sessions.refresh_tokens(RefreshTokens::new()).build().expect("sessions");
    let app = Router::new()
        .route("/in", on_get(async || Login::new("alice", ())))
        .layer(sessions.layer())
        .merge(sessions.token_router());
    replica.refresh_at(START + PERIOD - seconds(10)).await;
    let login = Login::new("alice", ());
    let tokens = sessions.issue_with_refresh_token(&login).expect("a key signs");
    let refreshing = async || {
        let form =
            format!("grant_type=refresh_token&refresh_token={}", tokens.refresh_token().as_str());
        let request = post("/token").header("content-type", "application/x-www-form-urlencoded");
        let request = request.body(Body::from(form)).expect("a request");
        Answer::of(app.clone().oneshot(request).await.expect("an answer")).await
    };
    assert_eq!(send(&app, get("/in")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(refreshing().await.status, StatusCode::OK);

    // The next key was made ten seconds ago: the token is good, and nobody signs.
    replica.refresh_at(START + PERIOD).await;
    replica.revoke(1).await;
    let until = replica.paused().and_then(|paused| paused.until);
    assert_eq!(until, Some(START + PERIOD - seconds(10) + LEAD));
    // Rounded up, so that nobody comes too early.
    replica.clock.advance(MILLI);
    for answer in [send(&app, get("/in")).await, refreshing().await] {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.all("retry-after"), [(LEAD.as_secs() - 10).to_string()]);
    }
}

/// A store on which each insert takes a time, by the clock of the replicas.
#[derive(Clone, Debug)]
struct SlowInserts {
    store: TestStore,
    clock: ManualClock,
    takes: Duration,
}

impl Store for SlowInserts {
    fn load<'a>(&'a self, ring: &'a str) -> StoreFuture<'a, Loaded> {
        self.store.load(ring)
    }

    fn insert<'a>(&'a self, ring: &'a str, entry: &'a Entry) -> StoreFuture<'a, Insertion> {
        self.clock.advance(self.takes);
        self.store.insert(ring, entry)
    }

    fn remove<'a>(&'a self, ring: &'a str, name: &'a EntryName) -> StoreFuture<'a, ()> {
        self.store.remove(ring, name)
    }

    fn sealing_need(&self) -> SealingNeed {
        SealingNeed::Needless
    }
}

/// Generations that are taken by what can't be read keep a refresh from making the successor, so that
/// the rotation makes it; without caches of the JWKS nothing makes up for what that takes.
#[tokio::test]
async fn rotation_without_a_successor_and_caches_leaves_no_gap() {
    let (content, clock) = (TestStore::new(), ManualClock::new(START));
    let takes = seconds(9);
    let store = SlowInserts { store: content.clone(), clock: clock.clone(), takes };
    let policy = policy().jwks_max_age(Duration::ZERO);
    let ring = tower_jwt_session::KeyRing::builder(crate::support::replicas::RING)
        .store(store)
        .found_now();
    let ring = ring.rotation(policy).clock(clock.clone()).open().await.expect("opens");
    let replica = Replica::of(ring, clock, LIFE);
    pass(&[&replica], LEAD).await;
    let names = content.names().await;
    let first = names.iter().find(|name| name.ends_with("-0000000000")).expect("a key");
    for generation in 2..10 {
        let name = first.replace("-0000000000", &format!("-{generation:010}"));
        content.put(&name, b"damaged").await;
    }
    replica.revoke(1).await;
    let retired = replica.ring.rotate_now().await.expect("rotates");
    assert_eq!(replica.signs_at(retired - MILLI), Some(0));
    assert_eq!(replica.signs_at(retired), Some(10), "{:?}", replica.paused());
}

#[tokio::test]
async fn rotation_that_can_make_no_successor_retires_nothing() {
    let (store, [one, _]) = replicas().await;
    let names = store.names().await;
    let first = names.iter().find(|name| name.ends_with("-0000000000")).expect("a key");
    for generation in 2..30 {
        let name = first.replace("-0000000000", &format!("-{generation:010}"));
        store.put(&name, b"damaged").await;
    }
    one.revoke(1).await;
    let refused = one.ring.rotate_now().await;
    assert!(matches!(refused, Err(RingError::NoSuccessor)), "{refused:?}");
    assert_eq!((one.key(0).retire_at, one.signs()), (None, Some(0)));
}

/// Numbers that look random, the same for each seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Whatever is ordered at whatever time, with slow inserts: at each moment each replica issues, or
/// says until when it does not and keeps that promise. Rotations alone never end in a pause.
#[tokio::test]
async fn whatever_is_ordered_a_key_signs_or_the_status_says_when() {
    for seed in 0..12 {
        let mut random = Random(seed * 7919 + 1);
        let clock = ManualClock::new(START);
        let max_age = seconds([0, 300][random.below(2) as usize]);
        let content = TestStore::new();
        let mut open = Vec::new();
        for _ in 0..2 {
            let takes = Duration::from_millis(random.below(4_000));
            let store = SlowInserts { store: content.sibling(), clock: clock.clone(), takes };
            let ring = tower_jwt_session::KeyRing::builder(crate::support::replicas::RING)
                .store(store)
                .found_now();
            let ring = ring.rotation(policy().jwks_max_age(max_age)).clock(clock.clone());
            open.push(Replica::of(ring.open().await.expect("opens"), clock.clone(), LIFE));
        }
        let rotations_alone = random.below(3) == 0;
        // What each replica has said, while nothing else was ordered.
        let mut promised = [None; 2];
        for step in 0..25 {
            let by = &open[random.below(2) as usize];
            let revoked = match random.below(if rotations_alone { 5 } else { 9 }) {
                0 | 1 => {
                    let rotated = by.ring.rotate_now().await;
                    let paused = matches!(rotated, Err(RingError::NoSigningKey));
                    assert!(
                        rotated.is_ok() || paused && by.signs().is_none(),
                        "{seed}: {rotated:?}"
                    );
                    false
                }
                5 => by.ring.replace_all().await.map(|()| true).expect("the store is up"),
                6 | 7 if by.signs().is_some() => {
                    by.revoke(by.signs().expect("one signs")).await;
                    true
                }
                8 => {
                    let keys = by.generations();
                    by.revoke(keys[random.below(keys.len() as u64) as usize]).await;
                    true
                }
                _ => false,
            };
            if revoked {
                // What is said from now on knows of it.
                for replica in &open {
                    replica.refresh().await;
                }
                promised = [None; 2];
            }
            let longest = if random.below(4) == 0 { PERIOD / 2 } else { LEAD };
            let end = clock.now() + seconds(random.below(longest.as_secs()));
            while clock.now() < end {
                for (replica, promised) in open.iter().zip(&mut promised) {
                    let (now, status) = (clock.now(), replica.ring.status());
                    let what = format!("seed {seed}, step {step}: {status:#?}");
                    let signs = status.signing_key_id.is_some();
                    assert_eq!(
                        (replica.try_issue().is_ok(), replica.ring.ready()),
                        (signs, Ok(())),
                        "{what}"
                    );
                    assert_eq!(signs, status.issuing_paused.is_none(), "{what}");
                    assert!(signs || !rotations_alone, "{what}");
                    assert!(signs || promised.is_none_or(|until| now < until), "{what}");
                    if let Some(paused) = status.issuing_paused {
                        let until = paused.until.expect(&what);
                        assert!(now < until, "{what}");
                        *promised = Some(until);
                    }
                }
                clock.advance(seconds(31));
                // Each within its bound.
                if random.below(2) == 0 {
                    for replica in &open {
                        replica.refresh().await;
                    }
                }
            }
            clock.advance(Duration::from_millis(random.below(REFRESH.as_millis() as u64 / 10)));
            for replica in &open {
                replica.refresh().await;
            }
        }
    }
}
