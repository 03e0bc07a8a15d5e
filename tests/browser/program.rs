//! A process that a test starts, and that ends with it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A process that says in a line of its output at which port it listens.
pub(crate) struct Program {
    child: Child,
    pub(crate) port: u16,
}

impl Program {
    /// Fails if a program of these packages of Debian is missing.
    pub(crate) fn require(program: &str, packages: &str) -> Result<(), String> {
        match Command::new(program).arg("--version").output() {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("no `{program}`: install Debian's {packages}")),
        }
    }

    /// `before` is what stands before the port.
    pub(crate) fn start(command: &mut Command, before: &str) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut output = BufReader::new(child.stdout.take().expect("its output"));
        let mut port = None;
        while port.is_none() {
            let mut line = String::new();
            let length = output.read_line(&mut line).expect("text");
            assert_ne!(length, 0, "{command:?} ended, or named no port");
            port = line.split_once(before).and_then(|(_, rest)| {
                let digits = rest.split(|next: char| !next.is_ascii_digit()).next()?;
                digits.parse().ok()
            });
        }
        // It must not block on a full pipe.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Self { child, port: port.expect("a port") }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
