//! HAProxy or nginx with a file of `examples/deploy`, before ports that are free now.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::place::{Place, WatchedChild};

const PATIENCE: Duration = Duration::from_secs(20);

/// Whether the program is there; if not, this is said, and fails with `REQUIRE_BALANCERS=1`.
pub(crate) fn is_installed(program: &str) -> bool {
    if Command::new(program).arg("-v").output().is_ok() {
        return true;
    }
    let missing = format!("no `{program}`: `apt-get install {program}`");
    assert_ne!(std::env::var("REQUIRE_BALANCERS").as_deref(), Ok("1"), "{missing}");
    // Past the test harness, which shows nothing of a test that passes.
    let _ = writeln!(std::io::stderr(), "NOT CHECKED: {missing}");
    false
}

/// A shipped file.
pub(crate) fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/deploy").join(file)
}

/// A port of the loopback interface that is free now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// The process.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) url: String,
    /// Its directory.
    pub(crate) directory: PathBuf,
    _process: WatchedChild,
    place: Place,
}

impl Proxy {
    /// Starts HAProxy or nginx with a shipped file, in which the ports of the replicas and those of
    /// `more` are replaced, and then whatever `change` says.
    pub(crate) async fn start(
        file: &str,
        replicas: &[u16],
        more: &[(u16, u16)],
        change: impl Fn(String) -> String,
    ) -> Self {
        let mut text = std::fs::read_to_string(deploy(file)).expect("a shipped file");
        let public = free_port();
        let nobody = free_port();
        let replica = |slot: u16| replicas.get(usize::from(slot)).copied().unwrap_or(nobody);
        let slots = (0..5).map(|slot| (9001 + slot, replica(slot)));
        for (shipped, port) in slots.chain([(8080, public)]).chain(more.iter().copied()) {
            // A port of this run is above all that are shipped.
            text = text.replace(&format!("127.0.0.1:{shipped}"), &format!("127.0.0.1:{port}"));
        }
        let place = Place::new(None).expect("a directory");
        place.write("file", &change(text)).expect("it can be written");
        let directory = place.path().to_owned();
        let process = if file.starts_with("nginx") {
            let prefix = format!("{}/", directory.display());
            let globals = "daemon off; pid nginx.pid; error_log stderr notice;";
            let arguments = ["-e", "stderr", "-p", &prefix, "-c", "file", "-g", globals];
            WatchedChild::start(&place, "TERM", Path::new("nginx"), &arguments)
        } else {
            std::fs::create_dir_all(directory.join("keys")).expect("a directory");
            let keys = format!("KEYS={}", directory.join("keys").display());
            let arguments =
                [&keys, "haproxy", "-W", "-db", "-p", "haproxy.pid", "-f", "file", "-f", "keys"];
            WatchedChild::start(&place, "TERM", Path::new("/usr/bin/env"), &arguments)
        };
        let process = process.expect("it starts");
        let start = std::time::Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, public)).is_err() {
            let log = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
            assert!(start.elapsed() < PATIENCE, "{file} does not listen: {log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let url = format!("http://127.0.0.1:{public}");
        Self { url, directory, _process: process, place }
    }

    /// What it has written.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.place.path().join("log")).unwrap_or_default()
    }
}
