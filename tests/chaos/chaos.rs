//! Ten faults of real servers, replicas and clocks, each as a test. `CHAOS_FAULTS=all`, or names between commas,
//! chooses others; `CHAOS_AT_A_TIME` says how many run at a time (2).

use std::io::Write as _;

use chaos::report::Line;
use chaos::run::outcome::End;
use chaos::run::perform::{perform, prepare};
use chaos::{CI, all, variable};
use libtest_mimic::{Arguments, Trial};

fn main() {
    let chosen = std::env::var("CHAOS_FAULTS").unwrap_or_else(|_| CI.join(","));
    let names: Vec<_> = chosen.split(',').collect();
    let mut faults = all();
    for name in &names {
        let known = *name == "all" || faults.iter().any(|fault| fault.name == *name);
        assert!(known, "CHAOS_FAULTS: there is no fault `{name}`");
    }
    faults.retain(|fault| chosen == "all" || names.contains(&fault.name));
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(variable("CHAOS_AT_A_TIME", 2) as usize);
    let required = std::env::var_os("REQUIRE_SERVERS").is_some_and(|value| value == "1");
    let trials = faults.into_iter().map(|fault| {
        Trial::test(fault.name, move || {
            let runtime = tokio::runtime::Runtime::new()?;
            let line = runtime.block_on(async {
                prepare().await;
                Line::new(&fault, perform(&fault).await)
            });
            if let End::Skipped(missing) = &line.end {
                if required {
                    return Err(missing.clone().into());
                }
                // Past the test harness, which shows nothing of a test that passes.
                let _ = writeln!(std::io::stderr(), "NOT CHECKED: {}: {missing}", fault.name);
            }
            match line.holds() {
                true => Ok(()),
                false => Err(line.wrong().join("\n").into()),
            }
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
