//! Keys of the application's own: as PEM and JWK, replaced by a call, and from a directory.

#[cfg(unix)]
use std::io::Write as _;
use std::path::Path;
#[cfg(unix)]
use std::process::Command;
#[cfg(unix)]
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use tower_jwt_session::testing::{fixed_key, fixed_ring};
use tower_jwt_session::{
    Algorithm, IssueSession, Key, KeyError, KeyRing, KeyState, Sessions, SystemClock, jwk::Jwk,
};

/// The fixed keys as OpenSSL writes them.
const PEM: [(Algorithm, &str, &str); 3] = [
    (
        Algorithm::EdDSA,
        include_str!("static_keys/ed25519.pem"),
        include_str!("static_keys/ed25519.pub.pem"),
    ),
    (
        Algorithm::ES256,
        include_str!("static_keys/p-256.pem"),
        include_str!("static_keys/p-256.pub.pem"),
    ),
    (
        Algorithm::PS256,
        include_str!("static_keys/rsa-2048.pem"),
        include_str!("static_keys/rsa-2048.pub.pem"),
    ),
];

fn sessions(keys: KeyRing) -> Sessions<()> {
    Sessions::builder(keys, "https://app.example", "app").build().unwrap()
}

fn ring(keys: impl IntoIterator<Item = Key>) -> Sessions<()> {
    sessions(KeyRing::fixed(keys).unwrap())
}

#[test]
fn a_private_pem_signs_what_its_public_pem_verifies() {
    for (algorithm, private, public) in PEM {
        let private = Key::from_pem(algorithm, private.as_bytes()).unwrap();
        let public = Key::from_pem(algorithm, public.as_bytes()).unwrap();
        assert!(private.can_sign() && !public.can_sign());
        assert_eq!(private.key_id(), fixed_key(algorithm).key_id());
        assert_eq!(public.key_id(), private.key_id());
        assert_eq!(public.to_jwk(), private.to_jwk());
        let token = ring([private]).issue(&IssueSession::new("alice", ())).unwrap();
        assert!(ring([public]).validate(token.as_str()).is_ok());
    }
    let traditional = include_str!("static_keys/rsa-2048.pkcs1.pem");
    let key = Key::from_pem(Algorithm::RS256, traditional.as_bytes()).unwrap();
    assert!(key.can_sign());
    assert_eq!(key.key_id(), fixed_key(Algorithm::RS256).key_id());
}

#[test]
fn a_pem_of_another_kind_or_none_is_refused() {
    for (algorithm, private, public) in PEM {
        for other in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::ES384, Algorithm::RS256] {
            let same_kind =
                algorithm == other || algorithm == Algorithm::PS256 && other == Algorithm::RS256;
            for text in [private, public] {
                assert_eq!(Key::from_pem(other, text.as_bytes()).is_ok(), same_kind, "{other:?}");
            }
        }
        assert_eq!(
            Key::from_pem(Algorithm::HS256, private.as_bytes()).unwrap_err(),
            KeyError::UnsupportedAlgorithm
        );
    }
    assert!(matches!(Key::from_pem(Algorithm::EdDSA, b""), Err(KeyError::Rejected(_))));
}

/// An `RSAPublicKey` (RFC 8017, appendix A.1.1) of these numbers, with what follows it.
fn rsa_public_pem(numbers: &[&[u8]], after: &[u8]) -> String {
    let element = |tag: u8, content: &[u8]| {
        let [.., high, low] = content.len().to_be_bytes();
        let length = if content.len() < 128 { vec![low] } else { vec![0x82, high, low] };
        [&[tag], &*length, content].concat()
    };
    // A leading zero: the numbers are positive.
    let numbers = numbers.iter().map(|number| element(0x02, &[&[0], *number].concat()));
    let document = [element(0x30, &numbers.collect::<Vec<_>>().concat()), after.to_vec()].concat();
    let text = STANDARD.encode(document);
    format!("-----BEGIN RSA PUBLIC KEY-----\n{text}\n-----END RSA PUBLIC KEY-----\n")
}

#[test]
fn an_rsa_public_key_is_two_numbers_and_nothing_else() {
    let expected = fixed_key(Algorithm::RS256);
    let jwk = serde_json::to_value(expected.to_jwk().unwrap()).unwrap();
    let [n, e] =
        ["n", "e"].map(|name| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap());
    let read = |pem: String| Key::from_pem(Algorithm::RS256, pem.as_bytes());
    let key = read(rsa_public_pem(&[&n, &e], &[])).unwrap();
    assert_eq!(key.key_id(), expected.key_id());
    assert!(read(rsa_public_pem(&[&n, &e, &e], &[])).is_err());
    assert!(read(rsa_public_pem(&[&n, &e], &[0x02, 0x01, 0x03])).is_err());
    assert!(read(rsa_public_pem(&[&n], &[])).is_err());
}

