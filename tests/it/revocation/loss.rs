//! A store that is purged, restored from a backup or written by a newer version: nothing recorded is
//! lost while a replica lives.

use tower_jwt_session::NotReadyKind;
use tower_jwt_session::store::{MemoryStore, Register, RegisterId, RevokedSession};

use super::*;
use crate::support::stores::{Operation, Reach, TestStore};
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

async fn registers(store: &TestStore) -> Vec<(RegisterId, Register)> {
    let mut registers = store.feed(PLACE).await.registers;
    registers.sort_by_key(|(id, _)| *id);
    registers
}

#[tokio::test]
async fn revocations_lost_by_purge_are_restored() {
    let store = TestStore::new();
    let (one, tokens) = knowing(&store).await;
    let before = registers(&store).await;
    store.purge_feed(PLACE).await;
    assert_eq!(open_beside(&one, &store).await.counts(), [0, 0, 0]);
    one.refresh().await;
    assert_refused(&one, &tokens);
    let newcomer = open_beside(&one, &store).await;
    assert_refused(&newcomer, &tokens);
    assert_eq!(newcomer.counts(), one.counts());
    assert_eq!(registers(&store).await, before, "of the versions that tokens carry");
    // Once: the next finds all in its place.
    let end = store.feed(PLACE).await.cursor;
    one.refresh().await;
    newcomer.refresh().await;
    assert_eq!(store.feed(PLACE).await.cursor, end);
    assert!(store.entries_of(PLACE).await.is_empty(), "no claim is left");
}

#[tokio::test]
async fn newcomer_on_purged_store_converges_with_the_others() {
    let store = TestStore::new();
    let (one, tokens) = knowing(&store).await;
    store.purge_feed(PLACE).await;
    let newcomer = open_beside(&one, &store).await;
    // Its feed goes as far as the lost one did: only the content differs.
    for number in 0..3 {
        newcomer.sessions.revoke_session(&format!("s-{number}")).await.unwrap();
    }
    one.refresh().await;
    newcomer.refresh().await;
    for replica in [&one, &newcomer] {
        assert_refused(replica, &tokens);
        assert_eq!(replica.counts(), [4, 1, 1]);
    }
}

#[tokio::test]
async fn revocations_since_a_backup_are_restored() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    let tokens = ["alice", "bob", "carol"].map(|subject| one.login(subject));
    one.logout(&tokens[0]).await;
    one.sessions.revoke_subject("dave").await.unwrap();
    let backup = store.copy_of_feed(PLACE).await;
    one.logout(&tokens[1]).await;
    one.sessions.revoke_subject("carol").await.unwrap();
    one.sessions.revoke_subject("dave").await.unwrap();
    let before = registers(&store).await;
    store.replace_feeds(backup);
    let newcomer = open_beside(&one, &store).await;
    assert_eq!(newcomer.counts(), [1, 1, 0]);
    one.refresh().await;
    // What the backup has of dave is below what this replica holds: both now rise above it.
    for (restored, before) in registers(&store).await.iter().zip(&before) {
        assert!(restored.0 == before.0 && restored.1.dominates(&before.1), "{restored:?}");
    }
    for replica in [&newcomer, &one] {
        replica.refresh().await;
        assert_refused(replica, &tokens);
        assert_eq!(replica.counts(), [2, 2, 0]);
    }
}

/// Only the records: the small entries beside them are still there.
#[tokio::test]
async fn records_lost_beside_the_marker_are_restored() {
    let store = TestStore::shared(Reach::Polled);
    let clock = ManualClock::new(START);
    let one = Replica::of(builder(store.clone(), &clock).found_now(), clock).await;
    let token = one.login("alice");
    one.logout(&token).await;
    one.sessions.revoke_subject("bob").await.unwrap();
    store.replace_feeds(MemoryStore::new());
    assert!(store.entries_of(PLACE).await.contains_key("founded"));
    one.refresh().await;
    let newcomer = open_beside(&one, &store).await;
    newcomer.revocations.ready().unwrap();
    assert_refused(&newcomer, &[token]);
    assert_eq!(newcomer.counts(), [1, 1, 0]);
}

