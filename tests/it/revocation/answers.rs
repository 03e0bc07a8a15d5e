//! A store that answers what it must not: records that nobody wrote, registers that fall, pages that never
//! end. No logout is a false success, and nothing that was held is lost.

use std::sync::Arc;

use tokio::sync::Notify;
use tower_jwt_session::NotReadyKind;
use tower_jwt_session::store::{
    Advance, FeedRead, Register, RegisterId, RevokedSession, Skipped, Store, StoreFuture,
};

use super::altered::{Altered, set};
use super::hostile::assert_never_a_false_success;
use super::*;
use crate::support::delegate::delegate;
use crate::support::stores::{Operation, TestStore};

const HIGHEST: u64 = Register::MAX_VERSION;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn millis(time: Timestamp) -> u64 {
    u64::try_from(time.as_unix_millis()).unwrap()
}

async fn open() -> (Altered, Replica) {
    let store = Altered::default();
    (store.clone(), Replica::open(store).await)
}

/// The name of alice's register.
async fn alice() -> RegisterId {
    let store = TestStore::new();
    Replica::open(store.clone()).await.sessions.revoke_subject("alice").await.unwrap();
    store.feed(PLACE).await.registers[0].0
}

#[tokio::test(start_paused = true)]
async fn register_out_of_bounds_is_skipped_and_no_logout_is_a_false_success() {
    let far = millis(START + 3 * DAY);
    let until = START + RETENTION;
    let cutoffs = [START + 2 * DAY, Timestamp::from_unix_millis(i64::MAX)];
    let registers = [0, far, HIGHEST - 1, HIGHEST, HIGHEST + 1, u64::MAX]
        .map(|version| Register::new(version, START, until))
        .into_iter()
        .chain(cutoffs.map(|at| Register::new(millis(START), at, until)));
    for register in registers {
        for id in [RegisterId::All, alice().await] {
            let store = TestStore::new();
            let one = Replica::open(store.clone()).await;
            let token = one.login("alice");
            RevocationStore::restore(&store, PLACE, &[(id, register)], START).await.unwrap();
            one.refresh().await;
            let status = one.revocations.status();
            let skipped = &status.skipped[..];
            assert!(skipped.len() == 1 && skipped[0].contains("too far ahead"), "{skipped:?}");
            assert_eq!((one.counts(), one.judge(&token)), ([0, 0, 0], Ok(())), "{register:?}");
            let what = format!("{register:?}");
            assert!(assert_never_a_false_success(&one, &store, &what).await, "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn records_kept_until_any_time_end_no_task_and_hide_no_other() {
    let alice = alice().await;
    let store = TestStore::new();
    let one = Replica::open(store.clone()).await;
    let bob = one.login("bob");
    let times = [i64::MIN, -1, 0, 5_000_000_000_000, 253_402_300_800_000, i64::MAX];
    for (number, until) in times.into_iter().enumerate() {
        let until = Timestamp::from_unix_millis(until);
        let session = RevokedSession::new([number as u8; 16], until);
        store.append(PLACE, &[session], START).await.unwrap();
        let register = Register::new(number as u64 + 1, START, until);
        RevocationStore::restore(&store, PLACE, &[(alice, register)], START).await.unwrap();
        one.refresh().await;
        let newcomer = Replica::open(store.sibling()).await;
        assert_eq!(newcomer.counts()[0], number.saturating_sub(2), "{until:?}");
    }
    one.logout(&bob).await;
    for late in [Duration::ZERO, RETENTION + seconds(3600)] {
        pass(&[&one], late);
        one.refresh().await;
        let newcomer = Replica::open_at(store.sibling(), one.clock.now()).await;
        for replica in [&one, &newcomer] {
            // Those of later times, and bob's until his time.
            assert_eq!(replica.counts()[0], 3 + usize::from(late.is_zero()));
            assert_eq!(replica.revocations.status().task_panics, 0);
            let _ = serde_json::to_string(&replica.revocations.status()).unwrap();
        }
    }
    assert!(assert_never_a_false_success(&one, &store, "such records").await);
}

#[tokio::test]
async fn register_that_falls_is_held_and_restored() {
    for fallen in [
        |it: &mut Register| it.version -= 1,
        |it: &mut Register| it.version = 1,
        |it: &mut Register| it.at = it.at - Duration::from_secs(1),
        |it: &mut Register| it.at = Timestamp::from_unix_millis(i64::MIN),
    ] {
        let (store, one) = open().await;
        let token = one.login("alice");
        one.sessions.revoke_subject("alice").await.unwrap();
        one.sessions.revoke_subject("bob").await.unwrap();
        // Alice's register falls in the store itself, and bob's too.
        let mut page = store.store.feed(PLACE).await;
        page.registers.iter_mut().for_each(|(_, register)| fallen(register));
        let behind = tower_jwt_session::store::MemoryStore::new();
        behind.restore(PLACE, &page.registers, START).await.unwrap();
        store.store.replace_feeds(behind);
        one.refresh().await;
        assert_eq!(one.judge(&token), Err(RejectionKind::Revoked));
        let newcomer = Replica::open(store.store.sibling()).await;
        assert_eq!(newcomer.judge(&token), Err(RejectionKind::Revoked));
        assert_eq!(newcomer.counts(), [0, 2, 0]);
    }
}

/// As a read of a follower that is behind returns it, while the store itself is right.
#[tokio::test]
async fn page_of_fallen_registers_is_held_against_the_store() {
    let (store, one) = open().await;
    let token = one.login("alice");
    one.sessions.revoke_subject("alice").await.unwrap();
    store.on_pages(|page| page.registers.iter_mut().for_each(|(_, it)| it.version -= 1));
    one.refresh().await;
    assert_eq!(one.judge(&token), Err(RejectionKind::Revoked));
    assert_eq!(store.store.calls(Operation::Restore), ["1"]);
    store.right();
    one.refresh().await;
    assert_eq!(one.judge(&token), Err(RejectionKind::Revoked));
}

#[tokio::test]
async fn register_that_did_not_rise_makes_no_logout_a_success() {
    type Spoil = fn(&mut Register);
    let answers: [(Spoil, &str); 7] = [
        (|it| it.version = 0, "did not rise"),
        (|it| it.at = it.at - Duration::from_millis(1), "did not rise"),
        (|it| it.until = it.until - Duration::from_millis(1), "did not rise"),
        (|it| it.until = Timestamp::from_unix_millis(0), "did not rise"),
        (|it| it.version = HIGHEST, "too far ahead"),
        (|it| it.version = u64::MAX, "too far ahead"),
        (|it| it.at = Timestamp::from_unix_millis(i64::MAX), "too far ahead"),
    ];
    for (answer, expected) in answers {
        let (store, one) = open().await;
        set(&store.advanced, answer);
        let token = one.login("alice");
        let ended = one.sessions.logout_everywhere(&one.session(&token)).await;
        let error = ended.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(one.revocations.status().write_failure.unwrap().contains(expected));
        assert_eq!(one.judge(&token), Ok(()), "nothing is said to be recorded");
        // What it returned is not held: the next answer is compared with what is.
        store.right();
        one.sessions.logout_everywhere(&one.session(&token)).await.unwrap();
        assert_eq!(one.judge(&token), Err(RejectionKind::Revoked));
        assert_eq!(one.judge(&one.login("alice")), Ok(()));
        assert_eq!(one.revocations.status().write_failure, None);
    }
}

/// The answer to the first is late: both are recorded, and both say so.
#[tokio::test]
async fn advances_of_one_register_whose_answers_cross_both_succeed() {
    #[derive(Clone, Debug, Default)]
    struct Crossing {
        store: TestStore,
        second: Arc<Notify>,
    }
    impl Store for Crossing {
        delegate!(store: load insert remove changed properties);
    }
    impl RevocationStore for Crossing {
        delegate!(store: append restore registers read_feed);

        fn advance<'a>(&'a self, feed: &'a str, advance: &'a Advance) -> StoreFuture<'a, Register> {
            Box::pin(async move {
                let advanced = self.store.advance(feed, advance).await;
                match self.store.calls(Operation::Advance).len() {
                    1 => self.second.notified().await,
                    _ => self.second.notify_one(),
                }
                advanced
            })
        }
    }
    let store = Crossing::default();
    let one = Replica::open(store.clone()).await;
    let token = one.login("alice");
    let (first, second) =
        tokio::join!(one.sessions.revoke_subject("alice"), one.sessions.revoke_subject("alice"),);
    first.unwrap();
    second.unwrap();
    assert_eq!(one.judge(&token), Err(RejectionKind::Revoked));
    let newcomer = Replica::open(store.store.sibling()).await;
    assert_eq!(newcomer.judge(&token), Err(RejectionKind::Revoked));
}

#[tokio::test]
async fn wrong_number_of_registers_leaves_a_login_with_the_last_known() {
    for number in [0, 1, 3, 1000] {
        let (store, one) = open().await;
        one.sessions.revoke_subject("alice").await.unwrap();
        let wrong = Register::new(millis(START) + 5000, START, START + RETENTION);
        set(&store.registers, move |registers| *registers = vec![Some(wrong); number]);
        let token = one.sessions.login(&Login::new("alice", ())).await.unwrap();
        assert_eq!(one.judge(token.as_str()), Ok(()));
        assert_eq!(one.counts(), [0, 1, 0], "{number}");
        store.right();
        one.sessions.revoke_subject("alice").await.unwrap();
        assert_eq!(one.judge(token.as_str()), Err(RejectionKind::Revoked));
    }
}

#[tokio::test]
async fn registers_out_of_bounds_or_fallen_are_not_mirrored_by_a_login() {
    for version in [0, 1, millis(START + 3 * DAY), HIGHEST, u64::MAX] {
        let (store, one) = open().await;
        one.sessions.revoke_subject("alice").await.unwrap();
        let wrong = Register::new(version, START, START + RETENTION);
        set(&store.registers, move |registers| *registers = vec![Some(wrong); 2]);
        let token = one.sessions.login(&Login::new("alice", ())).await.unwrap();
        assert_eq!(one.judge(token.as_str()), Ok(()), "{version}");
        store.right();
        let two = Replica::open(store.store.sibling()).await;
        assert_eq!(two.judge(token.as_str()), Ok(()), "{version}");
        one.sessions.revoke_subject("alice").await.unwrap();
        two.refresh().await;
        for replica in [&one, &two] {
            assert_eq!(replica.judge(token.as_str()), Err(RejectionKind::Revoked), "{version}");
        }
    }
}

#[tokio::test]
async fn unreadable_records_are_skipped_and_reported_and_hide_no_other() {
    let (store, one) = open().await;
    let [alice, bob] = ["alice", "bob"].map(|subject| one.login(subject));
    one.logout(&alice).await;
    store.store.put_of(PLACE, "something", b"else").await;
    let mut number = 0;
    store.on_pages(move |page| {
        for _ in 0..1000 {
            number += 1;
            page.skipped.push(Skipped::new(format!("record-{number}"), "25 bytes: not a record"));
        }
    });
    one.refresh().await;
    let newcomer = Replica::open(store.clone()).await;
    for replica in [&one, &newcomer] {
        let status = replica.revocations.status();
        assert_eq!(status.skipped.len(), 100, "{:?}", status.skipped);
        assert!(status.skipped[0].starts_with("something: "), "{:?}", status.skipped[0]);
        assert!(status.skipped[1].ends_with(": 25 bytes: not a record"), "{:?}", status.skipped[1]);
        assert_eq!(replica.judge(&alice), Err(RejectionKind::Revoked));
        replica.revocations.ready().unwrap();
    }
    newcomer.logout(&bob).await;
    one.refresh().await;
    assert_eq!(one.judge(&bob), Err(RejectionKind::Revoked));
    // They are of no concern after their time.
    store.right();
    store.store.delete_of(PLACE, "something").await;
    pass(&[&one], RETENTION);
    one.refresh().await;
    assert_eq!(one.revocations.status().skipped, [""; 0]);
}

#[tokio::test]
async fn record_of_newer_version_makes_unready_until_its_time_has_passed() {
    let (store, one) = open().await;
    store.on_pages(|page| page.newer_format = Some(7));
    one.refresh().await;
    let newcomer = Replica::open(store.clone()).await;
    store.right();
    for replica in [&one, &newcomer] {
        replica.refresh().await;
        assert_eq!(replica.revocations.status().newer_format, Some(7));
        let unready = replica.revocations.ready().unwrap_err();
        assert_eq!(unready.kind(), NotReadyKind::NewerFormat);
        assert!(unready.to_string().contains("(format 7)"), "{unready}");
        // It goes on with what it understands, and can record.
        let token = replica.login("bob");
        replica.logout(&token).await;
        assert_eq!(replica.judge(&token), Err(RejectionKind::Revoked));
    }
    pass(&[&one], RETENTION);
    one.refresh().await;
    one.revocations.ready().unwrap();
    assert_eq!(one.revocations.status().newer_format, None);
}

#[tokio::test]
async fn page_that_does_not_move_on_is_an_error_and_no_endless_read() {
    let (store, one) = open().await;
    let token = one.login("alice");
    store.on_pages(|page| page.has_more = true);
    let reading = tokio::time::timeout(seconds(60), one.revocations.refresh()).await;
    let error = reading.expect("comes to an end").unwrap_err().to_string();
    assert!(error.contains("ends where it begins"), "{error}");
    one.logout(&token).await;
    assert_eq!(one.judge(&token), Err(RejectionKind::Revoked));
    store.right();
    one.refresh().await;
    assert_eq!(one.revocations.status().failure, None);
}

#[tokio::test]
async fn store_that_always_lost_everything_is_an_error_and_frees_no_session() {
    let (store, one) = open().await;
    let token = one.login("alice");
    one.logout(&token).await;
    set(&store.reads, |read| *read = FeedRead::Gap);
    let error = one.revocations.refresh().await.unwrap_err().to_string();
    assert!(error.contains("lost them again"), "{error}");
    assert!(one.revocations.status().failure.unwrap().contains("lost them again"));
    assert_eq!(one.judge(&token), Err(RejectionKind::Revoked));
    builder(store.clone(), &one.clock).open().await.unwrap_err();
    // Recording goes on, and the next good read restores.
    let bob = one.login("bob");
    one.logout(&bob).await;
    store.right();
    one.refresh().await;
    let newcomer = Replica::open(store).await;
    for replica in [&one, &newcomer] {
        for token in [&token, &bob] {
            assert_eq!(replica.judge(token), Err(RejectionKind::Revoked));
        }
    }
}
