//! Who restores what: each part of a lost feed is restored by one replica, and none is left out.

use tower_jwt_session::store::{RegisterId, RevokedSession};

use super::*;
use crate::support::stores::{Operation, TestStore};
use crate::support::web::{claims_of, header, signed};

/// How long a claim holds: four times the refresh bound and a write.
const CLAIMED: Duration = Duration::from_secs(4 * (71 + 10));

/// Sessions of every first byte, and so of every part.
fn revoked() -> Vec<RevokedSession> {
    (0..=255).map(|n| RevokedSession::new([n; 16], START + RETENTION)).collect()
}

/// Replicas that know of 256 revoked sessions, which the store has lost, each with its connection.
async fn replicas<const N: usize>(store: &TestStore) -> [(Replica, TestStore); N] {
    store.append(PLACE, &revoked(), START).await.unwrap();
    let mut replicas = Vec::new();
    for _ in 0..N {
        let connection = store.sibling();
        replicas.push((Replica::open(connection.clone()).await, connection));
    }
    store.purge_feed(PLACE).await;
    replicas.try_into().unwrap_or_else(|_| unreachable!("so many were pushed"))
}

/// How many sessions a connection has appended.
fn appended(connection: &TestStore) -> usize {
    let calls = connection.calls(Operation::Append);
    calls.iter().map(|sessions| sessions.parse::<usize>().unwrap()).sum()
}

async fn stored(store: &TestStore) -> usize {
    store.feed(PLACE).await.sessions.len()
}

#[tokio::test]
async fn each_lost_session_is_restored_by_one_replica() {
    let store = TestStore::new();
    let replicas = replicas::<3>(&store).await;
    let [one, two, three] = replicas.each_ref().map(|(replica, _)| replica.refresh());
    tokio::join!(one, two, three);
    assert_eq!(stored(&store).await, 256);
    let each = replicas.each_ref().map(|(_, connection)| appended(connection));
    assert_eq!(each.iter().sum::<usize>(), 256, "{each:?}");
    assert!(each.iter().all(|appended| *appended > 0), "they share the work: {each:?}");
    for (replica, _) in &replicas {
        replica.refresh().await;
        assert_eq!(replica.counts(), [256, 0, 0]);
    }
    assert_eq!(stored(&store).await, 256, "once");
    assert!(store.entries_of(PLACE).await.is_empty(), "no claim is left");
}

#[tokio::test]
async fn part_claimed_by_another_is_left_to_it_for_a_while() {
    let store = TestStore::new();
    let [(one, _)] = replicas(&store).await;
    let claim = br#"{"version":1,"since":"2027-01-15T08:00:00Z"}"#;
    store.put_of(PLACE, "restoring-3", claim).await;
    for _ in 0..3 {
        one.refresh().await;
        assert_eq!(stored(&store).await, 256 - 16);
    }
    pass(&[&one], CLAIMED);
    one.refresh().await;
    assert_eq!(stored(&store).await, 256 - 16);
    pass(&[&one], seconds(1));
    one.refresh().await;
    assert_eq!(stored(&store).await, 256);
    assert!(store.entries_of(PLACE).await.is_empty());
}

