//! Claims of other issuers: strict where a claim decides something, tolerant where it does not.

use axum::Router;
use axum::routing::get as on_get;
use serde::{Deserialize, Serialize};
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::{Key, RejectionKind, Revocations, SessionClaims, SessionsBuilder};

use super::*;
use crate::support::web::{Credentials as _, get, send};

/// Rings that verify another issuer's tokens: that follow it, and of its public keys alone.
async fn rings(clock: &ManualClock) -> [KeyRing; 2] {
    let client = FakeClient::new(set([jwk(Algorithm::EdDSA, "a")]));
    let public = testing::fixed_key(Algorithm::EdDSA).with_key_id("a").to_jwk().unwrap();
    let fixed = KeyRing::fixed([Key::from_jwk(serde_json::to_string(&public).unwrap()).unwrap()])
        .clock(clock.clone())
        .build();
    [following(&client, clock).open().await.unwrap(), fixed.unwrap()]
}

fn builder<C: SessionClaims>(keys: &KeyRing) -> SessionsBuilder<C> {
    Sessions::builder(keys.clone(), ISSUER, "orders")
}

/// A token with the text of these members after all others.
fn with_text(clock: &ManualClock, without: &[&str], members: &str) -> String {
    let now = clock.now().as_unix_seconds();
    let header = json!({ "alg": "EdDSA", "typ": "session+jwt", "kid": "a" });
    let mut claims = json!({
        "iss": ISSUER, "sub": "alice", "aud": "orders", "iat": now, "exp": now + 300, "jti": "t",
    });
    for name in without {
        claims.as_object_mut().unwrap().remove(*name);
    }
    let mut text = claims.to_string();
    text.truncate(text.len() - 1);
    let text = format!("{text},{members}}}");
    testing::mint(&testing::fixed_key(Algorithm::EdDSA), header.to_string(), text)
}

async fn has_scope(sessions: &Sessions<()>, token: &str, scope: &str) -> bool {
    let app = Router::new()
        .route("/", on_get(async || "allowed"))
        .route_layer(sessions.validate_layer().require_scope(scope));
    send(&app, get("/").bearer(token)).await.status == ::http::StatusCode::OK
}

