//! The names `rv`, `seq` and `sid` in another issuer's tokens are the issuer's own, unless the
//! application says otherwise; and what it takes to revoke its sessions.

use super::*;
use crate::support::stores::TestStore;
use tower_jwt_session::{RejectionKind, Revocations, SessionsBuilder};

async fn open() -> (KeyRing, ManualClock) {
    let client = FakeClient::new(set([jwk(Algorithm::EdDSA, "a")]));
    let clock = ManualClock::default();
    (following(&client, &clock).open().await.unwrap(), clock)
}

fn builder(keys: &KeyRing) -> SessionsBuilder<()> {
    Sessions::builder(keys.clone(), ISSUER, "orders")
}

async fn revocations(clock: &ManualClock) -> Revocations {
    let builder = Revocations::builder("orders").store(TestStore::new()).clock(clock.clone());
    builder.open().await.unwrap()
}

fn claiming(clock: &ManualClock, claims: Value) -> String {
    token_with(clock, Algorithm::EdDSA, "a", |_, all| {
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
    })
}

fn judge(sessions: &Sessions<()>, token: &str) -> Option<RejectionKind> {
    sessions.validate(token).err().map(|rejection| rejection.kind())
}

#[tokio::test]
async fn issuers_claims_named_as_ours_decide_nothing() {
    let (keys, clock) = open().await;
    let revocations = revocations(&clock).await;
    let sessions = builder(&keys).require_auth_time().revocations(revocations.clone());
    let sessions = sessions.build().unwrap();
    for rv in [0, (1 << 53) - 1, 1 << 53, u64::MAX] {
        let now = clock.now().as_unix_seconds();
        let jti = format!("token-{rv}");
        let claims = json!({"jti": jti, "rv": rv, "seq": 7, "sid": "s-1", "auth_time": now});
        let token = claiming(&clock, claims);
        let session = sessions.validate(&token).unwrap();
        assert_eq!(session.session_id(), jti, "its own `sid` is not taken");
        sessions.logout(&session).await.unwrap();
        assert_eq!(judge(&sessions, &token), Some(RejectionKind::Revoked), "{rv}");
        // Of the subject it holds, too, whatever the version.
        let other = claiming(&clock, json!({"rv": rv, "auth_time": now, "jti": "other"}));
        sessions.revoke_subject("alice").await.unwrap();
        assert_eq!(judge(&sessions, &other), Some(RejectionKind::Revoked), "{rv}");
        clock.advance(Duration::from_secs(100));
    }
    // Nothing that is not needed is looked at.
    let empty = claiming(&clock, json!({"sid": "", "auth_time": clock.now().as_unix_seconds()}));
    assert_eq!(judge(&builder(&keys).build().unwrap(), &empty), None);
}

#[tokio::test]
async fn issuers_session_id_is_taken_on_request() {
    let (keys, clock) = open().await;
    let revocations = revocations(&clock).await;
    let sessions = builder(&keys).accept_issuer_session_id().require_auth_time();
    let sessions = sessions.revocations(revocations).build().unwrap();
    let token = |jti: &str, sid: &str| {
        let now = clock.now().as_unix_seconds();
        claiming(&clock, json!({"jti": jti, "sid": sid, "auth_time": now, "rv": u64::MAX}))
    };
    let [first, refreshed, other] = [token("1", "s"), token("2", "s"), token("3", "t")];
    sessions.logout(&sessions.validate(&first).unwrap()).await.unwrap();
    assert_eq!(judge(&sessions, &refreshed), Some(RejectionKind::Revoked));
    assert_eq!(judge(&sessions, &other), None);
    assert_eq!(judge(&sessions, &token("4", "")), Some(RejectionKind::InvalidClaim("sid")));
}

