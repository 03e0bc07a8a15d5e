//! The command line: what a person may ask for, and what the parent asks of its children.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

/// What `--help` prints.
pub(crate) const USAGE: &str = "\
Any request can land on any replica: a cluster of real processes.

Usage:
  cargo run --release --example cluster
      The proof: two arms, one script, a table. Exit status 0 only if it holds.

  cargo run --release --example cluster -- prove --keys private
      The same, but no replica sees another's keys: the proof has to fail.

  cargo run --release --example cluster -- serve [options]
      Keeps the cluster up for curl and a browser, until Ctrl-C.

Options of `serve`:
  --replicas N     how many replicas, 1 to 9 (3)
  --port P         where the balancer listens on 127.0.0.1; 0 picks a free port (8080)
  --arm ARM        stateless (the crate) or memory (the control) (stateless)

  --help           this text";

/// What one process is to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    /// Run the script over both arms.
    Prove(Keys),
    /// Keep a cluster up.
    Serve(ServeOptions),
    /// Print the usage.
    Help,
    /// Be one replica. For the parent only.
    Replica(ReplicaOptions),
    /// Be the balancer. For the parent only.
    Balancer {
        /// Where to listen; 0 picks a free port.
        port: u16,
    },
}

/// Who sees a replica's directory of keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Keys {
    /// All replicas share one.
    Shared,
    /// Each has its own, so that the proof can be seen to fail.
    Private,
}

impl FromStr for Keys {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "shared" => Ok(Self::Shared),
            "private" => Ok(Self::Private),
            _ => Err("expected `shared` or `private`"),
        }
    }
}

/// Where the sessions of a replica live.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Arm {
    /// In signed tokens: the crate.
    Stateless,
    /// In the memory of the process that made them: the control.
    Memory,
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stateless => "stateless",
            Self::Memory => "memory",
        })
    }
}

impl FromStr for Arm {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "stateless" => Ok(Self::Stateless),
            "memory" => Ok(Self::Memory),
            _ => Err("expected `stateless` or `memory`"),
        }
    }
}

/// What `serve` can be told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServeOptions {
    /// How many replicas, 1 to 9.
    pub(crate) replicas: usize,
    /// Where the balancer listens.
    pub(crate) port: u16,
    /// Which kind of sessions.
    pub(crate) arm: Arm,
}

/// How fast keys change and sessions end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pace {
    /// How long one key signs.
    pub(crate) signing_period: Duration,
    /// How long a session lives without being renewed.
    pub(crate) session_lifetime: Duration,
}

/// What a replica is told by its parent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ReplicaOptions {
    /// How it signs its answers: `replica-1`, …
    pub(crate) name: String,
    /// Which kind of sessions.
    pub(crate) arm: Arm,
    /// Its directory of keys.
    pub(crate) keys: PathBuf,
    /// Whether to remove the directory around it when the parent is gone and cannot do it.
    pub(crate) temporary_keys: bool,
    /// How fast keys change and sessions end.
    pub(crate) pace: Pace,
}

impl ReplicaOptions {
    /// The arguments from which [`parse`] makes these options again.
    pub(crate) fn to_arguments(&self) -> Vec<String> {
        vec![
            "replica".into(),
            format!("--name={}", self.name),
            format!("--arm={}", self.arm),
            format!("--keys={}", self.keys.display()),
            format!("--temporary-keys={}", self.temporary_keys),
            format!("--signing-period-ms={}", self.pace.signing_period.as_millis()),
            format!("--session-lifetime-ms={}", self.pace.session_lifetime.as_millis()),
        ]
    }
}

/// Reads the arguments of a process, without its name.
///
/// # Errors
/// One sentence that names the argument at fault.
pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Command, String> {
    let arguments: Vec<String> = arguments.into_iter().collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        return Ok(Command::Help);
    }
    let Some((command, rest)) = arguments.split_first() else {
        return Ok(Command::Prove(Keys::Shared));
    };
    if command.starts_with('-') {
        return Err(format!("unknown option `{command}`; the options belong behind `serve`"));
    }
    let mut flags = Flags::read(rest)?;
    let command = match command.as_str() {
        "prove" => Command::Prove(flags.take("keys")?.unwrap_or(Keys::Shared)),
        "serve" => Command::Serve(ServeOptions {
            replicas: match flags.take("replicas")?.unwrap_or(3) {
                count @ 1..=9 => count,
                count => return Err(format!("--replicas {count}: expected 1 to 9")),
            },
            port: flags.take("port")?.unwrap_or(8080),
            arm: flags.take("arm")?.unwrap_or(Arm::Stateless),
        }),
        "replica" => Command::Replica(ReplicaOptions {
            name: flags.need("name")?,
            arm: flags.need("arm")?,
            keys: flags.need("keys")?,
            temporary_keys: flags.need("temporary-keys")?,
            pace: Pace {
                signing_period: Duration::from_millis(flags.need("signing-period-ms")?),
                session_lifetime: Duration::from_millis(flags.need("session-lifetime-ms")?),
            },
        }),
        "balancer" => Command::Balancer { port: flags.need("port")? },
        other => return Err(format!("unknown argument `{other}`")),
    };
    flags.finish()?;
    Ok(command)
}

