//! Replicas of the example cluster, and their users.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, HeaderMap, SET_COOKIE};
use reqwest::{Client, RequestBuilder, Response};

use crate::example::{self, PATIENCE, listens};
use crate::place::{Place, WatchedChild};

/// The example's program.
pub(crate) fn cluster() -> PathBuf {
    example::cluster(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
}

/// Replicas with one store. They end with this value.
pub(crate) struct Replicas {
    /// Their ports.
    pub(crate) ports: Vec<u16>,
    running: Vec<(WatchedChild, Place)>,
    _keys: tempfile::TempDir,
}

impl Replicas {
    /// Starts so many, and waits until they are ready.
    pub(crate) async fn start(count: usize, options: &[&str]) -> Self {
        let program = tokio::task::spawn_blocking(cluster).await.expect("it builds");
        let keys = tempfile::tempdir().expect("a directory");
        let store = format!("file:{}", keys.path().join("store").display());
        let secret = keys.path().join("sealing.key").display().to_string();
        let fixed = ["replica", "--port", "0", "--store", &store, "--secret-file", &secret];
        let arguments = [&fixed[..], options].concat();
        let mut replicas = Self { ports: Vec::new(), running: Vec::new(), _keys: keys };
        for _ in 0..count {
            let place = Place::new(None).expect("a directory");
            let child = WatchedChild::start(&place, "KILL", &program, &arguments);
            replicas.running.push((child.expect("it starts"), place));
        }
        for (_, place) in &replicas.running {
            let port = listens(&place.path().join("log")).await.expect("a port");
            let url = format!("http://127.0.0.1:{port}/health/ready");
            until(&url, async || {
                client().get(&url).send().await.is_ok_and(|it| it.status() == 200)
            })
            .await;
            replicas.ports.push(port);
        }
        replicas
    }

    /// The address of one.
    pub(crate) fn url(&self, index: usize) -> String {
        format!("http://127.0.0.1:{}", self.ports[index])
    }

    /// Kills all.
    pub(crate) fn kill(&mut self) {
        self.running.clear();
    }
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A client without connections that it keeps, and without the proxy of the environment.
pub(crate) fn client() -> Client {
    Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client")
}

/// The request of a login.
pub(crate) fn login(url: &str) -> RequestBuilder {
    let form = r#"{"username":"alice","password":"wonderland"}"#;
    client().post(format!("{url}/login")).header(CONTENT_TYPE, "application/json").body(form)
}

/// Logs in, and returns the cookie's value: the token.
pub(crate) async fn token(url: &str) -> String {
    let answer = login(url).send().await.expect("an answer");
    assert_eq!(answer.status(), 204, "the login at {url}");
    set_token(answer.headers()).expect("a cookie")
}

/// The token in a `Set-Cookie`.
pub(crate) fn set_token(headers: &HeaderMap) -> Option<String> {
    let line = headers.get(SET_COOKIE)?.to_str().ok()?;
    let (_, rest) = line.split_once("__Host-cluster=")?;
    rest.split(';').next().map(str::to_owned)
}

/// `GET` with the token as a cookie.
pub(crate) async fn get_with_cookie(url: &str, token: &str) -> Response {
    let request = client().get(url).header("cookie", format!("__Host-cluster={token}"));
    request.send().await.expect("an answer")
}

/// `GET` with the token as a bearer token.
pub(crate) async fn get_with_bearer(url: &str, token: &str) -> Response {
    client().get(url).bearer_auth(token).send().await.expect("an answer")
}
