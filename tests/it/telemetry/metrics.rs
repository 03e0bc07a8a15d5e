//! Metrics: the table lists all of them, and their values are right.

use std::collections::BTreeSet;

use axum::Router;
use axum::routing::get as on_get;
use tower_jwt_session::audit::Audit;
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::{ManualClock, fixed_key, mint};
use tower_jwt_session::{
    Algorithm, KeyRing, Login, Logout, OperationErrorKind, RefreshTokens, RejectionKind, Renewal,
    Revocations, Root, Session, Sessions, telemetry,
};

use crate::support::recorder::Metrics;
use crate::support::replicas::{
    FULL_LEAD, INSERT, LIFE, OVERRUN, PERIOD, Replica, START, policy, seconds,
};
use crate::support::stores::{Operation, TestStore};
use crate::support::web::{Credentials, User, get, send};

/// Emits every metric at least once.
async fn emit_everything() {
    let store = TestStore::new();
    store.show_time(START);
    let replica = Replica::open(store.clone(), START).await;
    replica.judge(&replica.issue()).expect("is valid");
    store.down();
    replica.ring.refresh().await.expect_err("the store is down");
    replica.ring.ready().expect("the last known keys go on");
    redeem_and_fail().await;
}

/// Redeems a refresh token three times, and once while the store is down.
async fn redeem_and_fail() {
    let (store, clock) = (TestStore::new(), ManualClock::default());
    let revocations = Revocations::builder("app").store(store.clone()).clock(clock.clone());
    let (sink, _) = crate::support::trail::Trail::new();
    let sessions = crate::support::web::builder(&clock)
        .audit(Audit::builder().sink(sink).build().unwrap())
        .on_renewal(async |_: Session<User>| Ok(Renewal::Keep))
        .revocations(revocations.open().await.expect("opens"))
        .refresh_tokens(RefreshTokens::new().store(store.clone()))
        .build()
        .unwrap();
    let tokens = sessions.issue_with_refresh_token(&crate::support::web::login()).unwrap();
    for _ in 0..3 {
        sessions.refresh(tokens.refresh_token.as_str()).await.unwrap();
        clock.advance(seconds(1));
    }
    store.down();
    sessions.refresh(tokens.refresh_token.as_str()).await.unwrap_err();
}

#[tokio::test]
async fn token_refreshes_are_counted_by_outcome() {
    let recorder = Metrics::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    redeem_and_fail().await;
    let counted = |outcome| recorder.counter("fixed", "token_refreshes_total", outcome);
    assert_eq!(
        ["refreshed", "repeated", "failed", "reused", "rejected"].map(counted),
        [1, 2, 1, 0, 0]
    );
    let written = |outcome| {
        let labels = [("operation", "redeem"), ("outcome", outcome)];
        recorder.counter_of("fixed", "store_writes_total", &labels)
    };
    assert_eq!(["ok", "failed", "unfinished"].map(written), [3, 1, 0]);
    let operation = [("operation", "redeem")];
    assert_eq!(recorder.samples_of("fixed", "store_write_seconds", &operation), 4);
}

