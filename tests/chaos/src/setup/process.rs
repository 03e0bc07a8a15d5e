//! Signals to processes, commands, and what the machine lacks.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Problem;

/// Sends a signal to one process.
///
/// # Errors
/// If there is no such process.
pub(crate) fn signal(id: u32, name: &str) -> Result<(), Problem> {
    run(Command::new("kill").args([&format!("-{name}"), &id.to_string()]))
}

/// The process and all its children.
pub(crate) fn family(parent: u32) -> Vec<u32> {
    let children = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let children = children.filter_map(|entry| {
        let id: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name of the program may have any characters, parentheses, too.
        let (_, rest) = stat.rsplit_once(") ")?;
        let of: u32 = rest.split(' ').nth(1)?.parse().ok()?;
        (of == parent).then_some(id)
    });
    [parent].into_iter().chain(children).collect()
}

/// Runs a command to its end.
///
/// # Errors
/// If it fails: what it says.
pub(crate) fn run(command: &mut Command) -> Result<(), Problem> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("cannot start {name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words: Vec<_> = command.get_args().map(|it| it.to_string_lossy().into_owned()).collect();
    let says = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name} {} failed: {}", words.join(" "), says.trim()))
}

/// Copies a directory with owners and modes.
///
/// # Errors
/// If that fails.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), Problem> {
    run(Command::new("cp").arg("-a").arg(from).arg(to))
}

/// Where the system has libfaketime.
pub(crate) fn faketime_directory() -> Option<PathBuf> {
    let places = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let places = places.map(|place| place.path().join("faketime"));
    let mut places = places.chain([PathBuf::from("/usr/lib/faketime")]);
    places.find(|place| place.join("libfaketimeMT.so.1").exists())
}
