//! A scripted day on three replicas with one store: the counts of audit events, on the replica that acts and on
//! those that learn of it, add up; and the sinks saw what the log says.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tower_jwt_session::audit::{Audit, AuditEvent};
use tower_jwt_session::testing::ManualClock;
use tower_jwt_session::{
    Clock as _, KeyRing, Login, RefreshTokens, RejectionKind, Renewal, Revocations, Session,
    Sessions, Timestamp,
};

use crate::support::PLACE;
use crate::support::recorder::Events;
use crate::support::replicas::{FULL_LEAD, LIFE, RING, START, policy, seconds};
use crate::support::stores::TestStore;
use crate::support::trail::Trail;

struct Node {
    clock: ManualClock,
    ring: KeyRing,
    revocations: Revocations,
    sessions: Sessions<()>,
    audit: Audit,
    trail: Trail,
}

impl Node {
    async fn open(store: &TestStore, now: Timestamp) -> Self {
        let (trail, _) = Trail::new();
        let audit = Audit::builder().subject_key([7; 32]).sink(trail.clone()).build().unwrap();
        let clock = ManualClock::new(now);
        let ring = KeyRing::builder(RING).store(store.clone()).rotation(policy()).found_now();
        let ring = ring.clock(clock.clone()).audit(audit.clone()).open().await.unwrap();
        let revocations = Revocations::builder(RING).store(store.clone()).clock(clock.clone());
        let revocations = revocations.refresh_interval(seconds(60)).audit(audit.clone());
        let revocations = revocations.found_now().open().await.unwrap();
        let sessions = Sessions::builder(ring.clone(), "https://app.example", "app")
            .idle_lifetime(LIFE)
            .token_cache_bytes(crate::support::SMALL_CACHE)
            .revocations(revocations.clone())
            .refresh_tokens(RefreshTokens::new().store(store.clone()))
            .on_renewal(async |_: Session<()>| Ok(Renewal::Keep))
            .audit(audit.clone())
            .build()
            .unwrap();
        Self { clock, ring, revocations, sessions, audit, trail }
    }

    async fn log_in(&self, subject: &str) -> Session<()> {
        let token = self.sessions.login(&Login::new(subject, ())).await.unwrap();
        self.sessions.validate(token.as_str()).unwrap()
    }

    async fn refresh(&self) {
        self.ring.refresh().await.unwrap();
        self.revocations.refresh().await.unwrap();
    }

    /// How many events of each kind and origin the sink has.
    async fn counts(&self) -> BTreeMap<String, u64> {
        self.audit.flush().await;
        let mut counts = BTreeMap::new();
        for event in self.trail.events() {
            assert_eq!(event.outcome.as_str(), "ok");
            let name = format!("{} {}", event.kind.as_str(), event.origin.as_str());
            *counts.entry(name).or_default() += 1;
        }
        counts
    }
}

async fn refresh(nodes: &[&Node]) {
    for node in nodes {
        node.refresh().await;
    }
}

async fn pass(nodes: &[&Node], until: Timestamp) {
    for node in nodes {
        node.clock.set(until);
    }
    refresh(nodes).await;
    refresh(nodes).await;
}

/// The counts of the three replicas, and the events of all sinks.
type Day = ([BTreeMap<String, u64>; 3], Vec<AuditEvent>);

async fn day() -> Day {
    let store = TestStore::new();
    let one = Node::open(&store, START).await;
    let two = Node::open(&store, START).await;
    let both = [&one, &two];

    // Logins: six and two. Two clients with refresh tokens.
    let mut first = Vec::new();
    for subject in ["ann", "ann", "bob", "cid", "dan", "dan"] {
        first.push(one.log_in(subject).await);
    }
    let [eve, fay] = [two.log_in("eve").await, two.log_in("fay").await];
    let pairs = ["gus", "hal"].map(|subject| {
        one.sessions.issue_with_refresh_token(&Login::new(subject, ())).unwrap().refresh_token
    });
    refresh(&both).await;

    // Refreshes are no events; the reuse of a token is one.
    for pair in &pairs {
        let next = two.sessions.refresh(pair.as_str()).await.unwrap().refresh_token;
        one.sessions.refresh(next.as_str()).await.unwrap();
    }
    for node in both {
        node.clock.advance(seconds(120));
    }
    let reused = two.sessions.refresh(pairs[0].as_str()).await.unwrap_err();
    assert_eq!(reused.rejection().unwrap().kind(), RejectionKind::Reused);

    // Logouts: this, others, everywhere; at either replica.
    one.sessions.logout(&first[0]).await.unwrap();
    two.sessions.logout(&eve).await.unwrap();
    one.sessions.logout_others(&first[4]).await.unwrap();
    two.sessions.logout_everywhere(&fay).await.unwrap();
    one.sessions.revoke_token(pairs[1].as_str()).await.unwrap();

    // Revocations of each kind.
    two.sessions.revoke_session(first[1].session_id()).await.unwrap();
    one.sessions.revoke_subject("bob").await.unwrap();
    two.sessions.revoke_subject("cid").await.unwrap();
    one.sessions.reload_claims("dan").await.unwrap();
    two.sessions.revoke_logins_before(START).await.unwrap();
    refresh(&both).await;
    refresh(&both).await;

    // The second key begins to sign, after the third was published.
    let times = |node: &Node, generation: u64| {
        let keys = node.ring.status().keys;
        keys.iter().find(|key| key.generation == generation).expect("is published").times
    };
    let second = times(&one, 1);
    pass(&both, second.signs_from - FULL_LEAD).await;
    pass(&both, second.signs_from).await;

    // Ahead of time to the third, at the first replica; the second revokes that.
    let third = one.ring.rotate_now().await.unwrap();
    refresh(&both).await;
    pass(&both, third).await;
    let leaked = two.ring.status().signing_key_id.unwrap();
    two.ring.revoke(&leaked).await.unwrap();
    refresh(&both).await;
    refresh(&both).await;

    // The store loses everything, and gets it back.
    store.purge().await;
    store.purge_feed(PLACE).await;
    pass(&both, one.clock.now() + seconds(60)).await;
    pass(&both, one.clock.now() + seconds(60)).await;
    let three = Node::open(&store, one.clock.now()).await;
    let counts = [one.counts().await, two.counts().await, three.counts().await];
    let events = [&one, &two, &three].map(|node| node.trail.events()).concat();
    (counts, events)
}

