//! The processor time of a server, with its children, and of this thread; and the memory of this process, as Linux counts them.

use std::fs;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Of the server that listens on that port.
pub(crate) fn processor_time(port: u16) -> Duration {
    let directories = fs::read_dir("/proc").expect("Linux").flatten();
    let numbers = directories.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let processes: Vec<u32> = numbers.collect();
    let is_server = |process: &&u32| {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let is_program = line.contains("redis-server ") || line.contains("/postgres ");
        let mut words = line.split([' ', ':']);
        is_program && !line.starts_with("/bin/sh") && words.any(|word| *word == *port.to_string())
    };
    let server = *processes.iter().find(is_server).expect("the server runs");
    let stats = processes.iter().filter_map(|process| stat(*process).map(|stat| (process, stat)));
    let ticks: u64 = stats
        .filter(|(process, stat)| **process == server || stat[PARENT] == u64::from(server))
        // Of PostgreSQL's connections that were closed, too.
        .map(|(_, stat)| stat[TIMES..TIMES + 4].iter().sum::<u64>())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// The fields after the name in `/proc/…/stat`, from the parent's number on.
fn stat(process: u32) -> Option<Vec<u64>> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    // The first is a letter. Some are negative.
    let fields = fields.split(' ').skip(1);
    let numbers: Vec<_> = fields.map(|field| field.trim().parse().unwrap_or(0)).collect();
    (numbers.len() > TIMES + 4).then_some(numbers)
}

const PARENT: usize = 0;
/// In user mode, in the kernel, and both of children that have ended: in hundredths of a second.
const TIMES: usize = 10;

/// What of this process is in memory, in bytes.
pub(crate) fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process");
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes * 1024.0
}

/// The time that this thread had a processor.
pub(crate) fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has it").into()
}
