//! Checks what revocations take and how long they need, against limits: in memory, and with Redis, PostgreSQL
//! and files, which it starts itself. It needs `redis-server` and PostgreSQL to be installed.
//!
//! Arguments are names of parts; without one all run. `--quick` measures small sizes, and fails only at limits
//! that do not depend on the speed of the machine. `--write` writes `revocations.md`, `.json` and `.svg`.
//! Environment variables set the sizes: see `settings.rs`.

mod counted;
mod engine;
mod fed;
mod figures;
mod fleet;
mod forwarder;
mod load;
mod lookup;
mod memory;
mod outage;
mod processes;
mod scale;
#[allow(dead_code, reason = "others restart their servers")]
#[path = "../../../../examples/cluster/store/server/mod.rs"]
mod server;
mod settings;
mod soak;
mod start;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use crate::figures::Figures;
use crate::settings::Settings;

/// A part, by its name.
type Part = (&'static str, fn(&Settings, &mut Figures));

const PARTS: [Part; 7] = [
    ("memory", memory::run),
    ("lookup", lookup::run),
    ("start", start::run),
    ("load", load::run),
    ("outage", outage::run),
    ("scale", scale::run),
    ("soak", soak::run),
];

fn main() -> ExitCode {
    let (options, names): (Vec<_>, Vec<_>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let has = |option| options.iter().any(|given| *given == option);
    let known = |name: &&String| PARTS.iter().any(|(part, _)| part == name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let parts = PARTS.map(|(part, _)| part).join(", ");
        eprintln!("no part is called {unknown:?}; there are: {parts}");
        return ExitCode::FAILURE;
    }
    let settings = Settings::new(has("--quick"));
    let mut figures = Figures::default();
    for (part, run) in PARTS {
        if names.is_empty() || names.iter().any(|name| name == part) {
            let start = Instant::now();
            run(&settings, &mut figures);
            eprintln!("{part}: {:.0} s\n", start.elapsed().as_secs_f64());
        }
    }
    println!("{}", figures.markdown());
    println!("{}", figures.json());
    if has("--write") {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (ending, content) in
            [("md", figures.markdown()), ("json", figures.json()), ("svg", figures.svg())]
        {
            let file = directory.join("revocations").with_extension(ending);
            std::fs::write(file, content).expect("the figures are written");
        }
    }
    if figures.hold(settings.is_quick) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