#[tokio::test]
async fn revocations_tell_what_they_hold_and_since_when() {
    let recorder = Metrics::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let gauge = |name| recorder.gauge("app.ended", name).expect("is set");
    let refreshes = |outcome| recorder.counter("app.ended", "refreshes_total", outcome);
    let (store, clock) = (TestStore::new(), ManualClock::default());
    let revocations = Revocations::builder("app").store(store.clone()).clock(clock.clone());
    let revocations = revocations.open().await.expect("opens");
    let sessions =
        crate::support::web::builder(&clock).revocations(revocations.clone()).build().unwrap();
    let token = crate::support::web::token(&sessions);
    sessions.revoke_subject("alice").await.unwrap();
    sessions.revoke_session("s").await.unwrap();
    clock.advance(seconds(100));
    revocations.refresh().await.unwrap();
    let names = ["revocations", "ready", "refresh_lag_seconds", "feed_lag_seconds"];
    assert_eq!(names.map(gauge), [2., 1., 0., 0.]);
    sessions.validate(&token).expect_err("is ended");
    assert_eq!(recorder.counter("fixed", "validations_total", "revoked"), 1);

    store.down();
    clock.advance(seconds(24 * 3600));
    revocations.refresh().await.expect_err("the store is down");
    assert_eq!(["ready", "refresh_lag_seconds"].map(gauge), [1., 24. * 3600.]);
    // Nothing refreshes any more: the readiness check keeps them right.
    clock.advance(seconds(1));
    revocations.ready().expect_err("is stale");
    assert_eq!(["ready", "refresh_lag_seconds"].map(gauge), [0., 24. * 3600. + 1.]);
    assert_eq!(gauge("feed_lag_seconds"), 24. * 3600. + 1.);
    assert_eq!(["ok", "unwritten", "failed"].map(refreshes), [2, 0, 1]);
}

#[tokio::test]
async fn logouts_are_counted_by_reach_and_outcome() {
    let recorder = Metrics::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let (store, clock) = (TestStore::new(), ManualClock::default());
    let revocations = Revocations::builder("app").store(store.clone()).clock(clock.clone());
    let sessions = crate::support::web::builder(&clock)
        .revocations(revocations.open().await.expect("opens"))
        .build()
        .unwrap();
    let session = || sessions.validate(&crate::support::web::token(&sessions)).expect("is valid");
    sessions.logout(&session()).await.expect("is recorded");
    sessions.revoke_token(&crate::support::web::token(&sessions)).await.expect("is recorded");
    let new = sessions.logout_others(&session()).await.expect("is recorded");
    let session = sessions.validate(new.as_str()).expect("the new token is valid");
    sessions.logout_everywhere(&session).await.expect("is recorded");
    // None of these is a logout.
    sessions.revoke_session("s").await.expect("is recorded");
    sessions.revoke_subject("alice").await.expect("is recorded");
    store.down();
    sessions.logout(&session).await.expect_err("the store is down");
    // Without revocations the layer can only clear the cookie.
    let without = crate::support::web::sessions(&clock);
    let app = Router::new().route("/out", on_get(async || Logout::new())).layer(without.layer());
    let out = get("/out").cookie(&crate::support::web::token(&without));
    assert_eq!(send(&app, out).await.status, 204);
    assert_eq!(send(&app, get("/out")).await.status, 204);

    let counted = |reach, outcome| {
        let labels = [("reach", reach), ("outcome", outcome)];
        recorder.counter_of("fixed", "logouts_total", &labels)
    };
    let of = |reach| ["recorded", "cookie_only", "failed"].map(|outcome| counted(reach, outcome));
    assert_eq!(["this", "others", "everywhere"].map(of), [[2, 1, 1], [1, 0, 0], [1, 0, 0]]);
}

#[tokio::test]
async fn table_equals_emitted_metrics() {
    let recorder = Metrics::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    telemetry::describe();
    emit_everything().await;
    let rows = super::table("Metrics");
    let name = |row: &Vec<String>| format!("tower_jwt_session_{}", row[0].trim_matches('`'));
    assert!(rows.len() >= 12, "the table is read: {rows:?}");
    let series = recorder.series();
    let emitted = series.iter().map(|((name, labels), kind)| {
        let labels: BTreeSet<_> = labels.iter().map(|(name, _)| name.clone()).collect();
        (name.clone(), (*kind).to_owned(), labels)
    });
    let labeled = rows.iter().map(|row| {
        let labels = row[3].split(", ").map(str::to_owned).collect();
        (name(row), row[1].clone(), labels)
    });
    assert_eq!(emitted.collect::<BTreeSet<_>>(), labeled.collect());
    let described = recorder.described.lock().unwrap();
    let described = described
        .iter()
        .map(|(name, kind, unit)| (name.clone(), (*kind).to_owned(), (*unit).to_owned()));
    let with_unit = rows.iter().map(|row| (name(row), row[1].clone(), row[2].clone()));
    assert_eq!(described.collect::<BTreeSet<_>>(), with_unit.collect());
}