#[tokio::test]
async fn replicas_restore_what_each_other_has_lost() {
    for concurrently in [false, true] {
        let store = TestStore::new();
        let one = Replica::open(store.sibling()).await;
        let two = Replica::open(store.sibling()).await;
        let tokens = ["alice", "bob", "carol", "dave"].map(|subject| one.login(subject));
        one.logout(&tokens[0]).await;
        one.sessions.revoke_subject("bob").await.unwrap();
        store.purge_feed(PLACE).await;
        two.logout(&tokens[2]).await;
        two.sessions.revoke_subject("dave").await.unwrap();
        store.purge_feed(PLACE).await;
        // Of a part in which both hold something, one is first.
        for _ in 0..4 {
            if concurrently {
                tokio::join!(one.refresh(), two.refresh());
            } else {
                one.refresh().await;
                two.refresh().await;
            }
        }
        for replica in [&one, &two, &open_beside(&one, &store).await] {
            assert_refused(replica, &tokens);
            assert_eq!(replica.counts(), [2, 2, 0]);
        }
    }
}

/// The writer has not noticed the loss yet.
#[tokio::test]
async fn logout_on_a_purged_store_is_found_by_everyone() {
    for others in [0, 1, 2, 3] {
        let store = TestStore::new();
        let (one, tokens) = knowing(&store).await;
        let [dave, erin] = ["dave", "erin"].map(|subject| one.login(subject));
        store.purge_feed(PLACE).await;
        let newcomer = open_beside(&one, &store).await;
        for number in 0..others {
            newcomer.sessions.revoke_session(&format!("s-{number}")).await.unwrap();
        }
        one.logout(&dave).await;
        one.sessions.revoke_subject("erin").await.unwrap();
        newcomer.refresh().await;
        assert_refused(&newcomer, &[dave, erin]);
        one.refresh().await;
        newcomer.refresh().await;
        for replica in [&one, &newcomer] {
            assert_refused(replica, &tokens);
            assert_eq!(replica.counts(), [2 + others, 2, 1]);
        }
    }
}

/// The store has dropped all that a process had read before it was stopped.
#[tokio::test]
async fn a_logout_by_one_who_was_away_for_long_is_found_by_everyone() {
    let store = TestStore::new();
    let away = Replica::open(store.clone()).await;
    let two = Replica::open(store.sibling()).await;
    away.sessions.revoke_session("first").await.unwrap();
    away.sessions.revoke_subject("bob").await.unwrap();
    two.refresh().await;
    pass(&[&away, &two], RETENTION + seconds(3600));
    two.refresh().await;
    // As many as it takes until a store in memory drops what has expired.
    let revoked = (0..70_u8).map(|n| RevokedSession::new([n; 16], two.clock.now() + RETENTION));
    let revoked: Vec<_> = revoked.collect();
    store.append(PLACE, &revoked, two.clock.now()).await.unwrap();
    assert!(store.feed(PLACE).await.registers.is_empty());
    // It accepts no session any more, but can end one.
    let token = two.login("alice");
    let session_id = two.session(&token).session_id().to_owned();
    away.sessions.revoke_session(&session_id).await.unwrap();
    two.refresh().await;
    assert_refused(&two, &[token]);
    away.refresh().await;
    assert_eq!(away.counts(), [71, 0, 0]);
    assert_eq!(two.counts(), [71, 0, 0]);
}

/// A replica accepted the session, not knowing better, and renewed it.
#[tokio::test]
async fn session_renewed_before_restored_revocation_is_refused() {
    let store = TestStore::new();
    let (one, [_, bob, carol]) = knowing(&store).await;
    store.purge_feed(PLACE).await;
    let newcomer = open_beside(&one, &store).await;
    pass(&[&one, &newcomer], seconds(3600));
    let now = newcomer.clock.now().as_unix_seconds();
    let renewed = [bob, carol].map(|token| {
        let mut claims = claims_of(&token);
        (claims["iat"], claims["exp"]) = (now.into(), (now + 3600).into());
        signed(&header(), &claims)
    });
    for token in &renewed {
        assert_eq!(newcomer.judge(token), Ok(()));
    }
    one.refresh().await;
    newcomer.refresh().await;
    assert_refused(&newcomer, &renewed);
}

