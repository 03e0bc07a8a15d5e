//! The command line: what a person may ask for, and what the parent asks of its children.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::store::Store;

/// The text of `--help`.
pub(crate) const USAGE: &str = "\
Any request can land on any replica: a cluster of real processes.

Usage:
  cargo run --release --example cluster
      The proof: two arms, one script, a table. Exit status 0 only if it holds.

  cargo run --release --example cluster -- prove --keys private
      The same, but no replica sees another's keys: the proof has to fail.

  cargo run --release --example cluster -- serve [options]
      Keeps the cluster up for curl and a browser, until Ctrl-C.

  --store STORE    where the replicas' keys and ended sessions meet, for the proof and `serve` (file):
      file         in a directory
      derived      the keys nowhere: they are derived from one root secret; the others in a directory
      redis        in a Redis that the cluster starts, kills and starts again, and likewise
      redis-sentinel   in a Redis with two replicas and three Sentinels
      redis-cluster    in a Redis Cluster of three masters and three replicas
      postgres     in a PostgreSQL
      redis://host:port, postgres://user:password@host:port/database
                   in a server that is there, and is not killed
                   They take their feature: --features redis,postgres before the `--`.

  cargo run --release --example cluster -- load [options]
      Requests per second and latencies, of the crate and beside it, in one run.

Options of `serve`:
  --replicas N     how many replicas, 1 to 9 (3)
  --port P         where the balancer listens on 127.0.0.1; 0 picks a free port (8080)
  --arm ARM        stateless (the crate) or memory (the control) (stateless)

Options of `load`:
  --seconds N      how long each figure is measured, 1 to 600 (10)
  --replicas N     behind the balancer, 1 to 9 (1, then 3, then 5)
  --arm ARM        one of them alone (all in turn, in short rounds, and compared):
      bare         the same routes, and no sessions: the reference
      stateless    the crate; it remembers tokens that it has verified
      cold         the crate without that memory: every request verifies its token anew
      memory       sessions in the memory of the process

  --help           this text";

/// The command of one process.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    /// Run the script over both arms.
    Prove(ProveOptions),
    /// Keep a cluster up.
    Serve(ServeOptions),
    /// Measure it.
    Load(LoadOptions),
    /// Print the usage.
    Help,
    /// Be one replica, as standard input says. For the parent only.
    Replica,
    /// Be the balancer. For the parent only.
    Balancer {
        /// Where to listen; 0 picks a free port.
        port: u16,
    },
}

/// The options of the proof.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProveOptions {
    /// Where the keys meet.
    pub(crate) store: Store,
    /// Who sees them there.
    pub(crate) keys: Keys,
}

/// Who sees a replica's keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Keys {
    /// All replicas.
    Shared,
    /// Itself alone, so that the proof can be seen to fail.
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
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum Arm {
    /// In signed tokens: the crate.
    Stateless,
    /// In signed tokens, each of which is verified whenever it comes. For measurements only.
    Cold,
    /// In the memory of the process that made them: the control.
    Memory,
    /// Nowhere, there are none. For measurements only.
    Bare,
}

impl Arm {
    /// All that are measured, the reference first.
    pub(crate) const MEASURED: [Self; 4] = [Self::Bare, Self::Stateless, Self::Cold, Self::Memory];
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stateless => "stateless",
            Self::Cold => "cold",
            Self::Memory => "memory",
            Self::Bare => "bare",
        })
    }
}

impl FromStr for Arm {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "stateless" => Ok(Self::Stateless),
            "cold" => Ok(Self::Cold),
            "memory" => Ok(Self::Memory),
            "bare" => Ok(Self::Bare),
            _ => Err("expected `stateless`, `memory`, `cold` or `bare`"),
        }
    }
}

/// The options of `serve`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServeOptions {
    /// How many replicas, 1 to 9.
    pub(crate) replicas: usize,
    /// Where the balancer listens.
    pub(crate) port: u16,
    /// Which kind of sessions.
    pub(crate) arm: Arm,
    /// Where the keys meet.
    pub(crate) store: Store,
}

/// The options of `load`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LoadOptions {
    /// How long each figure is measured.
    pub(crate) seconds: u32,
    /// The numbers of replicas behind the balancer, one after the other.
    pub(crate) replicas: Vec<usize>,
    /// Which kinds of sessions.
    pub(crate) arms: Vec<Arm>,
}

