//! Logouts and revocations: sessions that end, and sessions that stay valid.

use serde_json::json;
use tower_jwt_session::OperationErrorKind;
use tower_jwt_session::store::{MemoryStore, StoreError};

use super::*;
use crate::support::stores::{Operation, TestStore};
use crate::support::web::{claims_of, header, signed};

#[tokio::test]
async fn ended_session_is_refused_here_at_once_elsewhere_after_read() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    let two = Replica::open(store.sibling()).await;
    let (token, other) = (one.login("alice"), one.login("alice"));
    one.logout(&token).await;
    assert_eq!(one.judge(&token), Err(RejectionKind::Revoked));
    assert_eq!(one.judge(&other), Ok(()));
    assert_eq!(two.judge(&token), Ok(()), "it has not heard of it");
    two.refresh().await;
    assert_eq!(two.judge(&token), Err(RejectionKind::Revoked));
    assert_eq!(two.judge(&other), Ok(()));
    // One that starts later knows it, too.
    let three = Replica::open(store.sibling()).await;
    assert_eq!(three.judge(&token), Err(RejectionKind::Revoked));
    assert_eq!(three.counts(), [1, 0, 0]);
}

#[tokio::test]
async fn replica_is_notified_by_store() {
    let store = MemoryStore::new();
    let one = Replica::open(store.clone()).await;
    let two = Replica::open(store.clone()).await;
    let token = one.login("alice");
    one.logout(&token).await;
    let notified = async {
        while two.judge(&token).is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(seconds(5), notified).await.unwrap();
}

#[tokio::test]
async fn what_another_replica_renewed_before_it_heard_is_refused_too() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    let two = Replica::open(store.sibling()).await;
    let [first, second] = [one.login("alice"), one.login("bob")];
    // A renewal long after the end, by one that is cut off: all but the login's time is new.
    let renewed = |token: &str| {
        let mut claims = claims_of(token);
        let now = two.clock.now().as_unix_seconds();
        claims["iat"] = json!(now);
        claims["exp"] = json!(now + 3600);
        claims["jti"] = json!("renewed");
        signed(&header(), &claims)
    };
    one.logout(&first).await;
    one.sessions.revoke_subject("bob").await.unwrap();
    pass(&[&one, &two], seconds(30 * 60));
    let renewed = [renewed(&first), renewed(&second)];
    for token in &renewed {
        assert_eq!(two.judge(token), Ok(()));
        assert_eq!(one.judge(token), Err(RejectionKind::Revoked));
    }
    two.refresh().await;
    for token in &renewed {
        assert_eq!(two.judge(token), Err(RejectionKind::Revoked));
    }
}

#[tokio::test]
async fn all_sessions_of_a_subject_are_ended_and_no_others() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    let two = Replica::open(store.sibling()).await;
    let tokens = [one.login("alice"), two.login("alice")];
    let other = one.login("alice2");
    one.sessions.logout_everywhere(&one.session(&tokens[0])).await.unwrap();
    two.refresh().await;
    for replica in [&one, &two] {
        for token in &tokens {
            assert_eq!(replica.judge(token), Err(RejectionKind::Revoked));
        }
        assert_eq!(replica.judge(&other), Ok(()));
        assert_eq!(replica.counts(), [0, 1, 0]);
    }
}

#[tokio::test]
async fn a_login_after_all_were_ended_stands_whatever_the_clocks() {
    for skew in [Duration::ZERO, SKEW] {
        for one_is_ahead in [false, true] {
            let store = TestStore::new();
            let (one, two) = match one_is_ahead {
                true => (START + skew, START),
                false => (START, START + skew),
            };
            let one = Replica::open_at(store.clone(), one).await;
            let two = Replica::open_at(store.sibling(), two).await;
            let before = [one.login("alice"), two.login("alice")];
            one.sessions.revoke_subject("alice").await.unwrap();
            let at_once = one.login("alice");
            two.refresh().await;
            let heard = two.login("alice");
            for replica in [&one, &two] {
                for token in &before {
                    assert_eq!(replica.judge(token), Err(RejectionKind::Revoked));
                }
                assert_eq!(replica.judge(&at_once), Ok(()), "{skew:?} {one_is_ahead}");
                assert_eq!(replica.judge(&heard), Ok(()), "{skew:?} {one_is_ahead}");
            }
            // And it can be ended in its turn.
            two.sessions.revoke_subject("alice").await.unwrap();
            assert_eq!(two.judge(&at_once), Err(RejectionKind::Revoked));
            assert_eq!(two.judge(&heard), Err(RejectionKind::Revoked));
        }
    }
}

