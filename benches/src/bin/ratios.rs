//! Prints what each path costs as a multiple of what it can't do without, and whether that is within
//! its limit; fails if one is not. With `--write` it also writes `results.md` and `results.svg`.
//!
//! The limits hold for a machine with SHA and AVX2 instructions whose other work leaves it two cores.

use std::cell::Cell;
use std::path::Path as FilePath;
use std::process::ExitCode;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::get;
use benches::measure::{Path, compare, path, two_threads};
use benches::peers::{axum_jwt_auth, from_fn};
use benches::report::Limit::{AtLeast, AtMost};
use benches::report::{Limit, Row, markdown, svg};
use benches::{ENDED, Fixture, LONG_CLAIMS, Scale, accepts, draws_ids};
use http::header::{AUTHORIZATION, COOKIE, HeaderName};
use http::{HeaderValue, StatusCode};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;
use tower_jwt_session::{Algorithm, CryptoBackend};

fn main() -> ExitCode {
    let mut rows =
        least_disturbed(|| [validation(), cache(), issuing(), layers(), scale()].concat());
    // A million revocations fragment the heap, which would slow down all other rows.
    let ended: Vec<_> = [0].into_iter().chain(ENDED).map(Scale::ended).collect();
    rows.extend(least_disturbed(|| growth(&ended)));
    let table = markdown(&rows);
    println!("{table}");
    if std::env::args().any(|argument| argument == "--write") {
        let directory = FilePath::new(env!("CARGO_MANIFEST_DIR"));
        std::fs::write(directory.join("results.md"), table).expect("the table is written");
        std::fs::write(directory.join("results.svg"), svg(&rows)).expect("the chart is written");
    }
    let missed = rows.iter().filter(|row| !row.holds()).count();
    println!("{missed} of {} figures are past their limit", rows.len());
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Measures in sweeps. Other load on the machine varies, and only adds time: of each row the
/// sweep counts that was disturbed least.
fn least_disturbed(measure: impl Fn() -> Vec<Row>) -> Vec<Row> {
    const SWEEPS: usize = 60;
    let sweeps: Vec<Vec<Row>> = (0..SWEEPS).map(|_| measure()).collect();
    let taken = |row: &Row| row.times.iter().sum::<f64>();
    let of_row = |row: usize| sweeps.iter().map(move |sweep| &sweep[row]);
    (0..sweeps[0].len())
        .filter_map(|row| of_row(row).min_by(|one, other| taken(one).total_cmp(&taken(other))))
        .cloned()
        .collect()
}

fn row(name: &str, reference: &str, limit: Limit, subject: &Path<'_>, by: &Path<'_>) -> Row {
    let found = compare(subject, by);
    let measured = match limit {
        AtMost(_) => found.ratio,
        AtLeast(_) => 1.0 / found.ratio,
    };
    let times = [found.subject, found.reference];
    eprintln!("{name}: {measured:.2} ({limit}; {:.0} ns, {:.0} ns)", times[0], times[1]);
    Row { path: name.into(), reference: reference.into(), limit, measured, times }
}

fn validation() -> Vec<Row> {
    let fixture = Fixture::new(Algorithm::HS256);
    let (signed, signature) = fixture.signed();
    let raw = path(|| fixture.raw.verifies(signed, &signature));
    let typed = path(|| fixture.validates(&fixture.token));
    let unit = path(|| fixture.validates_unit(&fixture.token));
    let mut rows = vec![
        row("validate HS256, no claims", "HMAC", AtMost(3.0), &unit, &raw),
        row("validate HS256, owned claims", "HMAC", AtMost(3.0), &typed, &raw),
    ];
    rows.extend(jsonwebtoken(&fixture, "HS256", [1.0 / 2.8, 1.0]));
    let public = Fixture::new(Algorithm::EdDSA);
    rows.push(beside_ring(&public, "EdDSA, public key", 1.06));
    let own = [
        (CryptoBackend::Ring, "ring", 0.70, 0.72),
        (CryptoBackend::AwsLcRs, "aws-lc-rs", 0.33, 0.35),
    ];
    for (backend, name, of_ring, of_jsonwebtoken) in own {
        let fixture = Fixture::own(backend);
        let name = format!("EdDSA, own key, {name}");
        rows.push(beside_ring(&fixture, &name, of_ring));
        rows.extend(jsonwebtoken(&fixture, &name, [of_jsonwebtoken, 1.0]));
    }
    for (algorithm, name) in [(Algorithm::ES256, "ES256"), (Algorithm::RS256, "RS256")] {
        rows.push(beside_ring(&Fixture::new(algorithm), &format!("{name}, ring"), 1.05));
        let fixture = Fixture::with_backend(algorithm, CryptoBackend::AwsLcRs);
        let (signed, signature) = fixture.signed();
        let raw = path(|| fixture.raw_aws_lc.verifies(signed, &signature));
        let typed = path(|| fixture.validates(&fixture.token));
        let name = format!("{name}, aws-lc-rs");
        rows.push(row(&format!("validate {name}"), "aws-lc-rs alone", AtMost(1.07), &typed, &raw));
        rows.extend(jsonwebtoken(&fixture, &name, [1.0; 2]));
    }
    rows
}

/// Beside `ring`'s own verification of the signature.
fn beside_ring(fixture: &Fixture, name: &str, limit: f64) -> Row {
    let (signed, signature) = fixture.signed();
    let raw = path(|| fixture.raw.verifies(signed, &signature));
    let typed = path(|| fixture.validates(&fixture.token));
    row(&format!("validate {name}"), "ring alone", AtMost(limit), &typed, &raw)
}

/// Beside `jsonwebtoken` with either of its backends.
fn jsonwebtoken(fixture: &Fixture, name: &str, limits: [f64; 2]) -> [Row; 2] {
    let typed = path(|| fixture.validates(&fixture.token));
    let peers = [("aws-lc-rs", &fixture.jwt), ("RustCrypto", &fixture.jwt_rust_crypto)];
    let mut limits = limits.into_iter();
    peers.map(|(provider, jwt)| {
        let peer = path(|| jwt.validates(&fixture.token));
        let reference = format!("jsonwebtoken, {provider}");
        let limit = AtMost(limits.next().expect("a limit for each"));
        row(&format!("validate {name}"), &reference, limit, &typed, &peer)
    })
}

fn cache() -> Vec<Row> {
    let fixture = Fixture::new(Algorithm::HS256);
    let (signed, signature) = fixture.signed();
    let raw = path(|| fixture.raw.verifies(signed, &signature));
    let one = path(|| accepts(&fixture.cached, &fixture.token));
    let mut tokens = fixture.tokens(10_000);
    for token in tokens.iter().chain(&tokens) {
        assert!(accepts(&fixture.cached, token));
    }
    // As in a request, a token's own text is near when it is looked up: they come one behind the
    // other in memory. Their cache entries are in an order that no processor can predict.
    tokens.sort_by(|one, other| one.rsplit('.').cmp(other.rsplit('.')));
    let (texts, length) = (tokens.concat(), fixture.token.len());
    let next = Cell::new(0);
    let many = path(|| {
        let start = next.replace((next.get() + length) % texts.len());
        accepts(&fixture.cached, &texts[start..start + length])
    });
    let hot = two_threads(|| accepts(&fixture.cached, &fixture.token));
    let both = two_threads(|| fixture.raw.verifies(signed, &signature));
    vec![
        row("cached, one hot token", "HMAC", AtMost(0.3), &one, &raw),
        row("cached, 10,000 tokens", "HMAC", AtMost(0.9), &many, &raw),
        row("cached, two threads on one hot token", "HMAC", AtMost(0.5), &hot, &both),
    ]
}

fn issuing() -> Vec<Row> {
    // IDs take one call for random bytes, which is a system call: on some machines it costs more than
    // an HMAC. The claims are read back, so that no token is issued that would be refused.
    let reference = "signature, random bytes";
    let limits = [(Algorithm::HS256, 2.4), (Algorithm::EdDSA, 1.04)];
    let rows = limits.map(|(algorithm, limit)| {
        let fixture = Fixture::new(algorithm);
        let (signed, _) = fixture.signed();
        let raw = path(|| draws_ids() && fixture.raw.sign(signed) > 0);
        let issue = path(|| fixture.issues());
        row(&format!("issue {}", fixture.name), reference, AtMost(limit), &issue, &raw)
    });
    let fixture = Fixture::with_backend(Algorithm::EdDSA, CryptoBackend::AwsLcRs);
    let (signed, _) = fixture.signed();
    let raw = path(|| draws_ids() && fixture.raw_aws_lc.sign(signed) > 0);
    let issue = path(|| fixture.issues());
    let row = row("issue EdDSA, aws-lc-rs", reference, AtMost(1.10), &issue, &raw);
    rows.into_iter().chain([row]).collect()
}

fn layers() -> Vec<Row> {
    let fixture = Fixture::new(Algorithm::HS256);
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let bare = Router::new().route("/", get(async || StatusCode::NO_CONTENT));
    let app = Router::new().route("/", get(benches::handler));
    let cached = app.clone().layer(fixture.cached.layer());
    let cold = app.layer(fixture.sessions.layer());
    let cookie = HeaderValue::try_from(format!("__Host-fixed={}", fixture.token));
    let cookie = (COOKIE, cookie.expect("a header's value"));
    // As `axum::serve` does once, or each request would build its routes anew.
    let apps = [bare, cached, cold].map(|app| app.with_state(()));
    let [bare, cached, cold] = apps.each_ref().map(|app| requests(&runtime, app, &cookie));
    let mut rows = vec![
        row("layer, HS256 cached", "bare router", AtMost(1.9), &cached, &bare),
        row("layer, HS256 verified", "bare router", AtMost(4.5), &cold, &bare),
    ];
    for (name, fixture) in [
        ("HS256", fixture),
        ("EdDSA, own key, ring", Fixture::own(CryptoBackend::Ring)),
        ("EdDSA, own key, aws-lc-rs", Fixture::own(CryptoBackend::AwsLcRs)),
    ] {
        rows.extend(peers(&runtime, name, &fixture));
    }
    rows
}

/// A request through the layers, verified each time, beside what a service would take in their place.
fn peers(runtime: &Runtime, name: &str, fixture: &Fixture) -> [Row; 3] {
    let bearer = HeaderValue::try_from(format!("Bearer {}", fixture.token));
    let bearer = &(AUTHORIZATION, bearer.expect("a header's value"));
    let ours = Router::new().route("/", get(benches::handler)).layer(fixture.sessions.layer());
    let ours = &ours.with_state(());
    let subject = requests(runtime, ours, bearer);
    [
        ("from_fn and jsonwebtoken, aws-lc-rs", from_fn(fixture.jwt.clone())),
        ("from_fn and jsonwebtoken, RustCrypto", from_fn(fixture.jwt_rust_crypto.clone())),
        ("axum-jwt-auth", axum_jwt_auth(fixture)),
    ]
    .map(|(peer, app)| {
        let app = app.with_state(());
        let reference = requests(runtime, &app, bearer);
        row(&format!("layer, {name}"), peer, AtMost(1.0), &subject, &reference)
    })
}

/// Requests through a router, their making included.
fn requests<'a>(
    runtime: &'a Runtime,
    app: &'a Router,
    (name, value): &'a (HeaderName, HeaderValue),
) -> Path<'a> {
    path(move || {
        runtime.block_on(async {
            let mut request = Request::new(Body::empty());
            request.headers_mut().insert(name, value.clone());
            let response = app.clone().oneshot(request).await;
            response.is_ok_and(|response| response.status() == StatusCode::NO_CONTENT)
        })
    })
}

