//! Several issuers behind the layers: which issuer a route requires, and for which ring a refusal counts.

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};
use tower_jwt_session::testing::{ManualClock, fixed_key};
use tower_jwt_session::{Algorithm, RejectionKind, Session, Sessions, SessionsBuilder};

use super::several_issuers::{APP, PARTNER, ed25519, of, signed};
use crate::support::issuer::{Answer, FakeClient, ISSUER, URL, following, set, token_with};
use crate::support::recorder::{Events, Metrics};
use crate::support::web::{Credentials as _, get as request, send};

async fn me(session: Session<()>) -> String {
    session.issuer().to_owned()
}

/// Sessions of a ring named after its issuer, with the key that it publishes, or none yet.
async fn followed(clock: &ManualClock, has_key: bool) -> SessionsBuilder<()> {
    let client = FakeClient::new("");
    let key = fixed_key(Algorithm::EdDSA).with_key_id("a");
    match has_key {
        true => client.says(set([serde_json::to_value(key.to_jwk().unwrap()).unwrap()])),
        false => client.answers(URL, Answer::Fails("connection refused")),
    }
    let keys = following(&client, clock).start_without_keys().open().await.unwrap();
    Sessions::builder(keys, ISSUER, "orders")
}

fn theirs(clock: &ManualClock, change: impl FnOnce(&mut Value, &mut Value)) -> String {
    token_with(clock, Algorithm::EdDSA, "a", change)
}

#[tokio::test]
async fn refusal_is_counted_and_logged_for_the_ring_of_the_tokens_issuer() {
    let recorder = Metrics::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let clock = ManualClock::default();
    let sessions = of(&clock, ed25519(1, "ours"), APP);
    let other = followed(&clock, true).await.build().unwrap();
    let sessions = sessions.also_accept_sessions(other).build().unwrap();
    let layer = sessions.validate_layer().authorize(|session| session.subject() == "bob");
    let app = Router::new().route("/bob", get(me).layer(layer)).route("/me", get(me));
    let app = app.layer(sessions.layer());
    let count = |ring: &str, kind: &str| recorder.counter(ring, "rejections_total", kind);

    let wrong_type = theirs(&clock, |header, _| header["typ"] = json!("JWT"));
    let fits = theirs(&clock, |_, _| {});
    let evil = signed(&clock, &ed25519(1, "ours"), "https://evil.example");
    let ours = signed(&clock, &ed25519(1, "ours"), APP);
    let unknown = signed(&clock, &ed25519(3, "other"), APP);
    for (path, token, kind, ring) in [
        ("/me", &wrong_type, "wrong_type", ISSUER),
        ("/bob", &fits, "forbidden", ISSUER),
        ("/bob", &ours, "forbidden", "fixed"),
        ("/me", &unknown, "unknown_key", "fixed"),
        ("/me", &evil, "wrong_issuer", "fixed"),
    ] {
        let before = ["fixed", ISSUER].map(|ring| count(ring, kind));
        let answer = send(&app, request(path).bearer(token)).await;
        assert_eq!(answer.kind().map(|kind| kind.as_str()), Some(kind));
        let after = ["fixed", ISSUER].map(|ring| count(ring, kind));
        let expected = ["fixed", ISSUER].map(|it| u64::from(it == ring));
        assert_eq!([after[0] - before[0], after[1] - before[1]], expected, "{kind}");
        let again = async || drop(send(&app, request(path).bearer(token)).await);
        let is_logged = |events: &Events| events.count("rejected a request") > 0;
        let events = Events::of(again, is_logged).await.all();
        let logged = events.iter().find(|event| event.message == "rejected a request").unwrap();
        assert_eq!(logged.fields["ring"].trim_matches('"'), ring, "{kind}");
    }
    let without = send(&app, request("/me")).await;
    assert_eq!(without.kind(), Some(RejectionKind::Missing));
    assert_eq!((count("fixed", "missing"), count(ISSUER, "missing")), (1, 0));
}

#[tokio::test]
async fn unavailable_keys_are_counted_for_the_issuer_that_is_away() {
    let recorder = Metrics::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let clock = ManualClock::default();
    let other = followed(&clock, false).await.build().unwrap();
    let sessions = of(&clock, ed25519(1, "ours"), APP).also_accept_sessions(other).build().unwrap();
    let app = Router::new().route("/me", get(me)).layer(sessions.layer());
    let answer = send(&app, request("/me").bearer(&theirs(&clock, |_, _| {}))).await;
    assert_eq!(answer.status.as_u16(), 503);
    let count = |ring| recorder.counter(ring, "rejections_total", "keys_unavailable");
    assert_eq!((count(ISSUER), count("fixed")), (1, 0));
    assert_eq!(recorder.gauge(ISSUER, "refresh_failures"), Some(1.0));
}

