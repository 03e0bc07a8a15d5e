//! The application's claims: flat beside the registered ones, of any type that is an object.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use serde::de::IgnoredAny;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};
use tower_jwt_session::{OperationErrorKind, RejectionKind, SessionClaims};

use super::*;

/// Issues claims and validates them.
#[track_caller]
fn survives<C: SessionClaims + Debug + PartialEq + Clone>(claims: C) {
    let sessions = sessions::<C>();
    let token = issued(&sessions, claims.clone());
    let session = accepted(&sessions, &token);
    assert_eq!(session.claims(), &claims);
    assert_eq!(session.subject(), "alice");
    // An ignored claim more is no harm.
    accepted(&self::sessions::<()>(), &token);
}

#[test]
fn no_claims_survive() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Unit;
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Empty {}
    survives(());
    survives(Unit);
    survives(Empty {});
    survives(std::marker::PhantomData::<u8>);
    survives(HashMap::<String, String>::new());
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
    age: u8,
    balance: i64,
    ratio: f64,
    initial: char,
    admin: bool,
    nick: Option<String>,
    roles: Vec<String>,
    pair: (u16, String),
    unit: (),
    big: u128,
    #[serde(rename = "wei rd/\"名\u{0}\n")]
    renamed: u64,
    counts: BTreeMap<u64, i32>,
    signed: BTreeMap<i16, bool>,
    flags: BTreeMap<bool, u8>,
    letters: BTreeMap<char, Option<u8>>,
}

#[test]
fn a_struct_survives_with_every_type_of_field() {
    survives(User { initial: 'x', ..User::default() });
    survives(User {
        name: "\"\\/\u{8}\u{c}\n\r\t\u{0}\u{7f}ü😀".into(),
        age: 255,
        balance: i64::MIN,
        ratio: -0.1,
        initial: '😀',
        admin: true,
        nick: Some(String::new()),
        roles: vec!["a".into(), String::new()],
        pair: (7, "x".into()),
        unit: (),
        big: u128::MAX,
        renamed: u64::MAX,
        counts: [(0, -1), (u64::MAX, 1)].into(),
        signed: [(-5, true), (i16::MIN, false)].into(),
        flags: [(true, 1), (false, 0)].into(),
        letters: [('a', None), ('😀', Some(1))].into(),
    });
}

/// Numbers that serde_json reads as their neighbors, unless some crate of the build turns on its
/// `float_roundtrip`.
const HARD: [f64; 6] = [
    240.95940143555438,
    -1.8144290473175182,
    1.2564831868776895e-8,
    -3900840.5596638564,
    -2.3736822269041996e260,
    5e-324,
];

#[test]
fn a_number_with_a_fraction_survives_any_number_of_renewals() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Numbers {
        one: f64,
        short: f32,
        maybe: Option<f64>,
        many: Vec<f64>,
        named: BTreeMap<String, f64>,
        whole: f64,
        negative: f64,
    }
    for hard in HARD {
        let sessions = sessions::<Numbers>();
        let mut numbers = Numbers {
            one: hard,
            short: 0.1 + 0.2,
            maybe: Some(hard),
            many: vec![hard, -0.0, 1e300, f64::MAX, f64::MIN_POSITIVE],
            named: [("hard".to_owned(), hard)].into(),
            whole: 9_007_199_254_740_993.0,
            negative: -3.0,
        };
        for _ in 0..10 {
            let token = issued(&sessions, numbers.clone());
            let read = accepted(&sessions, &token).claims().clone();
            assert_eq!(read, numbers);
            assert_eq!(read.many[1].to_bits(), (-0.0_f64).to_bits());
            numbers = read;
        }
    }
}

#[test]
fn a_number_out_of_range_or_none_at_all_does_not_fit() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Number {
        number: f64,
    }
    for number in ["1e999", "-1e999", "null", "true", "\"1.5\"", "\"NaN\"", "[1.5]", "{}"] {
        let number: Box<serde_json::value::RawValue> = serde_json::from_str(number).unwrap();
        #[derive(Clone, Serialize)]
        struct Raw {
            number: Box<serde_json::value::RawValue>,
        }
        let claims = serde_json::to_string(&Raw { number }).unwrap();
        let rest = payload().to_string();
        let json = format!("{},{}", &rest[..rest.len() - 1], &claims[1..]);
        let token = mint(&ed25519(), header(&ed25519()).to_string(), json);
        let rejection = sessions::<Number>().validate(&token).unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::InvalidApplicationClaims, "{claims}");
    }
}

#[test]
fn maps_survive() {
    survives(HashMap::from([("a".to_owned(), 1), (String::new(), 2), ("IAT".to_owned(), 3)]));
    survives(BTreeMap::from([('a', json!({ "iss": "inner names are free", "exp": [] }))]));
    survives(json!({ "a": [1, 2.5, null, { "b": { "c": "d" } }], "b": i64::MIN }));
    survives(Map::from_iter([("a".to_owned(), json!("b"))]));
}

