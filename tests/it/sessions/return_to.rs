//! The path to which a user returns after the login.

use axum::Router;
use axum::routing::any;
use http::Request;
use http::request::{Builder, Parts};
use tower_jwt_session::ReturnTo;

use crate::support::web::send;

const TOO_LONG: usize = 2049;

#[test]
fn return_to_of_another_site_is_refused() {
    let long = format!("/{}", "a".repeat(TOO_LONG - 1));
    let long_when_escaped = format!("/{}", "é".repeat(400));
    for next in [
        "",
        "cart",
        "?a",
        "https://else.example",
        "HTTPS:/else.example",
        "https:else.example",
        "javascript:alert(1)",
        "//else.example",
        "///else.example",
        "//user@else.example",
        r"\\else.example",
        r"/\else.example",
        r"\/else.example",
        r"/cart\..\..",
        r"/cart?next=\",
        "/%2felse.example",
        "/%2Felse.example",
        "%2f%2felse.example",
        "%2felse.example",
        "/%5celse.example",
        "/%5Celse.example",
        "/cart%5c",
        "/%252felse.example",
        "/%25252felse.example",
        "/%2525252525252felse.example",
        "/\t/else.example",
        "\t//else.example",
        "/\n/else.example",
        "/\r/else.example",
        "/\u{0}",
        "/\u{7f}",
        "/\u{85}",
        "/cart?a=\n",
        "/%09/else.example",
        "/%0d%0aset-cookie:a=b",
        " /cart",
        "\u{a0}/cart",
        "\u{feff}/cart",
        "／else.example",
        "/.//else.example",
        "/..//else.example",
        "/a/..//else.example",
        "/%2e//else.example",
        "/%2E%2e//else.example",
        "/.%2e/%2felse.example",
        "/..;//else.example",
        "/.",
        "/a/..",
        &long,
        &long_when_escaped,
    ] {
        assert_eq!(ReturnTo::new(next), None, "{next:?}");
        let query: String =
            next.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
        let read = ReturnTo::from_query(Some(&format!("a=b&next={query}")));
        assert_eq!(read.as_str(), "/", "{next:?}");
        let form: ReturnTo = serde_json::from_value(next.into()).unwrap();
        assert_eq!(form.as_str(), "/", "{next:?}");
    }
}

#[test]
fn return_to_of_this_site_is_kept_and_escaped() {
    let longest = format!("/{}", "a".repeat(TOO_LONG - 2));
    for (next, kept) in [
        ("/", "/"),
        ("/cart", "/cart"),
        ("/cart/?item=7&size=l#top", "/cart/?item=7&size=l#top"),
        ("/a//b", "/a//b"),
        ("/@else.example", "/@else.example"),
        ("/https://else.example", "/https://else.example"),
        ("/go?to=https://else.example//x", "/go?to=https://else.example//x"),
        ("/search?q=a%5Cb%0A..", "/search?q=a%5Cb%0A.."),
        ("/..a/.well-known/...", "/..a/.well-known/..."),
        ("/a%2Fb", "/a%2Fb"),
        ("/100%", "/100%"),
        ("/100%25", "/100%25"),
        ("/bücher?q=ß", "/b%C3%BCcher?q=%C3%9F"),
        ("/a b", "/a%20b"),
        (r#"/"><script>'`{|}"#, "/%22%3E%3Cscript%3E%27`{|}"),
        (&longest, &longest),
    ] {
        let new = ReturnTo::new(next).unwrap_or_else(|| panic!("{next:?}"));
        assert_eq!(new.as_str(), kept);
        assert_eq!(new.to_string(), kept);
        assert_eq!(ReturnTo::new(kept), Some(new.clone()));
        let form: ReturnTo = serde_json::from_value(next.into()).unwrap();
        assert_eq!(form, new);
    }
}

#[test]
fn return_to_is_read_from_the_one_parameter_next() {
    for (query, path) in [
        (None, "/"),
        (Some(""), "/"),
        (Some("next"), "/"),
        (Some("next=%2Fcart%3Fitem%3D7%26a%3D%2525"), "/cart?item=7&a=%25"),
        (Some("lang=de&next=/cart"), "/cart"),
        (Some("NEXT=/cart"), "/"),
        (Some("next=/cart&next=/home"), "/"),
        (Some("next=/cart&next=//else.example"), "/"),
        (Some("next=/a+b"), "/a%20b"),
        (Some("next=/%ff"), "/%EF%BF%BD"),
    ] {
        assert_eq!(ReturnTo::from_query(query).as_str(), path, "{query:?}");
    }
    assert_eq!(ReturnTo::default().as_str(), "/");
}

/// The target of a `GET`, the page of a form's `Referer`, and never another site.
#[tokio::test]
async fn page_of_a_request_is_its_target_or_its_referer() {
    let page = |parts: Parts| async move { ReturnTo::of(&parts).to_string() };
    let nested = Router::new().route("/summary", any(page));
    let app = Router::new().nest("/reports", nested).route("/save", any(page));
    let of = async |request: Builder| send(&app, request).await.body;
    // Where a router is nested is known with the feature `axum` alone.
    let summary = if cfg!(feature = "axum") { "/reports/summary?x=1" } else { "/summary?x=1" };
    assert_eq!(of(Request::get("/reports/summary?x=1")).await, summary);
    assert_eq!(of(Request::get("/save").header("referer", "https://a.example/b")).await, "/save");
    for (referer, page) in [
        ("https://app.example/profile?tab=2", "/profile?tab=2"),
        ("https://app.example", "/"),
        ("https://app.example//evil.example/", "/"),
        ("none", "/"),
    ] {
        let form = Request::post("/save").header("referer", referer);
        assert_eq!(of(form).await, page, "{referer}");
    }
    assert_eq!(of(Request::post("/save")).await, "/");
}
