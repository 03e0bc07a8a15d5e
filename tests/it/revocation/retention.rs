//! How long revocations are kept: for as long as anyone's tokens need it, whatever the settings of the
//! one who revokes.

use tower_jwt_session::audit::{Audit, AuditEvent, AuditKind};
use tower_jwt_session::store::FileStore;
use tower_jwt_session::{KeyRing, Root, RotationPolicy};

use super::*;
use crate::support::stores::TestStore;
use crate::support::trail::Trail;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The three kinds of revocation, of a session that has begun.
const KINDS: [&str; 3] = ["session", "subject", "all"];

async fn revoke(sessions: &Sessions<()>, kind: &str, session: &Session<()>) {
    let revoked = match kind {
        "session" => sessions.revoke_session(session.session_id()).await,
        "subject" => sessions.revoke_subject(session.subject()).await,
        _ => sessions.revoke_logins_before(session.issued_at() + seconds(1)).await,
    };
    revoked.unwrap();
}

fn login(sessions: &Sessions<()>) -> (String, Session<()>) {
    let token = sessions.issue(&Login::new("alice", ())).unwrap().as_str().to_owned();
    let session = sessions.validate(&token).unwrap();
    (token, session)
}

fn kind(sessions: &Sessions<()>, token: &str) -> Option<RejectionKind> {
    sessions.validate(token).err().map(|rejection| rejection.kind())
}

#[tokio::test]
async fn revocation_by_short_session_service_holds_for_long_ones() {
    for kind_of in KINDS {
        let clock = ManualClock::new(START);
        let ring = fixed_ring(clock.clone());
        let revocations = builder(TestStore::new(), &clock).open().await.unwrap();
        let service = |idle, absolute| {
            let sessions = Sessions::<()>::builder(ring.clone(), "https://app.example", "app");
            let sessions = sessions.idle_lifetime(idle).absolute_lifetime(absolute);
            sessions.revocations(revocations.clone()).build().unwrap()
        };
        let (users, admin) = (service(DAY, DAY * 30), service(HOUR, HOUR));
        let (token, session) = login(&users);
        revoke(&admin, kind_of, &session).await;
        for _ in 0..22 {
            clock.advance(seconds(65 * 60));
            revocations.refresh().await.unwrap();
            let refused = kind(&users, &token);
            assert_eq!(refused, Some(RejectionKind::Revoked), "{kind_of}");
        }
    }
}

#[tokio::test]
async fn logout_after_shortening_deploy_holds_for_both_versions() {
    for kind_of in KINDS {
        let clock = ManualClock::new(START);
        let ring = fixed_ring(clock.clone());
        let store = TestStore::new();
        let deploy = async |absolute: Duration| {
            let revocations = builder(store.sibling(), &clock).open().await.unwrap();
            let sessions = Sessions::<()>::builder(ring.clone(), "https://app.example", "app");
            let sessions = sessions.absolute_lifetime(absolute).idle_lifetime(HOUR * 4);
            sessions.revocations(revocations).build().unwrap()
        };
        let (old, new) = (deploy(HOUR * 12).await, deploy(HOUR * 4).await);
        let (_, session) = login(&old);
        clock.advance(seconds(7 * 3600 + 1800));
        // The thief's: renewed when the user is about to log out.
        let claims = serde_json::json!({
            "iss": "https://app.example", "aud": "app", "sub": "alice", "jti": "renewed",
            "sid": session.session_id(), "auth_time": session.issued_at().as_unix_seconds(),
            "iat": clock.now().as_unix_seconds(),
            "exp": clock.now().as_unix_seconds() + 4 * 3600,
        });
        let stolen = crate::support::web::signed(&crate::support::web::header(), &claims);
        assert_eq!(kind(&old, &stolen), None);
        revoke(&new, kind_of, &session).await;
        for _ in 0..6 {
            clock.advance(seconds(35 * 60));
            for sessions in [&old, &new] {
                sessions.revocations().unwrap().refresh().await.unwrap();
                assert_eq!(kind(sessions, &stolen), Some(RejectionKind::Revoked), "{kind_of}");
            }
        }
    }
}

/// How many revocations are held.
fn held(revocations: &Revocations) -> usize {
    let status = revocations.status();
    status.sessions + status.subjects + usize::from(status.logins_before.is_some())
}

/// A ring whose tokens live that long.
fn derived(clock: &ManualClock, token_lifetime: Duration) -> KeyRing {
    let root = Root::new((100..132).collect::<Vec<u8>>()).unwrap();
    let policy = RotationPolicy::new().max_token_lifetime(token_lifetime);
    KeyRing::derived("app", root).rotation(policy).clock(clock.clone()).build().unwrap()
}

#[tokio::test]
async fn replica_with_shorter_settings_keeps_what_the_others_need() {
    for kind_of in KINDS {
        let clock = ManualClock::new(START);
        let store = TestStore::new();
        let deploy = async |max_staleness: Duration, token_lifetime: Duration| {
            let revocations = builder(store.sibling(), &clock).max_staleness(max_staleness);
            let revocations = revocations.open().await.unwrap();
            let ring = derived(&clock, token_lifetime);
            let sessions = Sessions::<()>::builder(ring, "https://app.example", "app");
            let sessions = sessions.idle_lifetime(token_lifetime).absolute_lifetime(DAY * 60);
            sessions.revocations(revocations).build().unwrap()
        };
        let old = deploy(DAY * 2, DAY * 20).await;
        let (token, session) = login(&old);
        // The first refresh says what the old version needs.
        old.revocations().unwrap().refresh().await.unwrap();
        let new = deploy(seconds(600), HOUR).await;
        revoke(&new, kind_of, &session).await;
        let bystander = new.revocations().unwrap();
        for day in 1..=19 {
            clock.advance(DAY);
            bystander.refresh().await.unwrap();
            old.revocations().unwrap().refresh().await.unwrap();
            let newcomer = deploy(seconds(600), HOUR).await;
            assert_eq!(kind(&old, &token), Some(RejectionKind::Revoked), "{kind_of} {day}");
            for revocations in [bystander, newcomer.revocations().unwrap()] {
                assert_eq!(held(revocations), 1, "{kind_of} {day}");
            }
        }
        // And no longer than that.
        clock.advance(DAY * 4);
        bystander.refresh().await.unwrap();
        assert_eq!(held(bystander), 0, "{kind_of}");
    }
}