#[test]
fn optional_fields_survive() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Optional {
        nullable: Option<u8>,
        #[serde(skip_serializing_if = "Option::is_none")]
        absent: Option<Box<Optional>>,
        #[serde(default)]
        defaulted: Vec<u8>,
    }
    let inner = Optional { nullable: Some(1), absent: None, defaulted: vec![1] };
    let outer =
        Optional { nullable: None, absent: Some(Box::new(inner.clone())), defaulted: vec![] };
    survives(inner);
    survives(outer.clone());
    survives(Some(outer));
    survives(Some(Some(())));
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Plan {
    Free,
    Paid(u32),
    Split(u32, u32),
    Custom { price: u32, inner: Box<Plan> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Guest,
    Member { plan: Plan },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Member { name: String, plan: Plan },
    Guest { seat: u8 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    A,
    B(Vec<Plan>),
}

fn plans() -> Vec<Plan> {
    let custom = Plan::Custom { price: 3, inner: Box::new(Plan::Split(4, 5)) };
    vec![Plan::Free, Plan::Paid(1), Plan::Split(1, 2), custom]
}

#[test]
fn enums_survive_inside_and_where_they_are_objects() {
    for plan in plans() {
        survives(HashMap::from([("plan".to_owned(), plan.clone())]));
        survives(Tagged::Member { plan: plan.clone() });
        survives(Untagged::Member { name: "a".into(), plan });
    }
    survives(Tagged::Guest);
    survives(Untagged::Guest { seat: 1 });
    survives(Adjacent::A);
    survives(Adjacent::B(plans()));
}

#[test]
fn flattened_fields_survive() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Flattened {
        own: u8,
        #[serde(flatten)]
        user: Named,
        #[serde(flatten)]
        tagged: Tagged,
        #[serde(flatten)]
        maybe: Option<Seat>,
        #[serde(flatten)]
        rest: HashMap<String, Value>,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Named {
        name: String,
        #[serde(flatten)]
        deeper: Deeper,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Deeper {
        plan: Plan,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Seat {
        seat: u8,
    }
    survives(Named { name: "a".into(), deeper: Deeper { plan: Plan::Split(1, 2) } });
    let tagged = Tagged::Guest;
    let user = Named { name: "a".into(), deeper: Deeper { plan: Plan::Free } };
    // A flattened map takes what others took, too: so it is compared by itself.
    let sessions = sessions::<Flattened>();
    let rest = HashMap::from([("x".to_owned(), json!([1]))]);
    let claims = Flattened { own: 1, user, tagged, maybe: Some(Seat { seat: 2 }), rest };
    let session = accepted(&sessions, &issued(&sessions, claims.clone()));
    let read = session.claims();
    assert_eq!((read.own, &read.user, &read.tagged), (1, &claims.user, &claims.tagged));
    assert_eq!((&read.maybe, &read.rest["x"]), (&claims.maybe, &json!([1])));
    assert!(!read.rest.contains_key("iss") && !read.rest.contains_key("exp"), "{:?}", read.rest);
}

#[test]
fn newtypes_survive() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Outer(Inner);
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(transparent)]
    struct Inner {
        named: BTreeMap<Id, Id>,
    }
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    struct Id(String);
    let id = |text: &str| Id(text.to_owned());
    survives(Outer(Inner { named: [(id("a"), id("b"))].into() }));
    survives(BTreeMap::from([(id("a"), id("b"))]));
}

#[test]
fn claims_denying_unknown_fields_see_no_registered_claims() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        name: String,
    }
    survives(Strict { name: "a".into() });
    let payload = with(with(payload(), "name", "a"), "nbf", NOW);
    let full = with(with(payload, "scope", "b"), "rv", 1);
    accepted(&sessions::<Strict>(), &token(&full));
    let unknown = with(full, "more", 1);
    refused(&sessions::<Strict>(), &token(unknown), RejectionKind::InvalidApplicationClaims);
}

