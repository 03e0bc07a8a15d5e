//! A Redis or PostgreSQL of one's own, made from what is installed: on the loopback interface, in
//! a directory that is removed with it, and never outliving its parent. The stores' tests and the chaos
//! tests use it, too.

mod group;
pub(crate) mod place;

use std::{
    fmt,
    io::{self, BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    time::{Duration, Instant},
};

use group::Role;
use place::{Place, User, WatchedChild};

/// How long a server may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Which server it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ServerKind {
    /// Redis or Valkey.
    Redis,
    /// A master of it with two replicas, and three Sentinels.
    RedisSentinel,
    /// A cluster of it: three masters, each with a replica.
    RedisCluster,
    /// PostgreSQL.
    Postgres,
}

impl fmt::Display for ServerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Redis => "Redis",
            Self::RedisSentinel => "Redis Sentinel",
            Self::RedisCluster => "Redis Cluster",
            Self::Postgres => "PostgreSQL",
        })
    }
}

/// A server with a password, and its data, or several that belong together. Dropping it ends all and
/// removes all data.
pub(crate) struct Server {
    kind: ServerKind,
    programs: Programs,
    /// Where the only server or the first master listens on 127.0.0.1.
    pub(crate) port: u16,
    /// What everyone needs who connects.
    pub(crate) password: String,
    nodes: Vec<Node>,
}

/// A process.
struct Node {
    role: Role,
    // Ended before its directory is removed.
    process: WatchedChild,
    place: Place,
}

impl Server {
    /// Starts an empty server, and returns when it answers.
    ///
    /// # Errors
    /// If it is not installed, or does not start: in words, with the end of its log.
    pub(crate) async fn start(kind: ServerKind, password: &str) -> Result<Self, String> {
        let programs = Programs::find(kind)?;
        let failed = |error: io::Error| format!("cannot prepare {kind}: {error}");
        let roles = group::roles(kind, password).map_err(failed)?;
        let (port, password) = (roles[0].port, password.to_owned());
        let mut server = Self { kind, programs, port, password, nodes: Vec::new() };
        for role in roles {
            if role.is_sentinel && !server.nodes.iter().any(|node| node.role.is_sentinel) {
                // It looks for replicas every 10 seconds only.
                server.answered().await?;
                server.complete().await?;
            }
            let place = Place::new(server.programs.user).map_err(failed)?;
            match kind {
                ServerKind::Postgres => server
                    .initialize(&place)
                    .map_err(|reason| format!("cannot prepare {kind}: {reason}"))?,
                // No argument shows the password, as it would to everyone who lists processes.
                _ => place.write("redis.conf", &role.configuration).map_err(failed)?,
            }
            let process = serve(kind, &role, &server.programs, &place)?;
            server.nodes.push(Node { role, process, place });
        }
        server.answered().await?;
        if kind == ServerKind::RedisCluster {
            server.join()?;
        }
        server.complete().await?;
        Ok(server)
    }

