//! What can be issued can be validated; what cannot is refused when it is issued, with the reason.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use serde::ser::{SerializeMap as _, SerializeStruct as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use tower_jwt_session::store::MemoryStore;
use tower_jwt_session::{OperationErrorKind, RefreshTokens, Revocations, SessionClaims, Timestamp};

use super::*;
use crate::support::SMALL_CACHE;
use crate::support::web::{Credentials as _, get, send};

/// Issues claims at every entrance: each accepts them and the token is valid, or each refuses them
/// for the same reason.
#[track_caller]
fn issue<C: SessionClaims + Clone>(claims: C) -> Result<(), String> {
    let refresh = RefreshTokens::new().dangerous_without_reuse_detection();
    let sessions =
        Sessions::<C>::builder(fixed_ring(ManualClock::default()), "https://issuer.test", "app")
            .refresh_tokens(refresh)
            .build()
            .unwrap();
    let login = || Login::new("alice", claims.clone());
    let issued = sessions.issue(&login()).map(|token| token.as_str().to_owned());
    let pair = sessions.issue_with_refresh_token(&login());
    let pair = pair.map(|pair| pair.access_token.as_str().to_owned());
    let outcomes = [issued, pair].map(|outcome| match outcome {
        Ok(token) => {
            accepted(&sessions, &token);
            Ok(())
        }
        Err(error) if matches!(error.kind(), OperationErrorKind::InvalidClaims) => {
            Err(error.to_string())
        }
        Err(other) => panic!("{other}"),
    });
    let [one, other] = outcomes;
    assert_eq!(one, other);
    one
}

#[track_caller]
fn refused_because<C: SessionClaims + Clone>(claims: C, reason: &str) {
    let error = issue(claims).unwrap_err();
    assert!(error.contains(reason), "{error}");
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Plain,
    Newtype(f64),
    Pair(u8, f64),
    Named { ratio: f64 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Wrapped(f64);

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Numbers {
    #[serde(skip_serializing_if = "Option::is_none")]
    double: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    single: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    list: Option<Vec<Option<f64>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    map: Option<BTreeMap<String, (u8, f64)>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wrapped: Option<Wrapped>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shape: Option<Shape>,
}

/// `serde_json` writes them as `null`, which an optional field takes for nothing.
#[test]
fn number_that_is_not_finite_is_refused_when_issued() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let all = |number: f64| {
            let none = Numbers::default;
            [
                Numbers { double: Some(number), ..none() },
                Numbers { single: Some(number as f32), ..none() },
                Numbers { list: Some(vec![None, Some(number)]), ..none() },
                Numbers { map: Some([("a".into(), (1, number))].into()), ..none() },
                Numbers { wrapped: Some(Wrapped(number)), ..none() },
                Numbers { shape: Some(Shape::Newtype(number)), ..none() },
                Numbers { shape: Some(Shape::Pair(1, number)), ..none() },
                Numbers { shape: Some(Shape::Named { ratio: number }), ..none() },
            ]
        };
        for claims in all(number) {
            refused_because(claims, "is not a number in JSON");
        }
        for claims in all(-0.5) {
            assert_eq!(issue(claims), Ok(()));
        }
    }
    assert_eq!(issue(Numbers { shape: Some(Shape::Plain), ..Numbers::default() }), Ok(()));
}

#[test]
fn claims_nested_deeper_than_is_read_are_refused_when_issued() {
    let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    let object = |levels| (0..levels).fold(json!(1), |inner, _| json!({ "a": inner }));
    let outcomes: Vec<_> = (120..140)
        .flat_map(|levels| [json!({ "a": nested(levels) }), json!({ "a": object(levels) })])
        .map(|claims| {
            let outcome = issue(claims);
            if let Err(error) = &outcome {
                assert!(error.contains("recursion limit"), "{error}");
            }
            outcome.is_ok()
        })
        .collect();
    assert!(outcomes[0] && !outcomes[outcomes.len() - 1], "{outcomes:?}");
}

/// Writes one name twice in an object inside the claims; reads anything.
#[derive(Clone, Debug)]
struct Doubled(fn(&str) -> &str);

impl Serialize for Doubled {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Inner;
        impl Serialize for Inner {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("role", "admin")?;
                map.serialize_entry("role", "user")?;
                map.end()
            }
        }
        struct Struct;
        impl Serialize for Struct {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut object = serializer.serialize_struct("Struct", 2)?;
                object.serialize_field("role", "admin")?;
                object.serialize_field("role", "user")?;
                object.end()
            }
        }
        let mut map = serializer.serialize_map(None)?;
        match (self.0)("") {
            "map" => map.serialize_entry("a", &[Inner])?,
            "struct" => map.serialize_entry("a", &Some(Struct))?,
            _ => {}
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Doubled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self(|_| ""))
    }
}