#[test]
fn an_object_of_integer_names_is_read() {
    let text = spliced(&payload(), r#""5":"a","18446744073709551615":"b""#);
    let session = accepted(&sessions::<HashMap<u64, String>>(), &token(&text));
    assert_eq!(session.claims(), &HashMap::from([(5, "a".into()), (u64::MAX, "b".into())]));
    let text = spliced(&payload(), r#""-5":"a""#);
    accepted(&sessions::<HashMap<i8, String>>(), &token(&text));
    refused(
        &sessions::<HashMap<u8, String>>(),
        &token(&text),
        RejectionKind::InvalidApplicationClaims,
    );
}

#[test]
fn claims_of_another_type_are_refused() {
    for more in [
        r#""x":1"#,
        r#""name":1"#,
        r#""name":null"#,
        r#""name":["a"]"#,
        r#""Name":"a""#,
        r#""age":-1,"name":"a""#,
    ] {
        let text = spliced(&payload(), more);
        refused(&sessions::<User>(), &token(text), RejectionKind::InvalidApplicationClaims);
    }
    refused(&sessions::<User>(), &token(payload()), RejectionKind::InvalidApplicationClaims);
    let text = spliced(&payload(), r#""seat":256"#);
    refused(&sessions::<Untagged>(), &token(text), RejectionKind::InvalidApplicationClaims);
}

#[track_caller]
fn cannot_be_issued<C: SessionClaims>(claims: C) -> String {
    match sessions::<C>().issue(&Login::new("alice", claims)) {
        Err(error) if matches!(error.kind(), OperationErrorKind::InvalidClaims) => {
            error.to_string()
        }
        other => panic!("{other:?}"),
    }
}

/// Serializes anything; is read from anything.
struct Any<F>(F);

impl<F: Serialize> Serialize for Any<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, F: Default> Deserialize<'de> for Any<F> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(F::default()))
    }
}

#[test]
fn claims_that_are_no_object_can_not_be_issued() {
    cannot_be_issued(true);
    cannot_be_issued(1_u8);
    cannot_be_issued(-1_i64);
    cannot_be_issued(1.5);
    cannot_be_issued(1_u128);
    cannot_be_issued('a');
    cannot_be_issued("text".to_owned());
    cannot_be_issued(None::<User>);
    let error = cannot_be_issued(vec![1]);
    let fix = "claims must be a struct, a map with string keys, or `()`, and are a `seq`: put them into a struct";
    assert!(error.contains(fix), "{error}");
    cannot_be_issued((1, 2));
    cannot_be_issued([0; 3]);
    cannot_be_issued(json!([1]));
    cannot_be_issued(json!("text"));
    for plan in plans() {
        cannot_be_issued(plan);
    }
    let error = cannot_be_issued(HashMap::from([(1, 2)]));
    assert!(error.contains("string keys"), "{error}");
}

#[test]
fn a_registered_name_can_not_be_issued() {
    let registered =
        ["iss", "sub", "aud", "iat", "nbf", "exp", "jti", "sid", "auth_time", "scope", "rv"];
    for name in registered {
        let error = cannot_be_issued(HashMap::from([(name.to_owned(), 1)]));
        assert!(error.contains(&format!("`{name}`")), "{error}");
        cannot_be_issued(json!({ "a": 1, name: null }));
    }
    #[derive(Serialize, Deserialize)]
    struct Claims {
        sub: String,
    }
    cannot_be_issued(Claims { sub: "mallory".into() });
    #[derive(Serialize, Deserialize)]
    struct Flattened {
        a: u8,
        #[serde(flatten)]
        claims: Claims,
    }
    cannot_be_issued(Flattened { a: 1, claims: Claims { sub: "mallory".into() } });
}

#[test]
fn a_name_that_stands_twice_can_not_be_issued() {
    #[derive(Serialize, Deserialize)]
    struct Flattened {
        name: u8,
        #[serde(flatten)]
        rest: HashMap<String, u8>,
    }
    let error = cannot_be_issued(Flattened { name: 1, rest: [("name".to_owned(), 2)].into() });
    assert!(error.contains("`name`"), "{error}");
    survives_flattened();

    #[derive(Default)]
    struct Twice;
    impl Serialize for Twice {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(None)?;
            map.serialize_entry("a", &1)?;
            map.serialize_entry("a", &1)?;
            map.end()
        }
    }
    cannot_be_issued(Any(Twice));
}

fn survives_flattened() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Flattened {
        name: u8,
        #[serde(flatten)]
        rest: BTreeMap<String, u8>,
    }
    survives(Flattened { name: 1, rest: [("other".to_owned(), 2)].into() });
}

#[test]
fn no_subject_can_not_be_issued() {
    let error = sessions().issue(&Login::new("", ())).unwrap_err();
    assert_eq!(error.kind(), OperationErrorKind::InvalidClaims);
    assert_eq!(error.to_string(), "the subject is empty");
}

#[test]
fn scopes_are_read_one_by_one() {
    let login = Login::new("alice", ()).scope("orders:read orders:write");
    let token = sessions().issue(&login).unwrap();
    let session = accepted(&sessions::<()>(), token.as_str());
    assert_eq!(session.scopes().collect::<Vec<_>>(), ["orders:read", "orders:write"]);
    let odd = accepted(&sessions::<()>(), &self::token(with(payload(), "scope", "  a  b\tc ")));
    assert_eq!(odd.scopes().collect::<Vec<_>>(), ["a", "b\tc"]);
}

#[test]
fn every_token_and_session_has_an_id_of_its_own() {
    let sessions = sessions::<()>();
    let mut ids = std::collections::HashSet::new();
    for _ in 0..50 {
        let session = accepted(&sessions, &issued(&sessions, ()));
        assert!(ids.insert(session.token_id().to_owned()));
        assert!(ids.insert(session.session_id().to_owned()));
        // 128 bits in base64url.
        assert_eq!((session.token_id().len(), session.session_id().len()), (22, 22));
    }
}
