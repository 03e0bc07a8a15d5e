//! A ring of the keys in a directory: which signs and since when, and what cannot be read.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tower_jwt_session::testing::{ManualClock, fixed_key};
use tower_jwt_session::{
    Algorithm, BuildError, Clock as _, DirectoryRingBuilder, Key, KeyRing, KeyState, Login,
    NotReadyKind, PauseReason, RotationPolicy, Sessions,
};

use crate::support::recorder::Metrics;

const ED25519: &str = include_str!("../keys/pem/ed25519.pem");
const ED25519_PUBLIC: &str = include_str!("../keys/pem/ed25519.pub.pem");
const P256: &str = include_str!("../keys/pem/p-256.pem");
const P256_PUBLIC: &str = include_str!("../keys/pem/p-256.pub.pem");
const RSA: &str = include_str!("../keys/pem/rsa-2048.pem");

fn sessions(keys: &KeyRing) -> Sessions<()> {
    Sessions::builder(keys.clone(), "https://app.example", "app").build().unwrap()
}

fn issue(keys: &KeyRing) -> String {
    sessions(keys).issue(&Login::new("alice", ())).unwrap().as_str().to_owned()
}

fn accepts(keys: &KeyRing, token: &str) -> bool {
    sessions(keys).validate(token).is_ok()
}

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        write(&directory, name, text);
    }
    directory
}

fn write(directory: &TempDir, name: &str, text: &str) {
    std::fs::write(directory.path().join(name), text).unwrap();
}

fn ring(directory: &TempDir, clock: &ManualClock) -> DirectoryRingBuilder {
    KeyRing::directory(directory.path()).clock(clock.clone())
}

fn signer(keys: &KeyRing) -> Option<Algorithm> {
    let status = keys.status();
    let signing = |key: &&_| {
        let key: &tower_jwt_session::KeyStatus = key;
        key.state == KeyState::Signing
    };
    let key = status.keys.iter().find(signing);
    assert_eq!(key.map(|key| &key.key_id), status.signing_key_id.as_ref());
    key.map(|key| key.algorithm)
}

/// As the API says what it could not do.
fn reason(opened: Result<KeyRing, BuildError>) -> String {
    opened.unwrap_err().to_string()
}

#[tokio::test]
async fn files_named_by_date_sign_with_the_newest() {
    let files = [("2026-11-01.pem", RSA), ("2027-01-15.pem", P256), ("2027-01-02.pem", ED25519)];
    let directory = directory(&files);
    write(&directory, "README", "not a key");
    let keys = ring(&directory, &ManualClock::default()).open().await.unwrap();
    assert_eq!(signer(&keys), Some(Algorithm::ES256));
    assert_eq!(keys.status().keys.len(), 3);
}

/// As the docs say it: add a file that sorts last, and later remove the old one.
#[tokio::test]
async fn rotation_by_adding_a_file_refuses_no_token() {
    let directory = directory(&[("2026-10-01.pem", RSA), ("2027-01-01.pem", ED25519)]);
    let clock = ManualClock::default();
    let lead = RotationPolicy::new().full_lead();
    let [a, b] = [
        ring(&directory, &clock).open().await.unwrap(),
        ring(&directory, &clock).open().await.unwrap(),
    ];
    let old = issue(&a);

    // One replica has read the new file, the other not yet.
    write(&directory, "2027-04-01.pem", P256);
    a.refresh().await.unwrap();
    assert_eq!(signer(&a), Some(Algorithm::EdDSA));
    let newest = a.status().keys.into_iter().find(|key| key.algorithm == Algorithm::ES256).unwrap();
    assert_eq!((newest.state, newest.times.signs_from), (KeyState::Published, clock.now() + lead));
    assert!(a.jwks().keys.iter().any(|jwk| jwk.common.key_id.as_ref() == Some(&newest.key_id)));
    assert!(accepts(&b, &issue(&a)));

    clock.advance(Duration::from_secs(20));
    b.refresh().await.unwrap();
    clock.advance(lead - Duration::from_secs(20));
    a.refresh().await.unwrap();
    assert_eq!([signer(&a), signer(&b)], [Some(Algorithm::ES256), Some(Algorithm::EdDSA)]);
    assert!(accepts(&b, &issue(&a)) && accepts(&a, &issue(&b)) && accepts(&b, &old));

    clock.advance(Duration::from_secs(20));
    assert_eq!(signer(&b), Some(Algorithm::ES256), "by time alone");

    // The old one is taken away, and nothing changes who signs.
    std::fs::remove_file(directory.path().join("2027-01-01.pem")).unwrap();
    a.refresh().await.unwrap();
    assert_eq!(signer(&a), Some(Algorithm::ES256));
    assert!(!accepts(&a, &old), "withdrawn");
}