#[tokio::test]
async fn scope_as_array_holds_each_of_its_scopes() {
    let clock = ManualClock::default();
    for keys in rings(&clock).await {
        let sessions = builder::<()>(&keys).build().unwrap();
        for (scope, held) in [
            (r#""openid orders.read""#, &["openid", "orders.read"][..]),
            (r#"["openid","orders.read"]"#, &["openid", "orders.read"]),
            (r#"["orders\u002eread"]"#, &["orders.read"]),
            (r#"["", "orders.read"]"#, &["orders.read"]),
            ("[]", &[]),
            (r#""""#, &[]),
            ("null", &[]),
        ] {
            let token = with_text(&clock, &[], &format!(r#""scope":{scope}"#));
            let session = sessions.validate(&token).unwrap();
            assert_eq!(session.scopes().collect::<Vec<_>>(), held, "{scope}");
            for asked in ["openid", "orders.read", "orders"] {
                let expected = held.contains(&asked);
                assert_eq!(has_scope(&sessions, &token, asked).await, expected, "{scope} {asked}");
            }
        }
        // It decides what a session may do: what could be read in two ways is refused.
        for scope in [r#"["openid orders.read"]"#, "[1]", "[null]", r#"[["openid"]]"#, "1", "{}"] {
            let token = with_text(&clock, &[], &format!(r#""scope":{scope}"#));
            let refused = sessions.validate(&token).unwrap_err();
            assert_eq!(refused.kind(), RejectionKind::InvalidClaim("scope"), "{scope}");
        }
    }
}

#[tokio::test]
async fn claim_of_null_is_as_good_as_absent() {
    let clock = ManualClock::default();
    for keys in rings(&clock).await {
        let sessions = builder::<()>(&keys).build().unwrap();
        for name in ["sid", "nbf", "scope", "auth_time"] {
            let token = with_text(&clock, &[], &format!(r#""{name}":null"#));
            let session = sessions.validate(&token).unwrap();
            assert_eq!(session.session_id(), "t", "{name}");
            assert_eq!(session.authenticated_at(), None, "{name}");
        }
        for name in ["iss", "sub", "aud", "iat", "exp", "jti"] {
            let token = with_text(&clock, &[name], &format!(r#""{name}":null"#));
            let refused = sessions.validate(&token).unwrap_err();
            assert_eq!(refused.kind(), RejectionKind::MissingClaim(name));
        }
        let token = with_text(&clock, &["jti"], r#""jti":null"#);
        let sessions = builder::<()>(&keys).accept_without_token_id().build().unwrap();
        assert_eq!(sessions.validate(&token).unwrap().token_id().len(), 43);
    }
}

/// Else one reader takes the first of them, and another the last.
#[tokio::test]
async fn claim_that_occurs_twice_is_refused_with_null_too() {
    let clock = ManualClock::default();
    for keys in rings(&clock).await {
        let sessions = builder::<()>(&keys).build().unwrap();
        for (name, value) in
            [("sid", r#""s""#), ("nbf", "1"), ("auth_time", "1"), ("scope", r#""a""#), ("rv", "1")]
        {
            for (one, other) in [("null", "null"), ("null", value), (value, "null"), (value, value)]
            {
                let token = with_text(&clock, &[], &format!(r#""{name}":{one},"{name}":{other}"#));
                let refused = sessions.validate(&token).map(|_| ()).unwrap_err();
                assert_eq!(refused.kind(), RejectionKind::Malformed, "{name} {one} {other}");
            }
        }
        let token = with_text(&clock, &[], r#""jti":null"#);
        assert_eq!(sessions.validate(&token).unwrap_err().kind(), RejectionKind::Malformed);
    }
}

#[tokio::test]
async fn claims_of_the_issuers_own_are_the_applications_to_read() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Own {
        seq: Value,
        rv: Value,
    }
    let clock = ManualClock::default();
    for keys in rings(&clock).await {
        let unit = builder::<()>(&keys).build().unwrap();
        let sessions = builder::<Own>(&keys).build().unwrap();
        for value in ["null", "7", "-1", "1e300", "9007199254740992", r#""A-17""#, "[]", "{}"] {
            let token = with_text(&clock, &[], &format!(r#""seq":{value},"rv":{value}"#));
            assert!(unit.validate(&token).is_ok(), "{value}");
            let session = sessions.validate(&token).unwrap();
            let [seq, rv] = [(); 2].map(|()| serde_json::from_str(value).unwrap());
            assert_eq!(session.claims(), &Own { seq, rv });
        }
    }
}

#[tokio::test]
async fn time_that_is_not_finite_or_negative_is_refused() {
    let clock = ManualClock::default();
    for keys in rings(&clock).await {
        let sessions = builder::<()>(&keys).build().unwrap();
        for name in ["iat", "nbf", "exp", "auth_time"] {
            for value in ["-1", "-0.5", "-1e300", "1e300", "253402300800", r#""1800000100""#, "[]"]
            {
                let token = with_text(&clock, &[name], &format!(r#""{name}":{value}"#));
                let refused = sessions.validate(&token).unwrap_err();
                assert_eq!(refused.kind(), RejectionKind::InvalidClaim(name), "{value}");
            }
            for value in ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e999999999999"] {
                let token = with_text(&clock, &[name], &format!(r#""{name}":{value}"#));
                let refused = sessions.validate(&token).unwrap_err();
                assert_eq!(refused.kind(), RejectionKind::Malformed, "{name} {value}");
            }
        }
    }
}

#[tokio::test]
async fn revocation_version_of_trusted_issuer_is_read() {
    let clock = ManualClock::default();
    for keys in rings(&clock).await {
        let revocations = Revocations::builder("app").store(MemoryStore::new());
        let revocations = revocations.clock(clock.clone()).open().await.unwrap();
        let ours = builder::<()>(&keys).revocations(revocations.clone());
        let theirs = builder::<()>(&keys).require_auth_time().revocations(revocations.clone());
        let (ours, theirs) = (ours.trust_revocation_version().build().unwrap(), theirs.build());
        let theirs = theirs.unwrap();
        ours.revoke_subject("alice").await.unwrap();
        let now = clock.now().as_unix_seconds();
        // A login after it, by an issuer that knew.
        let version = clock.now().as_unix_millis();
        let token = with_text(&clock, &[], &format!(r#""auth_time":{now},"rv":{version}"#));
        assert!(ours.validate(&token).is_ok());
        let refused = theirs.validate(&token).unwrap_err();
        assert_eq!(refused.kind(), RejectionKind::Revoked);
        let token = with_text(&clock, &[], &format!(r#""auth_time":{now},"rv":"9""#));
        let refused = ours.validate(&token).unwrap_err();
        assert_eq!(refused.kind(), RejectionKind::InvalidClaim("rv"));
    }
}
