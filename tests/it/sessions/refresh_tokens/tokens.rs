//! The two tokens, and how long a session can be renewed with them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tower_jwt_session::testing::{fixed_key, fixed_ring};
use tower_jwt_session::{
    Algorithm, Clock, KeyRing, Login, OperationErrorKind, Revocations, TokenResponse,
};

use super::*;
use crate::support::stores::TestStore;
use crate::support::web::{claims, header, signed};

#[tokio::test]
async fn neither_is_ever_taken_for_the_other() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let tokens = login(&sessions);
    let [access, refresh] = [&tokens.access_token, &tokens.refresh_token];
    assert!(sessions.validate(access.as_str()).is_ok());
    let rejection = sessions.validate(refresh.as_str()).unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::WrongType);
    assert_eq!(super::refused(&sessions, access.as_str()).await, RejectionKind::WrongType);

    // Headers that this crate does not write are parsed: the answer is the same.
    let odd = |typ: &str| {
        let key_id = fixed_key(Algorithm::EdDSA).key_id().to_owned();
        let header = json!({"typ": typ, "x": 1, "kid": key_id, "alg": "EdDSA"});
        signed(&header, &claims(&clock, json!({"seq": 3})))
    };
    assert!(sessions.validate(&odd("session+jwt")).is_ok());
    assert_eq!(super::refused(&sessions, &odd("session+jwt")).await, RejectionKind::WrongType);
    assert_eq!(sequence(&sessions.refresh(&odd("refresh+jwt")).await.unwrap()), 4);
    for typ in ["refresh+jwt", "REFRESH+JWT", "application/refresh+jwt", "JWT"] {
        let rejection = sessions.validate(&odd(typ)).unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::WrongType, "{typ}");
    }
    for typ in ["Refresh+jwt", "application/refresh+jwt", "at+jwt", "JWT", ""] {
        assert_eq!(super::refused(&sessions, &odd(typ)).await, RejectionKind::WrongType, "{typ}");
    }
    // No older token can be one: what makes it a refresh token has to be there.
    let mut header = header();
    header["typ"] = json!("refresh+jwt");
    for (seq, expected) in [
        (json!(null), RejectionKind::MissingClaim("seq")),
        (json!("1"), RejectionKind::InvalidClaim("seq")),
        (json!(-1), RejectionKind::InvalidClaim("seq")),
        (json!(1.5), RejectionKind::InvalidClaim("seq")),
        (json!(u32::MAX), RejectionKind::InvalidClaim("seq")),
        (json!(u64::MAX), RejectionKind::InvalidClaim("seq")),
    ] {
        let token = signed(&header, &claims(&clock, json!({"seq": seq})));
        assert_eq!(super::refused(&sessions, &token).await, expected, "{seq}");
    }
}

#[tokio::test]
async fn a_successor_is_of_the_same_session() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let began = clock.now();
    let mut tokens = login(&sessions);
    let first = sessions.validate(tokens.access_token.as_str()).unwrap();
    let mut ids = BTreeSet::new();
    for round in 0..10 {
        assert_eq!(sequence(&tokens), round);
        let session = sessions.validate(tokens.access_token.as_str()).unwrap();
        assert_eq!(session.subject(), "alice");
        assert_eq!(session.claims(), first.claims());
        assert_eq!(session.session_id(), first.session_id());
        assert_eq!(session.authenticated_at(), Some(began));
        assert_eq!(session.issued_at(), clock.now());
        assert_eq!(session.scopes().collect::<Vec<_>>(), ["read", "write"]);
        assert_eq!(tokens.scope.as_deref(), Some("read write"));
        let refresh = claims_of(tokens.refresh_token.as_str());
        assert_eq!(refresh["sid"], session.session_id());
        assert_eq!(refresh["auth_time"], began.as_unix_seconds());
        ids.insert(session.token_id().to_owned());
        ids.insert(refresh["jti"].as_str().unwrap().to_owned());
        clock.advance(4 * MINUTE);
        tokens = super::refresh(&sessions, &tokens).await;
    }
    assert_eq!(ids.len(), 20, "each token has an ID of its own");
}

