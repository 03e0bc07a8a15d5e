//! A store that is purged, restored, damaged or written by a newer version: nothing recorded is
//! lost while a replica lives.

use std::collections::BTreeMap;

use serde_json::json;
use tower_jwt_session::NotReadyKind;

use super::*;
use crate::support::stores::TestStore;
use crate::support::web::{claims_of, header, signed};

/// A replica that knows that alice's session, all of bob's, and all before START have ended.
async fn knowing(store: &TestStore) -> (Replica, [String; 3]) {
    let one = Replica::open(store.clone()).await;
    let [alice, bob] = [one.login("alice"), one.login("bob")];
    pass(&[&one], seconds(600));
    let carol = one.login("carol");
    one.logout(&alice).await;
    one.sessions.revoke_subject("bob").await.unwrap();
    one.sessions.revoke_logins_before(one.clock.now()).await.unwrap();
    (one, [alice, bob, carol])
}

async fn open_beside(one: &Replica, store: &TestStore) -> Replica {
    Replica::open_at(store.sibling(), one.clock.now()).await
}

#[track_caller]
fn assert_refused(replica: &Replica, tokens: &[String]) {
    for (number, token) in tokens.iter().enumerate() {
        assert_eq!(replica.judge(token), Err(RejectionKind::Revoked), "token {number}");
    }
}

#[tokio::test]
async fn revocations_lost_by_purge_are_restored() {
    let store = TestStore::new();
    let (one, tokens) = knowing(&store).await;
    store.restore_of(PLACE, &BTreeMap::new()).await;
    assert_eq!(open_beside(&one, &store).await.counts(), [0, 0, 0]);
    one.refresh().await;
    assert_refused(&one, &tokens);
    let newcomer = open_beside(&one, &store).await;
    assert_refused(&newcomer, &tokens);
    assert_eq!(newcomer.version(), one.version());
    // Once: the next finds all in its place.
    let entries = store.entries_of(PLACE).await;
    one.refresh().await;
    newcomer.refresh().await;
    assert_eq!(store.entries_of(PLACE).await, entries);
}

#[tokio::test]
async fn newcomer_on_purged_store_converges_with_the_others() {
    let store = TestStore::new();
    let (one, tokens) = knowing(&store).await;
    store.restore_of(PLACE, &BTreeMap::new()).await;
    let newcomer = open_beside(&one, &store).await;
    // It goes as far as the log went before: only the content differs.
    for number in 0..3 {
        newcomer.sessions.revoke_session(&format!("s-{number}")).await.unwrap();
    }
    one.refresh().await;
    newcomer.refresh().await;
    for replica in [&one, &newcomer] {
        assert_refused(replica, &tokens);
        assert_eq!(replica.counts(), [4, 1, 1]);
    }
    assert_eq!(newcomer.version(), one.version());
}

#[tokio::test]
async fn revocations_since_a_backup_are_restored() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    let tokens = ["alice", "bob", "carol"].map(|subject| one.login(subject));
    one.logout(&tokens[0]).await;
    let backup = store.entries_of(PLACE).await;
    one.logout(&tokens[1]).await;
    one.sessions.revoke_subject("carol").await.unwrap();
    store.restore_of(PLACE, &backup).await;
    let newcomer = open_beside(&one, &store).await;
    assert_eq!(newcomer.counts(), [1, 0, 0]);
    one.refresh().await;
    newcomer.refresh().await;
    assert_refused(&newcomer, &tokens);
}

/// The writer has not noticed the loss yet, and finds its next place free.
#[tokio::test]
async fn logout_on_a_purged_store_is_found_by_everyone() {
    for others in [0, 1, 2, 3] {
        let store = TestStore::new();
        let (one, tokens) = knowing(&store).await;
        let dave = one.login("dave");
        store.restore_of(PLACE, &BTreeMap::new()).await;
        let newcomer = open_beside(&one, &store).await;
        for number in 0..others {
            newcomer.sessions.revoke_session(&format!("s-{number}")).await.unwrap();
        }
        one.logout(&dave).await;
        newcomer.refresh().await;
        assert_refused(&newcomer, &[dave]);
        one.refresh().await;
        newcomer.refresh().await;
        for replica in [&one, &newcomer] {
            assert_refused(replica, &tokens);
            assert_eq!(replica.counts(), [2 + others, 1, 1]);
        }
    }
}

/// A process that was stopped finds the place after its last one free again.
#[tokio::test]
async fn a_logout_by_one_who_was_away_for_long_is_found_by_everyone() {
    let store = TestStore::new();
    let away = Replica::open(store.clone()).await;
    let two = Replica::open(store.sibling()).await;
    away.sessions.revoke_session("first").await.unwrap();
    two.refresh().await;
    for session_id in ["second", "third"] {
        two.sessions.revoke_session(session_id).await.unwrap();
    }
    pass(&[&away, &two], RETENTION + KEPT);
    two.refresh().await;
    let names: Vec<_> = store.entries_of(PLACE).await.into_keys().collect();
    assert_eq!(names, [0, 2].map(|position| format!("revocations-{position:020}")));
    // It accepts no session any more, but can end one.
    let token = two.login("alice");
    let session_id = two.session(&token).session_id().to_owned();
    away.sessions.revoke_session(&session_id).await.unwrap();
    two.refresh().await;
    assert_refused(&two, &[token]);
}