/// RFC 8037, appendix A: an Ed25519 key, its thumbprint, and nothing else of a JWK.
#[test]
fn a_private_jwk_signs_what_its_public_part_verifies() {
    let json = r#"{"kty":"OKP","crv":"Ed25519",
        "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let private = Key::from_private_jwk(json).unwrap();
    assert!(private.can_sign());
    assert_eq!(private.key_id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    let jwk: Jwk = serde_json::from_str(json).unwrap();
    let public = Key::from_jwk(&jwk).unwrap();
    assert!(!public.can_sign());
    let token = ring([private]).issue(&IssueSession::new("alice", ())).unwrap();
    assert!(ring([public]).validate(token.as_str()).is_ok());

    let mixed = json.replace("11qYAYKx", "11qYAYKy");
    assert!(Key::from_private_jwk(&mixed).is_err(), "the parts don't belong together");
    let public = serde_json::to_string(&jwk).unwrap();
    assert_eq!(Key::from_private_jwk(&public).unwrap_err(), KeyError::NoPrivateJwk);
}

/// RFC 7515, appendix A.3.1.
#[test]
fn a_private_jwk_may_be_of_an_elliptic_curve() {
    let json = r#"{"kty":"EC","crv":"P-256",
        "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;
    let private = Key::from_private_jwk(json).unwrap();
    assert_eq!((private.can_sign(), private.algorithm()), (true, Algorithm::ES256));
    let public = Key::from_jwk(&serde_json::from_str(json).unwrap()).unwrap();
    let token = ring([private]).issue(&IssueSession::new("alice", ())).unwrap();
    assert!(ring([public]).validate(token.as_str()).is_ok());

    let mixed = json.replace("jpsQnnGQ", "jpsQnnGR");
    assert!(Key::from_private_jwk(&mixed).is_err(), "the parts don't belong together");
}

#[test]
fn a_shared_secret_as_a_jwk_needs_its_algorithm() {
    let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr8";
    let json = format!(r#"{{"kty":"oct","k":"{secret}","kid":"one","alg":"HS256"}}"#);
    let key = Key::from_private_jwk(&json).unwrap();
    assert_eq!((key.key_id(), key.algorithm()), ("one", Algorithm::HS256));
    let unnamed = json.replace(r#","alg":"HS256""#, "");
    assert_eq!(Key::from_private_jwk(&unnamed).unwrap_err(), KeyError::AmbiguousAlgorithm);
}

#[test]
fn a_fixed_ring_is_replaced_whole_or_not_at_all() {
    let old = fixed_key(Algorithm::EdDSA);
    let keys = KeyRing::fixed([old.clone()]).unwrap();
    let sessions = sessions(keys.clone());
    let token = sessions.issue(&IssueSession::new("alice", ())).unwrap();

    keys.replace([fixed_key(Algorithm::ES256), old]).unwrap();
    let session = sessions.validate(token.as_str()).unwrap();
    let newer = sessions.issue(&IssueSession::new("alice", ())).unwrap();
    let newer = sessions.validate(newer.as_str()).unwrap();
    assert_ne!(newer.key_id(), session.key_id(), "the first signs, all verify");
    let states: Vec<_> = keys.status().keys.into_iter().map(|key| key.state).collect();
    assert_eq!(states, [KeyState::Signing, KeyState::Verifying]);

    assert!(keys.replace([]).is_err());
    let twice = [fixed_key(Algorithm::RS256), fixed_key(Algorithm::PS256)];
    assert!(keys.replace(twice).is_err(), "one key under two algorithms has one key ID");
    assert!(sessions.validate(token.as_str()).is_ok(), "what it had stays");

    keys.replace([fixed_key(Algorithm::ES256)]).unwrap();
    assert!(sessions.validate(token.as_str()).is_err(), "a key that is gone is gone");
}

#[tokio::test]
async fn only_a_fixed_ring_is_replaced_by_a_call() {
    let store = tower_jwt_session::store::MemoryStore::new();
    let rotated = KeyRing::builder("app").store(store).open().await.unwrap();
    assert!(rotated.replace([fixed_key(Algorithm::EdDSA)]).is_err());
    assert!(fixed_ring(SystemClock).replace([fixed_key(Algorithm::ES256)]).is_ok());
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

#[tokio::test]
async fn the_keys_of_a_directory_sign_in_the_order_of_their_names() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let error = KeyRing::directory(directory.path()).open().await.unwrap_err().to_string();
    assert!(error.contains("give at least one key"), "{error}");

    write(&file("1.pem"), PEM[0].1);
    write(&file("2.pem"), PEM[1].2);
    write(&file("3.pem"), PEM[2].1);
    write(&file("README"), "not a key");
    let ring = KeyRing::directory(directory.path()).rsa_algorithm(Algorithm::PS256);
    let ring = ring.open().await.unwrap();
    let algorithms: Vec<_> = ring.status().keys.into_iter().map(|key| key.algorithm).collect();
    assert_eq!(algorithms, [Algorithm::EdDSA, Algorithm::ES256, Algorithm::PS256]);
    let sessions = sessions(ring.clone());
    let token = sessions.issue(&IssueSession::new("alice", ())).unwrap();

    // A new first key; the former one stays.
    let jwk = serde_json::to_string(&fixed_key(Algorithm::ES384).to_jwk()).unwrap();
    write(&file("0.jwk"), &jwk);
    ring.refresh().await.unwrap();
    assert_eq!(ring.status().keys.len(), 4);
    assert!(sessions.validate(token.as_str()).is_ok());
    assert!(sessions.issue(&IssueSession::new("alice", ())).is_err(), "a public key can't sign");

    // What can't be read is told, and the last good keys stay.
    write(&file("1.pem"), "-----BEGIN PRIVATE KEY-----\nbm8=\n-----END PRIVATE KEY-----\n");
    let error = ring.refresh().await.unwrap_err().to_string();
    assert!(error.contains("1.pem"), "{error}");
    assert!(ring.status().failure.unwrap().contains("1.pem"));
    assert!(sessions.validate(token.as_str()).is_ok());
}

/// As the kubelet updates a mounted secret: a new directory, and a link that is replaced by rename.
#[cfg(unix)]
#[tokio::test]
async fn a_mounted_secret_is_followed_through_its_swaps() {
    use std::os::unix::fs::symlink;
    let mount = tempfile::tempdir().unwrap();
    let at = |name: &str| mount.path().join(name);
    let publish = |version: &str, files: &[(&str, &str)]| {
        std::fs::create_dir(at(version)).unwrap();
        for (name, text) in files {
            write(&at(version).join(name), text);
        }
        symlink(version, at("..data_tmp")).unwrap();
        std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
    };
    publish("..2027_01_15", &[("tls.pem", PEM[0].1)]);
    symlink("..data/tls.pem", at("tls.pem")).unwrap();
    let ring = KeyRing::directory(mount.path()).open().await.unwrap();
    let sessions = sessions(ring.clone());
    let token = sessions.issue(&IssueSession::new("alice", ())).unwrap();
    let first = ring.status().signing_key_id;

    publish("..2027_01_16", &[("1.pem", PEM[1].1), ("2.pem", PEM[0].2)]);
    std::fs::remove_dir_all(at("..2027_01_15")).unwrap();
    ring.refresh().await.unwrap();
    assert_ne!(ring.status().signing_key_id, first);
    assert!(sessions.validate(token.as_str()).is_ok());

    publish("..2027_01_17", &[("1.pem", PEM[1].1)]);
    ring.refresh().await.unwrap();
    assert!(sessions.validate(token.as_str()).is_err(), "withdrawn");
}

#[cfg(unix)]
#[tokio::test]
async fn what_was_read_earlier_is_not_published_later() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("1.pem");
    write(&path, PEM[0].1);
    let ring = KeyRing::directory(directory.path()).open().await.unwrap();
    let refresh = || {
        let ring = ring.clone();
        tokio::spawn(async move { ring.refresh().await.unwrap() })
    };

    // The first refresh reads a file whose text is still to come.
    std::fs::remove_file(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let first = refresh();
    let pipe = path.clone();
    let open = move || std::fs::OpenOptions::new().write(true).open(pipe).unwrap();
    let mut pipe = tokio::task::spawn_blocking(open).await.unwrap();

    std::fs::remove_file(&path).unwrap();
    write(&path, PEM[1].1);
    let mut second = refresh();
    let early = tokio::time::timeout(Duration::from_millis(100), &mut second).await;
    assert!(early.is_err(), "the first has not ended yet");
    pipe.write_all(PEM[0].1.as_bytes()).unwrap();
    drop(pipe);
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(ring.status().keys[0].algorithm, PEM[1].0);
}

/// Its plain files may be what is left of an older mount.
#[cfg(unix)]
#[tokio::test]
async fn a_mount_that_cannot_be_resolved_is_an_error() {
    let mount = tempfile::tempdir().unwrap();
    write(&mount.path().join("1.pem"), PEM[0].1);
    KeyRing::directory(mount.path()).open().await.unwrap();
    std::os::unix::fs::symlink("..data", mount.path().join("..data")).unwrap();
    let error = KeyRing::directory(mount.path()).open().await.unwrap_err().to_string();
    assert!(error.contains("could not read") && error.contains("..data"), "{error}");
}
