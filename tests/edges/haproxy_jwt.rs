//! HAProxy verifies the tokens itself, with the public keys as files.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use crate::place::{Place, WatchedChild};
use crate::proxy::{Proxy, is_installed};
use crate::replicas::{Replicas, client, cluster, get_with_bearer, get_with_cookie, token, until};

const FILE: &str = "haproxy-jwt.cfg";

/// HAProxy, and beside it `keys`, which writes the files anew when the keys change.
async fn edge(replicas: &Replicas) -> (Proxy, WatchedChild, Place) {
    let proxy = Proxy::start(FILE, &replicas.ports, &[], |text| text).await;
    let place = Place::new(None).expect("a directory");
    let jwks = format!("{}/.well-known/jwks.json", replicas.url(0));
    let into = proxy.directory.join("keys").display().to_string();
    let then = format!("kill -USR2 $(cat {}/haproxy.pid)", proxy.directory.display());
    let arguments =
        ["keys", "--jwks", &jwks, "--into", &into, "--every", "1", "--then", then.as_str()];
    let keys = WatchedChild::start(&place, "KILL", &cluster(), &arguments).expect("it starts");
    // The worker process that has loaded the keys takes over from the one that had none.
    until("HAProxy loads the keys", async || proxy.log().matches("Loading success").count() > 1)
        .await;
    let published = format!("{}/.well-known/jwks.json", proxy.url);
    until("a replica is ready", async || {
        client().get(&published).send().await.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
    let token = token(&proxy.url).await;
    let me = format!("{}/me", proxy.url);
    until("the former worker is gone", async || get_with_bearer(&me, &token).await.status() == 200)
        .await;
    (proxy, keys, place)
}

/// The name of the key in a token's header.
fn kid(token: &str) -> String {
    let header =
        URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap_or_default()).expect("base64");
    let header = String::from_utf8(header).expect("text");
    let (_, rest) = header.split_once(r#""kid":""#).expect("a kid");
    rest.split('"').next().unwrap_or_default().to_owned()
}

/// The claims of a token under a header of the sender's own.
fn forged(token: &str, algorithm: &str, sign: impl Fn(&str) -> Vec<u8>) -> String {
    let header = format!(r#"{{"alg":"{algorithm}","typ":"session+jwt","kid":"{}"}}"#, kid(token));
    let claims = token.split('.').nth(1).expect("claims");
    let input = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(header));
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(sign(&input)))
}

/// HAProxy takes the second argument of `jwt_verify` as the secret where the algorithm is an HMAC: here the
/// path of the file, which is no secret.
fn forged_by_path(token: &str, proxy: &Proxy) -> String {
    let file = proxy.directory.join("keys").join(format!("{}.pem", kid(token)));
    let path = file.display().to_string();
    forged(token, "HS256", |input| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, path.as_bytes());
        hmac::sign(&key, input.as_bytes()).as_ref().to_vec()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_refuses_what_the_clusters_keys_have_not_signed() {
    if !is_installed("haproxy") {
        return;
    }
    let replicas = Replicas::start(2, &["--algorithm", "ES256"]).await;
    let others = Replicas::start(1, &["--algorithm", "ES256"]).await;
    let (proxy, _keys, _place) = edge(&replicas).await;
    let me = format!("{}/me", proxy.url);
    let good = token(&proxy.url).await;
    assert_eq!(get_with_bearer(&me, &good).await.status(), 200, "{}", proxy.log());
    assert_eq!(get_with_cookie(&me, &good).await.status(), 200);

    let (input, signature) = good.rsplit_once('.').expect("a signature");
    let mut signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
    signature[7] ^= 1;
    let changed = format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature));
    for (what, refused) in [
        ("a changed signature", changed),
        ("another cluster's key", token(&others.url(0)).await),
        ("no signature", forged(&good, "none", |_| Vec::new())),
        ("an HMAC by the file's path", forged_by_path(&good, &proxy)),
        ("nonsense", "nonsense".to_owned()),
    ] {
        let answer = get_with_bearer(&me, &refused).await;
        assert_eq!(answer.status(), 401, "{what}");
        assert!(!answer.headers().contains_key("x-replica"), "{what}: a replica has seen it");
    }
    let nobody = client().get(&me).send().await.expect("an answer");
    assert_eq!(nobody.status(), 401);

    // Why the algorithm is a constant: with the one that the token names, the forgery is verified.
    let theirs = |text: String| {
        let constant = r#"jwt_verify("ES256",txn.key)"#;
        assert!(text.contains(constant));
        text.replace(constant, r#"jwt_verify("HS256",txn.key)"#)
    };
    let careless = Proxy::start(FILE, &replicas.ports, &[], theirs).await;
    let forgery = forged_by_path(&good, &careless);
    let passed = get_with_bearer(&format!("{}/me", careless.url), &forgery).await;
    assert!(passed.headers().contains_key("x-replica"), "HAProxy refuses it: {}", careless.log());
    assert_eq!(passed.status(), 401, "the replica is not deceived");

    // HAProxy 2.6 has no EdDSA.
    let eddsa = |text: String| {
        text.replace(r#"jwt_verify("ES256",txn.key)"#, r#"jwt_verify("EdDSA",txn.key)"#)
    };
    let config = std::fs::read_to_string(crate::proxy::deploy(FILE)).expect("a shipped file");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    std::fs::write(&file, eddsa(config)).expect("it can be written");
    assert!(!checks(&file), "HAProxy knows EdDSA now: the guide says that it does not");
}

fn checks(file: &Path) -> bool {
    let checked = Command::new("haproxy").args(["-c", "-f"]).arg(file).output();
    checked.expect("it starts").status.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_follows_a_rotation_and_knows_nothing_of_logouts() {
    if !is_installed("haproxy") {
        return;
    }
    let options = ["--algorithm", "ES256", "--signing-seconds", "6", "--session-seconds", "60"];
    let replicas = Replicas::start(2, &options).await;
    let (proxy, _keys, _place) = edge(&replicas).await;
    let me = format!("{}/me", proxy.url);
    let first = token(&proxy.url).await;
    let mut kids = BTreeSet::from([kid(&first)]);
    let start = std::time::Instant::now();
    while kids.len() < 3 {
        assert!(start.elapsed() < Duration::from_secs(60), "only {kids:?} have signed");
        let new = token(&proxy.url).await;
        kids.insert(kid(&new));
        for held in [&new, &first] {
            let answer = get_with_bearer(&me, held).await;
            assert_eq!(answer.status(), 200, "after {} keys: {}", kids.len(), proxy.log());
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    // The token is still one that the cluster signed, which is all that HAProxy can see.
    let out = client().post(format!("{}/logout", proxy.url)).bearer_auth(&first);
    assert_eq!(out.send().await.expect("an answer").status(), 204);
    until("every replica refuses it", async || get_with_bearer(&me, &first).await.status() == 401)
        .await;
    let refused = get_with_bearer(&me, &first).await;
    assert!(refused.headers().contains_key("x-replica"), "a replica refuses, not HAProxy");
}
