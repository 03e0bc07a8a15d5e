//! Several issuers in one `Sessions`: whose keys validate which token, and who ends a session.

use std::time::Duration;

use serde_json::{Value, json};
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::testing::{ManualClock, fixed_key, mint};
use tower_jwt_session::{
    Algorithm, Clock as _, Key, KeyRing, Login, OperationErrorKind, RejectionKind, Revocations,
    Session, Sessions, SessionsBuilder,
};

use crate::support::issuer::{Answer, FakeClient, ISSUER, following, set};
use crate::token::{accepted, answer};

pub(super) const APP: &str = "https://app.example";
pub(super) const PARTNER: &str = "https://partner.example";

/// An Ed25519 key of its own under a key ID.
pub(super) fn ed25519(seed: u8, key_id: &str) -> Key {
    let start = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    let der = [start, [seed; 32].as_slice()].concat();
    Key::from_pkcs8_der(Algorithm::EdDSA, &der).unwrap().with_key_id(key_id.to_owned())
}

pub(super) fn of(clock: &ManualClock, key: Key, issuer: &str) -> SessionsBuilder<()> {
    let keys = KeyRing::fixed([key]).clock(clock.clone()).build().unwrap();
    Sessions::builder(keys, issuer, "app")
}

/// A token of the key, with this `iss`.
pub(super) fn signed(clock: &ManualClock, key: &Key, issuer: &str) -> String {
    signed_with(clock, key, |claims| claims["iss"] = json!(issuer))
}

fn signed_with(clock: &ManualClock, key: &Key, change: impl FnOnce(&mut Value)) -> String {
    let now = clock.now().as_unix_seconds();
    let header = json!({ "alg": key.algorithm(), "typ": "session+jwt", "kid": key.key_id() });
    let mut claims = json!({
        "iss": APP, "sub": "alice", "aud": "app", "iat": now, "exp": now + 600, "jti": "token",
        "sid": "session", "auth_time": now,
    });
    change(&mut claims);
    mint(key, header.to_string(), claims.to_string())
}

fn kind(sessions: &Sessions<()>, token: &str) -> RejectionKind {
    let rejection = answer(sessions, token).expect_err(token);
    let explained = sessions.explain(token).rejection.expect("the same answer");
    assert_eq!(explained.kind(), rejection.kind());
    rejection.kind()
}

#[test]
fn token_of_each_issuer_is_validated_by_its_own_sessions() {
    let clock = ManualClock::default();
    let [ours, theirs] = [ed25519(1, "ours"), ed25519(2, "theirs")];
    let partner = of(&clock, theirs.clone(), PARTNER).build().unwrap();
    let hmac = fixed_key(Algorithm::HS256);
    let third = of(&clock, hmac.clone(), "https://third.example").audiences(["other"]);
    let third = third.build().unwrap();
    let sessions = of(&clock, ours.clone(), APP).also_accept_sessions(partner.clone());
    let sessions = sessions.also_accept_sessions(third).build().unwrap();

    for (key, issuer) in [(&ours, APP), (&theirs, PARTNER), (&hmac, "https://third.example")] {
        let token = signed(&clock, key, issuer);
        assert_eq!(accepted(&sessions, &token).issuer(), issuer);
        let explanation = sessions.explain(&token);
        assert!(explanation.rejection.is_none() && explanation.signature_verified);
        assert_eq!(sessions.of_issuer(issuer).unwrap().validate(&token).unwrap().issuer(), issuer);
    }
    // Each with its own audience.
    let for_other = |key, issuer: &str| {
        signed_with(&clock, key, |claims| {
            (claims["iss"], claims["aud"]) = (json!(issuer), json!("other"));
        })
    };
    accepted(&sessions, &for_other(&hmac, "https://third.example"));
    for (key, issuer) in [(&ours, APP), (&theirs, PARTNER)] {
        assert_eq!(kind(&sessions, &for_other(key, issuer)), RejectionKind::WrongAudience);
    }
    // The one that is accepted accepts no more than before.
    let ours = signed(&clock, &ours, APP);
    assert!(partner.validate(&ours).is_err());
    assert!(sessions.of_issuer("https://evil.example").is_none());
}