#[tokio::test]
async fn validations_are_counted_by_outcome() {
    let recorder = Metrics::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let replica = Replica::open(MemoryStore::new(), START).await;
    let token = replica.issue();
    for _ in 0..3 {
        replica.judge(&token).expect("is valid");
    }
    let mut forged = token.clone().into_bytes();
    let first = forged.iter().rposition(|byte| *byte == b'.').expect("a compact token") + 1;
    forged[first] = if forged[first] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).expect("text");
    assert_eq!(replica.judge(&forged), Err(RejectionKind::BadSignature));
    assert_eq!(replica.judge("no token"), Err(RejectionKind::Malformed));
    replica.clock.advance(LIFE + seconds(60));
    assert_eq!(replica.judge(&token), Err(RejectionKind::Expired));
    assert_eq!(replica.judge(&token), Err(RejectionKind::Expired));
    let counted = |outcome| recorder.counter("app", "validations_total", outcome);
    assert_eq!(
        ["valid", "bad_signature", "malformed", "expired", "wrong_type"].map(counted),
        [3, 1, 1, 2, 0]
    );
}

/// A token enters the cache when it comes for the second time.
#[tokio::test]
async fn lookups_in_the_cache_are_counted() {
    let recorder = Metrics::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let replica = Replica::open(MemoryStore::new(), START).await;
    let token = replica.issue();
    for _ in 0..5 {
        replica.judge(&token).expect("is valid");
    }
    replica.judge("no token").expect_err("is none");
    let counted = |outcome| recorder.counter("app", "cache_lookups_total", outcome);
    assert_eq!(["hit", "miss"].map(counted), [3, 3]);
    assert_eq!(recorder.counter("app", "validations_total", "valid"), 5);
}

