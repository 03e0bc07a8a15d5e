//! `ReturnTo` against the URL parser of browsers: what it lets pass stays on the site.

use proptest::prelude::*;
use tower_jwt_session::ReturnTo;
use url::Url;

/// What redirects to other sites are made of.
const PIECES: &[&str] = &[
    "/",
    "//",
    "\\",
    "/\\",
    "%2f",
    "%2F%2f",
    "%5c",
    "%5C",
    "%252f",
    "%255c",
    ".",
    "..",
    "%2e",
    "%2E.",
    "%252e",
    ";",
    "@",
    ":",
    ":443",
    "https:",
    "javascript:",
    "data:",
    "else.example",
    "[::1]",
    "127.0.0.1",
    "\t",
    "\n",
    "\r",
    "\0",
    "\u{b}",
    " ",
    "%09",
    "%0a",
    "%00",
    "%20",
    "?",
    "#",
    "&",
    "%",
    "%25",
    "%zz",
    "é",
    "／",
    "＼",
    "。",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "\"",
    "'",
    "<",
    ">",
    "a",
    "cart",
    "q=1",
];

fn likely() -> impl Strategy<Value = String> {
    let tail =
        prop::collection::vec(prop::sample::select(PIECES), 0..10).prop_map(|it| it.concat());
    (prop::sample::select(&["/", "", "/a/", "/cart?"][..]), tail)
        .prop_map(|(head, tail)| format!("{head}{tail}"))
}

fn origin_is_kept(next: &str) -> Result<(), TestCaseError> {
    for base in ["https://app.example/login?next=x", "http://localhost:3000/a/b/c"] {
        let base = Url::parse(base).expect("a URL");
        let joined = base.join(next).expect("a path");
        prop_assert_eq!(joined.origin(), base.origin(), "{:?}", next);
        prop_assert!(joined.username().is_empty() && joined.password().is_none());
        prop_assert!(!joined.path().starts_with("//"), "{:?}", next);
    }
    Ok(())
}

/// As a proxy or server may do.
fn decoded(text: &str) -> String {
    let query = format!("next={}", text.replace('+', "%2B").replace('&', "%26"));
    let url =
        Url::parse(&format!("https://app.example/?{}", query.replace('#', "%23"))).expect("a URL");
    url.query_pairs().next().expect("the parameter").1.into_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn accepted_path_never_leaves_the_site(next in prop_oneof![9 => likely(), 1 => any::<String>()]) {
        if let Some(to) = ReturnTo::new(&next) {
            origin_is_kept(&next)?;
            origin_is_kept(to.as_str())?;
            // A path that is decoded once or twice on its way, too.
            let path = to.as_str().split(['?', '#']).next().expect("a path");
            let once = decoded(path);
            origin_is_kept(&once)?;
            origin_is_kept(&decoded(&once))?;
            prop_assert!(to.as_str().bytes().all(|byte| matches!(byte, b'!'..=b'~')));
            prop_assert!(!to.as_str().contains(['"', '\'', '<', '>', '\\']));
            prop_assert_eq!(ReturnTo::new(to.as_str()), Some(to));
        }
    }

    /// What browsers send as a path is accepted: they have normalized it.
    #[test]
    fn path_that_browsers_send_is_accepted(next in "/[a-zA-Z0-9_~!$&()*+,=:@-]{0,20}(/[a-z.]{3,9}x)?([?][ -~&&[^\\\\#]]{0,30})?") {
        let base = Url::parse("https://app.example/").expect("a URL");
        let sent = base.join(&next).expect("a path");
        let sent = &sent[url::Position::BeforePath..];
        let to = ReturnTo::new(sent);
        prop_assert_eq!(to.as_ref().map(ReturnTo::as_str).and_then(|to| base.join(to).ok()), base.join(sent).ok());
    }
}
