//! A server as a child process that never outlives the tests, however they end.

use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// Waits for its input to end, which it does with these tests, and then ends the server and removes
/// the directory. A line before that ends the server alone.
const LIFELINE: &str = r#"
directory=$1 signal=$2
shift 2
trap : HUP INT TERM
"$@" >>"$directory/log" 2>&1 </dev/null &
read -r _
only=$?
kill "-$signal" $!
wait $!
[ $only = 0 ] || rm -rf "$directory"
"#;

/// A directory for a server, which belongs to the user that the server runs as.
pub struct Place {
    directory: TempDir,
    user: Option<(u32, u32)>,
}

/// A running server.
pub struct Server {
    shell: Child,
}

impl Place {
    /// A directory for a server that runs as `user`, if these tests run as root.
    pub fn new(user: Option<(u32, u32)>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        if let Some((user, group)) = user {
            chown(directory.path(), Some(user), Some(group)).expect("gives a directory away");
        }
        Self { directory, user }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn write(&self, file: &str, content: &str) -> PathBuf {
        let path = self.path().join(file);
        std::fs::write(&path, content).expect("writes a file");
        if let Some((user, group)) = self.user {
            chown(&path, Some(user), Some(group)).expect("gives a file away");
        }
        path
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }

    /// A command in the directory, as its user.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.current_dir(self.path()).stdin(Stdio::null());
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    /// Starts a server, which `signal` is to end.
    pub fn serve(&self, signal: &str, program: &Path, arguments: &[&str]) -> Server {
        let log = File::options().create(true).append(true).open(self.path().join("log"));
        if let (Ok(log), Some((user, group))) = (log, self.user) {
            std::os::unix::fs::fchown(log, Some(user), Some(group)).expect("gives the log away");
        }
        let shell = self
            .command("/bin/sh")
            .args(["-c", LIFELINE, "lifeline"])
            .arg(self.path())
            .arg(signal)
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Server { shell: shell.expect("starts a shell") }
    }
}

impl Server {
    /// Kills the server and waits for its end. The directory stays.
    pub fn kill(&mut self) {
        if let Some(mut lifeline) = self.shell.stdin.take() {
            let _ = writeln!(lifeline);
        }
        let _ = self.shell.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The program of that name, in one of the places where systems keep servers.
pub fn find(program: &str) -> Option<PathBuf> {
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

/// Whether these tests run as root.
pub fn is_root() -> bool {
    // A file belongs to whoever makes it.
    let own = tempfile::tempfile().and_then(|file| file.metadata());
    own.expect("a temporary file").uid() == 0
}

/// The numbers of the first of `users` that the system has, and of its group.
pub fn user(users: &[&str]) -> Option<(u32, u32)> {
    let number = |flag: &str, user: &str| {
        let output = Command::new("id").args([flag, user]).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    users.iter().find_map(|user| Some((number("-u", user)?, number("-g", user)?)))
}

/// A port of the loopback interface that is free now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}