/// A service with longer-lived tokens starts beside others: what was recorded until then is recorded for
/// longer, once, in the store too.
#[tokio::test]
async fn revocations_are_recorded_again_when_someone_needs_them_longer() {
    let clock = ManualClock::new(START);
    let store = TestStore::new();
    let (trail, _) = Trail::new();
    let audit = Audit::builder().sink(trail.clone()).build().unwrap();
    let open = async |limit: Duration| {
        let builder = builder(store.sibling(), &clock).max_staleness(limit).audit(audit.clone());
        builder.open().await.unwrap()
    };
    let one = open(DAY).await;
    let sessions = Sessions::<()>::builder(fixed_ring(clock.clone()), "https://app.example", "app");
    let sessions = sessions.revocations(one.clone()).build().unwrap();
    let (_, session) = login(&sessions);
    for kind in KINDS {
        revoke(&sessions, kind, &session).await;
    }
    let long = open(DAY * 10).await;
    for revocations in [&long, &one, &long] {
        revocations.refresh().await.unwrap();
    }
    let latest = START + DAY * 10;
    let page = store.feed(PLACE).await;
    assert!(page.sessions.iter().any(|session| session.until >= latest), "{page:?}");
    assert!(page.registers.iter().all(|(_, it)| it.until >= latest), "{page:?}");
    // Nothing was lost.
    audit.flush().await;
    let restored = |event: &AuditEvent| event.kind == AuditKind::RevocationsRestored;
    assert!(!trail.events().iter().any(restored), "{:?}", trail.events());
    clock.advance(DAY * 9);
    let newcomer = open(DAY).await;
    for revocations in [&long, &one] {
        revocations.refresh().await.unwrap();
    }
    for revocations in [&one, &long, &newcomer] {
        assert_eq!(held(revocations), 3);
    }
}

#[tokio::test]
async fn needed_retention_that_the_store_lost_is_announced_again() {
    let store = TestStore::new();
    let clock = ManualClock::new(START);
    let long = builder(store.clone(), &clock).max_staleness(DAY * 10);
    let long = long.open().await.unwrap();
    let announced = async || {
        let names = store.entries_of(PLACE).await.into_keys();
        names.filter(|name| name.starts_with("kept-")).collect::<Vec<_>>()
    };
    long.refresh().await.unwrap();
    assert_eq!(announced().await, [format!("kept-{:012}", 10 * 24 * 3600)]);
    store.restore_of(PLACE, &Default::default()).await;
    long.refresh().await.unwrap();
    assert_eq!(announced().await.len(), 1);
    // Settings that need no more than the default ones are not announced.
    let other = TestStore::new();
    builder(other.clone(), &clock).open().await.unwrap().refresh().await.unwrap();
    assert!(other.entries_of(PLACE).await.is_empty());
}

/// One replica's clock is days ahead for a while. The directory keeps what is not over for the others, and
/// that replica reads it again.
#[tokio::test]
async fn clock_that_was_days_ahead_loses_no_revocation() {
    let place = tempfile::tempdir().unwrap();
    let (right, wrong) = (ManualClock::new(START), ManualClock::new(START));
    let open = async |clock: &ManualClock| {
        let store = FileStore::open(place.path().join("keys")).unwrap();
        let revocations = builder(store, clock).found_now().open().await.unwrap();
        let keys = fixed_ring(clock.clone());
        let sessions = Sessions::<()>::builder(keys, "https://app.example", "app");
        sessions.revocations(revocations).build().unwrap()
    };
    let (one, other) = (open(&right).await, open(&wrong).await);
    let (token, session) = login(&one);
    for kind_of in KINDS {
        revoke(&one, kind_of, &session).await;
    }
    let (later, _) = login(&one);
    let refresh = async |sessions: &Sessions<()>| {
        let revocations = sessions.revocations().unwrap();
        revocations.refresh().await.unwrap();
        held(revocations)
    };
    assert_eq!(refresh(&other).await, 3);
    for days in [2, 5, 400] {
        wrong.advance(DAY * days + HOUR);
        // What this clock takes for expired it neither holds nor removes from the store.
        refresh(&other).await;
        other.revoke_session("another").await.unwrap();
        assert_eq!(held(other.revocations().unwrap()), 1, "{days} days ahead");
        wrong.set(START + seconds(60));
        // It shows a version that this replica has dropped.
        let _ = other.validate(&later);
        assert!(refresh(&other).await >= 3, "{days} days ahead");
        assert_eq!(kind(&other, &token), Some(RejectionKind::Revoked), "{days} days ahead");
        refresh(&one).await;
        for sessions in [&one, &other] {
            assert_eq!(kind(sessions, &later), None, "{days} days ahead");
        }
        let newcomer = open(&right).await;
        assert_eq!(kind(&newcomer, &token), Some(RejectionKind::Revoked), "{days} days ahead");
    }
}