    /// Makes PostgreSQL's directory of data.
    fn initialize(&self, place: &Place) -> Result<(), String> {
        let failed = |error: io::Error| error.to_string();
        place.write("password", &self.password).map_err(failed)?;
        let mut initdb = place.command(&self.programs.program.with_file_name("initdb"));
        initdb.args(["-D", "data", "-U", "postgres", "--pwfile=password", "--no-sync"]);
        initdb.args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]);
        let made = initdb.output().map_err(failed)?;
        let reason = || String::from_utf8_lossy(&made.stderr).trim().to_owned();
        if made.status.success() { Ok(()) } else { Err(reason()) }
    }

    /// Where it is and how to log in: the URL without a database. That of Redis Sentinel has the name of
    /// the service as its host.
    pub(crate) fn url(&self) -> String {
        let (scheme, user) = match self.kind {
            ServerKind::Postgres => ("postgres", "postgres"),
            _ => ("redis", ""),
        };
        let host = match self.kind {
            ServerKind::RedisSentinel => group::SERVICE.to_owned(),
            _ => format!("127.0.0.1:{}", self.port),
        };
        format!("{scheme}://{user}:{}@{host}", self.password)
    }

    /// Which server it is.
    pub(crate) fn kind(&self) -> ServerKind {
        self.kind
    }

    /// The number of its process, or of the first of them, for those who want to kill it.
    pub(crate) fn id(&self) -> Option<u32> {
        let file = self.nodes.first()?.place.path().join("pid");
        std::fs::read_to_string(file).ok()?.trim().parse().ok()
    }

    /// The directory of its data and its log, or that of the first of them.
    #[allow(dead_code, reason = "the chaos tests use it")]
    pub(crate) fn directory(&self) -> &std::path::Path {
        self.nodes[0].place.path()
    }

    /// Another program of the same installation, in that directory, as the server's user.
    #[allow(dead_code, reason = "the chaos tests use it")]
    pub(crate) fn program(&self, name: &str) -> std::process::Command {
        self.nodes[0].place.command(&self.programs.program.with_file_name(name))
    }

    /// Whether it listens at its port, as it does as long as its process lives.
    pub(crate) fn listens(&self) -> bool {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
    }

    /// Kills it, which cleans nothing up, and waits for its end. Its data stay.
    pub(crate) fn kill(&mut self) {
        for node in &mut self.nodes {
            node.process.cut();
        }
    }

    /// Starts it again on its port and its data, and returns when it answers, and all its parts know each
    /// other.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) async fn restart(&mut self) -> Result<(), String> {
        for node in &mut self.nodes {
            node.process = serve(self.kind, &node.role, &self.programs, &node.place)?;
        }
        self.answered().await?;
        self.complete().await
    }

    /// Waits until each process answers.
    async fn answered(&mut self) -> Result<(), String> {
        let start = Instant::now();
        for node in &self.nodes {
            while !self.answers(node) {
                if start.elapsed() > START_TIMEOUT {
                    let log = std::fs::read_to_string(node.place.path().join("log"));
                    let log = log.unwrap_or_default();
                    let last = log.lines().last().unwrap_or("its log is empty");
                    return Err(format!("{} did not start: {last}", self.kind));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    fn answers(&self, node: &Node) -> bool {
        match self.kind {
            ServerKind::Postgres => {
                let program = self.programs.program.with_file_name("pg_isready");
                let mut asks = node.place.command(&program);
                asks.args(["-q", "-h", "127.0.0.1", "-p", &node.role.port.to_string()]);
                asks.status().is_ok_and(|status| status.success())
            }
            _ => {
                let password = self.password_of(&node.role);
                ping(node.role.port, &password).is_ok_and(|answer| answer.starts_with("+PONG"))
            }
        }
    }
}

/// Redis' answer to `PING`, which is an error as long as it loads its data.
fn ping(port: u16, password: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(format!("AUTH {password}\r\nPING\r\n").as_bytes())?;
    let (mut lines, mut answer) = (BufReader::new(stream), String::new());
    for _ in 0..2 {
        answer.clear();
        lines.read_line(&mut answer)?;
    }
    Ok(answer)
}

fn serve(
    kind: ServerKind,
    role: &Role,
    programs: &Programs,
    place: &Place,
) -> Result<WatchedChild, String> {
    let port = role.port.to_string();
    let (signal, arguments): (_, &[&str]) = match kind {
        // PostgreSQL's immediate shutdown: as in a crash, but its processes die together.
        ServerKind::Postgres => (
            "QUIT",
            &[
                "-Ddata",
                "-p",
                &port,
                "-clisten_addresses=127.0.0.1",
                "-cunix_socket_directories=",
                "-cmax_connections=200",
                "-cshared_buffers=16MB",
                "-cfsync=off",
            ],
        ),
        _ if role.is_sentinel => ("KILL", &["redis.conf", "--sentinel"]),
        _ => ("KILL", &["redis.conf"]),
    };
    WatchedChild::start(place, signal, &programs.program, arguments)
        .map_err(|error| format!("cannot start {kind}: {error}"))
}

/// The programs of a kind of server.
pub(crate) struct Programs {
    program: PathBuf,
    /// The user that it runs as; by default that of its parent.
    user: Option<User>,
}

impl Programs {
    /// Looks for what is installed.
    ///
    /// # Errors
    /// The missing program.
    pub(crate) fn find(kind: ServerKind) -> Result<Self, String> {
        let (program, user) = match kind {
            ServerKind::Postgres => (postgres(), place::not_root()?),
            _ => (find("redis-server").or_else(|| find("valkey-server")), None),
        };
        let (missing, apt, brew) = match kind {
            ServerKind::Postgres => ("postgres and initdb", "postgresql", "postgresql"),
            _ => ("redis-server or valkey-server", "redis-server", "redis"),
        };
        let program = program.ok_or_else(|| {
            format!(
                "{kind} is not installed: needs {missing}; install it with `apt-get install \
                 {apt}` or `brew install {brew}`"
            )
        })?;
        Ok(Self { program, user })
    }
}

/// The server beside `initdb`, which is not always in the path.
fn postgres() -> Option<PathBuf> {
    let postgres = find("initdb")?.canonicalize().ok()?.with_file_name("postgres");
    postgres.is_file().then_some(postgres)
}

/// The program of that name, in one of the places where systems keep servers.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::split_paths(&path).collect::<Vec<_>>();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    versions.sort();
    let system = ["/usr/local/bin", "/usr/sbin", "/usr/bin", "/opt/homebrew/bin"];
    let places = path.into_iter().chain(versions.into_iter().rev());
    let mut programs = places
        .chain(system.map(PathBuf::from))
        .map(|directory| directory.join(program))
        .filter(|program| program.is_file());
    programs.next()
}

/// A port of the loopback interface that is free now.
pub(crate) fn free_port() -> io::Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr().map(|address| address.port())
}