/// `--name value` and `--name=value`, taken out one by one.
struct Flags(Vec<(String, String)>);

impl Flags {
    fn read(arguments: &[String]) -> Result<Self, String> {
        let mut flags: Vec<(String, String)> = Vec::new();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let Some(flag) = argument.strip_prefix("--") else {
                return Err(format!("unexpected argument `{argument}`"));
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => match rest.next() {
                    Some(value) if !value.starts_with("--") => (flag, value.clone()),
                    _ => return Err(format!("`--{flag}` needs a value")),
                },
            };
            if flags.iter().any(|(known, _)| known == name) {
                return Err(format!("`--{name}` was given twice"));
            }
            flags.push((name.to_owned(), value));
        }
        Ok(Self(flags))
    }

    fn take<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Result<Option<T>, String> {
        let Some(index) = self.0.iter().position(|(known, _)| known == name) else {
            return Ok(None);
        };
        let (_, value) = self.0.remove(index);
        value.parse().map(Some).map_err(|problem| format!("--{name} {value}: {problem}"))
    }

    fn need<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Result<T, String> {
        self.take(name)?.ok_or_else(|| format!("`--{name}` is missing"))
    }

    fn finish(self) -> Result<(), String> {
        match self.0.first() {
            Some((name, _)) => Err(format!("unknown option `--{name}`")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn no_arguments_is_the_proof() {
        assert_eq!(parsed(""), Ok(Command::Prove(Keys::Shared)));
        assert_eq!(parsed("prove"), Ok(Command::Prove(Keys::Shared)));
        assert_eq!(parsed("prove --keys private"), Ok(Command::Prove(Keys::Private)));
    }

    #[test]
    fn help_wins_over_everything_else() {
        assert_eq!(parsed("serve --nonsense --help"), Ok(Command::Help));
    }

    #[test]
    fn serve_has_defaults_and_takes_both_spellings() {
        let defaults = ServeOptions { replicas: 3, port: 8080, arm: Arm::Stateless };
        assert_eq!(parsed("serve"), Ok(Command::Serve(defaults)));
        let told = ServeOptions { replicas: 5, port: 9000, arm: Arm::Memory };
        let command = Ok(Command::Serve(told));
        assert_eq!(parsed("serve --replicas 5 --port=9000 --arm memory"), command);
    }

    #[test]
    fn a_mistake_is_named() {
        for (line, problem) in [
            ("sevre", "unknown argument `sevre`"),
            ("--port 1", "unknown option `--port`; the options belong behind `serve`"),
            ("serve 4", "unexpected argument `4`"),
            ("serve --port", "`--port` needs a value"),
            ("serve --port --arm memory", "`--port` needs a value"),
            ("serve --replicas 0", "--replicas 0: expected 1 to 9"),
            ("serve --port 1 --port 2", "`--port` was given twice"),
            ("serve --speed 9", "unknown option `--speed`"),
            ("serve --arm redis", "--arm redis: expected `stateless` or `memory`"),
            ("replica --name a", "`--arm` is missing"),
        ] {
            assert_eq!(parsed(line), Err(problem.to_owned()), "{line}");
        }
        let error = parsed("serve --port 70000").expect_err("no such port");
        assert!(error.starts_with("--port 70000: "), "{error}");
    }

    #[test]
    fn what_the_parent_writes_a_replica_reads() {
        let options = ReplicaOptions {
            name: "replica-1".into(),
            arm: Arm::Memory,
            keys: "a dir/with=signs".into(),
            temporary_keys: true,
            pace: Pace {
                signing_period: Duration::from_millis(1500),
                session_lifetime: Duration::from_secs(20),
            },
        };
        assert_eq!(parse(options.to_arguments()), Ok(Command::Replica(options)));
    }
}
