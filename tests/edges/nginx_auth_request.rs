//! nginx asks a replica about each request to another program: `auth_request`.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::proxy::{Proxy, is_installed};
use crate::replicas::{Replicas, client, get_with_bearer, get_with_cookie, set_token, token};

/// A program that knows nothing of sessions; returns its port.
async fn program() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 8192];
                let answer =
                    b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nreport\n";
                if stream.read(&mut head).await.is_ok_and(|length| length > 0) {
                    let _ = stream.write_all(answer).await;
                }
            });
        }
    });
    port
}

/// A user who asks every second until the session has certainly expired, unless it is renewed; returns the
/// last status.
async fn active_beyond_the_idle_lifetime(proxy: &Proxy, idle: Duration) -> u16 {
    let mut held = token(&proxy.url).await;
    let start = Instant::now();
    loop {
        let answer = get_with_cookie(&format!("{}/reports/1", proxy.url), &held).await;
        held = set_token(answer.headers()).unwrap_or(held);
        let status = answer.status().as_u16();
        if status != 200 || start.elapsed() > idle + Duration::from_secs(3) {
            return status;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn auth_request_keeps_renewals_if_the_cookie_is_copied() {
    if !is_installed("nginx") {
        return;
    }
    let replicas = Replicas::start(2, &["--session-seconds", "10"]).await;
    let file = "nginx-auth-request.conf";
    let more = [(9010, program().await)];
    let shipped = Proxy::start(file, &replicas.ports, &more, |text| text).await;
    let without = |text: String| {
        let setting = "add_header Set-Cookie $renewed always;";
        assert!(text.contains(setting));
        text.replace(setting, "")
    };
    let without = Proxy::start(file, &replicas.ports, &more, without).await;
    let idle = Duration::from_secs(10);
    let (kept, lost) = tokio::join!(
        active_beyond_the_idle_lifetime(&shipped, idle),
        active_beyond_the_idle_lifetime(&without, idle),
    );
    assert_eq!((kept, lost), (200, 401));
}

#[tokio::test]
async fn auth_request_passes_the_decision_on_and_never_makes_it_a_500() {
    if !is_installed("nginx") {
        return;
    }
    let mut replicas = Replicas::start(1, &[]).await;
    let more = [(9010, program().await)];
    let proxy = Proxy::start("nginx-auth-request.conf", &replicas.ports, &more, |text| text).await;
    let url = format!("{}/reports/1", proxy.url);
    let token = token(&proxy.url).await;
    let cookie = format!("__Host-cluster={token}");
    assert_eq!(get_with_cookie(&url, &token).await.status(), 200);
    assert_eq!(get_with_bearer(&url, &token).await.status(), 200);
    assert_eq!(get_with_bearer(&url, "nonsense").await.status(), 401);
    assert_eq!(client().get(&url).send().await.expect("an answer").status(), 401);

    let two = client().get(&url).bearer_auth(&token).header("cookie", &cookie);
    assert_eq!(two.send().await.expect("an answer").status(), 400, "two credentials");

    // What nginx asks is a GET: a replica's guard against cross-site requests does not see the POST.
    let post =
        client().post(&url).header("cookie", &cookie).header("origin", "https://elsewhere.example");
    assert_eq!(post.send().await.expect("an answer").status(), 200);

    replicas.kill();
    let answer = get_with_cookie(&url, &token).await;
    assert_eq!(answer.status(), 503, "no replica decides: {}", proxy.log());
    assert_eq!(answer.headers()["retry-after"], "1");
}
