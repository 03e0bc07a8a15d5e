//! The commands that the guides and the deployments print are commands of the binary.

use crate::run::sessionctl;

const PAGES: [(&str, &str); 3] = [
    ("runbook.md", include_str!("../../src/guide/runbook.md")),
    ("production.md", include_str!("../../src/guide/production.md")),
    ("random_logouts.md", include_str!("../../src/guide/random_logouts.md")),
];
const FIRST_START: &str = include_str!("../../examples/deploy/kubernetes/first-start.yaml");

/// The arguments of each command in a page: of blocks of `sh`, and of code within a line.
fn commands(page: &str) -> Vec<Vec<String>> {
    let code = page.split('`').skip(1).step_by(2).chain(page.lines());
    let commands = code.filter(|code| !code.contains('`') && !code.contains("sessionctl …"));
    let arguments = commands.filter_map(|code| {
        let is_command = ["sessionctl ", "sudo ", "kubectl "].iter().any(|it| code.starts_with(it));
        let (_, arguments) = code.split_once("sessionctl ").filter(|_| is_command)?;
        // The shell takes what follows.
        let arguments = arguments.split_once(" <").map_or(arguments, |(before, _)| before);
        // Nothing listens at port 1 of this machine.
        let word = |word: &str| match word.strip_prefix("http") {
            Some(_) => "http://127.0.0.1:1".to_owned(),
            None => word.to_owned(),
        };
        Some(arguments.split_whitespace().map(word).collect())
    });
    arguments.collect()
}

/// The binary reads the arguments, and fails only because there is no store, token or replica.
fn assert_read(place: &str, arguments: &[String]) {
    let mut arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let run = sessionctl(&arguments, "");
    assert!(!run.err.contains("Usage:"), "{place}: {arguments:?}: {}", run.err);
    assert_ne!(run.status, 0, "{place}: {arguments:?} did something: {}", run.out);
    arguments.push("--help");
    let run = sessionctl(&arguments, "");
    assert_eq!(run.status, 0, "{place}: {arguments:?}: {}", run.err);
}

#[test]
fn command_of_a_guide_is_read_by_the_binary() {
    let mut count = 0;
    for (name, page) in PAGES {
        for arguments in commands(page) {
            assert_read(name, &arguments);
            count += 1;
        }
    }
    assert!(count > 20, "only {count} commands");
}

#[test]
fn command_of_the_first_start_is_read_by_the_binary() {
    let lines = FIRST_START.lines().map(str::trim);
    let words = lines.skip_while(|line| *line != "command:").skip(1);
    let words = words.map_while(|line| line.strip_prefix("- ")).map(str::to_owned);
    let command: Vec<_> = words.collect();
    assert_eq!(command[0], "sessionctl");
    assert_read("first-start.yaml", &command[1..]);
}