/// Every key signs for every issuer: only an issuer's own key does so with success, though all keys have
/// the same key ID, some the same algorithm, and one is a shared secret.
#[test]
fn issuer_cannot_sign_for_another_whatever_its_key_ids() {
    let clock = ManualClock::default();
    let keys = [
        (APP, ed25519(1, "1")),
        (PARTNER, ed25519(2, "1")),
        ("https://rsa.example", fixed_key(Algorithm::RS256).with_key_id("1")),
        ("https://hmac.example", fixed_key(Algorithm::HS256).with_key_id("1")),
        ("https://p256.example", fixed_key(Algorithm::ES256).with_key_id("1")),
    ];
    for first in 0..keys.len() {
        let mut order = keys.clone();
        order.rotate_left(first);
        let [(issuer, key), others @ ..] = &order;
        let mut sessions = of(&clock, key.clone(), issuer);
        for (issuer, key) in others {
            let other = of(&clock, key.clone(), issuer).build().unwrap();
            sessions = sessions.also_accept_sessions(other);
        }
        let sessions = sessions.build().unwrap();
        for (signer, key) in &keys {
            for (issuer, _) in &keys {
                // With a header of its own, and with the one that a ring of the key writes.
                let ring = of(&clock, key.clone(), issuer).build().unwrap();
                let written = ring.issue(&Login::new("alice", ())).unwrap();
                for token in [signed(&clock, key, issuer), written.as_str().to_owned()] {
                    let judged = answer(&sessions, &token);
                    assert_eq!(judged.is_ok(), signer == issuer, "{signer} for {issuer}");
                    assert_eq!(sessions.explain(&token).rejection, judged.err());
                }
            }
            let unknown = signed(&clock, key, "https://evil.example");
            assert_eq!(kind(&sessions, &unknown), RejectionKind::WrongIssuer);
        }
    }
}

/// An RSA public key is no shared secret of anyone's.
#[test]
fn public_key_of_one_issuer_is_no_secret_of_another() {
    let clock = ManualClock::default();
    let rsa = fixed_key(Algorithm::RS256).with_key_id("1");
    let hmac = fixed_key(Algorithm::HS256).with_key_id("1");
    let jwk = serde_json::to_value(rsa.to_jwk().unwrap()).unwrap();
    let modulus = jwk["n"].as_str().unwrap().to_owned();
    for secret in [modulus, jwk.to_string()] {
        let forged = Key::hmac_from_text(Algorithm::HS256, secret).unwrap().with_key_id("1");
        let other = of(&clock, hmac.clone(), PARTNER).build().unwrap();
        let sessions = of(&clock, rsa.clone(), APP).also_accept_sessions(other).build().unwrap();
        for issuer in [APP, PARTNER] {
            assert!(answer(&sessions, &signed(&clock, &forged, issuer)).is_err());
        }
    }
}

/// One service with two names, say: one ring, or two rings with one key.
#[test]
fn issuers_with_one_key_are_chosen_by_the_issuer_of_the_token() {
    let clock = ManualClock::default();
    let key = ed25519(1, "shared");
    for theirs in [key.clone(), ed25519(2, "shared")] {
        let partner = of(&clock, theirs.clone(), PARTNER).build().unwrap();
        let sessions = of(&clock, key.clone(), APP).also_accept_sessions(partner.clone());
        let sessions = sessions.build().unwrap();
        for _ in 0..3 {
            let login = Login::new("alice", ());
            for (issuer, by) in [(APP, &sessions), (PARTNER, &partner)] {
                let token = by.issue(&login).unwrap();
                assert_eq!(accepted(&sessions, token.as_str()).issuer(), issuer);
            }
            assert_eq!(accepted(&sessions, &signed(&clock, &theirs, PARTNER)).issuer(), PARTNER);
        }
        let unknown = signed(&clock, &key, "https://evil.example");
        let refused = answer(&sessions, &unknown).unwrap_err();
        assert_eq!(refused.expected(), Some(&*format!("{APP:?} or {PARTNER:?}")));
        let wrong = signed_with(&clock, &theirs, |claims| {
            (claims["iss"], claims["aud"]) = (json!(PARTNER), json!("other"));
        });
        assert_eq!(kind(&sessions, &wrong), RejectionKind::WrongAudience);
    }
}