/// It accepted the session, not knowing better, and its renewal claims to know more than the mark.
#[tokio::test]
async fn session_renewed_before_restored_revocation_is_refused() {
    let store = TestStore::new();
    let (one, [_, bob, carol]) = knowing(&store).await;
    store.restore_of(PLACE, &BTreeMap::new()).await;
    let newcomer = open_beside(&one, &store).await;
    newcomer.clock.advance(seconds(1));
    newcomer.sessions.revoke_session("another").await.unwrap();
    assert!(newcomer.version() > one.version());
    let renewed = [bob, carol].map(|token| {
        let mut claims = claims_of(&token);
        claims["rv"] = json!(newcomer.version());
        signed(&header(), &claims)
    });
    for token in &renewed {
        assert_eq!(newcomer.judge(token), Ok(()));
    }
    one.refresh().await;
    newcomer.refresh().await;
    assert_refused(&newcomer, &renewed);
}

/// The last entry was lost in a failover, and another stands in its place, whose writer's clock is
/// behind. What this replica issued meanwhile claims to know it.
#[tokio::test]
async fn a_mark_whose_version_is_behind_is_restated() {
    let store = TestStore::new();
    let one = Replica::open_at(store.clone(), START + SKEW).await;
    one.sessions.revoke_session("lost").await.unwrap();
    store.restore_of(PLACE, &BTreeMap::new()).await;
    let behind = Replica::open_at(store.sibling(), START).await;
    behind.sessions.revoke_subject("alice").await.unwrap();
    assert!(behind.version() < one.version());
    let mut claims = claims_of(&one.login("alice"));
    claims["auth_time"] = json!(START.as_unix_seconds());
    assert_eq!(claims["rv"], json!(one.version()));
    let token = signed(&header(), &claims);
    one.refresh().await;
    assert_refused(&one, std::slice::from_ref(&token));
    behind.refresh().await;
    assert_refused(&behind, &[token]);
}

#[tokio::test]
async fn store_not_writable_is_written_at_the_next_read() {
    let store = TestStore::new();
    let (one, tokens) = knowing(&store).await;
    store.restore_of(PLACE, &BTreeMap::new()).await;
    store.fail_after_inserts(0);
    one.revocations.refresh().await.unwrap_err();
    assert_refused(&one, &tokens);
    store.up();
    one.refresh().await;
    assert_refused(&open_beside(&one, &store).await, &tokens);
}

#[tokio::test]
async fn unreadable_record_is_skipped_and_reported_and_hides_no_other() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    let token = one.login("alice");
    one.logout(&token).await;
    let marks = |position: u64| format!("revocations-{position:020}");
    let good = |marks: serde_json::Value| {
        json!({"version": 1, "rv": 1, "until": "2027-01-16T08:00:00Z", "revocations": marks})
            .to_string()
    };
    let unknown_kind = good(json!([{"ended": "else", "until": "2027-01-16T08:00:00Z"}]));
    let too_high = good(json!([])).replace("\"rv\":1", "\"rv\":9007199254740992");
    for (position, damaged) in [
        (1, "{"),
        (2, r#"{"version":0}"#),
        (3, r#"{"version":1}"#),
        (4, &unknown_kind),
        (5, &too_high),
    ] {
        store.put_of(PLACE, &marks(position), damaged.as_bytes()).await;
    }
    store.put_of(PLACE, "something", b"else").await;
    // One that goes on, and one that begins anew.
    one.refresh().await;
    let newcomer = open_beside(&one, &store).await;
    for (replica, skipped) in [(&one, 5), (&newcomer, 6)] {
        let status = replica.revocations.status();
        assert_eq!(status.skipped.len(), skipped, "{:?}", status.skipped);
        let reported = "revocations-00000000000000000001: not a record: line 1, column 1";
        assert!(status.skipped.iter().any(|text| text == reported), "{:?}", status.skipped);
        assert!(!status.skipped.iter().any(|text| text.contains("alice")));
        assert_eq!(replica.judge(&token), Err(RejectionKind::Revoked));
        replica.revocations.ready().unwrap();
    }
    // The log goes on behind it.
    let bob = newcomer.login("bob");
    newcomer.logout(&bob).await;
    one.refresh().await;
    assert_refused(&one, &[bob]);
}

/// Written by a newer version, to be understood by none of this test.
const NEWER: &str = r#"{"version":7,"until":"2027-01-17T08:00:00Z","what":"else"}"#;

#[tokio::test]
async fn revocation_of_newer_version_is_kept_and_makes_unready() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    one.logout(&one.login("alice")).await;
    store.put_of(PLACE, "revocations-00000000000000000001", NEWER.as_bytes()).await;
    one.refresh().await;
    let newcomer = open_beside(&one, &store).await;
    for replica in [&one, &newcomer] {
        assert_eq!(replica.revocations.status().newer_format, Some(7));
        let unready = replica.revocations.ready().unwrap_err();
        assert_eq!(unready.kind(), NotReadyKind::NewerFormat);
        assert!(unready.to_string().contains("(format 7)"), "{unready}");
        // It goes on with what it understands, and can record.
        replica.logout(&replica.login("bob")).await;
    }
    drop(newcomer);

    // A store that has lost it gets it back, as it was.
    store.restore_of(PLACE, &BTreeMap::new()).await;
    one.refresh().await;
    let values: Vec<_> = store.entries_of(PLACE).await.into_values().collect();
    assert!(values.contains(&NEWER.as_bytes().to_vec()));
    one.refresh().await;
    assert_eq!(store.entries_of(PLACE).await.len(), values.len(), "once");

    // It is of no more use after its time.
    one.clock.advance(seconds(3 * 24 * 3600));
    one.refresh().await;
    one.revocations.ready().unwrap();
}
