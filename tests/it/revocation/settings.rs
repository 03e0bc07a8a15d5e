//! Errors of settings, with the fix.

use tower_jwt_session::store::MemoryStore;

use super::*;
use crate::support::stores::TestStore;

async fn error(builder: RevocationsBuilder) -> String {
    builder.open().await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_setting_that_can_not_be_used_is_an_error_that_says_how_to_fix_it() {
    let clock = ManualClock::new(START);
    let usual = || builder(MemoryStore::new(), &clock);
    let cases = [
        (Revocations::builder("app"), "store is missing: set the store"),
        (usual().refresh_interval(Duration::ZERO), "refresh_interval is 0ns: set it to at least"),
        (usual().refresh_timeout(Duration::MAX), "refresh_timeout is "),
        (usual().insert_timeout(Duration::ZERO), "insert_timeout is 0ns"),
        (usual().max_staleness(seconds(70)), "max_staleness is 70s: set it to at least 71s"),
    ];
    for (builder, expected) in cases {
        let error = error(builder).await;
        assert!(error.starts_with(expected), "{error}");
    }
    for name in ["", ".app", "a/b", &"n".repeat(59)] {
        let error = error(Revocations::builder(name).store(MemoryStore::new())).await;
        let whose = format!("name of the revocations is {name:?}: use 1 to 58 of");
        assert!(error.starts_with(&whose), "{error}");
    }
    let longest = Revocations::builder("n".repeat(58)).store(MemoryStore::new());
    longest.open().await.unwrap();
    usual().max_staleness(seconds(71)).open().await.unwrap();
}

#[tokio::test]
async fn a_store_that_can_not_be_read_is_an_error_at_the_start() {
    let store = TestStore::new();
    store.down();
    let opened = builder(store, &ManualClock::new(START)).open().await;
    let error = opened.unwrap_err();
    assert!(error.is_store_unavailable());
    let text = error.to_string();
    assert!(text.contains(PLACE) && text.contains("refuses to Load"), "{text}");
}

#[tokio::test]
async fn the_bound_is_the_interval_its_jitter_and_a_read() {
    let revocations = Revocations::builder("app").store(MemoryStore::new()).open().await.unwrap();
    assert_eq!(revocations.refresh_bound(), Duration::from_millis(21_500));
    // One that writes with all its might may be slower than a short interval.
    let hasty = Revocations::builder("app").store(MemoryStore::new());
    let hasty = hasty.refresh_interval(seconds(1)).open().await.unwrap();
    assert_eq!(hasty.refresh_bound(), seconds(5 + 10 + 5));
}

#[tokio::test]
async fn the_status_names_nobody() {
    let one = Replica::open(TestStore::new()).await;
    one.logout(&one.login("alice")).await;
    one.sessions.revoke_subject("bob").await.unwrap();
    let status = serde_json::to_value(one.revocations.status()).unwrap();
    assert!(status["bytes"].as_u64().unwrap() > 0, "{status}");
    assert_eq!(
        status,
        serde_json::json!({
            "name": "app", "sessions": 1, "subjects": 1, "logins_before": null,
            "bytes": status["bytes"],
            "refresh_bound_ms": one.revocations.refresh_bound().as_millis(),
            "refreshed_at": "2027-01-15T08:00:00Z", "failure": null,
            "write_failure": null, "written_at": "2027-01-15T08:00:00Z", "task_panics": 0, "skipped": [],
            "newer_format": null,
        })
    );
    let debug = format!("{:?} {:?}", one.revocations, one.sessions);
    assert!(debug.contains("Revocations") && !debug.contains("bob"), "{debug}");
}

/// Requests are judged by the clock of the keys.
#[tokio::test]
async fn revocations_on_another_clock_than_the_keys_are_refused() {
    let clock = ManualClock::new(START);
    let refused = |sessions: Result<Sessions<()>, tower_jwt_session::BuildError>,
                   setting,
                   other| {
        let error = sessions.unwrap_err();
        assert_eq!(error.setting(), Some(setting));
        let expected = format!(
            "{setting} is on a clock that shows {other}: the clock of the keys shows {START}, and \
             clock_skew is {SKEW:?}: give all builders the same clock, `.clock(clock.clone())`"
        );
        assert_eq!(error.to_string(), expected);
    };
    let ours = || Sessions::<()>::builder(fixed_ring(clock.clone()), "https://app.example", "app");
    let theirs =
        |clock| Sessions::<()>::builder(fixed_ring(clock), "https://theirs.example", "app");
    let beyond = SKEW + Duration::from_millis(1);
    for other in [START + beyond, START - beyond] {
        let other_clock = ManualClock::new(other);
        let revocations = builder(MemoryStore::new(), &other_clock).open().await.unwrap();
        refused(ours().revocations(revocations).build(), "revocations", other);
        let theirs = theirs(other_clock).build().unwrap();
        refused(ours().also_accept_sessions(theirs).build(), "also_accept_sessions", other);
    }
    for other in [START + SKEW, START - SKEW] {
        let other_clock = ManualClock::new(other);
        let revocations = builder(MemoryStore::new(), &other_clock).open().await.unwrap();
        let theirs = theirs(other_clock).build().unwrap();
        ours().revocations(revocations).also_accept_sessions(theirs).build().unwrap();
    }
}

#[tokio::test]
async fn revocations_on_the_same_clock_need_no_skew() {
    let policy = tower_jwt_session::RotationPolicy::new().clock_skew(Duration::ZERO);
    let key = tower_jwt_session::testing::fixed_key(tower_jwt_session::Algorithm::EdDSA);
    let keys = KeyRing::fixed([key]).rotation(policy).build().unwrap();
    let revocations = Revocations::builder("app").store(MemoryStore::new()).open().await.unwrap();
    let sessions = Sessions::<()>::builder(keys, "https://app.example", "app");
    sessions.revocations(revocations).build().unwrap();
}
