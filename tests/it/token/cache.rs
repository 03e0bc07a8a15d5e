//! Tokens that were verified are not verified again, and no answer differs for it.

use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::{ManualClock, fixed_key, fixed_ring, mint};
use tower_jwt_session::{
    Algorithm, Key, KeyRing, Login, RejectionKind, Revocations, Root, Session, SessionClaims,
    Sessions, Timestamp,
};

use crate::token::{NOW, header, issued, payload, with};

fn sessions<C: SessionClaims>(keys: &KeyRing, cache_bytes: usize) -> Sessions<C> {
    Sessions::builder(keys.clone(), "https://issuer.test", "app")
        .token_cache_bytes(cache_bytes)
        .build()
        .unwrap()
}

const MIB: usize = 1024 * 1024;

/// With the default cache and with none.
fn pair(keys: &KeyRing) -> [Sessions<()>; 2] {
    let default = Sessions::builder(keys.clone(), "https://issuer.test", "app").build().unwrap();
    [default, sessions(keys, 0)]
}

/// Whether two sessions share what was verified.
fn is_shared<C>(one: &Session<C>, other: &Session<C>) -> bool {
    ptr::eq(one.subject(), other.subject())
}

/// Validates until the token is in the cache.
fn warm<C: SessionClaims>(sessions: &Sessions<C>, token: &str) -> Session<C> {
    sessions.validate(token).unwrap();
    sessions.validate(token).unwrap()
}

fn refusal(sessions: &Sessions<()>, token: &str) -> Option<RejectionKind> {
    sessions.validate(token).err().map(|rejection| rejection.kind())
}

#[test]
fn a_token_is_verified_twice_and_never_again() {
    let keys = fixed_ring(ManualClock::default());
    let [cached, uncached] = pair(&keys);
    let token = issued(&cached, ());
    let once = cached.validate(&token).unwrap();
    let twice = cached.validate(&token).unwrap();
    assert!(!is_shared(&once, &twice));
    for _ in 0..3 {
        assert!(is_shared(&twice, &cached.validate(&token).unwrap()));
    }
    let once = warm(&uncached, &token);
    assert!(!is_shared(&once, &uncached.validate(&token).unwrap()));
}

#[test]
fn every_byte_counts() {
    for algorithm in [Algorithm::HS256, Algorithm::EdDSA] {
        let keys = KeyRing::fixed([fixed_key(algorithm)]).clock(ManualClock::default()).build();
        let [cached, uncached] = pair(&keys.unwrap());
        let token = issued(&cached, ());
        warm(&cached, &token);
        for place in 0..token.len() {
            for other in ["A", "B", "."] {
                let mut forged = token.clone();
                forged.replace_range(place..place + 1, other);
                let expected = refusal(&uncached, &forged);
                assert_eq!(expected.is_none(), forged == token, "{forged}");
                assert_eq!(refusal(&cached, &forged), expected, "{forged}");
            }
        }
        for forged in [format!("{token}A"), format!("A{token}"), token[1..].to_owned()] {
            assert!(refusal(&cached, &forged).is_some());
        }
        assert!(cached.validate(&token).is_ok());
    }
}

#[test]
fn no_time_passes_unseen() {
    let clock = ManualClock::default();
    let [cached, uncached] = pair(&fixed_ring(clock.clone()));
    let key = fixed_key(Algorithm::EdDSA);
    let sign = |payload| mint(&key, header(&key).to_string(), format!("{payload}"));
    let tokens = [
        sign(payload()),
        sign(with(payload(), "nbf", NOW + 30)),
        sign(with(with(payload(), "iat", NOW + 20), "auth_time", NOW + 50)),
        sign(with(payload(), "exp", NOW + 20)),
    ];
    for token in &tokens {
        warm(&cached, token);
    }
    let mut refused = 0;
    // Each second about the times in the tokens, the leeway of a minute counted; and the edges.
    for millis in (-90_000..=90_000).chain(940_000..=960_000).step_by(250) {
        for millis in [millis - 1, millis] {
            clock.set(Timestamp::from_unix_millis(NOW * 1000 + millis));
            for token in &tokens {
                let expected = refusal(&uncached, token);
                refused += u32::from(expected.is_some());
                assert_eq!(refusal(&cached, token), expected, "{token} at {millis}");
            }
        }
    }
    assert!(refused > 1000, "{refused}");
}