/// A key that was to sign later signs at once where nothing else can.
#[tokio::test]
async fn removal_of_every_older_key_makes_the_new_one_sign() {
    let directory = directory(&[("1.pem", ED25519)]);
    let keys = ring(&directory, &ManualClock::default()).open().await.unwrap();
    write(&directory, "2.pem", P256);
    keys.refresh().await.unwrap();
    assert_eq!(signer(&keys), Some(Algorithm::EdDSA));
    std::fs::remove_file(directory.path().join("1.pem")).unwrap();
    keys.refresh().await.unwrap();
    assert_eq!(signer(&keys), Some(Algorithm::ES256));
    keys.ready().unwrap();
}

#[tokio::test]
async fn replica_started_within_lead_does_not_sign_with_new_key() {
    let directory = directory(&[("1.pem", ED25519), ("2.pem", P256)]);
    let clock = ManualClock::default();
    let lead = RotationPolicy::new().full_lead();
    let date = |name: &str, age: Duration| {
        let time = std::time::UNIX_EPOCH
            + Duration::from_secs(clock.now().as_unix_seconds().try_into().unwrap());
        let file = std::fs::File::options().write(true).open(directory.path().join(name)).unwrap();
        file.set_modified(time - age).unwrap();
    };
    date("1.pem", 2 * lead);
    date("2.pem", Duration::from_secs(60));
    let keys = ring(&directory, &clock).open().await.unwrap();
    assert_eq!(signer(&keys), Some(Algorithm::EdDSA));
    clock.advance(lead - Duration::from_secs(61));
    assert_eq!(signer(&keys), Some(Algorithm::EdDSA));
    clock.advance(Duration::from_secs(1));
    assert_eq!(signer(&keys), Some(Algorithm::ES256));

    // Where all came at once, as in a new volume, none is known to be newer.
    for name in ["1.pem", "2.pem"] {
        date(name, Duration::from_secs(60));
    }
    let keys = ring(&directory, &clock).open().await.unwrap();
    assert_eq!(signer(&keys), Some(Algorithm::ES256));
}

