//! The example's `replica` command: replicas that are started one by one, for a balancer of one's own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long the first replica may look for others before it makes keys, and more.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// The command with its store in a directory.
fn replica(port: u16, directory: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--example", "cluster", "--", "replica"]);
    command.args(["--port", &port.to_string(), "--store"]);
    command.arg(format!("file:{}", directory.join("keys").display()));
    command.arg("--secret-file").arg(directory.join("sealing.key")).args(more);
    command.stdin(Stdio::null());
    command
}

struct Replica {
    process: Child,
    id: String,
    port: u16,
}

impl Replica {
    fn start(port: u16, directory: &Path, more: &[&str]) -> Self {
        let mut command = replica(port, directory, more);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let (rest, id) = line.trim_end().rsplit_once(", process ").expect("it listens");
        let (_, port) = rest.rsplit_once(':').unwrap();
        // Whatever it prints later must find a reader.
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        Self { process, id: id.to_owned(), port: port.parse().unwrap() }
    }

    /// The answer to a request, its head and its body; empty if nobody listens.
    fn ask(&self, request: &str) -> String {
        let mut answer = String::new();
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            let close = "Host: app.example\r\nConnection: close\r\n";
            let (line, rest) = request.split_once("\r\n").unwrap();
            stream.write_all(format!("{line}\r\n{close}{rest}").as_bytes()).unwrap();
            stream.read_to_string(&mut answer).unwrap();
        }
        answer
    }

    fn get(&self, path: &str, headers: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\n{headers}\r\n"))
    }

    fn becomes_ready(&self) {
        let start = Instant::now();
        while !self.get("/health/ready", "").starts_with("HTTP/1.1 200 ") {
            assert!(start.elapsed() < READY_WITHIN, "{}", self.get("/health/ready", ""));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.id]).status().unwrap().success());
    }

    fn wait(mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            self.signal("-9");
            self.process.wait().unwrap();
        }
    }
}

#[test]
fn replicas_by_themselves_share_sessions_keep_their_ports_and_leave_without_a_lost_request() {
    let directory = tempfile::tempdir().unwrap();
    let es256 = ["--algorithm", "ES256"];
    let start = |port, name| {
        let more = [&es256[..], &["--name", name, "--drain-seconds", "1"]].concat();
        Replica::start(port, directory.path(), &more)
    };
    let (one, two) = (start(0, "one"), start(0, "two"));
    one.becomes_ready();
    two.becomes_ready();

    let form = r#"{"username":"alice","password":"wonderland"}"#;
    let login = one.ask(&format!(
        "POST /login?transport=bearer HTTP/1.1\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    ));
    let (_, token) = login.split_once(r#""access_token":""#).expect("a login");
    let (token, _) = token.split_once('"').unwrap();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let me = two.get("/me", &bearer);
    assert!(me.starts_with("HTTP/1.1 200 ") && me.contains("x-replica: two"), "{me}");
    assert!(one.get("/.well-known/jwks.json", "").contains(r#""alg":"ES256""#));

    // It says that it leaves, and answers on; then it is gone, and its process has succeeded.
    one.signal("-TERM");
    while one.get("/health/ready", "").starts_with("HTTP/1.1 200 ") {}
    assert!(one.get("/me", &bearer).starts_with("HTTP/1.1 200 "));
    let port = one.port;
    assert!(one.wait().success());

    // Its port is free at once, and the sealed keys are read again.
    let again = start(port, "again");
    again.becomes_ready();
    assert!(again.get("/me", &bearer).starts_with("HTTP/1.1 200 "));

    let taken = replica(port, directory.path(), &es256).output().unwrap();
    let text = String::from_utf8_lossy(&taken.stderr);
    assert!(!taken.status.success());
    let problem =
        format!("cluster: cannot listen at port {port} of 127.0.0.1: Address already in use");
    assert!(text.starts_with(&problem) && text.lines().count() == 1, "{text}");
}