#[test]
fn required_issuer_that_is_not_accepted_is_a_build_error() {
    let clock = ManualClock::default();
    let tenants = of(&clock, ed25519(2, "theirs").verify_only(), "https://t.example/{tenantid}/v2");
    let tenants = tenants.tenants(["a", "b"]).build().unwrap();
    let sessions = of(&clock, ed25519(1, "ours"), APP).also_accept_issuer("https://old.example");
    let sessions = sessions.also_accept_sessions(tenants).build().unwrap();
    for name in
        [APP, "https://old.example", "https://t.example/{tenantid}/v2", "https://t.example/a/v2"]
    {
        assert!(sessions.validate_layer().require_issuer(name).is_ok(), "{name}");
    }
    for name in ["", "https://app.example/", PARTNER, "https://t.example/c/v2"] {
        let error = sessions.validate_layer().require_issuer(name).unwrap_err();
        assert_eq!(error.setting(), Some("require_issuer"));
        assert_eq!(error.value(), Some(&*format!("{name:?}")));
        assert!(error.help().unwrap().contains("\"https://app.example\""), "{error}");
    }
}

#[tokio::test]
async fn required_issuer_is_compared_with_that_of_the_session() {
    let clock = ManualClock::default();
    let [ours, theirs] = [ed25519(1, "ours"), ed25519(2, "theirs")];
    let tenants = of(&clock, theirs.clone().verify_only(), "https://t.example/{tenantid}/v2");
    let tenants = tenants.tenants(["a", "b"]).build().unwrap();
    let sessions = of(&clock, ours.clone(), APP).also_accept_issuer("https://old.example");
    let sessions = sessions.also_accept_sessions(tenants).build().unwrap();
    let app = |issuer: &str| {
        let layer = sessions.validate_layer().require_issuer(issuer).unwrap();
        Router::new().route("/", get(me)).layer(layer)
    };
    let issuers = [APP, "https://old.example", "https://t.example/a/v2", "https://t.example/b/v2"];
    let keys = [&ours, &ours, &theirs, &theirs];
    for (required, accepted) in [
        (APP, [200, 200, 403, 403]),
        ("https://old.example", [200, 200, 403, 403]),
        ("https://t.example/{tenantid}/v2", [403, 403, 200, 200]),
        ("https://t.example/b/v2", [403, 403, 403, 200]),
    ] {
        for ((issuer, key), status) in issuers.iter().zip(keys).zip(accepted) {
            let token = signed(&clock, key, issuer);
            let answer = send(&app(required), request("/").bearer(&token)).await;
            assert_eq!(answer.status.as_u16(), status, "{required} for {issuer}");
            if status == 403 {
                let rejection = answer.rejection().unwrap();
                assert_eq!(
                    (rejection.kind(), rejection.about()),
                    (RejectionKind::Forbidden, Some("iss"))
                );
                assert_eq!(rejection.found(), Some(&*format!("{issuer:?}")));
                assert_eq!(rejection.expected(), Some(&*format!("{required:?}")));
            }
        }
    }
}

/// Each issuer has its own claim, or none.
#[tokio::test]
async fn roles_are_required_where_any_issuer_has_a_claim_for_them() {
    let clock = ManualClock::default();
    let main = || of(&clock, ed25519(1, "ours"), APP);
    let other = followed(&clock, true).await.build().unwrap();
    let neither = main().also_accept_sessions(other).build().unwrap();
    let error = neither.validate_layer().require_role("admin").unwrap_err();
    assert!(error.to_string().contains("nor accepted ones"), "{error}");

    let other = followed(&clock, true).await.roles_claim("/realm_access/roles").build().unwrap();
    let sessions = main().also_accept_sessions(other).build().unwrap();
    let layer = sessions.validate_layer().require_role("admin").unwrap();
    let app = Router::new().route("/", get(me)).layer(layer);
    let admin = json!({"roles": ["admin"]});
    let admin = theirs(&clock, |_, claims| claims["realm_access"] = admin);
    assert_eq!(send(&app, request("/").bearer(&admin)).await.status.as_u16(), 200);
    let ours = send(&app, request("/").bearer(&signed(&clock, &ed25519(1, "ours"), APP))).await;
    let found = format!("no roles_claim is set for {APP:?}");
    assert_eq!(ours.rejection().unwrap().found(), Some(&*found));
}