#[test]
fn issuer_that_is_ambiguous_or_unreadable_chooses_nobody() {
    let clock = ManualClock::default();
    let [ours, theirs] = [ed25519(1, "ours"), ed25519(2, "theirs")];
    let partner = of(&clock, theirs.clone(), PARTNER).build().unwrap();
    let sessions = of(&clock, ours.clone(), APP).also_accept_sessions(partner).build().unwrap();
    let now = clock.now().as_unix_seconds();
    let rest = format!(
        r#""sub":"alice","aud":"app","iat":{now},"exp":{},"jti":"t","auth_time":{now}"#,
        now + 600
    );
    let header = |key: &Key| json!({ "alg": "EdDSA", "typ": "session+jwt", "kid": key.key_id() });
    let minted = |key: &Key, issuer: &str| {
        mint(key, header(key).to_string(), format!("{{{issuer},{rest}}}"))
    };
    for issuer in [
        format!(r#""iss":"{APP}","iss":"{PARTNER}""#),
        format!(r#""iss":"{PARTNER}","iss":"{APP}""#),
        format!(r#""iss":"{PARTNER}","\u0069ss":"{APP}""#),
        format!(r#""iss":["{PARTNER}"]"#),
        r#""iss":null"#.to_owned(),
        r#""iss":1"#.to_owned(),
        r#""issuer":"x""#.to_owned(),
        format!(r#""iss":"{PARTNER}/""#),
        format!(r#""iss":"{}""#, PARTNER.to_uppercase()),
        format!(r#""iss":"{PARTNER}\u0000""#),
    ] {
        for key in [&ours, &theirs] {
            assert!(answer(&sessions, &minted(key, &issuer)).is_err(), "{issuer}");
        }
    }
    // Escapes are another way to write the same text.
    let escaped = r#""\u0069ss":"https:\/\/partner\u002eexample""#;
    assert_eq!(accepted(&sessions, &minted(&theirs, escaped)).issuer(), PARTNER);
    assert!(answer(&sessions, &minted(&ours, escaped)).is_err());
    for token in ["", ".", "..", "a.b.c", "....", &"a".repeat(100_000)] {
        assert!(answer(&sessions, token).is_err());
    }
}

#[test]
fn unknown_issuer_is_named_with_the_accepted_ones() {
    let clock = ManualClock::default();
    let partner =
        of(&clock, ed25519(2, "theirs"), PARTNER).also_accept_issuer("https://old.example");
    let sessions = of(&clock, ed25519(1, "ours"), APP);
    let sessions = sessions.also_accept_sessions(partner.build().unwrap()).build().unwrap();
    let token = signed(&clock, &ed25519(3, "evil"), "https://evil.example");
    let refused = answer(&sessions, &token).unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::WrongIssuer);
    assert_eq!(refused.found(), Some(r#""https://evil.example""#));
    let expected = format!(r#""{APP}" or "{PARTNER}" or "https://old.example""#);
    assert_eq!(refused.expected(), Some(&*expected));
    assert_eq!(refused.status(), 401);
    let explanation = sessions.explain(&token);
    let failed = explanation.failed().unwrap();
    assert_eq!((failed.name, failed.expected.as_deref()), ("issuer", Some(&*expected)));
    assert!(!explanation.signature_verified);
}

#[test]
fn overlapping_or_nested_sessions_are_a_build_error() {
    let clock = ManualClock::default();
    let builder = |seed, issuer| of(&clock, ed25519(seed, "k"), issuer);
    let partner = builder(2, PARTNER).build().unwrap();
    let renamed = builder(3, "https://new.example").also_accept_issuer(PARTNER).build().unwrap();
    let nested = builder(4, "https://nested.example").also_accept_sessions(partner.clone());
    let of_tenants = |issuer| {
        let key = ed25519(5, "k").verify_only();
        of(&clock, key, issuer).tenants(["a"]).build().unwrap()
    };
    let [tenants, more] = ["https://t.example/{tenantid}/v2", "https://t.example/{tenantid}/x/v2"];
    let cases = [
        (builder(1, "https://t.example/b/v2").also_accept_sessions(of_tenants(tenants)), tenants),
        (
            builder(1, APP)
                .also_accept_sessions(of_tenants(tenants))
                .also_accept_sessions(of_tenants(more)),
            more,
        ),
        (builder(1, PARTNER).also_accept_sessions(partner.clone()), PARTNER),
        (
            builder(1, APP).also_accept_issuer(PARTNER).also_accept_sessions(partner.clone()),
            PARTNER,
        ),
        (
            builder(1, APP)
                .also_accept_sessions(partner.clone())
                .also_accept_sessions(partner.clone()),
            PARTNER,
        ),
        (builder(1, APP).also_accept_sessions(renamed).also_accept_sessions(partner), PARTNER),
        (builder(1, APP).also_accept_sessions(nested.build().unwrap()), "https://nested.example"),
    ];
    for (builder, issuer) in cases {
        let error = builder.build().unwrap_err();
        assert_eq!(error.setting(), Some("also_accept_sessions"), "{error}");
        assert_eq!(error.value(), Some(&*format!("{issuer:?}")));
    }
}

#[tokio::test]
async fn logout_and_end_of_a_session_are_its_own_issuers() {
    let clock = ManualClock::default();
    let [ours, theirs] = [ed25519(1, "ours"), ed25519(2, "theirs")];
    let open = async |name: &str| {
        let revocations = Revocations::builder(name).store(MemoryStore::new());
        revocations.clock(clock.clone()).found_now().open().await.unwrap()
    };
    let (of_app, of_partner) = (open("app").await, open("partner").await);
    let partner = of(&clock, theirs.clone(), PARTNER).revocations(of_partner.clone());
    let sessions = of(&clock, ours.clone(), APP).revocations(of_app.clone());
    let sessions = sessions.also_accept_sessions(partner.build().unwrap()).build().unwrap();
    let [own, other] = [(&ours, APP), (&theirs, PARTNER)].map(|(key, issuer)| {
        let token = signed(&clock, key, issuer);
        (accepted(&sessions, &token), token)
    });
    let counts = || [&of_app, &of_partner].map(|it| (it.status().sessions, it.status().subjects));
    let ended = sessions.ended(&other.0);

    sessions.logout(&other.0).await.unwrap();
    assert_eq!(counts(), [(0, 0), (1, 0)]);
    assert_eq!(kind(&sessions, &other.1), RejectionKind::Revoked);
    assert_eq!(ended.await.kind(), RejectionKind::Revoked);
    accepted(&sessions, &own.1);

    sessions.logout_everywhere(&other.0).await.unwrap();
    assert_eq!(counts(), [(0, 0), (1, 1)]);
    accepted(&sessions, &own.1);
    sessions.revoke_subject_of(PARTNER, "bob").await.unwrap();
    assert_eq!(counts(), [(0, 0), (1, 2)]);
    sessions.logout(&own.0).await.unwrap();
    assert_eq!(counts(), [(1, 0), (1, 2)]);
    assert_eq!(kind(&sessions, &own.1), RejectionKind::Revoked);
}

/// An issuer may write any `sid` and `jti`, also the ID of a session of ours.
#[tokio::test]
async fn logout_at_another_issuer_ends_no_session_of_ours_with_the_same_id() {
    let clock = ManualClock::default();
    let revocations = Revocations::builder("app").store(MemoryStore::new()).found_now();
    let revocations = revocations.clock(clock.clone()).open().await.unwrap();
    for takes_session_id in [false, true] {
        let theirs = ed25519(2, "theirs");
        let public = Key::from_jwk(serde_json::to_string(&theirs.to_jwk()).unwrap()).unwrap();
        let mut partner = of(&clock, public, PARTNER)
            .revocations(revocations.clone())
            .accept_token_type("at+jwt")
            .require_auth_time();
        if takes_session_id {
            partner = partner.accept_issuer_session_id();
        }
        let sessions = of(&clock, ed25519(1, "ours"), APP).revocations(revocations.clone());
        let sessions = sessions.also_accept_sessions(partner.build().unwrap()).build().unwrap();

        let ours = sessions.login(&Login::new("alice", ())).await.unwrap();
        let id = accepted(&sessions, ours.as_str()).session_id().to_owned();
        let now = clock.now().as_unix_seconds();
        let claims = json!({
            "iss": PARTNER, "sub": "mallory", "aud": "app", "iat": now, "exp": now + 600, "jti": id,
            "sid": id, "auth_time": now,
        });
        let header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "theirs" });
        let same = mint(&theirs, header.to_string(), claims.to_string());
        let session = accepted(&sessions, &same);
        assert_eq!(session.session_id(), id);
        sessions.logout(&session).await.unwrap();
        assert_eq!(kind(&sessions, &same), RejectionKind::Revoked);
        accepted(&sessions, ours.as_str());
    }
}

#[tokio::test]
async fn session_of_an_issuer_without_revocations_cannot_be_logged_out() {
    let clock = ManualClock::default();
    let theirs = ed25519(2, "theirs");
    let revocations = Revocations::builder("app").store(MemoryStore::new()).found_now();
    let revocations = revocations.clock(clock.clone()).open().await.unwrap();
    let partner = of(&clock, theirs.clone(), PARTNER).build().unwrap();
    let sessions = of(&clock, ed25519(1, "ours"), APP).revocations(revocations);
    let sessions = sessions.also_accept_sessions(partner).build().unwrap();
    let session = accepted(&sessions, &signed(&clock, &theirs, PARTNER));
    let error = sessions.logout(&session).await.unwrap_err();
    assert_eq!(error.kind(), OperationErrorKind::NotConfigured);
    let layer = sessions.validate_layer().require_fresh_revocations(Duration::from_secs(600));
    let error = layer.unwrap_err();
    assert_eq!(error.setting(), Some("require_fresh_revocations"));
    assert!(error.to_string().contains(PARTNER), "{error}");
}

#[test]
fn session_of_another_issuer_is_not_issued_again() {
    let clock = ManualClock::default();
    let theirs = ed25519(2, "theirs");
    let partner = of(&clock, theirs.clone(), PARTNER).build().unwrap();
    let sessions = of(&clock, ed25519(1, "ours"), APP).also_accept_sessions(partner);
    let sessions = sessions.build().unwrap();
    let session: Session<()> = accepted(&sessions, &signed(&clock, &theirs, PARTNER));
    let error = sessions.issue(&sessions.reissue(&session, ())).unwrap_err();
    assert_eq!(error.kind(), OperationErrorKind::NotConfigured);
    sessions.issue(&Login::new("alice", ())).unwrap();
}

#[tokio::test]
async fn tokens_of_an_issuer_that_is_down_are_temporary_and_others_are_judged() {
    let (client, clock) = (FakeClient::new(""), ManualClock::default());
    client.answers(crate::support::issuer::URL, Answer::Fails("connection refused"));
    let keys = following(&client, &clock).start_without_keys().open().await.unwrap();
    let followed = Sessions::builder(keys.clone(), ISSUER, "orders").build().unwrap();
    let ours = ed25519(1, "ours");
    let sessions = of(&clock, ours.clone(), APP).also_accept_sessions(followed).build().unwrap();
    let theirs = crate::support::issuer::token(&clock, Algorithm::EdDSA, "a");
    assert_eq!(kind(&sessions, &theirs), RejectionKind::KeysUnavailable);
    accepted(&sessions, &signed(&clock, &ours, APP));
    assert!(answer(&sessions, &signed(&clock, &fixed_key(Algorithm::EdDSA), APP)).is_err());
    let key = fixed_key(Algorithm::EdDSA).with_key_id("a");
    client.says(set([serde_json::to_value(key.to_jwk().unwrap()).unwrap()]));
    keys.refresh().await.unwrap();
    assert_eq!(accepted(&sessions, &theirs).issuer(), ISSUER);
}

#[cfg(all(feature = "axum", feature = "cookie"))]
mod routes {
    use axum::Router;
    use axum::routing::{get, post};
    use tower_jwt_session::{Logout, NotReadyKind};

    use super::*;
    use crate::support::web::{Credentials as _, UNAUTHORIZED, get as request, send};

    async fn me(session: Session<()>) -> String {
        format!("{} of {}", session.subject(), session.issuer())
    }

    #[tokio::test]
    async fn layers_and_requirements_work_for_every_issuer() {
        let clock = ManualClock::default();
        let [ours, theirs] = [ed25519(1, "ours"), ed25519(2, "theirs")];
        let open = Revocations::builder("partner").store(MemoryStore::new()).found_now();
        let revocations = open.clock(clock.clone()).open().await.unwrap();
        let partner = of(&clock, theirs.clone(), PARTNER).revocations(revocations.clone());
        let sessions = of(&clock, ours.clone(), APP).also_accept_sessions(partner.build().unwrap());
        let sessions = sessions.build().unwrap();
        let only_ours = sessions.validate_layer().require_issuer(APP).unwrap();
        let scoped = sessions.validate_layer().require_scope("read");
        let recent = sessions.validate_layer().max_auth_age(Duration::from_secs(60));
        let app = Router::new()
            .route("/ours", get(me).route_layer(only_ours))
            .route("/scoped", get(me).route_layer(scoped))
            .route("/recent", get(me).route_layer(recent))
            .route("/me", get(me))
            .route("/logout", post(async || Logout::new()))
            .layer(sessions.layer());
        for (key, issuer, of_ours) in [(&ours, APP, 200), (&theirs, PARTNER, 403)] {
            let scope = |scope: &str| {
                signed_with(&clock, key, |claims| {
                    (claims["iss"], claims["scope"]) = (json!(issuer), json!(scope));
                })
            };
            let token = scope("read");
            let answer = send(&app, request("/me").bearer(&token)).await;
            assert_eq!((answer.status.as_u16(), answer.body), (200, format!("alice of {issuer}")));
            let status = async |path: &str, token: &str| {
                send(&app, request(path).bearer(token)).await.status.as_u16()
            };
            assert_eq!(status("/ours", &token).await, of_ours);
            assert_eq!(status("/scoped", &token).await, 200);
            assert_eq!(status("/scoped", &scope("write")).await, 403);
            assert_eq!(status("/recent", &token).await, 200);
            let old = signed_with(&clock, key, |claims| {
                claims["iss"] = json!(issuer);
                claims["auth_time"] = json!(clock.now().as_unix_seconds() - 1000);
            });
            assert_eq!(status("/recent", &old).await, 401);
        }
        let unknown = signed(&clock, &theirs, "https://evil.example");
        let answer = send(&app, request("/me").bearer(&unknown)).await;
        assert_eq!((answer.status.as_u16(), &*answer.body), (401, UNAUTHORIZED));
        assert_eq!(answer.kind(), Some(RejectionKind::WrongIssuer));

        // A bearer session can be ended where its own issuer has revocations.
        let logout = || crate::support::web::post("/logout");
        let token = signed(&clock, &theirs, PARTNER);
        assert_eq!(send(&app, logout().bearer(&token)).await.status.as_u16(), 204);
        assert_eq!(revocations.status().sessions, 1);
        assert_eq!(send(&app, request("/me").bearer(&token)).await.status.as_u16(), 401);
        let token = signed(&clock, &ours, APP);
        assert_eq!(send(&app, logout().bearer(&token)).await.status.as_u16(), 500);
    }

    #[tokio::test]
    async fn cookie_session_of_another_issuer_is_not_renewed() {
        let clock = ManualClock::default();
        let [ours, theirs] = [ed25519(1, "ours"), ed25519(2, "theirs")];
        let partner = of(&clock, theirs.clone(), PARTNER).build().unwrap();
        let sessions = of(&clock, ours.clone(), APP).also_accept_sessions(partner).build().unwrap();
        let app = Router::new().route("/me", get(me)).layer(sessions.layer());
        let tokens = [signed(&clock, &ours, APP), signed(&clock, &theirs, PARTNER)];
        clock.advance(Duration::from_secs(400));
        for (token, is_renewed) in tokens.iter().zip([true, false]) {
            let answer = send(&app, request("/me").cookie(token)).await;
            assert_eq!(answer.status.as_u16(), 200);
            assert_eq!(answer.headers.contains_key("set-cookie"), is_renewed);
        }
    }

    #[tokio::test]
    async fn status_has_a_row_for_each_issuer_and_waits_for_its_first_keys() {
        let (client, clock) = (FakeClient::new(""), ManualClock::default());
        client.answers(crate::support::issuer::URL, Answer::Fails("connection refused"));
        let keys = following(&client, &clock).start_without_keys().open().await.unwrap();
        let followed = Sessions::builder(keys.clone(), ISSUER, "orders").build().unwrap();
        let sessions = of(&clock, ed25519(1, "ours"), APP).also_accept_sessions(followed);
        let sessions = sessions.build().unwrap();
        let app = sessions.status_router::<()>();
        let document = async |path: &str| {
            let answer = send(&app, request(path)).await;
            let document: Value = serde_json::from_str(&answer.body).unwrap();
            (answer.status.as_u16(), document)
        };
        let (status, ready) = document("/health/ready").await;
        assert_eq!((status, &ready["ready"]), (503, &json!(false)));
        assert!(ready["reasons"][0].as_str().unwrap().contains("never fetched"), "{ready}");
        assert_eq!(ready["issuers"][0]["issuer"], ISSUER);
        assert_eq!(ready["issuers"][0]["ready"], false);
        assert_eq!(ready["issuers"][0]["ring"]["reads_ok"], false);
        let optional = Sessions::builder(keys.clone(), ISSUER, "orders").ready_without_keys();
        let waits_for_none = of(&clock, ed25519(1, "ours"), APP);
        let waits_for_none = waits_for_none.also_accept_sessions(optional.build().unwrap());
        let health = waits_for_none.build().unwrap().status_router::<()>();
        let answer = send(&health, request("/health/ready")).await;
        let early: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((answer.status.as_u16(), &early["reasons"]), (200, &json!([])));
        assert_eq!(early["issuers"][0]["ready"], false);
        let error = of(&clock, ed25519(1, "ours"), APP).ready_without_keys().build();
        assert_eq!(error.unwrap_err().setting(), Some("ready_without_keys"));
        // The keys of a test are always there.
        let given = of(&clock, ed25519(1, "ours").verify_only(), APP).ready_without_keys();
        given.build().unwrap();
        // A ring that never opens without keys.
        let there = FakeClient::new(set([serde_json::to_value(
            fixed_key(Algorithm::EdDSA).to_jwk().unwrap(),
        )
        .unwrap()]));
        let waits = following(&there, &clock).open().await.unwrap();
        let error = Sessions::<()>::builder(waits, ISSUER, "orders").ready_without_keys().build();
        let error = error.unwrap_err();
        assert_eq!(error.setting(), Some("ready_without_keys"));
        assert!(error.to_string().contains("`start_without_keys`"), "{error}");

        let key = fixed_key(Algorithm::EdDSA).with_key_id("a");
        client.says(set([serde_json::to_value(key.to_jwk().unwrap()).unwrap()]));
        keys.refresh().await.unwrap();
        let (status, ready) = document("/health/ready").await;
        assert_eq!((status, &ready["issuers"][0]["ready"]), (200, &json!(true)));
        let (_, all) = document("/health/status").await;
        assert_eq!(all["issuers"][0]["ring"]["keys"][0]["key_id"], "a");
        assert_eq!(all["ring"]["keys"][0]["key_id"], "ours");

        // Every replica loses the keys at the same time: none is taken out for that.
        clock.advance(Duration::from_secs(24 * 60 * 60));
        assert_eq!(keys.ready().unwrap_err().kind(), NotReadyKind::Stale);
        let (status, ready) = document("/health/ready").await;
        assert_eq!((status, &ready["issuers"][0]["ready"]), (200, &json!(false)));
    }
}