/// How fast keys change and sessions end.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Pace {
    /// How long one key signs.
    pub(crate) signing_period: Duration,
    /// How long a session lives without being renewed.
    pub(crate) session_lifetime: Duration,
    /// How long one look at the place where the keys meet may take, and one entry there.
    pub(crate) store_timeout: Duration,
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
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) if !command.starts_with("--") => (command.as_str(), rest),
        _ => ("prove", &*arguments),
    };
    let mut flags = Flags::read(rest)?;
    let store = flags.store()?;
    let command = match command {
        "prove" => {
            let keys = flags.take("keys")?.unwrap_or(Keys::Shared);
            if keys == Keys::Private && store.as_ref().is_some_and(|store| *store != Store::File) {
                return Err("`--keys private` is for `--store file`".to_owned());
            }
            Command::Prove(ProveOptions { store: store.unwrap_or(Store::File), keys })
        }
        "serve" => Command::Serve(ServeOptions {
            replicas: flags.replicas()?.unwrap_or(3),
            port: flags.take("port")?.unwrap_or(8080),
            arm: match flags.take("arm")?.unwrap_or(Arm::Stateless) {
                Arm::Memory if store.is_some() => {
                    return Err("`--arm memory` has no keys, and takes no `--store`".to_owned());
                }
                arm @ (Arm::Cold | Arm::Bare) => {
                    return Err(format!("`--arm {arm}` is for `load`"));
                }
                arm => arm,
            },
            store: store.unwrap_or(Store::File),
        }),
        "load" if store.is_some() => {
            return Err("`load` derives its keys, and takes no `--store`".to_owned());
        }
        "load" => Command::Load(LoadOptions {
            seconds: match flags.take("seconds")?.unwrap_or(10) {
                seconds @ 1..=600 => seconds,
                seconds => return Err(format!("--seconds {seconds}: expected 1 to 600")),
            },
            replicas: flags.replicas()?.map_or(vec![1, 3, 5], |count| vec![count]),
            arms: flags.take("arm")?.map_or(Arm::MEASURED.to_vec(), |arm| vec![arm]),
        }),
        "replica" => Command::Replica,
        "balancer" => Command::Balancer { port: flags.need("port")? },
        other => return Err(unexpected(other)),
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
                return Err(unexpected(argument));
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

    /// Parsed apart from the others, since an error must not repeat a password.
    fn store(&mut self) -> Result<Option<Store>, String> {
        let text: Option<String> = self.take("store")?;
        text.map(|text| text.parse()).transpose().map_err(|problem| format!("--store: {problem}"))
    }

    fn replicas(&mut self) -> Result<Option<usize>, String> {
        match self.take("replicas")? {
            Some(count) if !(1..=9).contains(&count) => {
                Err(format!("--replicas {count}: expected 1 to 9"))
            }
            count => Ok(count),
        }
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

fn unexpected(argument: &str) -> String {
    match argument.contains("://") {
        true => "a URL belongs behind `--store`".to_owned(),
        false => format!("unexpected argument `{argument}`"),
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
        let prove = |store, keys| Ok(Command::Prove(ProveOptions { store, keys }));
        assert_eq!(parsed(""), prove(Store::File, Keys::Shared));
        assert_eq!(parsed("prove"), prove(Store::File, Keys::Shared));
        assert_eq!(parsed("prove --keys private"), prove(Store::File, Keys::Private));
        assert_eq!(parsed("--store derived"), prove(Store::Derived, Keys::Shared));
        assert_eq!(parsed("prove --store=derived"), prove(Store::Derived, Keys::Shared));
    }

    #[test]
    fn help_wins_over_everything_else() {
        assert_eq!(parsed("serve --nonsense --help"), Ok(Command::Help));
    }

    #[test]
    fn serve_has_defaults_and_takes_both_spellings() {
        let store = Store::File;
        let defaults = ServeOptions { replicas: 3, port: 8080, arm: Arm::Stateless, store };
        assert_eq!(parsed("serve"), Ok(Command::Serve(defaults)));
        let store = Store::Derived;
        let options = ServeOptions { replicas: 5, port: 9000, arm: Arm::Stateless, store };
        let command = Ok(Command::Serve(options));
        let line = "serve --replicas 5 --port=9000 --arm stateless --store derived";
        assert_eq!(parsed(line), command);
    }

    #[test]
    fn load_measures_everything_unless_told_otherwise() {
        let load =
            |seconds, replicas, arms| Ok(Command::Load(LoadOptions { seconds, replicas, arms }));
        assert_eq!(parsed("load"), load(10, vec![1, 3, 5], Arm::MEASURED.to_vec()));
        let line = "load --seconds 1 --replicas 2 --arm bare";
        assert_eq!(parsed(line), load(1, vec![2], vec![Arm::Bare]));
    }

    #[test]
    fn a_mistake_is_named() {
        for (line, problem) in [
            ("sevre", "unexpected argument `sevre`"),
            ("--port 1", "unknown option `--port`"),
            ("redis://:password@host", "a URL belongs behind `--store`"),
            ("serve postgres://app:password@host", "a URL belongs behind `--store`"),
            ("--store", "`--store` needs a value"),
            ("--store derived --keys private", "`--keys private` is for `--store file`"),
            (
                "serve --arm memory --store file",
                "`--arm memory` has no keys, and takes no `--store`",
            ),
            ("serve 4", "unexpected argument `4`"),
            ("serve --port", "`--port` needs a value"),
            ("serve --port --arm memory", "`--port` needs a value"),
            ("serve --replicas 0", "--replicas 0: expected 1 to 9"),
            ("serve --port 1 --port 2", "`--port` was given twice"),
            ("serve --speed 9", "unknown option `--speed`"),
            ("serve --arm redis", "--arm redis: expected `stateless`, `memory`, `cold` or `bare`"),
            ("serve --arm bare", "`--arm bare` is for `load`"),
            ("load --seconds 0", "--seconds 0: expected 1 to 600"),
            ("load --replicas 10", "--replicas 10: expected 1 to 9"),
            ("load --store file", "`load` derives its keys, and takes no `--store`"),
            ("load --port 1", "unknown option `--port`"),
            ("balancer", "`--port` is missing"),
        ] {
            assert_eq!(parsed(line), Err(problem.to_owned()), "{line}");
        }
        let error = parsed("serve --port 70000").expect_err("no such port");
        assert!(error.starts_with("--port 70000: "), "{error}");
        let error = parsed("--store mysql://app:password@host").expect_err("no such store");
        assert!(error.starts_with("--store: expected `file`, "), "{error}");
    }
}
