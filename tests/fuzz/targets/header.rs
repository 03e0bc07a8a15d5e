//! Any bytes as a header that the key has signed: only one that says what it has to is taken.
#![no_main]

use fuzz::{Json, NOW, PAYLOAD, key, sessions};
use libfuzzer_sys::fuzz_target;
use tower_jwt_session::testing::mint;

fuzz_target!(|header: &[u8]| {
    if sessions::<()>(NOW).validate(&mint(&key(), header, PAYLOAD)).is_err() {
        return;
    }
    let read = Json::read(header).expect("an accepted header is JSON");
    let text = |name| read.get(name).and_then(Json::text);
    assert_eq!(text("alg"), Some("HS256"));
    assert_eq!(text("typ"), Some("session+jwt"));
    assert_eq!(text("kid"), Some("k"));
    assert!(!read.has_doubled_name());
    for refused in ["crit", "b64", "enc", "zip", "jwk", "jku", "x5u", "x5c"] {
        assert!(read.get(refused).is_none(), "{refused}");
    }
});
