//! Answers that are not the document that was expected: the error names what they are, from where,
//! with status and type, what was expected, and what to do.

use bytes::Bytes;
use http_body_util::Full;

use super::*;

const DISCOVERY: &str = "https://login.example/.well-known/openid-configuration";

/// Answers every request with these bytes.
#[derive(Clone, Debug)]
struct Sends(u16, Option<&'static str>, Vec<u8>);

impl HttpClient for Sends {
    fn send(&self, request: ::http::Request<()>) -> ClientFuture<'_> {
        assert_eq!(request.headers()["accept-encoding"], "identity");
        let Self(status, content_type, body) = self.clone();
        let mut response = ::http::Response::new(ClientBody::new(Full::new(Bytes::from(body))));
        *response.status_mut() = status.try_into().unwrap();
        if let Some(content_type) = content_type {
            response.headers_mut().insert("content-type", content_type.parse().unwrap());
        }
        Box::pin(async { Ok(response) })
    }
}

async fn refused(builder: IssuerRingBuilder, answer: Sends) -> String {
    builder.client(answer).open().await.unwrap_err().to_string()
}

fn jwks() -> String {
    set([jwk(Algorithm::EdDSA, "a")])
}

fn description() -> String {
    json!({ "issuer": ISSUER, "jwks_uri": URL }).to_string()
}

#[tokio::test]
async fn an_answer_that_is_no_jwks_is_named() {
    let after = |start: &[u8], text: &str| [start, text.as_bytes()].concat();
    let page = "\n<!DOCTYPE html><html><body>Sign in</body></html>";
    let cases: [(&str, Vec<u8>, &str); 15] = [
        ("application/json", after(b"\xef\xbb\xbf", &jwks()), "byte order mark (BOM)"),
        ("application/json", after(b"\xff\xfe", &jwks()), "UTF-16"),
        ("application/json", after(b"\x1f\x8b\x08\0", "..."), "gzip"),
        ("application/json", after(b"\x28\xb5\x2f\xfd", "..."), "zstd"),
        ("text/html; charset=utf-8", page.into(), "an HTML page"),
        ("text/xml", "<?xml version='1.0'?><Error/>".into(), "an XML document"),
        ("application/json", "[{}, {}]".into(), "a bare JSON array of 2 values"),
        ("application/json", " \n".into(), "an empty body"),
        ("application/json", description().into(), "discovery document"),
        ("application/json", jwk(Algorithm::EdDSA, "a").to_string().into(), "a single JWK"),
        ("application/json", r#"{"error":"denied"}"#.into(), r#"begins with "error""#),
        ("application/json", jwks()[..20].into(), "JSON that ends early"),
        ("text/plain", "Service is starting".into(), "text that is not JSON"),
        ("application/jwt", "\"text\"".into(), "a string"),
        ("application/octet-stream", vec![b'{', 0xc3, 0x28], "not UTF-8"),
    ];
    for (content_type, body, what) in cases {
        let answer = Sends(200, Some(content_type), body);
        let error = refused(KeyRing::jwks_url(ISSUER, URL), answer).await;
        let of_type = format!("Content-Type {content_type:?}");
        for part in [URL, what, "status 200 OK", &of_type, "expected a JWKS", "list `keys`"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_no_discovery_document_is_named() {
    let cases = [
        (jwks(), "found a JWKS"),
        ("<html>".to_owned(), "an HTML page"),
        (format!("[{}]", description()), "a bare JSON array of 1 values"),
        (String::new(), "an empty body"),
        (json!({ "issuer": ISSUER, "jwks_uri": [URL] }).to_string(), "`jwks_uri` is an array"),
        (json!({ "issuer": ISSUER, "other": 1 }).to_string(), "without `jwks_uri`"),
    ];
    for (body, what) in cases {
        let error = refused(KeyRing::discover(ISSUER), Sends(200, None, body.into())).await;
        let parts = [DISCOVERY, what, "no Content-Type", "expected a discovery document"];
        for part in parts {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}

#[tokio::test]
async fn an_answer_of_another_status_is_named_with_its_type() {
    let page = Sends(403, Some("text/html"), "<html>".into());
    for (builder, url) in
        [(KeyRing::jwks_url(ISSUER, URL), URL), (KeyRing::discover(ISSUER), DISCOVERY)]
    {
        let error = refused(builder, page.clone()).await;
        for part in [url, "status 403 Forbidden", r#"Content-Type "text/html""#, "200 OK"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}

/// Someone else's text: neither long nor able to break a line of a log.
#[tokio::test]
async fn quoted_answer_is_escaped_and_short() {
    let members: serde_json::Map<_, _> =
        (0..100).map(|n| (format!("a\n{n}{}", "b".repeat(500)), json!(n))).collect();
    let body = Value::Object(members).to_string();
    let error = refused(KeyRing::jwks_url(ISSUER, URL), Sends(200, None, body.into())).await;
    assert!(error.len() < 2000 && !error.contains('\n'), "{error}");
}
