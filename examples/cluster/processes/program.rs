//! HAProxy or nginx as the parent holds it: the file of `examples/deploy` with this run's ports, the
//! process, and what its log says of the replicas.

use std::{
    collections::{BTreeSet, HashMap},
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use axum::http::StatusCode;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    BoxError,
    command::balancer::BalancerKind,
    store::server::place::{Place, WatchedChild},
    store::server::{find, free_port},
    users::client::{Client, Credentials},
};

/// The port of the first replica in the files.
const FIRST_PORT: u16 = 9001;
/// How many replicas the files know.
const SLOTS: u16 = 5;
/// The port in the files at which users ask.
const PUBLIC: &str = "127.0.0.1:8080";
/// The name of the file in the directory of the process.
const FILE: &str = "balancer.cfg";
/// How long the process may take to start, and to obey.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the log is read.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The state of a replica that the balancer last reported.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Seen {
    /// Ready.
    Up,
    /// Not ready, or not to be reached.
    Down,
    /// Taken out.
    Removed,
}

/// What a balancer has seen, by the address of the replica.
pub(crate) type AllSeen = HashMap<String, Seen>;

/// The process.
pub(crate) struct Program {
    kind: BalancerKind,
    program: PathBuf,
    text: String,
    public: u16,
    ports: Vec<u16>,
    seen: watch::Sender<AllSeen>,
    /// nginx' worker processes, by their numbers.
    workers: watch::Receiver<BTreeSet<u32>>,
    reader: JoinHandle<()>,
    // Ended before its directory is removed.
    process: WatchedChild,
    place: Place,
}

impl Program {
    /// Starts it at `port` of 127.0.0.1, over ports that are free now.
    ///
    /// # Errors
    /// If it is not installed, or does not start: in words, with the end of its log.
    pub(crate) async fn start(
        kind: BalancerKind,
        port: u16,
        affinity: bool,
    ) -> Result<Self, BoxError> {
        let (name, shipped) = match (kind, affinity) {
            (BalancerKind::Nginx, false) => ("nginx", include_str!("../../deploy/nginx.conf")),
            (BalancerKind::Nginx, true) => {
                ("nginx", include_str!("../../deploy/nginx-sticky.conf"))
            }
            (_, false) => ("haproxy", include_str!("../../deploy/haproxy.cfg")),
            (_, true) => ("haproxy", include_str!("../../deploy/haproxy-sticky.cfg")),
        };
        let program = find(name)
            .ok_or_else(|| format!("{kind} is not installed: `apt-get install {name}`"))?;
        let public = if port == 0 { free_port()? } else { port };
        let mut ports = Vec::new();
        while ports.len() < usize::from(SLOTS) {
            let port = free_port()?;
            if port != public && !ports.contains(&port) {
                ports.push(port);
            }
        }
        let text = with_ports(shipped, public, &ports);
        let place = Place::new(None)?;
        place.write(FILE, &text)?;
        let (seen, workers) = (watch::Sender::default(), watch::Sender::default());
        let process = match kind {
            BalancerKind::Nginx => {
                let arguments = nginx_arguments(place.path());
                let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
                // Its workers outlive it if it is killed.
                WatchedChild::start(&place, "TERM", &program, &arguments)?
            }
            _ => WatchedChild::start(&place, "KILL", &program, &["-db", "-f", FILE])?,
        };
        let log = place.path().join("log");
        let started = Self {
            kind,
            program,
            text,
            public,
            reader: tokio::spawn(read(log.clone(), ports.clone(), seen.clone(), workers.clone())),
            ports,
            seen,
            workers: workers.subscribe(),
            process,
            place,
        };
        let listens = async {
            // HAProxy takes all for ready until its first checks: it says nothing of those that are.
            let all = if kind == BalancerKind::HaProxy { started.ports.len() } else { 0 };
            while !started.listens() || started.seen.borrow().len() < all {
                sleep(LOOK_EVERY).await;
            }
        };
        if timeout(PATIENCE, listens).await.is_err() {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            let last = log.lines().last().unwrap_or("its log is empty");
            return Err(format!("{kind} did not start: {last}").into());
        }
        Ok(started)
    }