#[test]
fn access_tokens_are_short_and_end_at_different_times() {
    let sessions = sessions(&ManualClock::default());
    let lifetimes: BTreeSet<_> =
        (0..300).map(|_| login(&sessions).access_token.lifetime().as_secs()).collect();
    assert!(lifetimes.iter().all(|lifetime| (285..=300).contains(lifetime)), "{lifetimes:?}");
    assert!(lifetimes.len() > 10, "{lifetimes:?}");
    assert!(lifetimes.contains(&285) && lifetimes.contains(&299), "{lifetimes:?}");
    // A refresh token ends when it has to.
    let tokens = login(&sessions);
    assert_eq!(tokens.refresh_token.lifetime(), 12 * HOUR);
}

#[tokio::test]
async fn session_renewed_often_ends_with_absolute_lifetime() {
    let clock = ManualClock::default();
    let began = clock.now();
    let tokens = RefreshTokens::new().dangerous_without_reuse_detection().lifetime(2 * HOUR);
    let sessions = web::builder(&clock).refresh_tokens(tokens).absolute_lifetime(5 * HOUR);
    let sessions = sessions.build().unwrap();
    let mut tokens = login(&sessions);
    for hour in 1..5 {
        clock.advance(HOUR);
        tokens = super::refresh(&sessions, &tokens).await;
        let expected = (clock.now() + 2 * HOUR).min(began + 5 * HOUR);
        assert_eq!(tokens.refresh_token.expires_at(), expected, "{hour}");
    }
    clock.advance(HOUR - 2 * MINUTE);
    tokens = super::refresh(&sessions, &tokens).await;
    assert_eq!(tokens.access_token.expires_at(), began + 5 * HOUR);
    // Within the leeway the token is still good, but nothing can follow it.
    clock.advance(2 * MINUTE);
    let last = tokens.refresh_token.as_str();
    assert_eq!(super::refused(&sessions, last).await, RejectionKind::Expired);
    clock.advance(HOUR);
    assert_eq!(super::refused(&sessions, last).await, RejectionKind::Expired);
}

#[tokio::test]
async fn a_client_that_stays_away_for_long_logs_in_again() {
    let clock = ManualClock::default();
    let tokens = RefreshTokens::new().dangerous_without_reuse_detection().lifetime(HOUR);
    let sessions = web::builder(&clock).refresh_tokens(tokens).build().unwrap();
    let tokens = login(&sessions);
    clock.advance(HOUR + SKEW - Duration::from_secs(1));
    super::refresh(&sessions, &tokens).await;
    clock.advance(Duration::from_secs(1));
    let token = tokens.refresh_token.as_str();
    assert_eq!(super::refused(&sessions, token).await, RejectionKind::Expired);
}

/// As documented: nothing is known of what was redeemed.
#[tokio::test]
async fn without_a_store_a_token_is_good_until_it_expires() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let tokens = login(&sessions);
    let next = super::refresh(&sessions, &tokens).await;
    super::refresh(&sessions, &next).await;
    clock.advance(HOUR);
    let again = super::refresh(&sessions, &tokens).await;
    assert_eq!(sequence(&again), 1);
    assert_ne!(again.refresh_token.as_str(), next.refresh_token.as_str());
}

#[tokio::test]
async fn forged_and_broken_tokens_are_refused() {
    let clock = ManualClock::default();
    let sessions = sessions(&clock);
    let tokens = login(&sessions);
    let good = tokens.refresh_token.as_str();
    for (token, expected) in [
        (String::new(), RejectionKind::Malformed),
        ("a.b".into(), RejectionKind::Malformed),
        (format!("{good}A"), RejectionKind::BadSignature),
        (format!("{good}="), RejectionKind::Malformed),
        (format!("{good}.{}", good.len()), RejectionKind::Malformed),
        ("x".repeat(8193), RejectionKind::TooLong),
    ] {
        assert_eq!(super::refused(&sessions, &token).await, expected, "{token}");
    }
    let (signed_part, signature) = good.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("{signed_part}.{first}{}", &signature[1..]);
    assert_eq!(super::refused(&sessions, &forged).await, RejectionKind::BadSignature);

    let mut header = header();
    header["typ"] = json!("refresh+jwt");
    for (changes, expected) in [
        (json!({"seq": 0, "iss": "https://other.example"}), RejectionKind::WrongIssuer),
        (json!({"seq": 0, "aud": "other"}), RejectionKind::WrongAudience),
        (json!({"seq": 0, "role": 7}), RejectionKind::InvalidApplicationClaims),
    ] {
        let token = signed(&header, &claims(&clock, changes));
        assert_eq!(super::refused(&sessions, &token).await, expected);
    }
    let other = KeyRing::fixed([fixed_key(Algorithm::ES256)]).clock(clock).build();
    let other = Sessions::<User>::builder(other.unwrap(), "https://app.example", "app");
    let other = other
        .refresh_tokens(RefreshTokens::new().dangerous_without_reuse_detection())
        .build()
        .unwrap();
    let token = login(&other).refresh_token.as_str().to_owned();
    assert_eq!(super::refused(&sessions, &token).await, RejectionKind::UnknownKey);
}