/// Whatever clients send, they make no further series.
#[tokio::test]
async fn no_client_makes_a_metric() {
    let recorder = Metrics::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let replica = Replica::open(MemoryStore::new(), START).await;
    replica.judge(&replica.issue()).expect("is valid");
    let series = recorder.series();
    assert!(series.len() > 30, "{series:?}");
    let key = fixed_key(Algorithm::EdDSA);
    for number in 0..100 {
        let header = format!(r#"{{"alg":"EdDSA","typ":"session+jwt","kid":"k{number}"}}"#);
        let kind = replica.judge(&mint(&key, header, format!(r#"{{"sub":"s{number}"}}"#)));
        assert_eq!(kind, Err(RejectionKind::UnknownKey));
        let login = Login::new(format!("subject{number}"), ());
        replica.sessions.issue(&login).expect("a key signs");
    }
    assert_eq!(recorder.counter("app", "validations_total", "unknown_key"), 100);
    assert_eq!(recorder.counter("app", "issued_total", "issued"), 101);
    assert_eq!(recorder.series(), series);
}

#[tokio::test]
async fn rejected_requests_are_counted_by_outcome() {
    let recorder = Metrics::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let clock = ManualClock::default();
    let sessions = crate::support::web::sessions(&clock);
    let me = async |session: Session<User>| session.subject().to_owned();
    let guarded = on_get(me).layer(sessions.validate_layer().require_scope("admin"));
    let app = Router::new().route("/me", on_get(me)).route("/admin", guarded);
    let app = app.layer(sessions.layer());
    let token = crate::support::web::token(&sessions);

    assert_eq!(send(&app, get("/me").cookie(&token)).await.status, 200);
    assert_eq!(send(&app, get("/me")).await.status, 401);
    assert_eq!(send(&app, get("/me").bearer("x")).await.status, 401);
    assert_eq!(send(&app, get("/me").bearer(&token).cookie(&token)).await.status, 400);
    assert_eq!(send(&app, get("/admin").bearer(&token)).await.status, 403);
    let cross_site =
        crate::support::web::post("/me").cookie(&token).header("sec-fetch-site", "cross-site");
    assert_eq!(send(&app, cross_site).await.status, 403);

    let counted = |outcome| recorder.counter("fixed", "rejections_total", outcome);
    let outcomes = ["missing", "malformed", "ambiguous", "insufficient_scope", "cross_site"];
    assert_eq!(outcomes.map(counted), [1; 5]);
    assert_eq!(counted("forbidden"), 0);
    assert_eq!(recorder.counter("fixed", "validations_total", "valid"), 2);
}

#[tokio::test]
async fn issuing_is_counted_by_outcome_without_useless_renewals() {
    let recorder = Metrics::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let clock = ManualClock::default();
    let sessions = crate::support::web::sessions(&clock);
    let me = async |session: Session<User>| session.subject().to_owned();
    let app = Router::new().route("/me", on_get(me)).layer(sessions.layer());
    let token = crate::support::web::token(&sessions);
    let counted = |outcome| recorder.counter("fixed", "issued_total", outcome);
    assert_eq!(counted("issued"), 1);

    send(&app, get("/me").cookie(&token)).await;
    assert_eq!(counted("issued"), 1);
    clock.advance(LIFE / 4 * 3);
    assert!(!send(&app, get("/me").cookie(&token)).await.cookie_token().is_empty());
    assert_eq!((counted("issued"), counted("lifetime_reached")), (2, 0));

    let nobody = Login::new("", User { role: "reader".into() });
    assert!(
        matches!(sessions.issue(&nobody), Err(error) if error.kind() == OperationErrorKind::InvalidClaims && error.to_string().contains("the subject is empty"))
    );
    assert_eq!((counted("issued"), counted("invalid_claims")), (2, 1));
}

#[tokio::test]
async fn gauges_follow_an_outage_and_its_end() {
    let recorder = Metrics::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let gauge = |name| recorder.gauge("app", name).expect("is set");
    let refreshes = |outcome| recorder.counter("app", "refreshes_total", outcome);
    let store = TestStore::new();
    let replica = Replica::open(store.clone(), START).await;
    replica.refresh_at(START + seconds(100)).await;
    assert_eq!(["ok", "unwritten", "failed"].map(refreshes), [2, 0, 0]);
    let names = ["keys", "ready", "signing_generation", "key_age_seconds", "rotation_overdue"];
    assert_eq!(names.map(gauge), [2., 1., 0., 100., 0.]);
    assert_eq!(["refresh_failures", "refresh_lag_seconds"].map(gauge), [0., 0.]);

    store.down();
    let second = replica.times(1);
    replica.clock.set(second.signs_from - FULL_LEAD + INSERT);
    for _ in 0..3 {
        replica.ring.refresh().await.expect_err("the store is down");
    }
    let lag = (second.signs_from - FULL_LEAD + INSERT - (START + seconds(100))).as_secs_f64();
    assert_eq!(["refresh_failures", "refresh_lag_seconds"].map(gauge), [3., lag]);
    assert_eq!(["ready", "rotation_overdue"].map(gauge), [1., 1.]);

    // Nothing refreshes any more: the readiness check keeps them right.
    replica.clock.set(second.signs_until + OVERRUN);
    replica.ring.ready().expect("no key signs, but it verifies");
    assert_eq!(["ready", "refresh_failures"].map(gauge), [1., 3.]);
    assert!(gauge("refresh_lag_seconds") > lag);
    assert!(replica.try_issue().is_err());
    assert_eq!(recorder.counter("app", "issued_total", "no_signing_key"), 1);

    store.up();
    store.fail(&[Operation::Insert]);
    replica.ring.refresh().await.expect_err("nothing can be written");
    assert_eq!(["ok", "unwritten", "failed"].map(refreshes), [2, 1, 3]);
    assert_eq!(["refresh_failures", "refresh_lag_seconds"].map(gauge), [4., 0.]);
    store.up();
    replica.refresh().await;
    assert_eq!(["refresh_failures", "rotation_overdue"].map(gauge), [0., 0.]);
    assert_eq!(refreshes("ok"), 3);
}

#[tokio::test]
async fn fingerprint_and_revoked_keys_show_a_replica_that_does_not_follow() {
    let recorder = Metrics::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    // Both replicas set the same gauges.
    let gauges = |replica: &Replica| {
        replica.ring.ready().expect("a key verifies");
        ["key_fingerprint", "keys_revoked", "issuing_paused"]
            .map(|name| recorder.gauge("app", name).expect("is set"))
    };
    let store = TestStore::new();
    let one = Replica::open(store.clone(), START).await;
    let two = Replica::open(store.sibling(), START).await;
    let [fingerprint, ..] = gauges(&one);
    assert_eq!([gauges(&one), gauges(&two)], [[fingerprint, 0., 0.]; 2]);
    assert!(fingerprint > 0. && fingerprint < (1_u64 << 48) as f64, "{fingerprint}");
    assert_eq!(fingerprint.fract(), 0.);

    one.revoke(0).await;
    let [revoked, ..] = gauges(&one);
    assert_ne!(revoked, fingerprint);
    assert_eq!([gauges(&one), gauges(&two)], [[revoked, 1., 1.], [fingerprint, 0., 0.]]);
    two.refresh().await;
    assert_eq!(gauges(&two), [revoked, 1., 1.]);
}

#[tokio::test]
async fn rings_in_one_process_have_separate_metrics() {
    let recorder = Metrics::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let mut valid = Vec::new();
    for (name, count) in [("one", 1), ("two", 2)] {
        let clock = ManualClock::new(START);
        let ring = KeyRing::builder(name).store(MemoryStore::new()).rotation(policy());
        let ring = ring.clock(clock.clone()).open().await.expect("opens");
        let replica = Replica::of(ring, clock, LIFE);
        let token = replica.issue();
        for _ in 0..count {
            replica.judge(&token).expect("is valid");
        }
        replica.refresh_at(START + seconds(count)).await;
        valid.push((recorder.counter(name, "validations_total", "valid"), count));
    }
    assert_eq!(valid, [(1, 1), (2, 2)]);
    assert_eq!(recorder.gauge("one", "key_age_seconds"), Some(1.));
    assert_eq!(recorder.gauge("two", "key_age_seconds"), Some(2.));
}

#[tokio::test]
async fn derived_ring_reports_its_epoch_and_fixed_ring_only_counts() {
    let recorder = Metrics::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let clock = ManualClock::new(START);
    let secret: Vec<u8> = (100..132).collect();
    let derived = KeyRing::derived("derived", Root::new(secret).expect("random bytes"));
    let derived = derived.rotation(policy()).clock(clock.clone()).build().expect("good settings");
    clock.advance(seconds(60));
    derived.ready().expect("it signs");
    let epoch = START.as_unix_seconds() / i64::try_from(PERIOD.as_secs()).expect("is short");
    let gauge = |name| recorder.gauge("derived", name);
    assert_eq!(gauge("signing_generation"), Some(epoch as f64));
    let began = START.as_unix_seconds() % i64::try_from(PERIOD.as_secs()).expect("is short");
    assert_eq!(gauge("key_age_seconds"), Some((began + 60) as f64));
    assert_eq!((gauge("ready"), gauge("rotation_overdue")), (Some(1.), Some(0.)));
    assert_eq!(gauge("refresh_lag_seconds"), None);

    let sessions: Sessions<User> = crate::support::web::sessions(&clock);
    sessions.validate(&crate::support::web::token(&sessions)).expect("is valid");
    sessions.keys().ready().expect("it signs");
    assert_eq!(recorder.counter("fixed", "validations_total", "valid"), 1);
    assert_eq!(recorder.gauge("fixed", "keys"), None);
}
