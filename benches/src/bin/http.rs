//! Requests per second over HTTP, as `wrk` counts them from outside: with the layers as a share of
//! without. There is no limit: between two runs the machine's noise is larger than what a change of the
//! layers makes. With `--write` it also writes `http.md`. Without `wrk` it says so.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use benches::Fixture;
use http::StatusCode;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tower_jwt_session::Algorithm;

/// How often all clients start anew: which of a server's threads a connection comes to is chance, and
/// decides much where there are few.
const STARTS: usize = 10;

/// How often the ways then take turns in each of the orders, and how long a turn is: what disturbs
/// the machine for longer than that disturbs all ways alike.
const SWEEPS: usize = 5;
const TURN: Duration = Duration::from_millis(40);

/// How many connections are open at once: as few as a balancer keeps to a replica, and as many as a
/// crowd of clients has.
const CONNECTIONS: [&str; 2] = ["8", "64"];

/// All orders of three: none always follows the same one.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [1, 0, 2], [2, 0, 1], [0, 2, 1], [1, 2, 0], [2, 1, 0]];

/// Ways through the layers.
const WAYS: [&str; 2] = ["HS256 cached", "HS256 verified"];

fn main() {
    if Command::new("wrk").arg("-v").output().is_err() {
        println!("SKIPPED: there is no wrk; `apt-get install wrk` brings it");
        return;
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
    let rates =
        CONNECTIONS.map(|connections| requests_per_second(ports, connections, &fixture.token));
    let [few, many] = CONNECTIONS;
    let mut table = format!(
        "| way | of bare, {few} connections | of bare, {many} connections |\n|---|--:|--:|\n"
    );
    for (way, name) in (1..).zip(WAYS) {
        let [few, many] = rates.map(|rates| rates[way] / rates[0]);
        table += &format!("| {name} | {few:.3} | {many:.3} |\n");
    }
    table += &format!("\nBare: {:.0} and {:.0} requests per second.\n", rates[0][0], rates[1][0]);
    println!("{table}");
    if std::env::args().any(|argument| argument == "--write") {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("http.md");
        std::fs::write(file, table).expect("the table is written");
    }
}

/// The requests to each port while the other clients are halted.
fn requests_per_second(ports: [u16; 3], connections: &str, token: &str) -> [f64; 3] {
    let mut answered = [(0.0, 0.0); 3];
    for _ in 0..STARTS {
        let mut clients = ports.map(|port| Client::start(port, connections, token));
        for order in ORDERS.iter().cycle().take(SWEEPS * ORDERS.len()) {
            for way in order {
                clients[*way].take_turn();
            }
        }
        for ((requests, seconds), client) in answered.iter_mut().zip(clients) {
            let (answered, running) = client.finish();
            *requests += answered;
            *seconds += running.as_secs_f64();
        }
    }
    answered.map(|(requests, seconds)| requests / seconds)
}

/// One `wrk`, which is halted between its turns.
struct Client {
    wrk: Child,
    running: Duration,
}

impl Client {
    fn start(port: u16, connections: &str, token: &str) -> Self {
        let since = Instant::now();
        let wrk = Command::new("wrk")
            .args(["-t2", "-c", connections, "-d1h"])
            .arg("-H")
            .arg(format!("Cookie: __Host-fixed={token}"))
            .arg(format!("http://127.0.0.1:{port}/"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("wrk runs");
        let mut client = Self { wrk, running: Duration::ZERO };
        // Until it has connected.
        sleep(2 * TURN);
        client.halt(since);
        client
    }

    fn take_turn(&mut self) {
        let since = Instant::now();
        self.signal(Signal::SIGCONT);
        sleep(TURN);
        self.halt(since);
    }

    fn halt(&mut self, since: Instant) {
        self.signal(Signal::SIGSTOP);
        self.running += since.elapsed();
    }

    fn signal(&self, signal: Signal) {
        let id = self.wrk.id().try_into().expect("a process's ID");
        kill(Pid::from_raw(id), signal).expect("wrk is still there");
    }

    /// How many requests `wrk` counts, all of them answered well, and how long it was running.
    fn finish(self) -> (f64, Duration) {
        let since = Instant::now();
        self.signal(Signal::SIGCONT);
        // Its main thread has to run before it is interrupted: another one would not end it.
        sleep(TURN);
        self.signal(Signal::SIGINT);
        let output = self.wrk.wait_with_output().expect("wrk ends");
        let running = self.running + since.elapsed();
        let output_text = String::from_utf8_lossy(&output.stdout);
        assert!(
            !output_text.contains("Non-2xx") && !output_text.contains("Socket errors"),
            "{output_text}"
        );
        let total = output_text.lines().find_map(|line| line.trim().split_once(" requests in "));
        let total: Option<f64> = total.and_then(|(total, _)| total.parse().ok());
        (total.unwrap_or_else(|| panic!("no number of requests: {output_text}")), running)
    }
}
