//! nginx and the guard against cross-site requests, which compares `Host` with `Origin` where a browser
//! sends no Fetch metadata.

use crate::proxy::{Proxy, is_installed};
use crate::replicas::{Replicas, login};

async fn login_from(proxy: &Proxy, origin: &str, site: Option<&str>) -> u16 {
    let mut request = login(&proxy.url).header("origin", origin);
    if let Some(site) = site {
        request = request.header("sec-fetch-site", site);
    }
    request.send().await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn a_proxy_passes_host_on_or_browsers_without_fetch_metadata_are_refused() {
    if !is_installed("nginx") {
        return;
    }
    let replicas = Replicas::start(1, &[]).await;
    let shipped = Proxy::start("nginx.conf", &replicas.ports, &[], |text| text).await;
    let default = |text: String| {
        let setting = "proxy_set_header Host $http_host;";
        assert!(text.contains(setting));
        text.replace(setting, "")
    };
    let default = Proxy::start("nginx.conf", &replicas.ports, &[], default).await;

    let same = Some("same-origin");
    assert_eq!(login_from(&shipped, &shipped.url, None).await, 204);
    assert_eq!(login_from(&default, &default.url, None).await, 403);
    assert_eq!(login_from(&default, &default.url, same).await, 204, "with Fetch metadata");
    for proxy in [&shipped, &default] {
        assert_eq!(login_from(proxy, "https://elsewhere.example", None).await, 403);
        assert_eq!(login_from(proxy, "https://elsewhere.example", Some("cross-site")).await, 403);
    }
}