/// The login reads the cutoffs, on a replica that has not read the feed since.
#[tokio::test]
async fn login_right_after_all_were_ended_elsewhere_stands_on_every_replica() {
    let store = TestStore::new();
    let one = Replica::open_at(store.clone(), START + SKEW).await;
    let two = Replica::open(store.sibling()).await;
    one.sessions.revoke_subject("alice").await.unwrap();
    one.sessions.revoke_logins_before(one.clock.now()).await.unwrap();
    let before = two.login("alice");
    let login = two.sessions.login(&Login::new("alice", ())).await.unwrap();
    let token = login.as_str();
    for key in ["rv", "rg"] {
        assert!(claims_of(token)[key].as_u64().is_some(), "{key}");
    }
    two.refresh().await;
    for replica in [&one, &two] {
        assert_eq!(replica.judge(&before), Err(RejectionKind::Revoked));
        assert_eq!(replica.judge(token), Ok(()));
    }
}

/// A login that cannot read them is made under what its replica knows.
#[tokio::test]
async fn login_without_store_stands_if_clearly_later() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    let two_store = store.sibling();
    let two = Replica::open(two_store.clone()).await;
    one.sessions.revoke_subject("alice").await.unwrap();
    two_store.down();
    let login = async || two.sessions.login(&Login::new("alice", ())).await.unwrap();
    pass(&[&one, &two], SLACK);
    let early = login().await;
    pass(&[&one, &two], seconds(1));
    let late = login().await;
    two_store.up();
    two.refresh().await;
    for replica in [&one, &two] {
        assert_eq!(replica.judge(early.as_str()), Err(RejectionKind::Revoked));
        assert_eq!(replica.judge(late.as_str()), Ok(()));
    }
}

#[tokio::test]
async fn all_that_began_before_a_time_is_ended() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    let two = Replica::open(store.sibling()).await;
    let old = [one.login("alice"), one.login("bob")];
    pass(&[&one, &two], seconds(600));
    let time = one.clock.now();
    pass(&[&one, &two], SLACK + seconds(1));
    let young = two.login("alice");
    two.sessions.revoke_logins_before(time).await.unwrap();
    one.refresh().await;
    for replica in [&one, &two] {
        for token in &old {
            assert_eq!(replica.judge(token), Err(RejectionKind::Revoked));
        }
        assert_eq!(replica.judge(&young), Ok(()));
        assert_eq!(replica.counts(), [0, 0, 1]);
    }
    // A time that is yet to come counts as now: nobody is kept from logging in.
    one.sessions.revoke_logins_before(Timestamp::MAX).await.unwrap();
    assert_eq!(one.judge(&young), Err(RejectionKind::Revoked));
    assert_eq!(one.judge(&one.login("alice")), Ok(()));
    assert_eq!(one.counts(), [0, 0, 1], "the later covers the earlier");
}

#[tokio::test]
async fn a_session_is_ended_by_its_id() {
    let one = Replica::open(TestStore::new()).await;
    let token = one.login("alice");
    let session_id = one.session(&token).session_id().to_owned();
    one.sessions.revoke_session(&session_id).await.unwrap();
    assert_eq!(one.judge(&token), Err(RejectionKind::Revoked));
}

#[tokio::test]
async fn revocation_is_dropped_within_an_hour_of_its_last_token() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    let two = Replica::open(store.sibling()).await;
    let token = one.login("alice");
    one.logout(&token).await;
    one.sessions.revoke_subject("bob").await.unwrap();
    one.sessions.revoke_logins_before(one.clock.now()).await.unwrap();
    two.refresh().await;

    pass(&[&one, &two], RETENTION - Duration::from_millis(1));
    for replica in [&one, &two] {
        replica.refresh().await;
        assert_eq!(replica.counts(), [1, 1, 1]);
    }
    pass(&[&one, &two], seconds(3600));
    for replica in [&one, &two] {
        replica.refresh().await;
        assert_eq!(replica.counts(), [0, 0, 0]);
    }
    // Who starts then finds nothing that is over.
    assert_eq!(Replica::open_at(store.sibling(), one.clock.now()).await.counts(), [0, 0, 0]);
    two.logout(&two.login("carol")).await;
    one.refresh().await;
    assert_eq!(one.counts(), [1, 0, 0]);
    assert!(store.entries_of(PLACE).await.is_empty(), "nothing but the feed");
}

#[tokio::test]
async fn tokens_carry_the_versions_under_which_their_login_was_made() {
    let one = Replica::open(TestStore::new()).await;
    let versions = |token: &str| ["rv", "rg"].map(|name| claims_of(token)[name].clone());
    let before = one.login("alice");
    one.logout(&one.login("alice")).await;
    assert_eq!(versions(&one.login("alice")), [json!(null), json!(null)], "a session has none");
    one.sessions.revoke_subject("alice").await.unwrap();
    let now = u64::try_from(START.as_unix_millis()).unwrap();
    assert_eq!(versions(&one.login("alice")), [json!(now), json!(null)]);
    assert_eq!(versions(&one.login("bob")), [json!(null), json!(null)]);
    one.sessions.revoke_subject("alice").await.unwrap();
    assert_eq!(versions(&one.login("alice")), [json!(now + 1), json!(null)]);
    one.sessions.revoke_logins_before(START).await.unwrap();
    assert_eq!(versions(&one.login("bob")), [json!(null), json!(now)]);
    assert_eq!(one.judge(&before), Err(RejectionKind::Revoked));
}