/// Nobody who restores has written these: they keep nobody away.
#[tokio::test]
async fn claims_that_nobody_made_keep_nobody_from_restoring() {
    let texts = ["", "{", "{}", r#"{"version":0}"#, r#"{"version":1,"since":"soon"}"#];
    let dated = ["1970-01-01T00:00:00Z", "2027-01-16T08:00:00Z", "9999-12-31T23:59:59Z"]
        .map(|since| format!(r#"{{"version":1,"since":"{since}"}}"#));
    for text in texts.iter().copied().chain(dated.iter().map(String::as_str)) {
        let store = TestStore::new();
        let [(one, _)] = replicas(&store).await;
        for part in 0..16 {
            store.put_of(PLACE, &format!("restoring-{part}"), text.as_bytes()).await;
        }
        store.put_of(PLACE, "restoring-18446744073709551615", text.as_bytes()).await;
        one.refresh().await;
        assert_eq!(stored(&store).await, 256, "{text}");
        one.revocations.ready().unwrap();
    }
}

#[tokio::test]
async fn restorer_that_dies_with_its_claim_is_replaced() {
    let store = TestStore::new();
    let [(one, its), (two, _)] = replicas(&store).await;
    its.hang(&[Operation::Append]);
    tokio::select! {
        biased;
        refreshed = one.revocations.refresh() => panic!("it hangs: {refreshed:?}"),
        () = its.called(Operation::Append) => {}
    }
    drop(one);
    let claims: Vec<_> = store.entries_of(PLACE).await.into_keys().collect();
    assert_eq!(claims, ["restoring-0"]);
    two.refresh().await;
    assert_eq!(stored(&store).await, 256 - 16);
    pass(&[&two], CLAIMED + seconds(1));
    two.refresh().await;
    assert_eq!(stored(&store).await, 256);
    assert!(store.entries_of(PLACE).await.is_empty());
}

/// Purged before each write of a restoration: the next refreshes begin again.
#[tokio::test]
async fn store_purged_again_at_any_write_gets_everything_back() {
    for writes in (0..40).step_by(3) {
        let store = TestStore::new();
        let [(one, its)] = replicas(&store).await;
        its.fail_after_inserts(writes);
        let _ = one.revocations.refresh().await;
        its.up();
        store.purge_feed(PLACE).await;
        one.refresh().await;
        assert_eq!(stored(&store).await, 256, "{writes}");
        one.refresh().await;
        assert_eq!(stored(&store).await, 256, "{writes}, once");
    }
}

/// The subject's register is lost with all who held it. Its version, in a token, shows that there was one.
#[tokio::test]
async fn register_that_only_tokens_know_of_is_advanced() {
    for everyone in [false, true] {
        let store = TestStore::new();
        let one = Replica::open(store.clone()).await;
        let before = one.login("alice");
        match everyone {
            true => one.sessions.revoke_logins_before(START).await.unwrap(),
            false => one.sessions.revoke_subject("alice").await.unwrap(),
        }
        let after = one.login("alice");
        let name = if everyone { "rg" } else { "rv" };
        let version = claims_of(&after)[name].as_u64().unwrap();
        drop(one);
        store.purge_feed(PLACE).await;
        // It began to read long enough after the token was issued.
        let two = Replica::open_at(store.sibling(), START + SKEW + seconds(1)).await;
        assert_eq!(two.judge(&before), Ok(()), "nothing tells otherwise yet");
        let _ = two.judge(&after);
        two.refresh().await;
        let [(id, advanced)] = *store.feed(PLACE).await.registers else { panic!("one register") };
        assert_eq!(id == RegisterId::All, everyone);
        assert!(advanced.version > version && advanced.at == START, "{advanced:?}");
        // Who logged in before it is not to be told from who logged in after.
        for token in [&before, &after] {
            assert_eq!(two.judge(token), Err(RejectionKind::Revoked));
        }
        let anew = two.login("alice");
        assert_eq!(two.judge(&anew), Ok(()));
        let newcomer = Replica::open_at(store.sibling(), two.clock.now()).await;
        let judged = [&before, &after, &anew].map(|token| newcomer.judge(token));
        assert_eq!(judged, [Err(RejectionKind::Revoked), Err(RejectionKind::Revoked), Ok(())]);
    }
}

/// The replica has read less than the token's issuer: it reads, and nothing is advanced.
#[tokio::test]
async fn version_that_a_replica_has_not_read_yet_is_not_lost() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    let two = Replica::open(store.sibling()).await;
    one.sessions.revoke_subject("alice").await.unwrap();
    let before = store.feed(PLACE).await;
    pass(&[&one, &two], SKEW);
    let token = one.login("alice");
    two.refresh().await;
    let three = Replica::open_at(store.sibling(), two.clock.now()).await;
    for replica in [&two, &three] {
        assert_eq!(replica.judge(&token), Ok(()));
        replica.refresh().await;
        assert_eq!(replica.judge(&token), Ok(()));
        assert_eq!(replica.counts(), [0, 1, 0]);
    }
    assert_eq!(store.feed(PLACE).await.cursor, before.cursor);
}

/// A register is dropped in its time, while sessions from then go on.
#[tokio::test]
async fn version_of_an_expired_register_is_not_lost() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    one.sessions.revoke_subject("alice").await.unwrap();
    let login = claims_of(&one.login("alice"));
    store.purge_feed(PLACE).await;
    for (late, is_lost) in [(RETENTION - seconds(245), true), (RETENTION, false)] {
        let now = START + late;
        let two = Replica::open_at(store.sibling(), now).await;
        let mut claims = login.clone();
        let renewed = now.as_unix_seconds() - 61;
        (claims["iat"], claims["exp"]) = (renewed.into(), (renewed + 3600).into());
        let token = signed(&header(), &claims);
        assert_eq!(two.judge(&token), Ok(()));
        two.refresh().await;
        assert_eq!(two.counts(), [0, usize::from(is_lost), 0], "{late:?}");
        let expected = if is_lost { Err(RejectionKind::Revoked) } else { Ok(()) };
        assert_eq!(two.judge(&token), expected, "{late:?}");
        store.purge_feed(PLACE).await;
    }
}
