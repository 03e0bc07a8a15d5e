//! Requests per second over HTTP, as `wrk` counts them from outside: with the layers as a share of
//! without, and whether that is within its limit; fails if one is not. With `--write` it also writes
//! `http.md`. Without `wrk` it says so.

use std::path::Path;
use std::process::{Command, ExitCode};

use axum::Router;
use axum::routing::get;
use benches::Fixture;
use benches::measure::median;
use http::StatusCode;
use jsonwebtoken::Algorithm;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

/// How often the ways take turns, and for how many seconds each time.
const ROUNDS: usize = 60;
const SECONDS: &str = "1s";

/// Ways through the layers, and what is left of the requests per second at least.
const LIMITS: [(&str, f64); 2] = [("HS256 cached", 0.95), ("HS256 verified", 0.78)];

fn main() -> ExitCode {
    if Command::new("wrk").arg("-v").output().is_err() {
        println!("SKIPPED: there is no wrk; `apt-get install wrk` brings it");
        return ExitCode::SUCCESS;
    }
    let fixture = Fixture::new(Algorithm::HS256);
    let bare = Router::new().route("/", get(async || StatusCode::NO_CONTENT));
    let app = Router::new().route("/", get(benches::handler));
    let cached = app.clone().layer(fixture.cached.layer());
    let cold = app.layer(fixture.sessions.layer());
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let ports = [bare, cached, cold].map(|app| {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        runtime.spawn(async move { axum::serve(listener, app).await.expect("serves") });
        port
    });
    let rounds: Vec<_> = (0..ROUNDS)
        .map(|round| {
            // None always follows the same one.
            let mut rates = [0.0; 3];
            for way in (0..3).map(|turn| (round + turn) % 3) {
                rates[way] = requests_per_second(ports[way], &fixture.token);
            }
            rates
        })
        .collect();
    let rates = [0, 1, 2].map(|way| median(rounds.iter().map(|round| round[way])));
    let mut holds = true;
    let mut table = format!(
        "| way | of bare | must be | holds | requests/s |\n|---|--:|--:|---|--:|\n\
         | bare | 1.000 | | | {:.0} |\n",
        rates[0]
    );
    for (way, (name, limit)) in (1..).zip(LIMITS) {
        // Within a round, since the machine's speed changes from one to the next.
        let share = median(rounds.iter().map(|round| round[way] / round[0]));
        let told = if share >= limit { "yes" } else { "**no**" };
        holds &= share >= limit;
        table += &format!("| {name} | {share:.3} | ≥ {limit:.2} | {told} | {:.0} |\n", rates[way]);
    }
    println!("{table}");
    if std::env::args().any(|argument| argument == "--write") {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("http.md");
        std::fs::write(file, table).expect("the table is written");
    }
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What `wrk` counts, all of them answered well.
fn requests_per_second(port: u16, token: &str) -> f64 {
    let output = Command::new("wrk")
        .args(["-t1", "-c32", "-d", SECONDS])
        .arg("-H")
        .arg(format!("Cookie: __Host-session={token}"))
        .arg(format!("http://127.0.0.1:{port}/"))
        .output()
        .expect("wrk runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(!told.contains("Non-2xx") && !told.contains("Socket errors"), "{told}");
    let rate = told.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    rate.and_then(|rate| rate.trim().parse().ok()).unwrap_or_else(|| panic!("no rate: {told}"))
}