fn scale() -> Vec<Row> {
    let fixture = Fixture::new(Algorithm::HS256);
    let alone = path(|| fixture.validates(&fixture.token));
    let together = two_threads(|| fixture.validates(&fixture.token));
    // Two threads do twice the work of a pass.
    let throughput = row("", "", AtLeast(0.95), &together, &alone);
    let mut rows = vec![Row {
        path: "validate HS256, two threads' throughput".into(),
        reference: "one thread".into(),
        limit: AtLeast(1.9),
        measured: 2.0 * throughput.measured,
        ..throughput
    }];
    let [few, some, many] = [3, 30, 300].map(Scale::keys);
    for (scale, name) in [(&some, "30 keys"), (&many, "300 keys")] {
        let few = path(|| few.validates());
        let more = path(|| scale.validates());
        rows.push(row(&format!("validate HS256, {name}"), "3 keys", AtMost(1.1), &more, &few));
    }
    for bytes in LONG_CLAIMS {
        let long = Scale::claims(bytes);
        let (raw, ours) = (path(|| long.verifies()), path(|| long.validates()));
        let name = format!("validate HS256, {bytes} bytes of claims");
        rows.push(row(&name, "HMAC", AtMost(3.0), &ours, &raw));
    }
    rows
}

/// The revocations are made once, since a million takes long. Having any costs a lookup; how many
/// there are must cost nothing.
fn growth(ended: &[Scale]) -> Vec<Row> {
    let [none, few, ..] = ended else { return Vec::new() };
    let [none, few] = [none, few].map(|scale| path(|| scale.validates()));
    let first = row("validate HS256, 1000 ended sessions", "none", AtMost(1.2), &few, &none);
    let others = ended.iter().zip([0].into_iter().chain(ENDED)).skip(2).map(|(scale, count)| {
        let name = format!("validate HS256, {count} ended sessions");
        row(&name, "1000 ended", AtMost(1.05), &path(|| scale.validates()), &few)
    });
    [first].into_iter().chain(others).collect()
}