/// One history has the higher version, the other the later cutoff: neither includes the other.
#[tokio::test]
async fn crossed_registers_rise_above_both() {
    for one_is_first in [false, true] {
        let store = TestStore::new();
        let one = Replica::open(store.clone()).await;
        pass(&[&one], seconds(2000));
        let token = one.login("alice");
        pass(&[&one], seconds(1000));
        let cutoff = one.clock.now();
        one.sessions.revoke_logins_before(cutoff).await.unwrap();
        store.purge_feed(PLACE).await;
        pass(&[&one], seconds(700));
        let two = open_beside(&one, &store).await;
        two.sessions.revoke_logins_before(START).await.unwrap();
        let [(_, lower)] = *registers(&store).await else { panic!("one register") };
        assert_eq!((one.judge(&token), two.judge(&token)), (Err(RejectionKind::Revoked), Ok(())));
        let later = two.login("bob");

        let order = if one_is_first { [&one, &two] } else { [&two, &one] };
        for replica in order.into_iter().chain(order) {
            replica.refresh().await;
        }
        let [(_, merged)] = *registers(&store).await else { panic!("one register") };
        assert!(merged.version > lower.version && merged.at == cutoff, "{merged:?}");
        for replica in [&one, &two, &open_beside(&one, &store).await] {
            assert_refused(replica, std::slice::from_ref(&token));
            assert_eq!(replica.judge(&later), Ok(()), "a login long after both");
        }
        // It has come to rest.
        for replica in order {
            replica.refresh().await;
        }
        assert_eq!(*registers(&store).await, [(RegisterId::All, merged)]);
    }
}

/// The register was lost in a failover, and another stands in its place, whose writer's clock is
/// behind. What this replica issued meanwhile carries the higher version.
#[tokio::test]
async fn a_register_whose_version_is_behind_is_advanced() {
    let store = TestStore::new();
    let one = Replica::open_at(store.clone(), START + SKEW).await;
    one.sessions.revoke_subject("alice").await.unwrap();
    let [(_, lost)] = *registers(&store).await else { panic!("one register") };
    store.purge_feed(PLACE).await;
    let behind = Replica::open_at(store.sibling(), START).await;
    behind.sessions.revoke_subject("alice").await.unwrap();
    let [(_, stored)] = *registers(&store).await else { panic!("one register") };
    assert!(stored.version < lost.version);
    let mut claims = claims_of(&one.login("alice"));
    claims["auth_time"] = START.as_unix_seconds().into();
    assert_eq!(claims["rv"], lost.version);
    let token = signed(&header(), &claims);
    for replica in [&one, &one, &behind] {
        replica.refresh().await;
    }
    let [(_, advanced)] = *registers(&store).await else { panic!("one register") };
    assert!(advanced.version > lost.version && advanced.at == lost.at, "{advanced:?}");
    assert_refused(&one, std::slice::from_ref(&token));
    assert_refused(&behind, &[token]);
}

#[tokio::test]
async fn store_not_writable_is_written_at_the_next_read() {
    use Operation::{Advance, Append, Insert, Remove, Restore};
    for operations in
        [&[Insert, Append, Advance, Restore][..], &[Insert], &[Append], &[Restore], &[Remove]]
    {
        let store = TestStore::new();
        let (one, tokens) = knowing(&store).await;
        store.purge_feed(PLACE).await;
        store.fail(operations);
        one.revocations.refresh().await.unwrap_err();
        assert_refused(&one, &tokens);
        assert_eq!(one.revocations.status().failure, None, "reading did not fail");
        store.up();
        // A claim that could not be removed keeps others away for a while.
        pass(&[&one], seconds(325));
        one.refresh().await;
        assert_refused(&open_beside(&one, &store).await, &tokens);
    }
}

#[tokio::test]
async fn entry_of_newer_version_makes_unready_until_it_is_removed() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    one.logout(&one.login("alice")).await;
    store.put_of(PLACE, "else", br#"{"version":7,"what":"else"}"#).await;
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
    // Nobody removes what it does not understand.
    assert!(store.entries_of(PLACE).await.contains_key("else"));
    store.delete_of(PLACE, "else").await;
    one.refresh().await;
    one.revocations.ready().unwrap();
}
