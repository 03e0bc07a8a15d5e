//! Properties for any claims and any bytes.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use axum::Router;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, COOKIE, SET_COOKIE};
use axum::http::{HeaderName, HeaderValue, Request, StatusCode};
use axum::routing::get;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_jwt_session::testing::{ManualClock, fixed_key, fixed_ring, mint};
use tower_jwt_session::{Algorithm, Key, KeyRing, Login, Session, SessionClaims, Sessions};

type Claims = BTreeMap<String, Value>;

fn ring(key: Key) -> KeyRing {
    KeyRing::fixed([key]).clock(ManualClock::default()).build().expect("a ring")
}

fn sessions<C: SessionClaims>() -> Sessions<C> {
    let ring = fixed_ring(ManualClock::default());
    Sessions::builder(ring, "https://issuer.test", "app").build().expect("good settings")
}

const REGISTERED: [&str; 15] = [
    "iss",
    "sub",
    "aud",
    "iat",
    "nbf",
    "exp",
    "jti",
    "sid",
    "auth_time",
    "scope",
    "rv",
    "rg",
    "rc",
    "pu",
    "seq",
];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // Fractions that any parser of decimals reads exactly.
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_claims() -> impl Strategy<Value = Claims> {
    prop::collection::btree_map(any::<String>(), any_json(), 0..6).prop_map(|mut claims| {
        claims.retain(|name, _| !REGISTERED.contains(&&**name));
        claims
    })
}

/// JSON text of objects whose members look like a token's.
fn likely_object(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    let name = prop_oneof![prop::sample::select(names).prop_map(str::to_owned), any::<String>()];
    let text =
        prop::sample::select(&["EdDSA", "session+jwt", "https://issuer.test", "app", ""][..]);
    let value = prop_oneof![
        text.prop_map(Value::from),
        (1_799_999_000_i64..1_800_001_000).prop_map(Value::from),
        any_json(),
    ];
    prop::collection::vec((name, value), 0..12).prop_map(|members| {
        let member = |(name, value)| format!("{}:{value}", Value::String(name));
        // Doubled names stay.
        format!("{{{}}}", members.into_iter().map(member).collect::<Vec<_>>().join(","))
    })
}

fn header(key: &Key) -> String {
    let alg = format!("{:?}", key.algorithm());
    json!({ "alg": alg, "typ": "session+jwt", "kid": key.key_id() }).to_string()
}

