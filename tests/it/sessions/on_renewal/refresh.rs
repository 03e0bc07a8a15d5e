//! The hook at a refresh.

use tower_jwt_session::IssuedTokens;

use super::*;

async fn open(clock: &ManualClock, users: &Users, store: &TestStore) -> Sessions<User> {
    let revocations = Revocations::builder("app").store(store.clone()).clock(clock.clone());
    with_hook(clock, users)
        .revocations(revocations.open().await.unwrap())
        .refresh_tokens(RefreshTokens::new().store(store.clone()))
        .build()
        .unwrap()
}

fn roles(tokens: &IssuedTokens) -> [serde_json::Value; 2] {
    [&tokens.access_token, &tokens.refresh_token]
        .map(|token| claims_of(token.as_str())["role"].clone())
}

#[tokio::test]
async fn hook_is_asked_at_every_refresh() {
    let (clock, users) = (ManualClock::default(), Users::default());
    let sessions = open(&clock, &users, &TestStore::new()).await;
    let first = sessions.issue_with_refresh_token(&login().scope("read")).unwrap();
    let kept = sessions.refresh(first.refresh_token.as_str()).await.unwrap();
    assert_eq!((roles(&kept), users.asked()), (["reader"; 2].map(Into::into), 1));
    users.will(Order::Promote);
    let promoted = sessions.refresh(kept.refresh_token.as_str()).await.unwrap();
    assert_eq!((roles(&promoted), users.asked()), (["admin"; 2].map(Into::into), 1));
    assert_eq!(promoted.scope.as_deref(), Some("read"));
    users.will(Order::Keep);
    let kept = sessions.refresh(promoted.refresh_token.as_str()).await.unwrap();
    assert_eq!(roles(&kept), ["admin"; 2]);
}

#[tokio::test]
async fn hook_that_ends_answers_invalid_grant_and_revokes() {
    let (clock, users) = (ManualClock::default(), Users::of(Order::End));
    let store = TestStore::new();
    let sessions = open(&clock, &users, &store).await;
    let tokens = sessions.issue_with_refresh_token(&login()).unwrap();
    let form = format!("grant_type=refresh_token&refresh_token={}", tokens.refresh_token.as_str());
    let mut headers = http::HeaderMap::new();
    let content_type = http::HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert("content-type", content_type);
    // What could not be recorded is no success, and no token is issued either.
    store.down();
    let answer = sessions.token_response(&headers, form.as_bytes()).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    store.up();
    assert!(sessions.validate(tokens.access_token.as_str()).is_ok());
    let answer = sessions.token_response(&headers, form.as_bytes()).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert!(answer.body().starts_with(br#"{"error":"invalid_grant""#));
    let kind = sessions.validate(tokens.access_token.as_str()).unwrap_err().kind();
    assert_eq!(kind, RejectionKind::Revoked);
}

#[tokio::test(start_paused = true)]
async fn hook_that_fails_hangs_or_panics_issues_the_old_claims() {
    for order in [Order::Fail, Order::Hang, Order::Panic, Order::PanicAtOnce] {
        let (clock, users) = (ManualClock::default(), Users::of(order));
        let sessions = open(&clock, &users, &TestStore::new()).await;
        let first = sessions.issue_with_refresh_token(&login()).unwrap();
        let began = Instant::now();
        let next = sessions.refresh(first.refresh_token.as_str()).await.unwrap();
        assert!(began.elapsed() <= SECOND + SECOND / 100, "{order:?}");
        assert_eq!(roles(&next), ["reader"; 2], "{order:?}");
        users.will(Order::Promote);
        let next = sessions.refresh(next.refresh_token.as_str()).await.unwrap();
        assert_eq!(roles(&next), ["admin"; 2], "{order:?}");
    }
}

/// A token's number alone makes a repetition. Its answer has the claims of now, so that nobody gets the
/// old ones back by asking twice; IDs and times are those of the first answer.
#[tokio::test]
async fn repeated_refresh_has_the_claims_of_now_and_reuse_is_still_found() {
    let (clock, users) = (ManualClock::default(), Users::default());
    let store = TestStore::new();
    let sessions = open(&clock, &users, &store).await;
    let first = sessions.issue_with_refresh_token(&login()).unwrap();
    let kept = sessions.refresh(first.refresh_token.as_str()).await.unwrap();
    users.will(Order::Promote);
    clock.advance(10 * SECOND);
    let repeated = sessions.refresh(first.refresh_token.as_str()).await.unwrap();
    assert_eq!(
        (roles(&kept), roles(&repeated)),
        (["reader"; 2].map(Into::into), ["admin"; 2].map(Into::into))
    );
    for (one, other) in [
        (&kept.access_token, &repeated.access_token),
        (&kept.refresh_token, &repeated.refresh_token),
    ] {
        let (one, other) = (claims_of(one.as_str()), claims_of(other.as_str()));
        for name in ["jti", "sid", "iat", "exp", "seq", "auth_time"] {
            assert_eq!(one[name], other[name], "{name}");
        }
    }
    // Either of the two goes on, once.
    sessions.refresh(repeated.refresh_token.as_str()).await.unwrap();
    clock.advance(100 * SECOND);
    let error = sessions.refresh(kept.refresh_token.as_str()).await.unwrap_err();
    assert_eq!(error.rejection().map(|it| it.kind()), Some(RejectionKind::Reused));
    let kind = sessions.validate(repeated.access_token.as_str()).unwrap_err().kind();
    assert_eq!(kind, RejectionKind::Revoked);
}
