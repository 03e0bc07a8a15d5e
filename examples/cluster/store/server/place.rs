//! A directory for a server, and the server in it as a child that never outlives its parent. The
//! balancers use it, too.

use std::{
    io::{self, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// A directory for a server, which belongs to the user that the server runs as.
pub(crate) struct Place {
    directory: TempDir,
    user: Option<User>,
}

impl Place {
    /// Makes it.
    pub(crate) fn new(user: Option<User>) -> io::Result<Self> {
        let mut directory = tempfile::Builder::new();
        // There are passwords in it.
        #[cfg(unix)]
        directory.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        let directory = directory.prefix("cluster-server-").tempdir()?;
        user.map_or(Ok(()), |user| user.give(directory.path()))?;
        Ok(Self { directory, user })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file in it.
    pub(crate) fn write(&self, file: &str, content: &str) -> io::Result<()> {
        let path = self.path().join(file);
        std::fs::write(&path, content)?;
        self.user.map_or(Ok(()), |user| user.give(&path))
    }

    /// A command in the directory, as its user.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path()).stdin(Stdio::null());
        if let Some(user) = self.user {
            user.is_to_run(&mut command);
        }
        command
    }
}

/// A child that ends with its parent, without its cooperation: a shell beside it
/// waits for the end of its own input, which comes with the end of its parent, and then kills the
/// server and removes the directory. A line before that kills the server alone.
pub(crate) struct WatchedChild {
    shell: Child,
}

const WATCH: &str = r#"
directory=$1 signal=$2
shift 2
"$@" >>"$directory/log" 2>&1 </dev/null &
echo $! >"$directory/pid"
read -r _
only=$?
kill "-$signal" $!
wait $!
[ $only = 0 ] || rm -rf "$directory"
"#;

impl WatchedChild {
    /// Starts a server in its directory, where its log is too; `signal` is to kill it.
    pub(crate) fn start(
        place: &Place,
        signal: &str,
        program: &Path,
        arguments: &[&str],
    ) -> io::Result<Self> {
        let mut shell = place.command(Path::new("/bin/sh"));
        shell
            .args(["-c", WATCH, "watch"])
            .arg(place.path())
            .arg(signal)
            .arg(program)
            .args(arguments);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Ctrl-C at the terminal reaches the parent only.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut shell, 0);
        Ok(Self { shell: shell.spawn()? })
    }

    /// Kills the server and waits for its end. The directory stays.
    pub(crate) fn cut(&mut self) {
        if let Some(mut line) = self.shell.stdin.take() {
            // It fails only if the shell has ended, and then the server has too.
            let _ = writeln!(line);
        }
        let _ = self.shell.wait();
    }
}

impl Drop for WatchedChild {
    fn drop(&mut self) {
        self.cut();
    }
}

/// The numbers of a user of the system, and of its group.
#[derive(Clone, Copy)]
pub(crate) struct User {
    user: u32,
    group: u32,
}

/// Somebody who is not root, if we are: PostgreSQL refuses to be.
pub(crate) fn not_root() -> Result<Option<User>, String> {
    let id = |arguments: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(arguments).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    if id(&["-u"]) != Some(0) {
        return Ok(None);
    }
    let numbers = |name| Some(User { user: id(&["-u", name])?, group: id(&["-g", name])? });
    let user = ["postgres", "nobody"].into_iter().find_map(numbers);
    let missing = || "PostgreSQL refuses to run as root, and there is no other user".to_owned();
    user.map(Some).ok_or_else(missing)
}

impl User {
    fn give(self, path: &Path) -> io::Result<()> {
        #[cfg(unix)]
        std::os::unix::fs::chown(path, Some(self.user), Some(self.group))?;
        Ok(())
    }

    fn is_to_run(self, command: &mut Command) {
        #[cfg(unix)]
        {
            std::os::unix::process::CommandExt::uid(command, self.user);
            std::os::unix::process::CommandExt::gid(command, self.group);
        }
    }
}