#[tokio::test]
async fn issuer_of_this_crate_shares_its_revocations_on_request() {
    let (keys, clock) = open().await;
    let shared = revocations(&clock).await;
    let follower = builder(&keys).trust_revocation_version().revocations(shared.clone());
    let follower = follower.build().unwrap();
    let signer = testing::fixed_key(Algorithm::EdDSA).with_key_id("a");
    let ring = KeyRing::fixed([signer]).clock(clock.clone()).build().unwrap();
    let issuer = Sessions::<()>::builder(ring, ISSUER, "orders").revocations(shared);
    let issuer = issuer.build().unwrap();
    let login = || {
        let login = tower_jwt_session::Login::new("alice", ());
        issuer.issue(&login).unwrap().as_str().to_owned()
    };
    let before = login();
    issuer.revoke_subject("alice").await.unwrap();
    let after = login();
    assert_eq!(judge(&follower, &before), Some(RejectionKind::Revoked));
    assert_eq!(judge(&follower, &after), None, "its `rv` says that it is later");
    let session = issuer.validate(&after).unwrap();
    assert_eq!(follower.validate(&after).unwrap().session_id(), session.session_id());
    let odd = claiming(&clock, json!({"rv": 1_u64 << 53}));
    assert_eq!(judge(&follower, &odd), Some(RejectionKind::InvalidClaim("rv")));
}

#[tokio::test]
async fn revocations_without_login_time_are_a_build_error() {
    let (keys, clock) = open().await;
    let revocations = revocations(&clock).await;
    let with = || builder(&keys).revocations(revocations.clone());
    for refused in [with(), with().accept_token_type("at+jwt"), with().accept_issuer_session_id()] {
        let error = refused.build().unwrap_err().to_string();
        assert!(error.contains(".require_auth_time()"), "{error}");
        assert!(error.contains(".dangerous_revoke_by_issued_at()"), "{error}");
    }
    // A ring of keys that are not followed, of another issuer by the type of its tokens.
    let public = jwk(Algorithm::EdDSA, "a").to_string();
    let fixed =
        KeyRing::fixed([tower_jwt_session::Key::from_jwk(&public).unwrap()]).build().unwrap();
    let others = Sessions::<()>::builder(fixed, ISSUER, "orders").accept_token_type("at+jwt");
    others.revocations(revocations.clone()).build().unwrap_err();
    with().require_auth_time().build().unwrap();
    with().dangerous_revoke_by_issued_at().build().unwrap();
    let own = Sessions::<()>::builder(testing::fixed_ring(clock), ISSUER, "orders");
    own.revocations(revocations).build().unwrap();
}

#[tokio::test]
async fn cutoff_by_issued_at_is_taken_where_it_was_asked_for() {
    let (keys, clock) = open().await;
    let revocations = revocations(&clock).await;
    let sessions = builder(&keys).dangerous_revoke_by_issued_at().revocations(revocations);
    let sessions = sessions.build().unwrap();
    let before = token(&clock, Algorithm::EdDSA, "a");
    sessions.revoke_subject("alice").await.unwrap();
    clock.advance(Duration::from_secs(61));
    assert_eq!(judge(&sessions, &before), Some(RejectionKind::Revoked));
    assert_eq!(judge(&sessions, &token(&clock, Algorithm::EdDSA, "a")), None);
    let old = clock.now().as_unix_seconds() - 100;
    let known = claiming(&clock, json!({"auth_time": old}));
    assert_eq!(judge(&sessions, &known), Some(RejectionKind::Revoked), "the login time, if known");
}

#[tokio::test]
async fn followed_keys_end_with_a_clock_that_is_set_back() {
    let client = FakeClient::new(set([jwk(Algorithm::EdDSA, "a")]));
    let clock = ManualClock::default();
    let limit = Duration::from_secs(24 * 3600);
    let keys = following(&client, &clock).max_staleness(limit).open().await.unwrap();
    client.answers(URL, Answer::Fails("down"));
    clock.advance(limit);
    clock.set(clock.now() - limit);
    let token = token(&clock, Algorithm::EdDSA, "a");
    keys.refresh().await.unwrap_err();
    assert_eq!(judge(&sessions(&keys), &token), Some(RejectionKind::KeysUnavailable));
    keys.ready().unwrap_err();
    client.answers(URL, Answer::Says(200, "", set([jwk(Algorithm::EdDSA, "a")])));
    keys.refresh().await.unwrap();
    keys.ready().unwrap();
    assert_eq!(judge(&sessions(&keys), &token), None);
}
