//! Tokens that name an unknown key: refused at once, and one fetch for all.

use tower_jwt_session::RejectionKind;

use super::*;
use crate::support::recorder::Events;

const COOLDOWN: Duration = Duration::from_secs(30);

async fn open() -> (KeyRing, FakeClient, ManualClock) {
    let (client, clock) =
        (FakeClient::new(set([jwk(Algorithm::EdDSA, "a")])), ManualClock::default());
    let keys = following(&client, &clock).open().await.unwrap();
    clock.advance(COOLDOWN);
    (keys, client, clock)
}

/// Validates a token of a key that the ring does not hold.
fn miss(keys: &KeyRing, clock: &ManualClock, key_id: &str) {
    let refused = validate(keys, clock, Algorithm::ES256, key_id).unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::UnknownKey);
}

#[tokio::test]
async fn issuer_key_added_verifies_after_first_token_naming_it() {
    let (keys, client, clock) = open().await;
    client.says(set([jwk(Algorithm::EdDSA, "a"), jwk(Algorithm::ES256, "b")]));
    miss(&keys, &clock, "b");
    client.reaches(2).await;
    settle().await;
    assert!(validate(&keys, &clock, Algorithm::ES256, "b").is_ok());
}

#[tokio::test]
async fn ten_thousand_unknown_keys_in_ten_seconds_cause_one_fetch() {
    let (keys, client, clock) = open().await;
    for n in 0..10_000 {
        miss(&keys, &clock, &format!("unknown-{n}"));
        tokio::task::yield_now().await;
        clock.advance(Duration::from_millis(1));
    }
    settle().await;
    assert_eq!(client.count(), 2, "the first, and one");
}

#[tokio::test]
async fn after_each_cooldown_one_more_is_fetched() {
    let (keys, client, clock) = open().await;
    for round in 0..5 {
        for wait in [Duration::ZERO, COOLDOWN - Duration::from_millis(1)] {
            clock.advance(wait);
            for _ in 0..3 {
                miss(&keys, &clock, "b");
                settle().await;
            }
            assert_eq!(client.count(), 2 + round);
        }
        clock.advance(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn any_fetch_begins_a_cooldown() {
    let (keys, client, clock) = open().await;
    keys.refresh().await.unwrap();
    clock.advance(COOLDOWN - Duration::from_millis(1));
    miss(&keys, &clock, "b");
    settle().await;
    assert_eq!(client.count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_at_once_cause_one_fetch() {
    const ROUNDS: usize = 20;
    let (keys, client, clock) = open().await;
    let sessions = sessions(&keys);
    for round in 0..ROUNDS {
        let token = token(&clock, Algorithm::ES256, "b");
        let barrier = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    barrier.wait();
                    for _ in 0..125 {
                        assert!(sessions.validate(&token).is_err());
                    }
                });
            }
        });
        client.reaches(round + 2).await;
        // Whatever was asked for too often would come before this.
        keys.refresh().await.unwrap();
        client.0.count.send_modify(|count| *count -= 1);
        settle().await;
        assert_eq!(client.count(), round + 2);
        clock.advance(COOLDOWN);
    }
}

#[tokio::test]
async fn nobody_waits_for_a_fetch() {
    let (keys, client, clock) = open().await;
    client.answers(URL, Answer::Hangs);
    miss(&keys, &clock, "b");
    client.reaches(2).await;
    assert!(validate(&keys, &clock, Algorithm::EdDSA, "a").is_ok());
    miss(&keys, &clock, "b");
    keys.ready().unwrap();
    assert_eq!(keys.status().keys.len(), 1);
}

#[tokio::test]
async fn tokens_that_no_key_could_help_ask_for_nothing() {
    let (keys, client, clock) = open().await;
    let sessions = sessions(&keys);
    let good = token(&clock, Algorithm::EdDSA, "a");
    let cut = &good[..good.len() - 4];
    let other_type =
        token_with(&clock, Algorithm::ES256, "b", |header, _| header["typ"] = json!("JWT"));
    let other_algorithm = token(&clock, Algorithm::ES256, "a");
    for token in ["", "a.b.c", cut, &other_type, &other_algorithm] {
        assert!(sessions.validate(token).is_err());
    }
    settle().await;
    assert_eq!(client.count(), 1);
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_stop_the_fetches() {
    let (keys, client, clock) = open().await;
    clock.set(tower_jwt_session::Timestamp::from_unix_seconds(1_700_000_000));
    miss(&keys, &clock, "b");
    client.reaches(2).await;
}

#[tokio::test]
async fn reason_says_when_keys_were_fetched_and_how_often_they_are() {
    let (keys, _, clock) = open().await;
    clock.advance(Duration::from_millis(12_900));
    let refused = validate(&keys, &clock, Algorithm::ES256, "b").unwrap_err();
    assert_eq!(
        format!("{refused:#}"),
        "unknown key: header kid: found \"b\", expected a key of the followed issuer, fetched 42s ago, \
         and again for an unknown key at most every 30s (unknown_key_cooldown): [\"a\"]"
    );
    // A fetch that finds the same keys counts.
    keys.refresh().await.unwrap();
    clock.advance(Duration::from_secs(5));
    let token = token(&clock, Algorithm::ES256, "b");
    let explained = sessions(&keys).explain(&token);
    let expected = explained.failed().unwrap().expected.as_deref().unwrap();
    assert!(expected.contains("fetched 5s ago"), "{expected}");

    let own = KeyRing::fixed([testing::fixed_key(Algorithm::EdDSA).verify_only()]);
    let own = own.clock(clock.clone()).build().unwrap();
    let refused = sessions(&own).validate(&token).unwrap_err();
    assert!(format!("{refused:#}").contains("expected a key of the ring: ["), "{refused:#}");
}

#[tokio::test]
async fn change_of_the_issuers_keys_is_logged_once_with_their_ids() {
    let changes = || async {
        let (keys, client, _) = open().await;
        for set in [
            set([jwk(Algorithm::EdDSA, "a"), jwk(Algorithm::ES256, "b")]),
            set([jwk(Algorithm::ES256, "b"), jwk(Algorithm::EdDSA, "a")]),
            set([jwk(Algorithm::ES256, "b"), jwk(Algorithm::ES384, "c\n")]),
        ] {
            client.says(set);
            keys.refresh().await.unwrap();
        }
    };
    let of = |events: &Events| {
        let mut all = events.all();
        all.retain(|event| event.message == "the issuer's keys changed");
        all
    };
    let events = Events::of(async || changes().await, |events| of(events).len() == 2).await;
    let found = of(&events);
    assert!(found.iter().all(|event| event.level == tracing::Level::INFO), "{found:?}");
    let fields = |name| found.iter().map(move |event| event.fields[name].as_str());
    assert_eq!(fields("added").collect::<Vec<_>>(), [r#""[\"b\"]""#, r#""[\"c\\n\"]""#]);
    assert_eq!(fields("removed").collect::<Vec<_>>(), [r#""[]""#, r#""[\"a\"]""#]);
}
