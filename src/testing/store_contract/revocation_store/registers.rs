//! Registers that rise.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;

use super::super::handles::handles;
use super::reader::{HOUR, Reader, advance, digest, now, registers, request};
use crate::clock::Timestamp;
use crate::store::feed::{Advance, Register, RegisterId, RevocationStore};

/// A register's version rises with every advance, above the requested one; its cutoff and the time
/// until which it is kept never fall.
pub async fn a_register_rises_with_every_advance<S: RevocationStore>(open: impl AsyncFn() -> S) {
    let replicas = handles(&open).await;
    let long_ago = Timestamp::from_unix_millis(-5_001);
    for id in ids() {
        let now = now();
        let mut held: Option<Register> = None;
        for (round, (above, at, kept)) in [
            (0, long_ago, HOUR),
            (0, now - HOUR, 2 * HOUR),
            // Earlier, and kept for less.
            (0, now - 2 * HOUR, HOUR),
            (1, now + HOUR, HOUR),
            (held_above(now), now, 3 * HOUR),
            (0, now + HOUR, 24 * 3650 * HOUR),
            (0, long_ago, HOUR),
        ]
        .into_iter()
        .enumerate()
        {
            let asked = Advance::new(id, above, at, now + kept, now);
            let advanced = advance(&*replicas[round % 4], "feed", &asked).await;
            let least = held.map_or(0, |held| held.version).max(above);
            assert!(advanced.version > least, "{advanced:?} does not rise above {least}");
            assert!(advanced.is_plausible(now + HOUR), "{advanced:?} is out of bounds");
            let at = held.map_or(at, |held| held.at.max(at));
            let until = held.map_or(now + kept, |held| held.until.max(now + kept));
            let expected = Register::new(advanced.version, at, until);
            assert_eq!(advanced, expected, "advanced from {held:?} by {asked:?}");
            for replica in &replicas {
                assert_eq!(registers(&**replica, "feed", &[id]).await, [Some(advanced)]);
            }
            held = Some(advanced);
        }
    }
}

/// A version that is some hours ahead of the clock.
fn held_above(now: Timestamp) -> u64 {
    (now + 5 * HOUR).as_unix_millis() as u64
}

/// Of 2 to 16 replicas that advance one register at once, each gets a version of its own, and the last
/// value includes all.
pub async fn of_many_advances_each_gets_a_higher_version<S: RevocationStore>(
    open: impl AsyncFn() -> S,
) {
    let replicas = handles(&open).await;
    let id = RegisterId::Subject(digest(0));
    let mut last: Option<Register> = None;
    for round in 0..24 {
        let racers = [2, 3, 5, 8, 16][round % 5];
        let start = Arc::new(Barrier::new(racers));
        let began = now();
        let advances = (0..racers).map(|racer| {
            let (store, start) = (replicas[racer % replicas.len()].clone(), start.clone());
            // In an order that is neither that of the racers nor its reverse.
            let ahead = Duration::from_millis((racer * 7 % racers) as u64);
            let asked = Advance::new(id, 0, began + ahead, began + HOUR - ahead, began);
            tokio::spawn(async move {
                start.wait().await;
                (asked, advance(&*store, "feed", &asked).await)
            })
        });
        let mut all = Vec::new();
        for advance in advances.collect::<Vec<_>>() {
            all.push(advance.await.expect("a racer ends"));
        }
        all.sort_by_key(|(_, advanced)| advanced.version);
        for (asked, advanced) in all {
            let version = last.map_or(0, |last| last.version);
            assert!(advanced.version > version, "{advanced:?} follows the version {version}");
            let at = last.map_or(asked.at, |last| last.at.max(asked.at));
            let until = last.map_or(asked.until, |last| last.until.max(asked.until));
            let expected = Register::new(advanced.version, at, until);
            assert_eq!(advanced, expected, "advanced from {last:?} by {asked:?}");
            last = Some(advanced);
        }
        assert_eq!(registers(&*replicas[round % 4], "feed", &[id]).await, [last]);
    }
}