#[test]
fn a_key_that_is_gone_verifies_nothing() {
    let [old, new] = ["old", "new"].map(|name| fixed_key(Algorithm::EdDSA).with_key_id(name));
    let keys = KeyRing::fixed([old.clone()]).clock(ManualClock::default()).build().unwrap();
    let [cached, _] = pair(&keys);
    let token = issued(&cached, ());
    let before = warm(&cached, &token);
    assert!(is_shared(&before, &cached.validate(&token).unwrap()));

    keys.replace([new.clone()]).unwrap();
    assert_eq!(refusal(&cached, &token), Some(RejectionKind::UnknownKey));

    // Another key under the same ID is another key.
    let other = Key::hmac_from_text(Algorithm::HS256, [7; 32]).unwrap().with_key_id("old");
    keys.replace([other]).unwrap();
    assert!(cached.validate(&token).is_err());

    keys.replace([new, old]).unwrap();
    let after = cached.validate(&token).unwrap();
    assert!(!is_shared(&before, &after), "it is verified anew");
    assert!(is_shared(&after, &cached.validate(&token).unwrap()), "it was known already");
}

#[tokio::test]
async fn a_revoked_key_verifies_nothing() {
    let keys = KeyRing::builder("app").store(MemoryStore::new()).clock(ManualClock::default());
    let keys = keys.open().await.unwrap();
    let [cached, uncached] = pair(&keys);
    let token = issued(&cached, ());
    let session = warm(&cached, &token);
    keys.refresh().await.unwrap();
    assert!(is_shared(&session, &cached.validate(&token).unwrap()), "a refresh changes nothing");

    keys.revoke(session.key_id()).await.unwrap();
    assert_eq!(refusal(&cached, &token), Some(RejectionKind::UnknownKey));
    assert_eq!(refusal(&cached, &token), refusal(&uncached, &token));
}

#[tokio::test]
async fn a_session_that_was_ended_is_not_held() {
    let clock = ManualClock::default();
    let ended = Revocations::builder("app").store(MemoryStore::new()).clock(clock.clone());
    let cached: Sessions<()> = Sessions::builder(fixed_ring(clock), "https://issuer.test", "app")
        .revocations(ended.open().await.unwrap())
        .build()
        .unwrap();
    let token = issued(&cached, ());
    let session = warm(&cached, &token);
    assert!(is_shared(&session, &cached.validate(&token).unwrap()));
    cached.logout(&session).await.unwrap();
    assert_eq!(refusal(&cached, &token), Some(RejectionKind::Revoked));
}

#[test]
fn a_key_whose_time_is_over_verifies_nothing() {
    let clock = ManualClock::default();
    let root = Root::new((100..132).collect::<Vec<u8>>()).unwrap();
    let keys = KeyRing::derived("app", root).clock(clock.clone()).build().unwrap();
    let [cached, uncached] = pair(&keys);
    let token = issued(&cached, ());
    for _ in 0..24 * 4 {
        assert_eq!(refusal(&cached, &token), refusal(&uncached, &token));
        clock.advance(Duration::from_secs(15 * 60));
    }
    assert!(refusal(&cached, &token).is_some());
}

#[test]
fn tokens_that_come_once_flush_nothing() {
    let keys = fixed_ring(ManualClock::default());
    let cached: Sessions<()> = sessions(&keys, 64 * 1024);
    let hot: Vec<_> = (0..10).map(|_| issued(&cached, ())).collect();
    let held: Vec<_> = hot.iter().map(|token| warm(&cached, token)).collect();
    let still_held = || {
        let all = hot.iter().zip(&held);
        all.filter(|(token, held)| is_shared(held, &cached.validate(token).unwrap())).count()
    };
    assert_eq!(still_held(), 10);
    for _ in 0..2000 {
        assert!(cached.validate(&issued(&cached, ())).is_ok());
    }
    assert_eq!(still_held(), 10);

    // Those that come again and again take their places in the end.
    for _ in 0..2000 {
        warm(&cached, &issued(&cached, ()));
    }
    assert!(still_held() < 10);
}

