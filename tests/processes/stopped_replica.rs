//! A replica that is stopped for longer than its stale limit, with requests waiting at it. When it
//! continues, it accepts no session that was revoked meanwhile, whichever of its threads runs first.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use tower_jwt_session::store::FileStore;
use tower_jwt_session::testing::fixed_ring;
use tower_jwt_session::{Login, Revocations, RevocationsBuilder, Session, Sessions, SystemClock};

const DIRECTORY: &str = "TOWER_JWT_SESSION_TEST_STOPPED_STORE";
const LIMIT: Duration = Duration::from_millis(1000);
const ROUNDS: usize = 10;
/// Requests that wait on connections which the replica has accepted, and as many on new ones.
const WAITING: usize = 4;
const OK: u16 = 200;
const UNAUTHORIZED: u16 = 401;
const STALE: u16 = 503;

fn revocations(directory: &Path) -> RevocationsBuilder {
    let store = FileStore::open(directory.join("store")).expect("opens");
    Revocations::builder("app")
        .store(store)
        .refresh_interval(Duration::from_millis(300))
        .refresh_timeout(Duration::from_millis(300))
}

async fn sessions(revocations: RevocationsBuilder) -> Sessions<()> {
    let revocations = revocations.open().await.expect("opens");
    let sessions = Sessions::builder(fixed_ring(SystemClock), "https://app.example", "app");
    sessions.revocations(revocations).build().expect("good settings")
}

/// A replica in a process of its own.
struct Replica {
    process: Child,
    port: u16,
}

impl Replica {
    fn start(directory: &Path) -> Self {
        let program = std::env::current_exe().expect("this program");
        let (_crate, module) = module_path!().split_once("::").expect("a module");
        let mut process = Command::new(program)
            .args(["--ignored", "--exact", "--nocapture", &format!("{module}::replica")])
            .env(DIRECTORY, directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process starts");
        let mut lines = BufReader::new(process.stdout.take().expect("an output")).lines();
        let port = lines.find_map(|line| {
            let line = line.expect("a line");
            line.strip_prefix("serves ").map(|port| port.parse().expect("a port"))
        });
        Self { process, port: port.expect("it serves") }
    }

    fn signal(&self, signal: &str) {
        let arguments = [signal.to_owned(), self.process.id().to_string()];
        assert!(Command::new("kill").args(arguments).status().expect("runs").success());
    }

    /// Stops all its threads.
    fn stop(&self) {
        self.signal("-STOP");
        let stat = format!("/proc/{}/stat", self.process.id());
        // The name of the program may have any characters, parentheses, too.
        let is_stopped =
            |stat: String| stat.rsplit_once(") ").is_some_and(|it| it.1.starts_with('T'));
        while !is_stopped(std::fs::read_to_string(&stat).expect("it lives")) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn connect(&self) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connects");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        Connection(BufReader::new(stream))
    }

    /// Asks until the answer is 200, and returns the connection.
    fn accepts(&self, token: &str) -> Connection {
        let began = Instant::now();
        loop {
            let mut connection = self.connect();
            connection.ask(token);
            match connection.status() {
                OK => return connection,
                found => assert!(began.elapsed() < Duration::from_secs(60), "{found}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Connection(BufReader<TcpStream>);

impl Connection {
    fn ask(&mut self, token: &str) {
        let request =
            format!("GET / HTTP/1.1\r\nhost: app\r\nauthorization: Bearer {token}\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).expect("writes");
    }

    /// The status of the next response, which is read to its end.
    fn status(&mut self) -> u16 {
        let (mut status, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("an answer");
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest.get(..3).and_then(|status| status.parse().ok());
            } else if let Some(found) = line.strip_prefix("content-length: ") {
                length = found.parse().expect("a length");
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("a body");
        status.expect("a status")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_stopped_beyond_its_stale_limit_accepts_no_session_revoked_meanwhile() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let here = sessions(revocations(directory.path()).found_now()).await;
    let there = Replica::start(directory.path());
    let issue = |subject: &str| {
        let token = here.issue(&Login::new(subject, ())).expect("a fixed key signs");
        token.as_str().to_owned()
    };
    let mut answers = Vec::new();
    for round in 0..ROUNDS {
        let (revoked, good) = (issue("alice"), issue("bob"));
        let mut waiting: Vec<_> = (0..WAITING).map(|_| there.accepts(&revoked)).collect();
        let mut other = there.accepts(&good);
        there.stop();
        let stopped = Instant::now();
        let session = here.validate(&revoked).expect("it is good");
        match round % 2 {
            0 => here.logout(&session).await.expect("the store is up"),
            _ => here.revoke_subject("alice").await.expect("the store is up"),
        }
        waiting.extend((0..WAITING).map(|_| there.connect()));
        waiting.iter_mut().for_each(|connection| connection.ask(&revoked));
        other.ask(&good);
        let pause = (LIMIT + Duration::from_millis(50)).saturating_sub(stopped.elapsed());
        tokio::time::sleep(pause).await;
        there.signal("-CONT");
        for connection in &mut waiting {
            let status = connection.status();
            assert!([UNAUTHORIZED, STALE].contains(&status), "round {round}: {status}");
            answers.push(status);
        }
        let status = other.status();
        assert!([OK, STALE].contains(&status), "round {round}: {status}");
        // It has read the store since, and refuses for good.
        let _ = there.accepts(&good);
        let mut later = there.connect();
        later.ask(&revoked);
        assert_eq!(later.status(), UNAUTHORIZED, "round {round}");
    }
    let stale = answers.iter().filter(|status| **status == STALE).count();
    println!("{stale} of {} requests that waited were refused as stale", answers.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by `replica_stopped_beyond_its_stale_limit_…`, as a process of its own"]
async fn replica() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let revocations = revocations(Path::new(&directory)).max_staleness(LIMIT);
    // The limit is not below the longest time between two reads.
    let sessions = sessions(revocations.insert_timeout(Duration::from_millis(300))).await;
    let app = Router::new()
        .route("/", get(async |_: Session<()>| "good"))
        .layer(sessions.validate_layer());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    println!("\nserves {}", listener.local_addr().expect("an address").port());
    // The end of the test that started it is its own, too.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    axum::serve(listener, app).await.expect("serves");
}
