//! The promises of a [`RefreshTokenStore`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::Barrier;

use super::handles::{handles, name};
use crate::clock::Timestamp;
use crate::store::redemption::{Redeemed, Redemption, RefreshTokenStore};

/// Makes one test per promise of a [`RefreshTokenStore`]; the
/// [module](crate::testing::store_contract) says how.
#[doc(hidden)]
#[macro_export]
macro_rules! __refresh_token_store_tests {
    (@ [$($harness:tt)+] $empty_store:path) => {
        $($harness)+! { refresh_token_store, $empty_store:
            redemption_is_seen_by_all
            families_do_not_see_each_other
            redemptions_are_exact
            of_many_who_redeem_one_is_first
            redeeming_sees_all_earlier_redemptions
            a_later_redemption_never_shortens_how_long_its_family_is_kept
        }
    };
    ($empty_store:path, $harness:ident!) => {
        $crate::__refresh_token_store_tests! { @ [$harness] $empty_store }
    };
    ($empty_store:path) => {
        $crate::__refresh_token_store_tests! { @ [$crate::__store_contract_tests] $empty_store }
    };
}

/// Each replica gets the highest sequence that was redeemed on any, and when it was first redeemed.
pub async fn redemption_is_seen_by_all<S: RefreshTokenStore>(open: impl AsyncFn() -> S) {
    let replicas = handles(&open).await;
    let [one, two, three, four] = &replicas;
    assert_redeems(&**one, "ring", "a", (0, 10), (0, 10)).await;
    for (store, at) in replicas.iter().zip(0..) {
        assert_redeems(&**store, "ring", "a", (0, at), (0, 10)).await;
    }
    assert_redeems(&**two, "ring", "a", (1, 20), (1, 20)).await;
    assert_redeems(&**three, "ring", "a", (0, 30), (1, 20)).await;
    assert_redeems(&**four, "ring", "a", (1, 30), (1, 20)).await;
    // Clocks differ, and the sequences between may have been lost.
    assert_redeems(&**one, "ring", "a", (10, 5), (10, 5)).await;
    for (store, sequence) in replicas.iter().zip(0..) {
        assert_redeems(&**store, "ring", "a", (sequence * 3, 40), (10, 5)).await;
    }
    assert_redeems(&**two, "ring", "a", (11, 50), (11, 50)).await;
}

/// Families are independent of each other, also those of one name in different rings.
pub async fn families_do_not_see_each_other<S: RefreshTokenStore>(open: impl AsyncFn() -> S) {
    let [one, two, ..] = &handles(&open).await;
    let families =
        [("ring", "ab"), ("ring", "abc"), ("ring", "abe"), ("a", "abc"), ("ri", "ngabc")];
    for ((ring, family), sequence) in families.into_iter().zip(0..) {
        assert_redeems(&**one, ring, family, (sequence, 10), (sequence, 10)).await;
    }
    for ((ring, family), sequence) in families.into_iter().zip(0..) {
        assert_redeems(&**two, ring, family, (0, 20), (sequence, 10)).await;
    }
}

/// The longest names, the highest sequences, and all times and durations are accepted and come back.
pub async fn redemptions_are_exact<S: RefreshTokenStore>(open: impl AsyncFn() -> S) {
    let [one, two, ..] = &handles(&open).await;
    let (long_ring, long_name) = ("r".repeat(64), "n".repeat(128));
    let last_millisecond = 253_402_300_799_999;
    for (family, sequence, at) in [
        ("0", 0, 0),
        ("-_09azAZ", u32::MAX, 1_800_000_000_001),
        ("-", u32::MAX - 1, last_millisecond),
        ("_-", 1 << 31, -1),
        (&long_name, 9, 1),
    ] {
        assert_redeems(&**one, &long_ring, family, (sequence, at), (sequence, at)).await;
        assert_redeems(&**two, &long_ring, family, (sequence, 2), (sequence, at)).await;
    }
    for (family, keep_for) in [("long", Duration::MAX), ("short", Duration::from_secs(60))] {
        let redeemed = redeem(&**one, "ring", redemption(family, 3, 7, keep_for)).await;
        assert_eq!(redeemed, last(3, 7), "it was kept for {keep_for:?}");
        assert_redeems(&**two, "ring", family, (3, 8), (3, 7)).await;
    }
}