/// However many others enter meanwhile; but for a few, where so many are in use that a request
/// would look for room for too long.
#[test]
fn tokens_that_are_used_stay() {
    let keys = fixed_ring(ManualClock::default());
    let cached: Sessions<()> = sessions(&keys, 64 * 1024);
    let used: Vec<_> = (0..10).map(|_| issued(&cached, ())).collect();
    let mut held: Vec<_> = used.iter().map(|token| warm(&cached, token)).collect();
    let mut hits = 0;
    for _ in 0..200 {
        for (token, held) in used.iter().zip(&mut held) {
            let session = cached.validate(token).unwrap();
            hits += usize::from(is_shared(held, &session));
            *held = session;
        }
        for _ in 0..5 {
            warm(&cached, &issued(&cached, ()));
        }
    }
    assert!(hits > 1900, "{hits} of 2000");
}

#[test]
fn it_holds_no_more_than_its_bytes() {
    let keys = fixed_ring(ManualClock::default());
    let bytes = 512 * 1024;
    let cached: Sessions<()> = sessions(&keys, bytes);
    let tokens: Vec<_> = (0..2000).map(|_| issued(&cached, ())).collect();
    let held: Vec<_> = tokens.iter().map(|token| warm(&cached, token)).collect();
    let all = tokens.iter().zip(&held);
    let held = all.filter(|(token, held)| is_shared(held, &cached.validate(token).unwrap()));
    // The token, as much for what it says, and the entry with what the allocator adds.
    let count = held.count();
    let taken = count * (2 * tokens[0].len() + 400);
    assert!(count > 200 && taken <= bytes, "{count} tokens, {taken} bytes");
}

#[test]
fn session_too_large_for_cache_is_verified_each_time() {
    let keys = fixed_ring(ManualClock::default());
    let build = |builder: tower_jwt_session::SessionsBuilder<Long>| {
        builder.max_token_bytes(65_536).token_cache_bytes(64 * 1024).build().unwrap()
    };
    let cached = build(Sessions::builder(keys, "https://issuer.test", "app"));
    let long = cached.issue(&Login::new("alice", Long { text: "x".repeat(30_000) }));
    let long = long.unwrap().as_str().to_owned();
    let session = warm(&cached, &long);
    assert!(!is_shared(&session, &cached.validate(&long).unwrap()));
    assert_eq!(session.claims().text.len(), 30_000);
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Long {
    text: String,
}

/// Threads that validate what others revoke, replace and push out: each result is of the token that
/// was asked for, and under keys that the thread could have seen.
#[test]
fn threads_share_it() {
    let keys = fixed_ring(ManualClock::default());
    let other = fixed_key(Algorithm::ES256);
    let cached: Sessions<()> = sessions(&keys, 64 * 1024);
    let tokens: Vec<(String, String)> = (0..200)
        .map(|number| {
            let subject = format!("user-{number}");
            let token = cached.issue(&Login::new(subject.clone(), ())).unwrap();
            (subject, token.as_str().to_owned())
        })
        .collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for start in [0, 70, 140] {
            let (cached, tokens, done) = (&cached, &tokens, &done);
            scope.spawn(move || {
                for (subject, token) in tokens.iter().cycle().skip(start).take(6000) {
                    match cached.validate(token) {
                        Ok(session) => assert_eq!(session.subject(), subject),
                        Err(refused) => assert_eq!(refused.kind(), RejectionKind::UnknownKey),
                    }
                }
                done.store(true, Ordering::Relaxed);
            });
        }
        while !done.load(Ordering::Relaxed) {
            keys.replace([other.clone()]).unwrap();
            keys.replace([fixed_key(Algorithm::EdDSA)]).unwrap();
        }
    });
    keys.replace([other]).unwrap();
    for (_, token) in &tokens {
        assert_eq!(refusal(&cached, token), Some(RejectionKind::UnknownKey));
    }
}

#[test]
fn its_size_is_checked() {
    let keys = fixed_ring(ManualClock::default());
    let build = |bytes| {
        let builder = Sessions::<()>::builder(keys.clone(), "https://issuer.test", "app");
        builder.token_cache_bytes(bytes).build()
    };
    for bytes in [0, 64 * 1024, 8 * MIB] {
        assert!(build(bytes).is_ok());
    }
    for bytes in [1, 64 * 1024 - 1, 1024 * MIB + 1, usize::MAX] {
        let error = build(bytes).unwrap_err().to_string();
        assert!(error.contains("token_cache_bytes") && error.contains("65,536"), "{error}");
    }
}