/// What was checked before a cutoff and is signed after it stays a session of before.
#[tokio::test]
async fn renewal_and_reissue_carry_the_versions_of_the_login() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    let behind = Replica::open(store.sibling()).await;
    one.sessions.revoke_subject("alice").await.unwrap();
    let token = one.login("alice");
    let version = claims_of(&token)["rv"].clone();
    one.sessions.revoke_subject("alice").await.unwrap();
    // It knows neither of them.
    let reissued = behind.sessions.reissue(&behind.session(&token), ());
    let issued = behind.sessions.issue(&reissued).unwrap();
    assert_eq!(claims_of(issued.as_str())["rv"], version);
    assert_eq!(one.judge(issued.as_str()), Err(RejectionKind::Revoked));
    // Reading the cutoffs, it finds out.
    let error = behind.sessions.login(&reissued).await.unwrap_err();
    assert_eq!(error.rejection().map(|it| it.kind()), Some(RejectionKind::Revoked));
}

#[tokio::test]
async fn logout_not_recorded_is_an_error_and_session_stays() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    let token = one.login("alice");
    store.down();
    for _ in 0..2 {
        let error = one.sessions.logout(&one.session(&token)).await.unwrap_err();
        assert!(error.kind() == OperationErrorKind::Store && error.is_temporary(), "{error}");
        let source = std::error::Error::source(&error).unwrap();
        assert!(source.downcast_ref::<StoreError>().is_some());
        assert!(source.to_string().contains("the test's store"), "{source}");
        assert_eq!(one.judge(&token), Ok(()));
    }
    assert!(one.revocations.status().write_failure.is_some());
    store.up();
    one.logout(&token).await;
    assert_eq!(one.judge(&token), Err(RejectionKind::Revoked));
    assert_eq!(one.revocations.status().write_failure, None);
}

#[tokio::test]
async fn a_store_that_hangs_is_an_error_in_time() {
    let store = TestStore::new();
    let clock = ManualClock::new(START);
    let hasty = builder(store.clone(), &clock).insert_timeout(seconds(1) / 10);
    let one = Replica::of(hasty, clock).await;
    let token = one.login("alice");
    store.hang(&[Operation::Append]);
    let error = one.sessions.logout(&one.session(&token)).await.unwrap_err();
    assert!(error.to_string().contains("took longer than 100ms"), "{error}");
    store.up();
    one.refresh().await;
    one.logout(&token).await;
    assert_eq!(one.judge(&token), Err(RejectionKind::Revoked));
}

#[tokio::test]
async fn an_answer_that_was_lost_does_not_make_a_logout_undone() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    let token = one.login("alice");
    store.lose_answers();
    one.sessions.logout(&one.session(&token)).await.unwrap_err();
    store.up();
    // It was recorded all the same, which the next read finds.
    one.refresh().await;
    assert_eq!(one.judge(&token), Err(RejectionKind::Revoked));
    assert_eq!(one.counts(), [1, 0, 0]);
}

#[tokio::test]
async fn without_revocations_a_session_is_ended_at_its_client_alone() {
    let clock = ManualClock::new(START);
    let sessions = Sessions::<()>::builder(fixed_ring(clock), "https://app.example", "app");
    let sessions = sessions.build().unwrap();
    let token = sessions.issue(&Login::new("alice", ())).unwrap();
    let session = sessions.validate(token.as_str()).unwrap();
    assert_eq!(sessions.clear_cookie().is_some(), cfg!(feature = "cookie"));
    assert!(sessions.validate(token.as_str()).is_ok());
    // What only a store can do is refused, rather than done in part.
    let errors = [
        sessions.logout(&session).await,
        sessions.logout_everywhere(&session).await,
        sessions.revoke_subject("alice").await,
        sessions.revoke_session(session.session_id()).await,
        sessions.revoke_logins_before(START).await,
    ];
    for error in errors {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), OperationErrorKind::NotConfigured);
        assert!(error.to_string().contains("no revocations"), "{error}");
    }
}

/// It does not say that the login was later.
#[tokio::test]
async fn token_without_login_time_is_refused_once_subject_revoked() {
    let one = Replica::open(TestStore::new()).await;
    let token = one.login("alice");
    let issued_again = |subject: &str| {
        let mut claims = claims_of(&token);
        let now = one.clock.now().as_unix_seconds();
        (claims["iat"], claims["exp"]) = (json!(now), json!(now + 300));
        claims["sub"] = json!(subject);
        claims.as_object_mut().unwrap().remove("auth_time");
        signed(&header(), &claims)
    };
    assert_eq!(one.judge(&issued_again("alice")), Ok(()));
    one.sessions.revoke_subject("alice").await.unwrap();
    for _ in 0..2 {
        assert_eq!(one.judge(&issued_again("alice")), Err(RejectionKind::Revoked));
        assert_eq!(one.judge(&issued_again("bob")), Ok(()));
        one.clock.advance(seconds(3600));
    }
}
