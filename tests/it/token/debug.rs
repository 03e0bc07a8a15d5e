//! `Debug` shows who and which, and never a secret, a token or the application's claims.

use ::base64::Engine as _;
use ::base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use tower_jwt_session::store::{Entry, EntryName, MemoryStore, Store as _};
use tower_jwt_session::testing::fixed_key;
use tower_jwt_session::{Algorithm, Key, KeyRing, Login, SealingKey};

use super::*;

const SECRET: &[u8; 32] = b"32 bytes that nobody may see....";

#[derive(Serialize, Deserialize)]
struct Claims {
    diagnosis: String,
}

/// Asserts that none of `hidden` shows in `shown`, in any of the usual ways of writing bytes.
#[track_caller]
fn hides(shown: &impl fmt::Debug, hidden: &[&[u8]]) {
    for shown in [format!("{shown:?}"), format!("{shown:#?}")] {
        let plain: String = shown.split_whitespace().collect::<String>().to_lowercase();
        for hidden in hidden {
            let hex: String = hidden.iter().map(|byte| format!("{byte:02x}")).collect();
            let list = format!("{hidden:?}").replace(' ', "");
            let list = list.trim_matches(['[', ']']);
            let text = String::from_utf8_lossy(hidden).split_whitespace().collect::<String>();
            let base64 = URL_SAFE_NO_PAD.encode(hidden).to_lowercase();
            for form in [&*hex, list, &*text.to_lowercase(), &*base64] {
                assert!(!plain.contains(form), "{shown} shows {form}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "shows")]
fn the_check_sees_bytes_in_a_list() {
    hides(&SECRET, &[SECRET]);
}

#[test]
fn a_key_shows_its_id_and_algorithm() {
    let key = Key::hmac_from_text(Algorithm::HS256, SECRET).unwrap();
    hides(&key, &[SECRET]);
    let shown = format!("{key:?}");
    assert!(shown.contains(key.key_id()) && shown.contains("HS256"), "{shown}");
    assert_ne!(key.key_id().as_bytes(), SECRET);

    let documents: [(Algorithm, &[u8]); 4] = [
        (Algorithm::EdDSA, include_bytes!("../../../src/testing/ed25519.pk8")),
        (Algorithm::ES256, include_bytes!("../../../src/testing/p-256.pk8")),
        (Algorithm::ES384, include_bytes!("../../../src/testing/p-384.pk8")),
        (Algorithm::RS256, include_bytes!("../../../src/testing/rsa-2048.pk8")),
    ];
    for (algorithm, document) in documents {
        let key = Key::from_pkcs8_der(algorithm, document).unwrap();
        let windows: Vec<_> = document.chunks(8).filter(|chunk| chunk.len() == 8).collect();
        hides(&key, &windows);
        assert_eq!(key.key_id(), fixed_key(algorithm).key_id());
    }
}

#[test]
fn a_refused_secret_does_not_show_in_the_error() {
    let secret = &SECRET[..31];
    hides(&Key::hmac_from_text(Algorithm::HS256, secret).unwrap_err(), &[secret]);
    hides(&Key::from_pkcs8_der(Algorithm::EdDSA, SECRET).unwrap_err(), &[SECRET]);
}

#[test]
fn sessions_and_tokens_show_neither_token_nor_claims() {
    let sessions =
        sessions_of::<Claims>(ring([Key::hmac_from_text(Algorithm::HS256, SECRET).unwrap()]));
    let login = Login::new("alice", Claims { diagnosis: "hay fever".into() });
    hides(&login, &[b"hay fever"]);
    let token = sessions.issue(&login).unwrap();
    let parts: Vec<_> = token.as_str().split('.').skip(1).map(str::as_bytes).collect();
    let hidden = [&parts[..], &[SECRET, b"hay fever"]].concat();
    hides(&token, &hidden);
    let session = accepted(&sessions, token.as_str());
    hides(&session, &hidden);
    assert!(format!("{session:?}").contains("alice"));
    for shown in [format!("{sessions:?}"), format!("{:?}", sessions.keys())] {
        hides(&shown, &hidden);
    }
    hides(&sessions.validate_layer(), &hidden);
    hides(&sessions.issue_layer(), &hidden);
    let forged = format!("{}A", token.as_str());
    hides(&sessions.validate(&forged).err().unwrap(), &hidden);
}

#[test]
fn an_entry_shows_its_name() {
    let name = EntryName::parse("key-1").unwrap();
    let entry = Entry::new(name, SECRET.to_vec());
    hides(&entry, &[SECRET]);
    assert!(format!("{entry:?}").contains("key-1"));
}

#[tokio::test]
async fn a_ring_and_its_store_show_no_material() {
    let store = MemoryStore::new();
    let builder = KeyRing::builder("app").store(store.clone()).algorithm(Algorithm::HS256);
    hides(&builder, &[SECRET]);
    let ring = builder.open().await.unwrap();
    let loaded = store.load("app").await.unwrap();
    let mut materials = Vec::new();
    for entry in &loaded.entries {
        let record: Value = serde_json::from_slice(&entry.value).unwrap();
        // A text, or an object that says how it is kept.
        let material = match &record["material"] {
            Value::Object(kept) => kept.values().find_map(Value::as_str),
            text => text.as_str(),
        };
        if let Some(material) = material {
            materials.push(material.as_bytes().to_vec());
            materials.push(URL_SAFE_NO_PAD.decode(material).unwrap());
        }
    }
    assert!(!materials.is_empty());
    let hidden: Vec<_> = materials.iter().map(Vec::as_slice).collect();
    hides(&loaded, &hidden);
    hides(&store, &hidden);
    hides(&ring, &hidden);
    let shown = format!("{ring:?}");
    assert!(shown.contains("app") && shown.contains(&ring.status().fingerprint), "{shown}");
    hides(&ring.status(), &hidden);
    hides(&ring.jwks(), &hidden);
}

#[test]
fn a_sealing_key_shows_which_it_is() {
    let secrets: [Vec<u8>; 2] = [(1..33).collect(), (2..34).collect()];
    let shown = secrets.map(|secret| {
        let key = SealingKey::new(&secret).unwrap();
        hides(&key, &[&secret]);
        format!("{key:?}")
    });
    assert!(shown[0].starts_with("SealingKey { id: "), "{}", shown[0]);
    assert_ne!(shown[0], shown[1]);
}
