//! Scopes and roles, wherever issuers write them.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_jwt_session::layer::ValidateLayer;
use tower_jwt_session::{Login, SessionsBuilder};

use super::*;

async fn open() -> (KeyRing, ManualClock) {
    let client = FakeClient::new(set([jwk(Algorithm::EdDSA, "a")]));
    let clock = ManualClock::default();
    (following(&client, &clock).open().await.unwrap(), clock)
}

fn builder(keys: &KeyRing) -> SessionsBuilder<Value> {
    Sessions::builder(keys.clone(), ISSUER, "orders")
}

fn claiming(clock: &ManualClock, changes: Value) -> String {
    token_with(clock, Algorithm::EdDSA, "a", |_, claims| {
        let claims = claims.as_object_mut().unwrap();
        claims.remove("scope");
        claims.extend(changes.as_object().unwrap().clone());
    })
}

fn roles(sessions: &Sessions<Value>, token: &str) -> Vec<String> {
    sessions.validate(token).unwrap().roles().map(str::to_owned).collect()
}

#[tokio::test]
async fn scopes_are_read_from_scope_or_scp_as_text_or_array() {
    let (keys, clock) = open().await;
    let sessions = builder(&keys).build().unwrap();
    for (claims, expected) in [
        (json!({"scope": "a b"}), &["a", "b"][..]),
        (json!({"scope": ["a", "b"]}), &["a", "b"]),
        (json!({"scp": "a b"}), &["a", "b"]),
        (json!({"scp": ["a", "b"]}), &["a", "b"]),
        // The registered name counts, if it is there.
        (json!({"scope": "a", "scp": "b"}), &["a"]),
        (json!({"scope": "", "scp": "b"}), &[]),
        (json!({"scope": null, "scp": "b"}), &["b"]),
        // Of another shape it is no scope.
        (json!({"scp": {"a": true}}), &[]),
        (json!({"scp": ["a b"]}), &[]),
        (json!({"scp": 5}), &[]),
        (json!({"scp": null}), &[]),
    ] {
        let session = sessions.validate(&claiming(&clock, claims.clone())).unwrap();
        assert_eq!(session.scopes().collect::<Vec<_>>(), expected, "{claims}");
        assert_eq!(session.claims().get("scp"), claims.get("scp"), "still readable");
    }
}

#[tokio::test]
async fn roles_are_the_texts_at_the_path() {
    let (keys, clock) = open().await;
    for (path, claims, expected) in [
        ("roles", json!({"roles": ["a", "b"]}), &["a", "b"][..]),
        ("roles", json!({"roles": "a b"}), &["a b"]),
        ("cognito:groups", json!({"cognito:groups": ["a"]}), &["a"]),
        ("https://example.com/roles", json!({"https://example.com/roles": ["a"]}), &["a"]),
        ("/https:~1~1example.com~1roles", json!({"https://example.com/roles": ["a"]}), &["a"]),
        ("/realm_access/roles", json!({"realm_access": {"roles": ["a", "b"]}}), &["a", "b"]),
        ("/a/b~0c/d.e", json!({"a": {"b~c": {"d.e": ["x"]}}}), &["x"]),
        ("realm_access.roles", json!({"realm_access": {"roles": ["a"]}}), &[]),
        ("/realm_access/roles", json!({"realm_access": {"roles": {"a": true}}}), &[]),
        ("/realm_access/roles", json!({"realm_access": "roles"}), &[]),
        ("/realm_access/0", json!({"realm_access": ["a"]}), &[]),
        ("roles", json!({"roles": ["a", 5, null, ["b"]]}), &["a"]),
        ("roles", json!({"roles": null}), &[]),
        ("roles", json!({}), &[]),
    ] {
        let sessions = builder(&keys).roles_claim(path).build().unwrap();
        let token = claiming(&clock, claims.clone());
        assert_eq!(roles(&sessions, &token), expected, "{path} in {claims}");
        // The cache holds them, too.
        assert_eq!(roles(&sessions, &token), expected);
        let session = sessions.validate(&token).unwrap();
        for (name, value) in claims.as_object().unwrap() {
            assert_eq!(&session.claims()[name], value, "still readable");
        }
    }
    let sessions = builder(&keys).build().unwrap();
    assert_eq!(roles(&sessions, &claiming(&clock, json!({"roles": ["a"]}))), [""; 0]);
}