/// Of replicas that redeem one token at once, one is first, and each gets the time of that one.
pub async fn of_many_who_redeem_one_is_first<S: RefreshTokenStore>(open: impl AsyncFn() -> S) {
    let replicas = handles(&open).await;
    for sequence in 0..100 {
        let start = Arc::new(Barrier::new(replicas.len()));
        let racers = replicas.iter().zip(0..).map(|(store, racer)| {
            let (store, start) = (store.clone(), start.clone());
            tokio::spawn(async move {
                let own = redemption("a", sequence, i64::from(sequence) * 10 + racer, HOUR);
                start.wait().await;
                redeem(&*store, "ring", own).await
            })
        });
        let mut all = Vec::new();
        for racer in racers.collect::<Vec<_>>() {
            all.push(racer.await.expect("a racer ends"));
        }
        assert!(all.iter().all(|each| *each == all[0]), "replicas got different answers: {all:?}");
        let is_of_round = all[0].at.as_unix_millis() / 10 == i64::from(sequence);
        assert!(all[0].sequence == sequence && is_of_round, "{sequence} was redeemed: {all:?}");
    }
}

/// No redemption returns a lower sequence than one that had ended before it began.
pub async fn redeeming_sees_all_earlier_redemptions<S: RefreshTokenStore>(
    open: impl AsyncFn() -> S,
) {
    let replicas = handles(&open).await;
    let highest = Arc::new(AtomicU32::new(0));
    let racers = replicas.iter().zip(0..).map(|(store, racer)| {
        let (store, highest) = (store.clone(), highest.clone());
        tokio::spawn(async move {
            for round in 0..60 {
                let before = highest.load(Ordering::SeqCst);
                // Now an ancestor, now the last, now one beyond it.
                let sequence = (before + (round + racer) % 3).saturating_sub(1);
                let latest = redeem(&*store, "ring", redemption("a", sequence, 1, HOUR)).await;
                assert!(
                    latest.sequence >= before.max(sequence),
                    "redeeming {sequence} after {before} returned {latest:?}"
                );
                highest.fetch_max(latest.sequence, Ordering::SeqCst);
            }
        })
    });
    for racer in racers.collect::<Vec<_>>() {
        racer.await.expect("a racer ends");
    }
    let highest = highest.load(Ordering::SeqCst);
    assert!(highest > 20, "the sequence rose to {highest} only");
    assert_redeems(&*replicas[0], "ring", "a", (0, 2), (highest, 1)).await;
}

/// A family is kept for the longest time that one of its redemptions asks for. A deployment may shorten
/// how long tokens live: an earlier one still needs its time.
pub async fn a_later_redemption_never_shortens_how_long_its_family_is_kept<S: RefreshTokenStore>(
    open: impl AsyncFn() -> S,
) {
    let [one, two, ..] = &handles(&open).await;
    let brief = Duration::from_millis(1);
    // The shorter one comes later, comes earlier, or is of the same token.
    for (family, redemptions) in [
        ("fa-later", &[(0, HOUR), (1, brief)][..]),
        ("fa-much-later", &[(0, HOUR), (1, brief), (2, brief), (3, brief), (7, brief)]),
        ("fa-earlier", &[(0, brief), (1, HOUR)]),
        ("fa-repeated", &[(1, HOUR), (1, brief)]),
    ] {
        for (sequence, keep_for) in redemptions {
            let at = i64::from(*sequence);
            redeem(&**one, "ring", redemption(family, *sequence, at, *keep_for)).await;
        }
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    // Stores drop what has expired when others come.
    for other in 0..100 {
        redeem(&**two, "ring", redemption(&format!("fa-{other}"), 0, 1000, HOUR)).await;
    }
    for (family, highest) in
        [("fa-later", 1), ("fa-much-later", 7), ("fa-earlier", 1), ("fa-repeated", 1)]
    {
        for sequence in [0, highest] {
            let expected = (highest, i64::from(highest));
            assert_redeems(&**two, "ring", family, (sequence, 2000), expected).await;
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);

fn redemption(family: &str, sequence: u32, at: i64, keep_for: Duration) -> Redemption {
    Redemption::new(name(family), sequence, Timestamp::from_unix_millis(at), keep_for)
}

fn last(sequence: u32, at: i64) -> Redeemed {
    Redeemed::new(sequence, Timestamp::from_unix_millis(at))
}

async fn redeem(store: &impl RefreshTokenStore, ring: &str, redemption: Redemption) -> Redeemed {
    let redeemed = store.redeem(ring, &redemption).await;
    redeemed.unwrap_or_else(|error| {
        panic!("`redeem` in ring {ring:?} failed for {redemption:?}: {error}")
    })
}

/// Redeems a token, each as sequence and time in milliseconds.
async fn assert_redeems(
    store: &impl RefreshTokenStore,
    ring: &str,
    family: &str,
    (sequence, at): (u32, i64),
    expected: (u32, i64),
) {
    let found = redeem(store, ring, redemption(family, sequence, at, HOUR)).await;
    let expected = last(expected.0, expected.1);
    assert_eq!(
        found, expected,
        "redeemed sequence {sequence} of family {family:?} in ring {ring:?}, at {at} ms"
    );
}
