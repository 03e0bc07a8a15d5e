//! Numbers from outside: what a token claims and what stands in the store never make a logout a false
//! success.

use super::*;
use crate::support::stores::TestStore;
use crate::support::web::{claims_of, header, signed};

const HIGHEST: u64 = (1 << 53) - 1;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn millis(time: Timestamp) -> u64 {
    u64::try_from(time.as_unix_millis()).unwrap()
}

fn claiming(token: &str, name: &str, version: u64) -> String {
    let mut claims = claims_of(token);
    claims[name] = version.into();
    signed(&header(), &claims)
}

/// Logs out on `one`: an error, or no replica accepts the session any more.
pub(super) async fn assert_never_a_false_success(
    one: &Replica,
    store: &TestStore,
    what: &str,
) -> bool {
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

#[tokio::test(start_paused = true)]
async fn token_version_above_2_to_the_53_is_an_invalid_claim() {
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    for name in ["rv", "rg"] {
        for version in [HIGHEST + 1, 1 << 63, u64::MAX - 1, u64::MAX] {
            let token = claiming(&one.login("bob"), name, version);
            assert_eq!(one.judge(&token), Err(RejectionKind::InvalidClaim(name)), "{version}");
        }
    }
    assert!(assert_never_a_false_success(&one, &store, "such tokens").await);
}

/// For as long as this replica may be behind the token's issuer such a version counts, and no longer; one
/// that no issuer can know never does.
#[tokio::test(start_paused = true)]
async fn token_version_beyond_any_clock_makes_nothing_immune() {
    let now = millis(START);
    let day = u64::try_from(DAY.as_millis()).unwrap();
    for version in [1, now - 1, now + 1, now + day, now + day + 1, HIGHEST - 1, HIGHEST] {
        for everyone in [false, true] {
            let store = TestStore::new();
            let one = Replica::open(store.clone()).await;
            let name = if everyone { "rg" } else { "rv" };
            let token = claiming(&one.login("alice"), name, version);
            assert_eq!(one.judge(&token), Ok(()));
            match everyone {
                true => one.sessions.revoke_logins_before(START).await.unwrap(),
                false => one.sessions.revoke_subject("alice").await.unwrap(),
            }
            let is_possible = (now + 1..=now + day).contains(&version);
            let judged = if is_possible { Ok(()) } else { Err(RejectionKind::Revoked) };
            assert_eq!(one.judge(&token), judged, "{name} {version}");
            pass(&[&one], SKEW + seconds(1));
            one.refresh().await;
            let _ = one.judge(&token);
            one.refresh().await;
            assert_eq!(one.judge(&token), Err(RejectionKind::Revoked), "{name} {version}");
            let what = format!("{name} {version}");
            assert!(assert_never_a_false_success(&one, &store, &what).await);
        }
    }
}

/// The user at hand ends this very session: of whatever version.
#[tokio::test(start_paused = true)]
async fn session_of_any_version_is_logged_out_everywhere_or_an_error() {
    let now = millis(START);
    let day = u64::try_from(DAY.as_millis()).unwrap();
    for version in [1, now, now + day - 1, now + day, now + day + 1, HIGHEST] {
        let store = TestStore::new();
        let one = Replica::open(store.clone()).await;
        let token = claiming(&one.login("alice"), "rv", version);
        let session = one.session(&token);
        let ended = one.sessions.logout_everywhere(&session).await;
        // Only the one that is as far ahead as may be has none above it.
        assert_eq!(ended.is_err(), version == now + day, "{version}: {ended:?}");
        if ended.is_ok() {
            assert_eq!(one.judge(&token), Err(RejectionKind::Revoked), "{version}");
            let newcomer = Replica::open(store.sibling()).await;
            assert_eq!(newcomer.judge(&token), Err(RejectionKind::Revoked), "{version}");
        }
    }
}

#[tokio::test]
async fn hostile_retention_in_the_store_is_bounded() {
    let store = TestStore::new();
    let names = [
        "kept-999999999999",
        "kept-18446744073709551615",
        "kept-18446744073709551616",
        "kept-1",
        "kept-00000000000x",
        "kept-0000000000001",
    ];
    for name in names {
        store.put_of(PLACE, name, b"{}").await;
    }
    let one = Replica::open(store.clone()).await;
    assert_eq!(one.revocations.status().skipped.len(), names.len());
    one.sessions.revoke_session("s").await.unwrap();
    pass(&[&one], RETENTION + seconds(3600));
    one.refresh().await;
    assert_eq!(one.counts(), [0, 0, 0]);
}

#[tokio::test]
async fn clock_at_which_no_record_can_be_kept_is_an_error_to_the_caller() {
    for now in [i64::MIN, -1, 5_000_000_000_000, 253_402_300_800_000, i64::MAX] {
        let store = TestStore::new();
        let one = Replica::open_at(store.clone(), Timestamp::from_unix_millis(now)).await;
        let ended = one.sessions.revoke_session("s").await;
        // Before 1970 it can still be written, and so it is.
        assert_eq!(ended.is_ok(), now < 0, "{now} {ended:?}");
        assert_eq!(one.counts()[0], usize::from(ended.is_ok()), "{now}");
        let ended = one.sessions.revoke_subject("alice").await;
        assert_eq!(one.counts()[1], usize::from(ended.is_ok()), "{now} {ended:?}");
        let _ = one.revocations.refresh().await;
        let _ = serde_json::to_string(&one.revocations.status()).unwrap();
        assert_eq!(one.revocations.status().task_panics, 0);
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