/// The fixed keys, read once.
fn key(algorithm: Algorithm) -> Key {
    static KEYS: OnceLock<[Key; 4]> = OnceLock::new();
    let algorithms = [Algorithm::EdDSA, Algorithm::HS256, Algorithm::ES256, Algorithm::RS256];
    let keys = KEYS.get_or_init(|| algorithms.map(fixed_key));
    keys.iter().find(|key| key.algorithm() == algorithm).expect("one of these").clone()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn any_claims_survive(subject in ".+", scope in ".*", claims in any_claims()) {
        let sessions = sessions::<Claims>();
        let login = Login::new(&*subject, claims.clone()).scope(&*scope);
        let token = sessions.issue(&login);
        prop_assume!(!matches!(&token, Err(error) if error.kind() == tower_jwt_session::OperationErrorKind::TooLong));
        let session = sessions.validate(token.expect("it can be issued").as_str());
        let session = session.map_err(|rejection| TestCaseError::fail(rejection.to_string()))?;
        prop_assert_eq!(session.subject(), subject);
        prop_assert!(session.scopes().eq(scope.split(' ').filter(|scope| !scope.is_empty())));
        prop_assert_eq!(session.claims(), &claims);
    }

    #[test]
    fn any_changed_byte_is_refused(place in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        for algorithm in [Algorithm::EdDSA, Algorithm::HS256, Algorithm::ES256, Algorithm::RS256] {
            let ring = ring(key(algorithm));
            let sessions = Sessions::<()>::builder(ring, "https://issuer.test", "app").build();
            let sessions = sessions.expect("good settings");
            let token = sessions.issue(&Login::new("alice", ())).expect("issued");
            prop_assert!(sessions.validate(token.as_str()).is_ok());
            let mut bytes = token.as_str().as_bytes().to_vec();
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            // Bytes that are no text reach the layer's tests.
            if let Ok(text) = std::str::from_utf8(&bytes) {
                prop_assert!(sessions.validate(text).is_err(), "{text} at {place}");
            }
        }
    }

    #[test]
    fn any_text_is_refused(text in any::<String>(), letters in "[A-Za-z0-9_.=-]{0,200}") {
        prop_assert!(sessions::<()>().validate(&text).is_err());
        prop_assert!(sessions::<()>().validate(&letters).is_err());
        let [one, two, three] = [&text, &letters, &text].map(String::as_bytes);
        let token = mint(&key(Algorithm::EdDSA), [one, two].concat(), three);
        prop_assert!(sessions::<()>().validate(&token).is_err());
    }

    #[test]
    fn any_signed_payload_has_an_answer(
        text in likely_object(&REGISTERED),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        json in any_json(),
    ) {
        let key = key(Algorithm::EdDSA);
        for payload in [text.as_bytes(), &bytes, json.to_string().as_bytes()] {
            let token = mint(&key, header(&key), payload);
            let unit = sessions::<()>().validate(&token);
            let map = sessions::<Claims>().validate(&token);
            // A type of claims never makes a token good.
            prop_assert!(unit.is_ok() || map.is_err());
        }
    }

    #[test]
    fn any_signed_header_has_an_answer(
        text in likely_object(&["alg", "typ", "kid", "crit", "jwk", "b64", "cty"]),
        json in any_json(),
        bytes in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let key = key(Algorithm::EdDSA);
        for header in [text.as_bytes(), json.to_string().as_bytes(), &bytes] {
            prop_assert!(sessions::<()>().validate(&mint(&key, header, good_payload())).is_err());
        }
    }

    #[test]
    fn any_header_field_has_an_answer(
        value in prop::collection::vec(any::<u8>().prop_filter("a field's bytes", |byte| {
            *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f)
        }), 0..300),
        start in prop::sample::select(&["", "Bearer ", "bearer\t", "Basic ", "__Host-fixed=",
            "a=b; __Host-fixed=", "__Host-fixed=\"", "=__Host-fixed=;"][..]),
        place in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
    ) {
        let good = mint(&key(Algorithm::EdDSA), header(&key(Algorithm::EdDSA)), good_payload());
        let mut changed = good.into_bytes();
        let place = place.index(changed.len());
        changed[place] ^= flip;
        for name in [AUTHORIZATION, COOKIE] {
            for value in [&value, &changed] {
                let value = [start.as_bytes(), value].concat();
                let Ok(value) = HeaderValue::from_bytes(&value) else { continue };
                let (strict, optional) = ask(&name, &value);
                prop_assert!([400, 401].contains(&strict.as_u16()), "{strict} for {value:?}");
                prop_assert!([200, 400, 401].contains(&optional.as_u16()), "{optional} for {value:?}");
            }
        }
    }
}

fn good_payload() -> String {
    let times = (1_799_999_990, 1_800_000_890);
    json!({
        "iss": "https://issuer.test", "sub": "alice", "aud": "app", "jti": "token-1",
        "iat": times.0, "exp": times.1,
    })
    .to_string()
}

/// How a strict and an optional route answer a request with this field.
fn ask(name: &HeaderName, value: &HeaderValue) -> (StatusCode, StatusCode) {
    let sessions = sessions::<()>();
    let router = Router::new()
        .route("/strict", get(async |_: Session<()>| "somebody"))
        .route(
            "/optional",
            get(async |session: Option<Session<()>>| {
                assert!(session.is_none(), "accepted");
                "nobody"
            }),
        )
        .layer(sessions.layer());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let status = |path: &str| {
        let mut request = Request::builder().uri(path).body(Body::empty()).expect("a request");
        request.headers_mut().insert(name, value.clone());
        let answer = runtime.block_on(router.clone().oneshot(request)).expect("an answer");
        let set = answer.headers().get(SET_COOKIE);
        let set = set.map(|set| set.to_str().expect("ASCII").to_owned());
        assert!(set.is_none_or(|set| set.contains("Max-Age=0")), "a cookie was set");
        answer.status()
    };
    (status("/strict"), status("/optional"))
}

#[test]
fn what_the_properties_build_on_is_accepted() {
    let key = key(Algorithm::EdDSA);
    let token = mint(&key, header(&key), good_payload());
    assert!(sessions::<()>().validate(&token).is_ok());
    assert!(sessions::<Claims>().validate(&token).is_ok());
}
