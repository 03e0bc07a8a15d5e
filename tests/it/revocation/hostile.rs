//! Numbers from outside: what a token claims and what stands in the store never make a logout a false
//! success.

use serde_json::json;

use super::*;
use crate::support::stores::TestStore;
use crate::support::web::{claims_of, header, signed};

const HIGHEST: u64 = (1 << 53) - 1;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn millis(time: Timestamp) -> u64 {
    u64::try_from(time.as_unix_millis()).unwrap()
}

fn claiming(token: &str, rv: impl Into<serde_json::Value>) -> String {
    let mut claims = claims_of(token);
    claims["rv"] = rv.into();
    signed(&header(), &claims)
}

/// Logs out on `one`: an error, or no replica accepts the session any more.
async fn assert_never_a_false_success(one: &Replica, store: &TestStore, what: &str) -> bool {
    let two = Replica::open_at(store.sibling(), one.clock.now()).await;
    let mut all_recorded = true;
    for kind in ["session", "subject", "all"] {
        let token = one.login("alice");
        let session = one.session(&token);
        let ended = match kind {
            "session" => one.sessions.revoke_session(session.session_id()).await,
            "subject" => one.sessions.revoke_subject("alice").await,
            _ => one.sessions.revoke_logins_before(one.clock.now()).await,
        };
        all_recorded &= ended.is_ok();
        if ended.is_ok() {
            two.refresh().await;
            let newcomer = Replica::open_at(store.sibling(), one.clock.now()).await;
            for replica in [one, &two, &newcomer] {
                let judged = replica.judge(&token);
                assert_eq!(judged, Err(RejectionKind::Revoked), "{kind} after {what}");
            }
        }
        pass(&[one, &two], seconds(120));
    }
    all_recorded
}

#[tokio::test]
async fn token_version_above_2_to_the_53_is_an_invalid_claim() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    for rv in [HIGHEST + 1, 1 << 63, u64::MAX - 1, u64::MAX] {
        let token = claiming(&one.login("bob"), rv);
        assert_eq!(one.judge(&token), Err(RejectionKind::InvalidClaim("rv")), "{rv}");
        assert!(assert_never_a_false_success(&one, &store, &format!("rv {rv}")).await);
    }
}

#[tokio::test]
async fn token_version_beyond_any_clock_makes_nothing_immune() {
    let now = millis(START);
    let day = u64::try_from(DAY.as_millis()).unwrap();
    for rv in [now, now + day, now + day + 1, now + 30 * day, HIGHEST - 1, HIGHEST] {
        let store = TestStore::new();
        let one = Replica::open(store.clone()).await;
        let token = claiming(&one.login("alice"), rv);
        assert_eq!(one.judge(&token), Ok(()));
        one.sessions.revoke_subject("alice").await.unwrap();
        assert_eq!(one.judge(&token), Err(RejectionKind::Revoked), "{rv}");
        assert!(assert_never_a_false_success(&one, &store, &format!("rv {rv}")).await);
    }
}

fn entry(rv: impl Into<serde_json::Value>) -> Vec<u8> {
    let marks = json!([{"ended": "session", "sid": "planted", "made": "2027-01-15T08:00:00Z"}]);
    let until = "2027-01-18T08:00:00Z";
    json!({"version": 1, "rv": rv.into(), "until": until, "revocations": marks})
        .to_string()
        .into_bytes()
}

#[tokio::test]
async fn entry_version_too_high_is_read_as_the_next_one() {
    let now = millis(START);
    let day = u64::try_from(DAY.as_millis()).unwrap();
    for rv in [now + 3 * day, HIGHEST - 1, HIGHEST] {
        for others in [0, 1, 3] {
            let store = TestStore::new();
            let one = Replica::open(store.clone()).await;
            for number in 0..others {
                one.sessions.revoke_session(&format!("s-{number}")).await.unwrap();
            }
            store.put_of(PLACE, &format!("revocations-{others:020}"), &entry(rv)).await;
            one.refresh().await;
            let status = one.revocations.status();
            assert!(status.version < now + day, "{rv}: {}", status.version);
            assert_eq!(status.sessions, others + 1, "its marks hold");
            assert!(status.skipped[0].contains("too far ahead"), "{:?}", status.skipped);
            assert!(assert_never_a_false_success(&one, &store, &format!("entry {rv}")).await);
        }
    }
}

