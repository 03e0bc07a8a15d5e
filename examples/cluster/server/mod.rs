//! A Redis or PostgreSQL server of one's own, made from what is installed: on the loopback interface, in
//! a directory that is removed with it, and never outliving its parent. The stores' tests use it too.

mod place;

use std::{
    fmt,
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    time::{Duration, Instant},
};

use place::{Place, User, WatchedChild};

/// How long a server may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Which server it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ServerKind {
    /// Redis or Valkey.
    Redis,
    /// PostgreSQL.
    Postgres,
}

impl fmt::Display for ServerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Redis => "Redis",
            Self::Postgres => "PostgreSQL",
        })
    }
}

/// A server with a password, and its data. Dropping it ends it and removes them.
pub(crate) struct Server {
    kind: ServerKind,
    programs: Programs,
    /// Where it listens on 127.0.0.1, now and when it is started again.
    pub(crate) port: u16,
    password: String,
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
        let place = Place::new(programs.user).map_err(failed)?;
        let port = free_port().map_err(failed)?;
        match kind {
            ServerKind::Redis => {
                // No argument shows the password, as it would to everyone who lists processes.
                let configuration = format!(
                    "bind 127.0.0.1\nport {port}\nrequirepass {password}\ndatabases 1000\n\
                     save \"\"\nappendonly yes\nappendfsync always\n"
                );
                place.write("redis.conf", &configuration).map_err(failed)?;
            }
            ServerKind::Postgres => {
                place.write("password", password).map_err(failed)?;
                let mut initdb = place.command(&programs.program.with_file_name("initdb"));
                initdb.args(["-D", "data", "-U", "postgres", "--pwfile=password", "--no-sync"]);
                initdb.args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]);
                let made = initdb.output().map_err(failed)?;
                if !made.status.success() {
                    let reason = String::from_utf8_lossy(&made.stderr);
                    return Err(format!("cannot prepare {kind}: {}", reason.trim()));
                }
            }
        }
        let process = serve(kind, port, &programs, &place)?;
        let mut server =
            Self { kind, programs, port, password: password.to_owned(), process, place };
        server.answered().await?;
        Ok(server)
    }

    /// Where it is and how to log in: the URL without a database.
    pub(crate) fn url(&self) -> String {
        let (scheme, user) = match self.kind {
            ServerKind::Redis => ("redis", ""),
            ServerKind::Postgres => ("postgres", "postgres"),
        };
        format!("{scheme}://{user}:{}@127.0.0.1:{}", self.password, self.port)
    }

    /// Kills it, which cleans nothing up, and waits for its end. Its data stay.
    pub(crate) fn kill(&mut self) {
        self.process.cut();
    }

    /// Starts it again on its port and its data, and returns when it answers.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) async fn restart(&mut self) -> Result<(), String> {
        self.process = serve(self.kind, self.port, &self.programs, &self.place)?;
        self.answered().await
    }

    async fn answered(&mut self) -> Result<(), String> {
        let start = Instant::now();
        while !self.answers() {
            if start.elapsed() > START_TIMEOUT {
                let log = std::fs::read_to_string(self.place.path().join("log"));
                let log = log.unwrap_or_default();
                let last = log.lines().last().unwrap_or("its log is empty");
                return Err(format!("{} did not start: {last}", self.kind));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn answers(&self) -> bool {
        match self.kind {
            ServerKind::Redis => {
                ping(self.port).is_ok_and(|answer| !answer.starts_with("-LOADING"))
            }
            ServerKind::Postgres => {
                let program = self.programs.program.with_file_name("pg_isready");
                let mut asks = self.place.command(&program);
                asks.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
                asks.status().is_ok_and(|status| status.success())
            }
        }
    }
}

/// Redis' answer to `PING`; without a password an error, but an answer.
fn ping(port: u16) -> io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 64];
    let length = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

fn serve(
    kind: ServerKind,
    port: u16,
    programs: &Programs,
    place: &Place,
) -> Result<WatchedChild, String> {
    let port = port.to_string();
    let (signal, arguments): (_, &[&str]) = match kind {
        ServerKind::Redis => ("KILL", &["redis.conf"]),
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
            ServerKind::Redis => (find("redis-server").or_else(|| find("valkey-server")), None),
            ServerKind::Postgres => (postgres(), place::not_root()?),
        };
        let missing = match kind {
            ServerKind::Redis => "redis-server or valkey-server",
            ServerKind::Postgres => "postgres and initdb",
        };
        let program = program.ok_or_else(|| format!("{kind} is not installed: needs {missing}"))?;
        Ok(Self { program, user })
    }
}

/// The server beside `initdb`, which is not always in the path.
fn postgres() -> Option<PathBuf> {
    let postgres = find("initdb")?.canonicalize().ok()?.with_file_name("postgres");
    postgres.is_file().then_some(postgres)
}

/// The program of that name, in one of the places where systems keep servers.
fn find(program: &str) -> Option<PathBuf> {
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
