//! The example cluster as a program, built for those who start replicas of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The first replica looks for others before it makes keys.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The example in the repository at `root`, built with the features of the other steps of CI, in the
/// profile of this program.
pub(crate) fn cluster(root: &Path) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let this = std::env::current_exe().expect("a path");
        let directory = this.parent().expect("a directory");
        // Tests are in target/debug/deps, programs in target/debug.
        let profile = match directory.ends_with("deps") {
            true => directory.parent().expect("target/debug"),
            false => directory,
        };
        // By its name also the toolchain is chosen, where this program was not started by cargo.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--all-features", "--example", "cluster"]);
        if profile.ends_with("release") {
            build.arg("--release");
        }
        let built = build.current_dir(root).status();
        assert!(built.expect("cargo starts").success(), "the example does not build");
        profile.join("examples/cluster")
    };
    BUILT.get_or_init(build).clone()
}

/// The port that a replica names in its log.
///
/// # Errors
/// If it ends, or names none in time: its log.
pub(crate) async fn listens(log: &Path) -> Result<u16, String> {
    let start = Instant::now();
    loop {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let port = text
            .split_once(" is at http://127.0.0.1:")
            .and_then(|(_, rest)| rest.split(',').next());
        if let Some(port) = port.and_then(|port| port.parse().ok()) {
            return Ok(port);
        }
        // The example's last words, if it ends.
        if start.elapsed() > PATIENCE || text.lines().any(|line| line.starts_with("cluster: ")) {
            return Err(format!("it does not listen: {text}"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