/// An advance to a value out of bounds is an error. It leaves the register and the feed as they were,
/// and the next advance succeeds.
pub async fn an_advance_out_of_bounds_changes_nothing<S: RevocationStore>(
    open: impl AsyncFn() -> S,
) {
    let [one, two, ..] = &handles(&open).await;
    let id = RegisterId::Subject(digest(0));
    let mut held = None;
    let mut follows = Reader::new(two, "feed");
    for round in 0..2 {
        follows.assert_reads(&[], round).await;
        let now = now();
        let too_far = now + 2 * Register::MOST_AHEAD;
        let too_high = too_far.as_unix_millis() as u64;
        for (above, at) in [
            (Register::MAX_VERSION, now),
            (Register::MAX_VERSION - 1, now),
            (Register::MAX_VERSION + 1, now),
            (u64::MAX, now),
            (i64::MAX as u64, now),
            (too_high, now),
            (0, too_far),
            (too_high, too_far),
            (0, Timestamp::MAX),
        ] {
            let asked = Advance::new(id, above, at, now + HOUR, now);
            let advanced = one.advance("feed", &asked).await;
            assert!(advanced.is_err(), "{asked:?} is out of bounds, and returned {advanced:?}");
            assert_eq!(registers(&**two, "feed", &[id]).await, [held], "after {asked:?}");
            follows.assert_reads(&[], round).await;
        }
        held = Some(advance(&**one, "feed", &request(id, 0, now)).await);
        assert_eq!(registers(&**two, "feed", &[id]).await, [held]);
    }
}

/// Registers are returned in the order of the IDs, with `None` for one that was never advanced. Those
/// of two kinds are different ones, also by one digest.
pub async fn registers_are_read_in_the_order_of_their_ids<S: RevocationStore>(
    open: impl AsyncFn() -> S,
) {
    let [one, two, ..] = &handles(&open).await;
    assert_eq!(registers(&**two, "feed", &[]).await, []);
    assert_eq!(registers(&**two, "feed", &ids()).await, [None; 5]);
    let mut expected = [None; 5];
    for (id, place) in ids().into_iter().zip(0..) {
        if place == 3 {
            continue;
        }
        let at = now() - Duration::from_secs(place as u64);
        expected[place] = Some(advance(&**one, "feed", &request(id, 0, at)).await);
        assert_eq!(registers(&**two, "feed", &ids()).await, expected);
    }
    let (mut reversed, mut twice) = (ids(), [ids(), ids()].concat());
    reversed.reverse();
    let found = registers(&**two, "feed", &reversed).await;
    assert!(found.iter().eq(expected.iter().rev()), "another order: {found:?}");
    twice.extend((10..2_000).map(|unknown| RegisterId::Stale(digest(unknown))));
    let found = registers(&**two, "feed", &twice).await;
    assert_eq!(found[..10], [expected, expected].concat(), "each ID was asked for twice");
    assert_eq!(found[10..], [None; 1_990], "registers that were never advanced");
}

/// A read after any earlier cursor, or of the whole, returns the last value of each register that has
/// risen since, and of no other.
pub async fn a_registers_latest_value_is_read_after_any_earlier_cursor<S: RevocationStore>(
    open: impl AsyncFn() -> S,
) {
    let replicas = handles(&open).await;
    let mut cursors = Vec::new();
    let mut last = Vec::new();
    for round in 0..12 {
        let mut reader = Reader::new(&replicas[round % 4], "feed");
        cursors.push((round, reader.read().await.cursor.clone()));
        let id = ids()[round % 3];
        let advanced = advance(&*replicas[(round + 1) % 4], "feed", &request(id, 0, now())).await;
        last.push((id, advanced));
        for (from, cursor) in &cursors {
            for cursor in [cursor.clone(), None] {
                let from = if cursor.is_none() { 0 } else { *from };
                let mut reader = Reader::after(&replicas[(round + 2) % 4], "feed", cursor);
                // Later ones replace earlier ones.
                let expected = last[from..].iter().copied().collect();
                assert_eq!(reader.read().await.registers, expected, "{from} before, {round} now");
            }
        }
    }
}

/// Names of registers of all kinds; two have one digest.
fn ids() -> [RegisterId; 5] {
    use RegisterId::{All, Stale, Subject};
    [Subject(digest(0)), Stale(digest(0)), All, Stale(digest(1)), Subject(digest(2))]
}
