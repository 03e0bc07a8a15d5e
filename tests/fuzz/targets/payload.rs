//! Any bytes as a payload that the key has signed: claims of every type read the same, and only
//! what the rules take.
#![no_main]

use std::collections::BTreeMap;

use fuzz::{HEADER, Json, NOW, key, sessions};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tower_jwt_session::testing::mint;
use tower_jwt_session::{Rejection, RejectionKind, Session};

fuzz_target!(|payload: &[u8]| {
    let token = mint(&key(), HEADER, payload);
    let unit = sessions::<()>(NOW).validate(&token);
    let value = sessions::<Value>(NOW).validate(&token);
    let map = sessions::<BTreeMap<String, Value>>(NOW).validate(&token);
    assert_eq!(kind(&unit), kind(&value));
    assert_eq!(kind(&unit), kind(&map));
    // A space keeps it from being read as it is written.
    if let [b'{', members @ ..] = payload {
        let spaced = mint(&key(), HEADER, [b"{ ", members].concat());
        let spaced = sessions::<BTreeMap<String, Value>>(NOW).validate(&spaced);
        assert_eq!(kind(&map), kind(&spaced));
        assert_eq!(
            map.as_ref().ok().map(Session::claims),
            spaced.as_ref().ok().map(Session::claims)
        );
    }
    let Ok(session) = map else { return };

    let read = Json::read(payload).expect("an accepted payload is JSON");
    let text = |name| read.get(name).and_then(Json::text);
    assert!(!read.has_doubled_name());
    assert_eq!(text("iss"), Some("https://issuer.test"));
    assert_eq!(text("sub"), Some(session.subject()));
    assert_eq!(text("jti"), Some(session.token_id()));
    assert_eq!(text("sid").unwrap_or(session.token_id()), session.session_id());
    assert!(!session.subject().is_empty() && !session.session_id().is_empty());
    let is_app = |audience: &Json| audience.text() == Some("app");
    let among = |audience| matches!(audience, &Json::List(ref all) if all.iter().any(is_app));
    let audience = read.get("aud").expect("an audience");
    assert!(is_app(audience) || among(audience));

    let number = |name| read.get(name).map(|time| time.number().expect("a number"));
    let now = NOW as f64;
    let (issued, expires) = (number("iat").expect("iat"), number("exp").expect("exp"));
    assert!(issued < expires && expires - issued <= 86_400.001);
    assert!(issued <= now + 60.001 && expires > now - 60.001);
    for name in ["nbf", "auth_time"] {
        assert!(number(name).is_none_or(|time| (0.0..=now + 60.001).contains(&time)), "{name}");
    }
    // What is the application's is all there, and nothing else.
    let own = read.members().iter().filter(|(name, _)| !REGISTERED.contains(&&**name)).count();
    assert_eq!(own, session.claims().len());
});

/// Why a token is refused; what else a rejection says names the type of the claims.
fn kind<C>(validated: &Result<Session<C>, Rejection>) -> Option<RejectionKind> {
    validated.as_ref().err().map(Rejection::kind)
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