fn expected(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[tokio::test]
async fn counts_of_a_day_add_up_at_every_replica_and_in_the_log() {
    let last = Mutex::new(None);
    let scenario = async || *last.lock().unwrap() = Some(day().await);
    let audited = |events: &Events| events.count("audit event");
    let all = |events: &Events| {
        let day = last.lock().unwrap();
        day.as_ref().is_some_and(|(_, recorded)| recorded.len() == audited(events))
    };
    let events = Events::of(scenario, all).await;
    let ([one, two, three], recorded) = last.lock().unwrap().take().unwrap();

    let here = [
        ("login here", [8, 2]),
        // One: this, others, by a token. Two: this, everywhere.
        ("logout here", [3, 2]),
        ("session_revoked here", [0, 1]),
        ("subject_revoked here", [1, 1]),
        ("logins_revoked here", [0, 1]),
        ("claims_reload here", [1, 0]),
        ("refresh_token_reused here", [0, 1]),
        ("key_published here", [4, 1]),
        ("key_retired here", [1, 0]),
        ("key_revoked here", [0, 1]),
        // The second replica came when the first key signed already.
        ("key_signs here", [4, 3]),
        ("ring_founded here", [1, 0]),
        ("ring_restored here", [1, 0]),
        ("revocations_restored here", [1, 0]),
    ];
    let learned = [
        // What the other did: a logout of a session, a revocation, the reuse of a token.
        ("session_revoked store", [3, 2]),
        // A logout of a subject, a revocation.
        ("subject_revoked store", [2, 2]),
        ("logins_revoked store", [1, 0]),
        ("claims_reload store", [0, 1]),
        // Two read two of the first replica's four keys when it began.
        ("key_published store", [1, 2]),
        ("key_retired store", [0, 1]),
        ("key_revoked store", [1, 0]),
        ("ring_read store", [0, 1]),
    ];
    for (place, found) in [one, two].into_iter().enumerate() {
        let counts = here.iter().chain(&learned).map(|(kind, counts)| (*kind, counts[place]));
        let counts: Vec<_> = counts.filter(|(_, count)| *count > 0).collect();
        assert_eq!(found, expected(&counts), "replica {place}");
    }
    // A replica that starts reads the whole: one event each, with counts.
    assert_eq!(three, expected(&[("ring_read store", 1), ("revocations_read store", 1)]));
    let counted = |kind: &str| {
        let counts = recorded.iter().filter(|event| event.kind.as_str() == kind);
        counts.map(|event| event.count.expect("a count")).collect::<Vec<_>>()
    };
    // Five sessions; the subjects bob, cid, dan and fay; dan's claims; and everyone.
    assert_eq!(counted("revocations_read"), [5 + 4 + 1 + 1]);
    assert_eq!(counted("revocations_restored"), [5 + 4 + 1 + 1]);
    assert_eq!(counted("ring_read"), [2, 5]);

    // The log and the sinks have the same events, each once.
    let mut logged: Vec<_> = events
        .all()
        .into_iter()
        .filter(|event| event.message == "audit event")
        .map(|event| {
            assert_eq!(event.level, tracing::Level::INFO);
            event.fields["event_id"].trim_matches('"').to_owned()
        })
        .collect();
    let mut recorded: Vec<_> = recorded.into_iter().map(|event| event.event_id).collect();
    logged.sort();
    recorded.sort();
    assert_eq!(logged, recorded);
    recorded.dedup();
    assert_eq!(logged, recorded);
}