#[test]
fn name_twice_in_an_inner_object_is_refused_when_issued() {
    for claims in [Doubled(|_| "map"), Doubled(|_| "struct")] {
        refused_because(claims, r#"the name "role" occurs twice"#);
    }
    assert_eq!(issue(Doubled(|_| "")), Ok(()));
    #[derive(Clone, Serialize, Deserialize)]
    struct Outer {
        inner: Flattened,
    }
    #[derive(Clone, Serialize, Deserialize)]
    struct Flattened {
        role: u8,
        #[serde(flatten)]
        rest: BTreeMap<String, u8>,
    }
    let with =
        |name: &str| Outer { inner: Flattened { role: 1, rest: [(name.to_owned(), 2)].into() } };
    refused_because(with("role"), r#"the name "role" occurs twice"#);
    assert_eq!(issue(with("other")), Ok(()));
}

/// A number with a fraction that orders, as a name.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Ratio(f64);

impl Eq for Ratio {}

impl PartialOrd for Ratio {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ratio {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[test]
fn names_that_are_no_text_are_refused_or_read_back() {
    type Named<K> = BTreeMap<String, BTreeMap<K, u8>>;
    fn named<K: Ord>(key: K) -> Named<K> {
        [("a".to_owned(), [(key, 1)].into())].into()
    }
    refused_because(named(Ratio(1.5)), "1.5");
    refused_because(named(Ratio(f64::NAN)), "not a number in JSON");
    refused_because(named(vec![1]), "key must be a string");
    refused_because(named(()), "key must be a string");
    for outcome in [
        issue(named(1_u8)),
        issue(named(-1_i64)),
        issue(named(u128::MAX)),
        issue(named(true)),
        issue(named('x')),
        issue(named("x".to_owned())),
    ] {
        assert_eq!(outcome, Ok(()));
    }
}

#[test]
fn claims_written_but_not_readable_are_refused_when_issued() {
    #[derive(Clone, Serialize, Deserialize)]
    struct Skipped {
        #[serde(skip_serializing)]
        #[allow(dead_code)]
        role: String,
    }
    refused_because(Skipped { role: "admin".into() }, "missing field `role`");
    #[derive(Clone, Serialize, Deserialize)]
    struct Renamed {
        #[serde(rename(serialize = "Role"))]
        role: String,
    }
    refused_because(Renamed { role: "admin".into() }, "missing field `role`");
    #[derive(Clone, Serialize, Deserialize)]
    struct Checked {
        level: Level,
    }
    #[derive(Clone, Debug, Serialize, Deserialize)]
    #[serde(try_from = "u8")]
    struct Level(u8);
    impl TryFrom<u8> for Level {
        type Error = String;
        fn try_from(level: u8) -> Result<Self, String> {
            if level < 10 { Ok(Self(level)) } else { Err(format!("level {level} is above 9")) }
        }
    }
    refused_because(Checked { level: Level(10) }, "level 10 is above 9");
    assert_eq!(issue(Checked { level: Level(9) }), Ok(()));
}

#[test]
fn clock_that_no_token_can_carry_is_an_issuing_error() {
    let clock = ManualClock::default();
    let refresh = RefreshTokens::new().dangerous_without_reuse_detection();
    let sessions = Sessions::<()>::builder(fixed_ring(clock.clone()), "https://issuer.test", "app")
        .refresh_tokens(refresh)
        .build()
        .unwrap();
    let last = 253_402_300_799;
    for (seconds, in_range) in [
        (i64::MIN / 1000, false),
        (-62_167_219_201, false),
        (-1, false),
        (0, true),
        (last - 2 * 86_400, true),
        // A token that is issued then would expire in the year 10000.
        (last, false),
        (last + 1, false),
        (i64::MAX / 1000, false),
    ] {
        clock.set(Timestamp::from_unix_seconds(seconds));
        let login = Login::new("alice", ());
        let issued = sessions.issue(&login).map(|token| token.as_str().to_owned());
        let pair = sessions.issue_with_refresh_token(&login);
        let pair = pair.map(|pair| pair.access_token.as_str().to_owned());
        for outcome in [issued, pair] {
            match outcome {
                Ok(token) => {
                    assert!(in_range, "{seconds}");
                    accepted(&sessions, &token);
                }
                Err(error) if matches!(error.kind(), OperationErrorKind::ClockOutOfRange) => {
                    assert!(!in_range, "{seconds}: {error}");
                    assert!(error.to_string().contains("set the clock"), "{error}");
                    assert!(error.is_temporary());
                }
                Err(error) => panic!("{seconds}: {error}"),
            }
        }
        // Nor does it harm who validates.
        assert!(sessions.validate(&token(payload())).is_err());
    }
}

/// Sessions with the longest token and with everything that makes later tokens longer.
async fn growing(clock: &ManualClock) -> Sessions<Value> {
    let store = MemoryStore::new();
    let revocations = Revocations::builder("app").store(store.clone()).clock(clock.clone());
    Sessions::builder(fixed_ring(clock.clone()), "https://issuer.test", "app")
        .max_token_bytes(2048)
        .refresh_tokens(RefreshTokens::new().store(store))
        .revocations(revocations.open().await.unwrap())
        .build()
        .unwrap()
}

// Paused: what is recorded a thousand times waits for its turn.
#[tokio::test(start_paused = true)]
async fn session_that_fits_at_login_fits_at_every_later_refresh() {
    let clock = ManualClock::default();
    let sessions = growing(&clock).await;
    let (mut began, mut refused) = (0, 0);
    for length in 1100..1220 {
        let login = Login::new("alice", json!({ "a": "x".repeat(length) }));
        let mut tokens = match sessions.issue_with_refresh_token(&login) {
            Ok(tokens) => tokens,
            Err(error) if error.kind() == OperationErrorKind::TooLong => {
                assert!(error.to_string().contains("max_token_bytes (2048)"), "{error}");
                refused += 1;
                continue;
            }
            Err(other) => panic!("{other}"),
        };
        began += 1;
        for time in 0..12 {
            // The tokens keep the versions of their login.
            sessions.revoke_subject("bob").await.unwrap();
            clock.advance(Duration::from_secs(60));
            let refreshed = sessions.refresh(tokens.refresh_token.as_str()).await;
            tokens = refreshed.unwrap_or_else(|error| panic!("{length}, {time}: {error}"));
            assert!(sessions.validate(tokens.access_token.as_str()).is_ok());
        }
    }
    assert!(began > 10 && refused > 10, "{began} {refused}");
}

#[cfg(feature = "cookie")]
#[tokio::test]
async fn session_fitting_its_cookie_at_login_fits_at_renewals() {
    let clock = ManualClock::default();
    let (mut began, mut refused) = (0, 0);
    for length in 2670..2750 {
        // Nothing has been ended yet, so that the first token has no `rv`.
        let revocations = Revocations::builder("app").store(MemoryStore::new());
        let revocations = revocations.clock(clock.clone()).open().await.unwrap();
        let ring = fixed_ring(clock.clone());
        let sessions = Sessions::<Value>::builder(ring, "https://issuer.test", "app");
        let sessions = sessions.revocations(revocations).token_cache_bytes(SMALL_CACHE);
        let sessions = sessions.build().unwrap();
        let login = Login::new("alice", json!({ "a": "x".repeat(length) }));
        let token = sessions.issue(&login).unwrap();
        match sessions.set_cookie(&token) {
            Ok(_) => began += 1,
            Err(error) if error.kind() == OperationErrorKind::TooLong => {
                assert!(error.to_string().starts_with("a cookie of "), "{error}");
                refused += 1;
                continue;
            }
            Err(other) => panic!("{other}"),
        }
        sessions.revoke_subject("bob").await.unwrap();
        clock.advance(Duration::from_secs(1801));
        let renewed = renew(&sessions, token.as_str()).await;
        // The versions under which it was made are those of the login.
        assert_eq!(renewed.map(|cookie| cookie.len()), Some(token.as_str().len()), "{length}");
    }
    assert!(began > 10 && refused > 10, "{began} {refused}");
}

/// The cookie that a request with this one is answered with.
async fn renew(sessions: &Sessions<Value>, token: &str) -> Option<String> {
    let app = axum::Router::new()
        .route("/", axum::routing::get(async || "hello"))
        .layer(sessions.layer());
    let answer = send(&app, get("/").cookie(token)).await;
    assert_eq!(answer.body, "hello");
    let cookie = answer.headers.get("set-cookie")?.to_str().unwrap();
    Some(cookie.split(';').next().unwrap().split_once('=').unwrap().1.to_owned())
}
