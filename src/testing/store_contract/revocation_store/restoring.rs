//! Restoring registers that a store has lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;

use super::super::handles::handles;
use super::reader::{HOUR, Reader, advance, digest, now, registers, request, restore};
use crate::clock::Timestamp;
use crate::store::feed::{Register, RegisterId, RevocationStore};

/// A register that the store has lost is as it was held. Where another value is found, it is as
/// [`Register::restored`] says: above both, unless the stored one includes the held one.
pub async fn a_restored_register_is_as_it_was_or_rises_above_both<S: RevocationStore>(
    open: impl AsyncFn() -> S,
) {
    let replicas = handles(&open).await;
    let mut follows = Reader::new(&replicas[3], "feed");
    let now = now();
    let mut restored = Vec::new();
    for (number, (version, at, kept)) in [
        // The stored value includes it; it is kept for longer, for as long, for less.
        (-1, -1, 2),
        (-1, -1, 0),
        (0, 0, 0),
        (0, 0, -1),
        (0, -1, 0),
        (-1, 0, 3),
        // It includes the stored value.
        (1, 1, 0),
        (7, 0, 1),
        (0, 7, -1),
        // Neither includes the other.
        (7, -1, 0),
        (-1, 7, 1),
        (-1_000, 7_000, -2),
    ]
    .into_iter()
    .enumerate()
    {
        let id = RegisterId::Subject(digest(number as u64));
        let stored = advance(&*replicas[0], "feed", &request(id, 0, now)).await;
        let later =
            |time: Timestamp, by: i64| Timestamp::from_unix_millis(time.as_unix_millis() + by);
        let held = Register::new(
            stored.version.saturating_add_signed(version),
            later(stored.at, at),
            later(stored.until, kept * 60_000),
        );
        restore(&*replicas[number % 4], "feed", &[(id, held)]).await;
        let expected = Register::restored(Some(stored), &held, now).unwrap_or(stored);
        let found = registers(&*replicas[(number + 1) % 4], "feed", &[id]).await;
        assert_eq!(found, [Some(expected)], "{held:?} was restored over {stored:?}");
        restored.push((id, expected));
    }
    // Those that are absent, of each kind, together with one that is there.
    let absent = [RegisterId::All, RegisterId::Stale(digest(0)), RegisterId::Subject(digest(99))];
    let value = |number: u64| {
        let before = now - Duration::from_millis(number * 1_001);
        Register::new(before.as_unix_millis() as u64 - 7, before, before + HOUR)
    };
    let mut held: Vec<_> = absent.iter().map(|id| (*id, value(held_number(*id)))).collect();
    restored.extend(&held);
    held.insert(1, restored[0]);
    restore(&*replicas[2], "feed", &held).await;
    let ids: Vec<_> = restored.iter().map(|(id, _)| *id).collect();
    let expected: Vec<_> = restored.iter().map(|(_, value)| Some(*value)).collect();
    for replica in &replicas {
        assert_eq!(registers(&**replica, "feed", &ids).await, expected);
    }
    let expected = restored.into_iter().collect();
    assert_eq!(follows.read().await.registers, expected, "as read after an earlier cursor");
    assert_eq!(Reader::new(&replicas[1], "feed").read().await.registers, expected, "in the whole");
}

fn held_number(id: RegisterId) -> u64 {
    match id {
        RegisterId::All => 1,
        RegisterId::Stale(_) => 2,
        _ => 3,
    }
}

/// A register that is restored again stays as it is. So does one of none.
pub async fn restoring_twice_changes_nothing<S: RevocationStore>(open: impl AsyncFn() -> S) {
    let [one, two, three, ..] = &handles(&open).await;
    let (present, absent) = (RegisterId::Subject(digest(0)), RegisterId::All);
    let stored = advance(&**one, "feed", &request(present, 0, now())).await;
    let crossed = Register::new(stored.version + 9, stored.at - HOUR, stored.until - HOUR / 2);
    let held = [(present, crossed), (absent, stored)];
    restore(&**one, "feed", &held).await;
    let ids = [present, absent];
    let first = registers(&**two, "feed", &ids).await;
    let mut follows = Reader::new(two, "feed");
    let before = follows.read().await.registers.clone();
    for store in [one, two, three, one] {
        restore(&**store, "feed", &held).await;
        restore(&**store, "feed", &[]).await;
        assert_eq!(registers(&**two, "feed", &ids).await, first, "{held:?} was restored again");
        assert_eq!(follows.read().await.registers, before, "{held:?} was restored again");
    }
}

/// Of replicas that restore a register at once while others advance it, the last value includes all
/// that was held and returned; without the others it is the same as of one that restores.
pub async fn of_many_restores_the_outcome_is_one<S: RevocationStore>(open: impl AsyncFn() -> S) {
    let replicas = handles(&open).await;
    for round in 0..20_u64 {
        let id = RegisterId::Subject(digest(round));
        let stored = advance(&*replicas[0], "feed", &request(id, 0, now())).await;
        let held = Register::new(stored.version + 1_000, stored.at - HOUR, stored.until);
        let with_advances = round % 2 == 1;
        let start = Arc::new(Barrier::new(8));
        let racers = (0..8).map(|racer| {
            let (store, start) = (replicas[racer % 4].clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                if with_advances && racer >= 4 {
                    return Some(advance(&*store, "feed", &request(id, 0, now())).await);
                }
                restore(&*store, "feed", &[(id, held)]).await;
                None
            })
        });
        let mut advanced = Vec::new();
        for racer in racers.collect::<Vec<_>>() {
            advanced.extend(racer.await.expect("a racer ends"));
        }
        let found = registers(&*replicas[1], "feed", &[id]).await;
        let [Some(last)] = found[..] else { panic!("a register was lost: {found:?}") };
        let included = advanced.iter().chain([&stored, &held]);
        let missing: Vec<_> = included.filter(|value| !last.dominates(value)).collect();
        assert!(missing.is_empty(), "{last:?} does not include {missing:?}");
        if !with_advances {
            assert_eq!(Some(last), Register::restored(Some(stored), &held, now()));
        }
    }
}