    /// Where users ask.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.public)
    }

    /// What it has seen.
    pub(crate) fn seen(&self) -> watch::Receiver<AllSeen> {
        self.seen.subscribe()
    }

    /// Where the replica at this place has to listen.
    ///
    /// # Errors
    /// If the file has no such place.
    pub(crate) fn port_of(&self, index: usize) -> Result<u16, BoxError> {
        let none = || format!("the file of {} has {SLOTS} places for replicas", self.kind);
        Ok(*self.ports.get(index).ok_or_else(none)?)
    }

    /// Whether it accepts connections.
    pub(crate) fn listens(&self) -> bool {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.public)).is_ok()
    }

    /// Lets a replica have its share. HAProxy finds out by itself; in nginx' file the replica is no
    /// longer `down`, once it is ready.
    ///
    /// # Errors
    /// If the replica does not become ready, or nginx does not reload.
    pub(crate) async fn put_in(&mut self, url: &str) -> Result<(), BoxError> {
        if self.kind != BalancerKind::Nginx || self.has_seen(url, Seen::Up) {
            return Ok(());
        }
        let replica = Client::new(url);
        let ready = async {
            let path = "/health/ready";
            let ask = async || replica.get(path, Credentials::Nobody).await;
            while !ask().await.is_ok_and(|it| it.status == StatusCode::OK) {
                sleep(LOOK_EVERY).await;
            }
        };
        timeout(PATIENCE, ready).await.map_err(|_| format!("{url} does not become ready"))?;
        self.text = marked(&self.text, url, false);
        self.reload().await?;
        self.note(url, Seen::Up);
        Ok(())
    }

    /// Takes a replica out before it is stopped: in nginx' file it is `down`. HAProxy finds out by
    /// itself.
    ///
    /// # Errors
    /// If nginx does not reload.
    pub(crate) async fn take_out(&mut self, url: &str) -> Result<(), BoxError> {
        if self.kind == BalancerKind::Nginx {
            self.text = marked(&self.text, url, true);
            self.reload().await?;
            self.note(url, Seen::Down);
        }
        Ok(())
    }

    /// Makes it find out about a replica that died or stopped: nginx learns only from requests.
    pub(crate) async fn poke(&self) {
        if self.kind == BalancerKind::Nginx {
            // What comes of it does not matter.
            let _ = Client::new(&self.url()).get("/health/live", Credentials::Nobody).await;
        }
    }

    /// Ends it.
    pub(crate) fn end(&mut self) {
        self.process.cut();
    }

    /// Makes nginx read its file again, and returns when no process works with the former one.
    async fn reload(&mut self) -> Result<(), BoxError> {
        self.place.write(FILE, &self.text)?;
        let former = self.workers.borrow().clone();
        let mut reload = Command::new(&self.program);
        reload.args(nginx_arguments(self.place.path())).args(["-s", "reload"]);
        let done = reload.output()?;
        if !done.status.success() {
            let reason = String::from_utf8_lossy(&done.stderr);
            return Err(format!("nginx does not reload: {}", reason.trim()).into());
        }
        let replaced = self.workers.wait_for(|now| !now.is_empty() && now.is_disjoint(&former));
        match timeout(PATIENCE, replaced).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err("nginx' former processes do not end".into()),
        }
    }

    fn has_seen(&self, url: &str, state: Seen) -> bool {
        self.seen.borrow().get(url) == Some(&state)
    }

    fn note(&self, url: &str, state: Seen) {
        note(&self.seen, url.to_owned(), state);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// How nginx is started, and asked to reload: as the file's first lines say.
fn nginx_arguments(directory: &Path) -> Vec<String> {
    let globals = "daemon off; pid nginx.pid; error_log stderr notice;";
    let directory = format!("{}/", directory.display());
    ["-e", "stderr", "-p", &directory, "-c", FILE, "-g", globals].map(str::to_owned).to_vec()
}

/// The file with the ports of this run.
fn with_ports(shipped: &str, public: u16, ports: &[u16]) -> String {
    let mut text = shipped.replace(PUBLIC, &format!("127.0.0.1:{public}"));
    // First to names that are no ports: a port of this run may be one of the file.
    for slot in 0..ports.len() as u16 {
        text = text
            .replace(&format!("127.0.0.1:{}", FIRST_PORT + slot), &format!("127.0.0.1:slot{slot}"));
    }
    for (slot, port) in ports.iter().enumerate() {
        text = text.replace(&format!("127.0.0.1:slot{slot}"), &format!("127.0.0.1:{port}"));
    }
    text
}

/// nginx' file with a replica `down`, or not.
fn marked(text: &str, url: &str, down: bool) -> String {
    let server = format!("server {} ", url.trim_start_matches("http://"));
    let line = |line: &str| match line.trim_start().starts_with(&server) {
        true => {
            let bare = line.trim_end_matches(';').trim_end_matches(" down");
            format!("{bare}{};", if down { " down" } else { "" })
        }
        false => line.to_owned(),
    };
    text.lines().map(|it| line(it) + "\n").collect()
}

fn note(seen: &watch::Sender<AllSeen>, url: String, state: Seen) {
    seen.send_modify(|seen| {
        seen.insert(url, state);
    });
}

/// Follows the log.
async fn read(
    log: PathBuf,
    ports: Vec<u16>,
    seen: watch::Sender<AllSeen>,
    workers: watch::Sender<BTreeSet<u32>>,
) {
    let mut done = 0;
    loop {
        let text = std::fs::read(&log).unwrap_or_default();
        let new = text.get(done..).unwrap_or_default();
        let complete = new.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        for line in String::from_utf8_lossy(&new[..complete]).lines() {
            match event(line) {
                Some(Event::Slot(slot, state)) => {
                    if let Some(port) = ports.get(slot - 1) {
                        let url = format!("http://127.0.0.1:{port}");
                        note(&seen, url, state);
                    }
                }
                Some(Event::Disabled(url)) => {
                    note(&seen, url, Seen::Down);
                }
                Some(Event::Begun(id)) => workers.send_modify(|all| {
                    all.insert(id);
                }),
                Some(Event::Ended(id)) => workers.send_modify(|all| {
                    all.remove(&id);
                }),
                None => {}
            }
        }
        done += complete;
        sleep(LOOK_EVERY).await;
    }
}

/// What a line of the log says.
#[derive(Debug, PartialEq)]
enum Event {
    /// HAProxy's health checks have changed their mind about a slot.
    Slot(usize, Seen),
    /// nginx sends nothing to a replica for a while.
    Disabled(String),
    /// nginx has a new worker process.
    Begun(u32),
    /// A worker process of nginx has ended.
    Ended(u32),
}

fn event(line: &str) -> Option<Event> {
    if let Some((_, rest)) = line.split_once(" Server replicas/slot") {
        let (slot, rest) = rest.split_once(" is ")?;
        let slot = slot.parse().ok().filter(|&slot| slot > 0)?;
        return match rest.split([',', '.', ' ']).next()? {
            "UP" => Some(Event::Slot(slot, Seen::Up)),
            "DOWN" => Some(Event::Slot(slot, Seen::Down)),
            _ => None,
        };
    }
    if line.contains("upstream server temporarily disabled") {
        let (_, upstream) = line.split_once("upstream: \"")?;
        let address = upstream.strip_prefix("http://")?.split(['/', '"']).next()?;
        return Some(Event::Disabled(format!("http://{address}")));
    }
    if let Some((_, id)) = line.split_once("start worker process ") {
        return id.parse().ok().map(Event::Begun);
    }
    let (_, rest) = line.split_once("worker process ")?;
    let (id, _) = rest.split_once(" exited ")?;
    id.parse().ok().map(Event::Ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logs_are_understood() {
        let seen =
            "[WARNING]  (7) : Server replicas/slot2 is DOWN, reason: Layer4 connection problem";
        assert_eq!(event(seen), Some(Event::Slot(2, Seen::Down)));
        let seen = "[WARNING]  (7) : Server replicas/slot1 is UP, reason: Layer7 check passed";
        assert_eq!(event(seen), Some(Event::Slot(1, Seen::Up)));
        let disabled = "2026/11/30 14:00:00 [warn] 8#8: *3 upstream server temporarily disabled while \
                        connecting to upstream, client: 127.0.0.1, server: , request: \"GET / HTTP/1.1\", \
                        upstream: \"http://127.0.0.1:9001/me\", host: \"127.0.0.1:8080\"";
        assert_eq!(event(disabled), Some(Event::Disabled("http://127.0.0.1:9001".to_owned())));
        let line = "2026/11/30 14:00:00 [notice] 7#7: start worker process 8";
        assert_eq!(event(line), Some(Event::Begun(8)));
        let line = "2026/11/30 14:00:00 [notice] 7#7: worker process 8 exited with code 0";
        assert_eq!(event(line), Some(Event::Ended(8)));
        assert_eq!(event("2026/11/30 14:00:00 [notice] 7#7: start worker processes"), None);
    }

    #[test]
    fn the_files_take_other_ports_and_marks() {
        for shipped in [
            include_str!("../../deploy/haproxy.cfg"),
            include_str!("../../deploy/haproxy-sticky.cfg"),
            include_str!("../../deploy/nginx.conf"),
            include_str!("../../deploy/nginx-sticky.conf"),
        ] {
            let text = with_ports(shipped, 1000, &[9002, 9001, 1003, 1004, 1005]);
            for port in [1000, 9002, 9001, 1003, 1004, 1005] {
                assert!(text.contains(&format!("127.0.0.1:{port}")), "{port}: {text}");
            }
            for port in [9003, 9004, 9005, 8080] {
                assert!(!text.contains(&format!("127.0.0.1:{port}")), "{port}: {text}");
            }
        }
        let nginx = include_str!("../../deploy/nginx.conf");
        let out = marked(nginx, "http://127.0.0.1:9001", true);
        assert!(out.contains("server 127.0.0.1:9001 max_fails=1 fail_timeout=10s down;\n"));
        assert_eq!(marked(&out, "http://127.0.0.1:9001", false), nginx);
    }
}