#[test]
fn no_application_s_claim_can_be_named_as_the_sequence() {
    #[derive(Serialize, Deserialize)]
    struct Numbered {
        seq: u32,
    }

    let keys = fixed_ring(ManualClock::default());
    let sessions = Sessions::builder(keys, "https://app.example", "app").build().unwrap();
    let issued = sessions.issue(&Login::new("alice", Numbered { seq: 1 }));
    assert!(
        matches!(&issued, Err(error) if error.kind() == OperationErrorKind::InvalidClaims),
        "{issued:?}"
    );
}

#[test]
fn issued_tokens_debug_shows_no_token() {
    let sessions = sessions(&ManualClock::default());
    let tokens = login(&sessions);
    let printed = format!("{tokens:?} {tokens:#?} {sessions:?}");
    for token in [&tokens.access_token, &tokens.refresh_token] {
        for part in token.as_str().split('.') {
            assert!(!printed.contains(part), "{printed}");
        }
    }
}

/// Two replicas, whose revocations are read when a call reads them.
#[tokio::test]
async fn login_with_refresh_token_stays_valid_after_a_logout_everywhere_elsewhere() {
    let (clock, store) = (ManualClock::default(), TestStore::new());
    let replica = async |store: TestStore| {
        let revocations = Revocations::builder("app").store(store.clone()).clock(clock.clone());
        let revocations = revocations.refresh_interval(MINUTE).open().await.unwrap();
        let refresh_tokens = RefreshTokens::new().store(store);
        let sessions = web::builder(&clock).revocations(revocations.clone());
        (sessions.refresh_tokens(refresh_tokens).build().unwrap(), revocations)
    };
    let (one, revocations) = replica(store.clone()).await;
    let (two, _) = replica(store.sibling()).await;
    two.revoke_subject("alice").await.unwrap();
    let unread = one.issue_with_refresh_token(&web::login()).unwrap();
    let tokens = one.login_with_refresh_token(&web::login()).await.unwrap();
    revocations.refresh().await.unwrap();
    for sessions in [&one, &two] {
        assert_eq!(sessions.validate(tokens.access_token.as_str()).unwrap().subject(), "alice");
    }
    refresh(&two, &tokens).await;
    assert_eq!(refused(&one, unread.refresh_token.as_str()).await, RejectionKind::Revoked);
}

#[tokio::test]
async fn token_response_is_the_json_of_rfc_6749_beside_other_members() {
    #[derive(Serialize)]
    struct Answer<'a> {
        #[serde(flatten)]
        tokens: TokenResponse<'a>,
        name: &'static str,
    }
    let sessions = sessions(&ManualClock::default());
    for scope in [None, Some("read write")] {
        let login = scope.map_or(web::login(), |scope| web::login().scope(scope));
        let tokens = sessions.login_with_refresh_token(&login).await.unwrap();
        let [access, refresh] =
            [&tokens.access_token, &tokens.refresh_token].map(|token| token.as_str());
        let mut expected = json!({
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": tokens.access_token.lifetime().as_secs(),
            "refresh_token": refresh,
            "name": "Alice",
        });
        if let Some(scope) = scope {
            expected["scope"] = json!(scope);
        }
        let answer = Answer { tokens: tokens.response(), name: "Alice" };
        assert_eq!(serde_json::to_value(&answer).unwrap(), expected);
        let shown = format!("{:?}", answer.tokens);
        assert!(!shown.contains(access) && !shown.contains(refresh), "{shown}");
    }
}