/// Whatever stands wherever: a logout is recorded for everyone or fails, and in time.
async fn assert_no_false_success_at(places: [u64; 3]) {
    let mut values = vec![b"".to_vec(), b"{".to_vec(), b"[]".to_vec(), vec![0xff; 1000]];
    values.extend([0, 1, HIGHEST, HIGHEST + 1, u64::MAX].map(entry));
    values.extend([json!(-1), json!(1e300), json!("1"), json!(null)].map(entry));
    let text = |value: serde_json::Value| value.to_string().into_bytes();
    for until in ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "soon"] {
        values.push(text(json!({"version": 9, "until": until})));
        let mark = json!({"ended": "subject", "sub": "x", "at": until, "made": until});
        values.push(text(json!({"version": 1, "rv": 5, "until": until, "revocations": [mark]})));
        let mark = json!({"ended": "all", "at": "2027-01-15T08:00:00Z", "made": until});
        values.push(text(json!({"version": 1, "rv": 5, "until": until, "revocations": [mark]})));
    }
    values.push(format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000)).into_bytes());
    for (number, place) in places.into_iter().enumerate() {
        for (other, value) in values.iter().enumerate() {
            let store = TestStore::new();
            let one = Replica::open(store.clone()).await;
            one.sessions.revoke_session("first").await.unwrap();
            store.put_of(PLACE, &format!("revocations-{place:020}"), value).await;
            let what =
                format!("{place} {}", String::from_utf8_lossy(&value[..value.len().min(99)]));
            // As one that has read it, and as one that meets it.
            if (number + other) % 2 == 0 {
                pass(&[&one], KEPT);
                let _ = one.revocations.refresh().await;
            }
            let checked = assert_never_a_false_success(&one, &store, &what);
            tokio::time::timeout(seconds(60), checked).await.expect("comes to an end");
        }
    }
}

#[tokio::test]
async fn hostile_entries_in_first_places_make_no_logout_a_false_success() {
    assert_no_false_success_at([0, 1, 2]).await;
}

#[tokio::test]
async fn hostile_entries_further_on_make_no_logout_a_false_success() {
    assert_no_false_success_at([64, 66, (1 << 53) - 2]).await;
}

#[tokio::test]
async fn hostile_entries_in_last_places_make_no_logout_a_false_success() {
    assert_no_false_success_at([(1 << 53) - 1, (1 << 63) - 1, u64::MAX]).await;
}

#[tokio::test]
async fn last_place_of_the_log_taken_is_an_error_until_it_is_removed() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    let last = format!("revocations-{HIGHEST:020}");
    store.put_of(PLACE, &last, &entry(5)).await;
    pass(&[&one], KEPT);
    one.refresh().await;
    let error = one.sessions.revoke_session("s").await.unwrap_err().to_string();
    assert!(error.contains(&last) && error.contains("remove it"), "{error}");
    assert!(one.revocations.status().write_failure.unwrap().contains(&last));
    store.delete_of(PLACE, &last).await;
    one.refresh().await;
    one.sessions.revoke_session("s").await.unwrap();
    assert_eq!(one.revocations.status().write_failure, None);
}

#[tokio::test]
async fn hostile_retention_in_the_store_is_bounded() {
    let store = TestStore::new();
    for name in ["kept-999999999999", "kept-1", "kept-00000000000x", "kept-0000000000001"] {
        store.put_of(PLACE, name, b"{}").await;
    }
    let one = Replica::open(store.clone()).await;
    assert_eq!(one.revocations.status().skipped.len(), 4);
    one.sessions.revoke_session("s").await.unwrap();
    pass(&[&one], RETENTION);
    one.refresh().await;
    assert_eq!(one.counts(), [0, 0, 0]);
}

#[tokio::test]
async fn clock_that_no_entry_can_hold_is_an_error_to_the_caller() {
    for now in [i64::MIN, -1, 253_402_300_800_000, i64::MAX] {
        let one = Replica::open_at(TestStore::new(), Timestamp::from_unix_millis(now)).await;
        let ended = one.sessions.revoke_session("s").await;
        // Just before 1970 it can still be written, and so it is.
        assert_eq!(ended.is_ok(), now == -1, "{now} {ended:?}");
        let _ = one.revocations.status();
        let _ = serde_json::to_string(&one.revocations.status()).unwrap();
    }
}

#[tokio::test]
async fn revocation_before_any_year_ends_no_task() {
    let one = Replica::open(TestStore::new()).await;
    let token = one.login("alice");
    for time in [i64::MIN, -62_167_219_200_001, -1, 0] {
        one.sessions.revoke_logins_before(Timestamp::from_unix_millis(time)).await.unwrap();
        assert_eq!(one.judge(&token), Ok(()));
    }
    one.sessions.revoke_subject("alice").await.unwrap();
    assert_eq!(one.judge(&token), Err(RejectionKind::Revoked));
    assert_eq!(one.revocations.status().task_panics, 0);
}