/// The status and the rejection of a request with that token.
async fn through<C: DeserializeOwned + Send + Sync + 'static>(
    layer: ValidateLayer<C>,
    token: &str,
) -> (u16, Option<Rejection>) {
    let handler = service_fn(async |_: ::http::Request<()>| {
        Ok::<_, std::convert::Infallible>(::http::Response::new(bytes::Bytes::new()))
    });
    let request = ::http::Request::get("/").header("host", "app.example");
    let request = request.header("authorization", format!("Bearer {token}"));
    let answer = layer.layer(handler).oneshot(request.body(()).unwrap()).await.unwrap();
    let rejection = answer.extensions().get::<Rejection>().cloned();
    (answer.status().as_u16(), rejection)
}

/// The claims of an application that issues its own tokens.
#[derive(Serialize, Deserialize)]
struct User {
    roles: Vec<String>,
}

#[tokio::test]
async fn route_that_requires_a_role_is_403_without_it() {
    let clock = ManualClock::default();
    let keys = testing::fixed_ring(clock);
    let builder = || Sessions::<User>::builder(keys.clone(), "https://app.example", "app");
    let error = builder().build().unwrap().validate_layer().require_role("admin").unwrap_err();
    assert!(error.to_string().contains("set `roles_claim`"), "{error}");
    let sessions = builder().roles_claim("roles").build().unwrap();
    let answer = async |roles: &[&str]| {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        let token = sessions.issue(&Login::new("alice", User { roles })).unwrap();
        through(sessions.validate_layer().require_role("admin").unwrap(), token.as_str()).await
    };
    assert_eq!(answer(&["reader", "admin"]).await, (200, None));
    for roles in [&["reader", "administrator"][..], &["Admin"], &[]] {
        let (status, rejection) = answer(roles).await;
        let rejection = rejection.unwrap();
        assert_eq!((status, rejection.about()), (403, Some("roles")));
        assert_eq!(rejection.found(), Some(&*format!(r#"{roles:?} in "roles""#)));
        assert_eq!(rejection.expected(), Some(r#"admin in "roles" (roles_claim)"#));
    }
}

#[tokio::test]
async fn refusal_for_a_role_names_the_claim_that_was_read() {
    let (keys, clock) = open().await;
    let in_realm = json!({"realm_access": {"roles": ["admin"]}});
    for (claim, claims, found) in [
        ("/realm_access/roles", json!({}), r#"no claim "/realm_access/roles""#),
        ("/realm_access/role", in_realm.clone(), r#"no claim "/realm_access/role""#),
        (
            "realm_access.roles",
            in_realm.clone(),
            r#"no claim "realm_access.roles" (if it is nested, write "/realm_access/roles")"#,
        ),
        ("https://a.example/roles", in_realm, r#"no claim "https://a.example/roles""#),
        ("roles", json!({"roles": null}), r#"no claim "roles""#),
        ("roles", json!({"roles": {"admin": true}}), r#"[] in "roles""#),
        ("/a/x~1y", json!({"a": {"x/y": "b"}}), r#"["b"] in "/a/x~1y""#),
    ] {
        let sessions = builder(&keys).roles_claim(claim).build().unwrap();
        let layer = sessions.validate_layer().require_role("admin").unwrap();
        let (status, rejection) = through(layer, &claiming(&clock, claims)).await;
        let rejection = rejection.unwrap();
        assert_eq!((status, rejection.found()), (403, Some(found)));
        assert_eq!(rejection.expected(), Some(&*format!("admin in {claim:?} (roles_claim)")));
    }
    let sessions = builder(&keys).roles_claim("roles").build().unwrap();
    let error = sessions.validate_layer().require_role("").unwrap_err();
    assert_eq!(
        (error.setting(), error.help()),
        (Some("require_role"), Some("give the name of a role"))
    );
}