#[tokio::test]
async fn key_id_chooses_the_key_that_signs() {
    let directory = directory(&[("1.pem", ED25519), ("2.pem", P256_PUBLIC), ("3.pem", RSA)]);
    let clock = ManualClock::default();
    let id = |algorithm| fixed_key(algorithm).key_id().to_owned();
    let open = |id: String| ring(&directory, &clock).signing_key_id(id).open();
    let keys = open(id(Algorithm::EdDSA)).await.unwrap();
    assert_eq!(signer(&keys), Some(Algorithm::EdDSA));
    assert_eq!(keys.status().keys.len(), 3);
    let error = reason(open("other".to_owned()).await);
    assert!(error.contains(r#"signing_key_id is "other", which is no key"#), "{error}");
    let error = reason(open(id(Algorithm::ES256)).await);
    assert!(error.contains(r#"the public key "2.pem""#), "{error}");

    // The chosen one is gone: the last good keys stay.
    std::fs::remove_file(directory.path().join("1.pem")).unwrap();
    keys.refresh().await.unwrap_err();
    assert_eq!(signer(&keys), Some(Algorithm::EdDSA));
    assert!(keys.status().failure.unwrap().contains("signing_key_id"));
}

#[cfg(unix)]
#[tokio::test]
async fn link_chooses_the_key_that_signs() {
    use std::os::unix::fs::symlink;
    let directory = directory(&[("1.pem", ED25519), ("2.pem", P256)]);
    let clock = ManualClock::default();
    let open = || ring(&directory, &clock).signing_link("current.pem").open();
    let error = reason(open().await);
    assert!(error.contains(r#"signing_link is "current.pem""#), "{error}");

    let point = |target: &str| {
        symlink(target, directory.path().join("next")).unwrap();
        std::fs::rename(directory.path().join("next"), directory.path().join("current.pem"))
            .unwrap();
    };
    point("1.pem");
    let keys = open().await.unwrap();
    assert_eq!((signer(&keys), keys.status().keys.len()), (Some(Algorithm::EdDSA), 2));
    point("2.pem");
    keys.refresh().await.unwrap();
    assert_eq!(signer(&keys), Some(Algorithm::ES256));
}

#[tokio::test]
async fn unreadable_file_beside_a_good_key_leaves_the_last_good_keys() {
    let padded = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="}"#;
    let long = " ".repeat(64 * 1024 + 1);
    let cases = [
        ("9.jwk", padded, "JWK member `d` is padded base64url"),
        ("9.jwk", "{}", "JWK member `kty` is missing"),
        ("9.jwk", "", "no JSON object"),
        ("9.pem", "", "it is empty"),
        ("9.PEM", "no key", "no line `-----BEGIN"),
        ("9.pem", &long, "more than 65536 bytes"),
    ];
    for (name, text, expected) in cases {
        let directory = directory(&[("1.pem", ED25519)]);
        let keys = ring(&directory, &ManualClock::default()).open().await.unwrap();
        let (before, token) = (keys.status(), issue(&keys));
        write(&directory, name, text);
        let error = keys.refresh().await.unwrap_err().to_string();
        assert!(error.contains(&format!("{name}: ")) && error.contains(expected), "{error}");
        let after = keys.status();
        assert_eq!(after.failure.as_ref(), Some(&error));
        assert_eq!(after.failures, 1);
        assert_eq!(
            (&after.fingerprint, &after.signing_key_id),
            (&before.fingerprint, &before.signing_key_id)
        );
        keys.ready().unwrap();
        assert!(accepts(&keys, &token) && accepts(&keys, &issue(&keys)));
        let error = reason(ring(&directory, &ManualClock::default()).open().await);
        assert!(error.contains(name) && error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn every_unreadable_file_is_named() {
    let directory = directory(&[("1.pem", ED25519), ("2.pem", ""), ("3.jwk", "[]")]);
    let error = reason(ring(&directory, &ManualClock::default()).open().await);
    assert!(error.contains("2.pem: ") && error.contains("3.jwk: "), "{error}");
}

#[tokio::test]
async fn directory_without_key_names_expected_and_found() {
    let empty = directory(&[]);
    let error = reason(ring(&empty, &ManualClock::default()).open().await);
    assert!(error.contains("it is empty, expected files `*.pem` or `*.jwk`"), "{error}");
    let other = directory(&[("tls.key", ED25519), ("tls.crt", "")]);
    let error = reason(ring(&other, &ManualClock::default()).open().await);
    assert!(error.contains(r#"it holds "tls.crt", "tls.key", expected"#), "{error}");
}

#[tokio::test]
async fn file_of_several_keys_gives_all_of_them() {
    let both = format!("{ED25519_PUBLIC}{P256}{RSA}");
    let directory = directory(&[("all.pem", &both)]);
    let keys = ring(&directory, &ManualClock::default()).open().await.unwrap();
    let mut algorithms: Vec<_> = keys.status().keys.into_iter().map(|key| key.algorithm).collect();
    algorithms.sort_by_key(|algorithm| format!("{algorithm:?}"));
    assert_eq!(algorithms, [Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256]);
    let error = Key::from_pem(Algorithm::ES256, format!("{P256}{RSA}")).unwrap_err().to_string();
    assert!(error.contains("RSA"), "{error}");
    let other = include_str!("../keys/pem/ed25519.other.pub.pem");
    let two = Key::from_pem(Algorithm::EdDSA, format!("{ED25519}{other}")).unwrap_err();
    assert!(two.to_string().contains("it holds 2 keys, expected 1"), "{two}");
    // The halves of one pair are one key.
    for pair in [format!("{ED25519}{ED25519_PUBLIC}"), format!("{ED25519_PUBLIC}{ED25519}")] {
        assert!(Key::from_pem(Algorithm::EdDSA, pair).unwrap().can_sign());
    }
}

#[tokio::test]
async fn halves_of_a_pair_in_two_files_are_one_key() {
    let directory = directory(&[("1.pem", ED25519), ("1.pub.pem", ED25519_PUBLIC)]);
    let keys = ring(&directory, &ManualClock::default()).open().await.unwrap();
    assert_eq!((signer(&keys), keys.status().keys.len()), (Some(Algorithm::EdDSA), 1));
    let jwk = |algorithm| {
        let key = fixed_key(algorithm).with_key_id("one");
        serde_json::to_string(&key.to_jwk().unwrap()).unwrap()
    };
    write(&directory, "2.jwk", &jwk(Algorithm::ES256));
    write(&directory, "3.jwk", &jwk(Algorithm::ES384));
    let error = keys.refresh().await.unwrap_err().to_string();
    assert!(error.contains("2.jwk and 3.jwk hold different keys"), "{error}");
}

/// The same words by every way to the same key.
#[tokio::test]
async fn reason_for_a_refused_key_is_the_same_by_every_way() {
    let cases = [
        ("rsa-1024.pem", "the RSA key has 1024 bits, expected 2048 to 8192"),
        ("rsa-1024.pub.pem", "the RSA key has 1024 bits, expected 2048 to 8192"),
        ("rsa-exponent-3.pem", "the RSA public exponent is 3, expected at least 65537"),
        ("p-521.pem", "found an EC key on P-521, expected"),
        ("p-521.pub.pem", "found an EC key on P-521, expected"),
        ("ed448.pem", "found an Ed448 key, expected"),
        (
            "sec1.pem",
            "is a SEC1 document: convert it to PKCS#8 with `openssl pkcs8 -topk8 -nocrypt",
        ),
        ("encrypted.pem", "is encrypted: decrypt it with `openssl pkcs8"),
        ("encrypted.pkcs1.pem", "is encrypted: decrypt it with `openssl pkcs8"),
        ("openssh.pem", "is a key of OpenSSH: "),
        ("certificate.pem", "is a certificate: take its public key with `openssl x509"),
    ];
    for (file, expected) in cases {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/keys/pem/refused").join(file);
        let pem = std::fs::read_to_string(path).unwrap();
        let directory = directory(&[(file, &pem)]);
        let opened = reason(ring(&directory, &ManualClock::default()).open().await);
        let algorithm = if file.starts_with("rsa") { Algorithm::RS256 } else { Algorithm::ES256 };
        let read = Key::from_pem(algorithm, &pem).unwrap_err().to_string();
        for error in [&opened, &read] {
            assert!(error.contains(expected), "{file}: {error}");
        }
    }
}

/// As environment variables often hold it.
#[test]
fn pem_with_escaped_line_breaks_is_read() {
    for text in [
        ED25519.replace('\n', "\\n"),
        ED25519.replace('\n', "\\r\\n"),
        ED25519.replace('\n', "\r\n"),
    ] {
        assert!(Key::from_pem(Algorithm::EdDSA, text).unwrap().can_sign());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn file_that_is_not_regular_is_an_error_and_blocks_nothing() {
    let directory = directory(&[("1.pem", ED25519)]);
    let keys = ring(&directory, &ManualClock::default()).open().await.unwrap();
    let pipe = directory.path().join("2.pem");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let not_regular = "2.pem: found no regular file";
    let refuse = async || {
        let limit = Duration::from_secs(10);
        let refreshed = tokio::time::timeout(limit, keys.refresh()).await.expect("ends in time");
        let error = refreshed.unwrap_err().to_string();
        assert!(error.contains(not_regular), "{error}");
        let opened = tokio::time::timeout(limit, ring(&directory, &ManualClock::default()).open());
        let error = reason(opened.await.expect("ends in time"));
        assert!(error.contains(not_regular), "{error}");
    };
    refuse().await;
    assert!(keys.status().failure.is_some());
    assert_eq!(signer(&keys), Some(Algorithm::EdDSA));

    std::fs::remove_file(&pipe).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &pipe).unwrap();
    refuse().await;
    std::fs::remove_file(&pipe).unwrap();
    std::fs::create_dir(&pipe).unwrap();
    refuse().await;
    std::fs::remove_dir(&pipe).unwrap();
    keys.refresh().await.unwrap();
    assert_eq!(keys.status().failure, None);
}

#[tokio::test]
async fn ring_of_public_keys_validates_and_is_ready() {
    let directory = directory(&[("1.pem", ED25519_PUBLIC), ("2.pem", P256_PUBLIC)]);
    let public = |algorithm| {
        Key::from_jwk(serde_json::to_string(&fixed_key(algorithm).to_jwk()).unwrap()).unwrap()
    };
    let rings = [
        ring(&directory, &ManualClock::default()).open().await.unwrap(),
        KeyRing::fixed([public(Algorithm::EdDSA)]).clock(ManualClock::default()).build().unwrap(),
    ];
    let token = issue(
        &KeyRing::fixed([fixed_key(Algorithm::EdDSA)])
            .clock(ManualClock::default())
            .build()
            .unwrap(),
    );
    for keys in rings {
        keys.ready().unwrap();
        assert_eq!((signer(&keys), keys.status().issuing_paused), (None, None));
        assert!(keys.status().keys.iter().all(|key| key.state == KeyState::Verifying));
        assert!(accepts(&keys, &token));
        sessions(&keys).issue(&Login::new("alice", ())).unwrap_err();
    }
}

#[tokio::test]
async fn key_that_cannot_sign_is_never_the_signer() {
    let public = |algorithm| {
        Key::from_jwk(serde_json::to_string(&fixed_key(algorithm).to_jwk()).unwrap()).unwrap()
    };
    let clock = ManualClock::default();
    let files = directory(&[("1.pem", ED25519), ("2.pem", P256_PUBLIC)]);
    let from_files = ring(&files, &clock).open().await.unwrap();
    let keys = [public(Algorithm::ES256), fixed_key(Algorithm::EdDSA)];
    let fixed = KeyRing::fixed(keys).clock(clock.clone()).build().unwrap();
    for keys in [&from_files, &fixed] {
        assert_eq!(signer(keys), Some(Algorithm::EdDSA));
        assert!(accepts(keys, &issue(keys)));
        keys.ready().unwrap();
    }

    // A ring that has issued says so when it no longer can; all replicas are in this state at once,
    // so that they stay ready as long as they verify.
    std::fs::remove_file(files.path().join("1.pem")).unwrap();
    from_files.refresh().await.unwrap();
    fixed.replace([public(Algorithm::ES256)]).unwrap();
    for keys in [from_files, fixed] {
        assert_eq!(signer(&keys), None);
        let paused = keys.status().issuing_paused.unwrap();
        assert_eq!((paused.reason, paused.until), (PauseReason::NoKey, None));
        keys.ready().unwrap();
    }
    let keys = KeyRing::fixed([fixed_key(Algorithm::EdDSA)]).clock(clock).build().unwrap();
    keys.replace([public(Algorithm::ES256)]).unwrap();
    let unready = keys.ready().unwrap_err();
    assert_eq!(unready.kind(), NotReadyKind::NoSigningKey, "it was never ready");
}

/// What is read again and has not changed keeps the verified tokens.
#[tokio::test]
async fn refresh_without_a_change_keeps_the_token_cache() {
    let recorder = Metrics::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let secret = |seed: u8| {
        let secret: Vec<u8> = (0..32).map(|place: u8| place * 5 + seed).collect();
        let k = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, secret);
        format!(r#"{{"kty":"oct","k":"{k}","alg":"HS256","kid":"one"}}"#)
    };
    let directory = directory(&[("1.pem", ED25519), ("2.jwk", &secret(1))]);
    let clock = ManualClock::default();
    let keys = ring(&directory, &clock).open().await.unwrap();
    let name = directory.path().display().to_string();
    let count = |outcome| recorder.counter(&name, "cache_lookups_total", outcome);
    let sessions = sessions(&keys);
    let token = sessions.issue(&Login::new("alice", ())).unwrap();
    let validate = || sessions.validate(token.as_str());
    for _ in 0..2 {
        validate().unwrap();
    }
    for round in 1..=5 {
        clock.advance(Duration::from_secs(15));
        keys.refresh().await.unwrap();
        validate().unwrap();
        assert_eq!(["hit", "miss"].map(count), [round, 2]);
    }

    // Another secret under the same key ID is another key.
    let fingerprint = keys.status().fingerprint;
    write(&directory, "2.jwk", &secret(2));
    keys.refresh().await.unwrap();
    assert!(validate().is_err());
    assert_eq!(["hit", "miss"].map(count), [5, 3]);
    assert_eq!(keys.status().fingerprint, fingerprint, "which a public fingerprint does not show");
}

#[test]
fn replacement_by_the_same_keys_keeps_the_token_cache() {
    let recorder = Metrics::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let secret = |seed: u8| {
        let secret: Vec<u8> = (0..32).map(|place: u8| place * 5 + seed).collect();
        Key::hmac(Algorithm::HS256, secret).unwrap().with_key_id("one")
    };
    let keys = KeyRing::fixed([secret(1)]).clock(ManualClock::default()).build().unwrap();
    let count = |outcome| recorder.counter("fixed", "cache_lookups_total", outcome);
    let sessions = sessions(&keys);
    let token = sessions.issue(&Login::new("alice", ())).unwrap();
    for _ in 0..2 {
        sessions.validate(token.as_str()).unwrap();
    }
    keys.replace([secret(1)]).unwrap();
    sessions.validate(token.as_str()).unwrap();
    assert_eq!(["hit", "miss"].map(count), [1, 2]);
    keys.replace([secret(2)]).unwrap();
    assert!(sessions.validate(token.as_str()).is_err());
}

/// As the kubelet updates a mounted secret: a new directory, and a link that is replaced by rename.
#[cfg(unix)]
#[tokio::test]
async fn mounted_secret_is_followed_through_its_swaps() {
    use std::os::unix::fs::symlink;
    let mount = tempfile::tempdir().unwrap();
    let at = |name: &str| mount.path().join(name);
    let publish = |version: &str, files: &[(&str, &str)]| {
        std::fs::create_dir(at(version)).unwrap();
        for (name, text) in files {
            std::fs::write(at(version).join(name), text).unwrap();
        }
        symlink(version, at("..data_tmp")).unwrap();
        std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
    };
    publish("..2027_01_15", &[("1.pem", ED25519)]);
    symlink("..data/1.pem", at("1.pem")).unwrap();
    let clock = ManualClock::default();
    let keys = ring(&mount, &clock).open().await.unwrap();
    let token = issue(&keys);

    publish("..2027_01_16", &[("1.pem", ED25519), ("2.pem", P256)]);
    std::fs::remove_dir_all(at("..2027_01_15")).unwrap();
    keys.refresh().await.unwrap();
    assert_eq!(signer(&keys), Some(Algorithm::EdDSA));
    clock.advance(RotationPolicy::new().full_lead());
    assert_eq!(signer(&keys), Some(Algorithm::ES256));
    assert!(accepts(&keys, &token));

    publish("..2027_01_17", &[("2.pem", P256)]);
    keys.refresh().await.unwrap();
    assert_eq!(signer(&keys), Some(Algorithm::ES256));
    assert!(!accepts(&keys, &token), "withdrawn");
}

/// Its plain files may be what is left of an older mount.
#[cfg(unix)]
#[tokio::test]
async fn mount_that_cannot_be_resolved_is_an_error() {
    let mount = directory(&[("1.pem", ED25519)]);
    ring(&mount, &ManualClock::default()).open().await.unwrap();
    std::os::unix::fs::symlink("..data", mount.path().join("..data")).unwrap();
    let error = reason(ring(&mount, &ManualClock::default()).open().await);
    assert!(error.contains("could not read") && error.contains("..data"), "{error}");
}
