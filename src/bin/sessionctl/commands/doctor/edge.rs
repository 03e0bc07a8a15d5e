//! The edge: the JWKS as other services fetch it, and what the public address must not serve.

use serde_json::Value;

use crate::commands::doctor::fetch::{Answer, Fetcher};
use crate::commands::doctor::line::{Check, Line, Outcome, Problem};
use crate::commands::doctor::status::Replica;

/// Checks the JWKS.
pub(crate) async fn jwks(fetcher: &Fetcher, url: Option<&str>, replicas: &[Replica]) -> Line {
    let check = Check {
        name: "jwks",
        expected: "200 with Cache-Control and ETag, the signing key, and no private member",
        fix: "serve `Sessions::jwks_router` or `KeyRing::jwks_response` unchanged, also through caches; a \
              private member means that the key has leaked: `sessionctl keys revoke`",
    };
    let Some(url) = url else {
        return check.line(Outcome::NotChecked, "give --jwks URL if other services verify tokens");
    };
    let answer = match fetcher.get(url).await {
        Ok(answer) => answer,
        Err(error) => return check.line(Outcome::Failed, format!("{url}: {error}")),
    };
    let keys = serde_json::from_slice::<Value>(&answer.body).ok();
    let keys = keys.and_then(|document| document["keys"].as_array().cloned());
    let (true, Some(keys)) = (answer.status == 200, keys) else {
        let found = format!("{url} answered {} without a set of keys", answer.status);
        return check.line(Outcome::Failed, found);
    };
    let mut problems = cacheable(&answer);
    for key in &keys {
        let private = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter();
        let names: Vec<_> = private.filter(|name| !key[**name].is_null()).copied().collect();
        if !names.is_empty() {
            let text = format!("key {} has the private members {}", key["kid"], names.join(", "));
            problems.push((Outcome::Failed, text));
        }
    }
    for key_id in signing(replicas) {
        if !keys.iter().any(|key| key["kid"] == key_id) {
            problems.push((Outcome::Failed, format!("the signing key {key_id} is not in the set")));
        }
    }
    if url.starts_with("http://") {
        problems
            .push((Outcome::Warning, "it was fetched over plain http, expected https".to_owned()));
    }
    check.of(problems, format!("{} keys, cacheable, with the signing key", keys.len()))
}

/// The public keys that sign now.
fn signing(replicas: &[Replica]) -> Vec<&str> {
    let rings = replicas.iter().filter_map(Replica::document).map(|status| &status.ring);
    let signing = rings.filter_map(|ring| {
        let key_id = ring.signing_key_id.as_deref()?;
        let key = ring.keys.iter().find(|key| key.key_id == key_id)?;
        // A shared secret is never published.
        (!key.algorithm.starts_with("HS")).then_some(key_id)
    });
    let mut signing: Vec<_> = signing.collect();
    signing.sort_unstable();
    signing.dedup();
    signing
}

fn cacheable(answer: &Answer) -> Vec<Problem> {
    let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
    let mut problems = Vec::new();
    match header("cache-control") {
        Some(value) if value.contains("max-age") && !value.contains("no-store") => {}
        value => {
            let found = value.unwrap_or("none");
            problems.push((Outcome::Warning, format!("Cache-Control is {found}, without max-age")));
        }
    }
    if header("etag").is_none() {
        problems.push((Outcome::Warning, "there is no ETag".to_owned()));
    }
    problems
}

/// Checks that users cannot reach status and metrics, and that they come by https.
pub(crate) async fn public(fetcher: &Fetcher, url: Option<&str>) -> Vec<Line> {
    let exposure = Check {
        name: "exposure",
        expected: "404 or 403 for /health/status, /health/ready and /metrics at the public address",
        fix: "serve `status_router` and metrics on an internal port, or block the paths at the proxy",
    };
    let https = Check {
        name: "https",
        expected: "https with Strict-Transport-Security at the public address",
        fix: "redirect http to https, and send `Strict-Transport-Security: max-age=31536000`",
    };
    let Some(url) = url else {
        let give = "give --public URL, the address that users have";
        return vec![
            exposure.line(Outcome::NotChecked, give),
            https.line(Outcome::NotChecked, give),
        ];
    };
    let mut problems = Vec::new();
    for path in ["/health/status", "/health/ready", "/metrics"] {
        match fetcher.get(&format!("{url}{path}")).await {
            Ok(answer) if answer.status.is_client_error() || answer.status.is_redirection() => {}
            Ok(answer) => {
                problems.push((Outcome::Failed, format!("{path} answered {}", answer.status)));
            }
            Err(error) => problems.push((Outcome::Warning, format!("{path}: {error}"))),
        }
    }
    let exposure = exposure.of(problems, format!("none of the three routes is at {url}"));
    if !url.starts_with("https://") {
        return vec![exposure, https.line(Outcome::Failed, format!("{url} is plain http"))];
    }
    let line = match fetcher.get(&format!("{url}/")).await {
        Ok(answer) if answer.headers.contains_key("strict-transport-security") => {
            https.line(Outcome::Ok, "https with Strict-Transport-Security")
        }
        Ok(_) => https.line(Outcome::Warning, "no Strict-Transport-Security"),
        Err(error) => https.line(Outcome::Failed, error),
    };
    vec![exposure, line]
}
