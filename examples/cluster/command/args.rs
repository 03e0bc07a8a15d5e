//! The command line: what a person may ask for, and what the parent asks of its children.

use crate::command::{
    compare::{self, CompareOptions},
    diagnose::{self, DiagnoseOptions},
    flags::{Flags, unexpected},
    keys::{self, KeysOptions},
    load::{self, LoadOptions},
    prove::{self, ProveOptions},
    replica::{self, AloneOptions},
    serve::{self, ServeOptions},
    watch::{self, WatchOptions},
};

/// The text of `--help`.
pub(crate) const USAGE: &str = "\
Any request can land on any replica: a cluster of real processes.

Usage: cargo run --release --example cluster [-- COMMAND [options]]

Commands:
  prove            the proof: two arms, one script, a table; this runs without a command, too
  serve            keeps a cluster up for curl and a browser
  compare          every arm through the same faults: what each loses, and what it costs
  watch            every arm side by side on a page: kill a replica and see who is logged out
  load             requests per second, with and without sessions
  replica          one replica by itself, for a balancer of your own
  keys             the public keys as files, for a proxy that verifies tokens
  diagnose         users report random logouts: eight causes, and how to find each

  COMMAND --help   its options
  --version        the version of tower-jwt-session";

/// The text of `--version`.
pub(crate) const VERSION: &str = concat!("cluster ", env!("CARGO_PKG_VERSION"));

/// The command of one process.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    /// Run the script over arms.
    Prove(ProveOptions),
    /// Keep a cluster up.
    Serve(ServeOptions),
    /// Compare the arms.
    Compare(CompareOptions),
    /// Show several clusters side by side.
    Watch(WatchOptions),
    /// Measure it.
    Load(LoadOptions),
    /// Break a cluster, and find out how.
    Diagnose(DiagnoseOptions),
    /// Print a text.
    Print(&'static str),
    /// Write the public keys as files.
    Keys(KeysOptions),
    /// Be one replica, by itself.
    Replica(AloneOptions),
    /// Be one replica, as standard input says. For the parent only.
    Child,
    /// Be the balancer. For the parent only.
    Balancer {
        /// Where to listen; 0 picks a free port.
        port: u16,
        /// Whether a user goes to the same replica for as long as that is up.
        affinity: bool,
    },
}

/// Reads the arguments of a process, without its name.
///
/// # Errors
/// One sentence that names the argument at fault, and the usage of the command that it is about.
pub(crate) fn parse(
    arguments: impl IntoIterator<Item = String>,
) -> Result<Command, (String, &'static str)> {
    let arguments: Vec<String> = arguments.into_iter().collect();
    let (name, rest) = match arguments.split_first() {
        Some((name, rest)) if !name.starts_with('-') => (Some(name.as_str()), rest),
        _ => (None, &*arguments),
    };
    let usage = match name {
        None => USAGE,
        Some(name) => usage(name).ok_or_else(|| (unexpected(name), USAGE))?,
    };
    let asks = |words: [&str; 2]| rest.iter().any(|argument| words.contains(&argument.as_str()));
    if asks(["--help", "-h"]) {
        return Ok(Command::Print(usage));
    }
    if name.is_none() && asks(["--version", "-V"]) {
        return Ok(Command::Print(VERSION));
    }
    command(name.unwrap_or("prove"), rest).map_err(|problem| (problem, usage))
}

/// The usage of a command; none if there is no such command.
fn usage(name: &str) -> Option<&'static str> {
    Some(match name {
        "prove" => prove::USAGE,
        "serve" => serve::USAGE,
        "compare" => compare::USAGE,
        "load" => load::USAGE,
        "replica" => replica::USAGE,
        "keys" => keys::USAGE,
        "diagnose" => diagnose::USAGE,
        "watch" => watch::USAGE,
        "child" | "balancer" => USAGE,
        _ => return None,
    })
}

fn command(name: &str, arguments: &[String]) -> Result<Command, String> {
    let mut flags = Flags::read(arguments)?;
    let command = match name {
        "serve" => Command::Serve(ServeOptions::take(&mut flags)?),
        "compare" => Command::Compare(CompareOptions::take(&mut flags)?),
        "load" => Command::Load(LoadOptions::take(&mut flags)?),
        "replica" => Command::Replica(AloneOptions::take(&mut flags)?),
        "diagnose" => Command::Diagnose(DiagnoseOptions::take(&mut flags)?),
        "watch" => Command::Watch(WatchOptions::take(&mut flags)?),
        "keys" => Command::Keys(KeysOptions::take(&mut flags)?),
        "child" => Command::Child,
        "balancer" => Command::Balancer {
            port: flags.need("port")?,
            affinity: flags.take("affinity")?.unwrap_or(false),
        },
        _ => Command::Prove(ProveOptions::take(&mut flags)?),
    };
    flags.finish()?;
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        command::{algorithm::Signing, arm::Arm, balancer::BalancerKind, prove::Keys},
        faults::event::Event,
        store::choice::Store,
        store::keys::Limits,
    };

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(str::to_owned)).map_err(|(problem, _)| problem)
    }

    #[test]
    fn no_arguments_is_the_proof() {
        let prove = |store, keys| {
            let (arms, algorithm) = (vec![Arm::Stateless, Arm::Memory], Signing::EdDSA);
            let balancer = BalancerKind::Own;
            Ok(Command::Prove(ProveOptions { store, keys, arms, algorithm, balancer }))
        };
        assert_eq!(parsed(""), prove(Store::File, Keys::Shared));
        assert_eq!(parsed("prove"), prove(Store::File, Keys::Shared));
        assert_eq!(parsed("prove --keys private"), prove(Store::File, Keys::Private));
        assert_eq!(parsed("--store derived"), prove(Store::Derived, Keys::Shared));
        assert_eq!(parsed("prove --store=derived"), prove(Store::Derived, Keys::Shared));
    }

    #[test]
    fn help_wins_over_everything_else() {
        assert_eq!(parsed("serve --nonsense --help"), Ok(Command::Print(serve::USAGE)));
        assert_eq!(parsed("-h"), Ok(Command::Print(USAGE)));
        assert_eq!(parsed("--version"), Ok(Command::Print(VERSION)));
    }

    #[test]
    fn serve_has_defaults_and_takes_both_spellings() {
        let (arm, store, log) = (Arm::Stateless, Store::File, "warn".to_owned());
        let algorithm = Signing::EdDSA;
        let defaults = ServeOptions { replicas: 3, port: 8080, arm, store, log, algorithm };
        assert_eq!(parsed("serve"), Ok(Command::Serve(defaults)));
        let (store, log, algorithm) = (Store::Derived, "debug".to_owned(), Signing::HS256);
        let options = ServeOptions { replicas: 5, port: 9000, arm, store, log, algorithm };
        let command = Ok(Command::Serve(options));
        let line = "serve --replicas 5 --port=9000 --arm stateless --store derived --log debug \
                    --algorithm HS256";
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
    #[cfg(feature = "redis")]
    fn the_arm_database_is_in_redis() {
        let arm = Arm::Database;
        let log = "warn".to_owned();
        let (store, algorithm) = (Store::File, Signing::EdDSA);
        let options = ServeOptions { replicas: 3, port: 8080, arm, store, log, algorithm };
        let serve = |store| Ok(Command::Serve(ServeOptions { store, ..options.clone() }));
        let own = Store::Own(crate::store::server::ServerKind::Redis);
        assert_eq!(parsed("serve --arm database"), serve(own.clone()));
        assert_eq!(parsed("serve --arm database --store redis"), serve(own));
        let url = "redis://127.0.0.1:6379";
        let given = url.parse().expect("a URL");
        assert_eq!(parsed(&format!("serve --arm database --store {url}")), serve(given));
        for store in ["file", "derived", "redis-cluster"] {
            let error = parsed(&format!("serve --arm database --store {store}"));
            let problem = format!("keeps its sessions in Redis, not in `{store}`: expected");
            assert!(error.expect_err("no Redis").contains(&problem));
        }
    }

    #[test]
    fn a_replica_by_itself_has_its_own_options() {
        let line = "replica --port 9001 --store file:keys --secret-file key --algorithm ES256 \
                    --secret-file=old --log debug --signing-seconds 3 --clock-skew-seconds 60 --stale-seconds 5";
        let Ok(Command::Replica(options)) = parsed(line) else { panic!("{:?}", parsed(line)) };
        assert_eq!((&*options.name, options.port), ("replica-9001", 9001));
        let keys = options.keys.expect("it has keys");
        assert_eq!((&*options.log, keys.secret_files), ("debug", vec!["key".into(), "old".into()]));
        assert_eq!((keys.algorithm, &*keys.ring), (Signing::ES256, "cluster"));
        assert_eq!(options.pace.store_timeout.as_millis(), 200);
        let seconds = std::time::Duration::from_secs;
        let limits = Limits { clock_skew: seconds(60), max_staleness: Some(seconds(5)) };
        assert_eq!(keys.limits, limits);
        let Ok(Command::Replica(options)) = parsed("replica --port 9001 --arm memory") else {
            panic!("memory needs no store")
        };
        assert_eq!((options.keys, &*options.log), (None, "info"));

        for (line, problem) in [
            ("replica", "`--port` is missing"),
            ("replica --port 1", "`--store` is missing: expected `file:DIR`, "),
            (
                "replica --port 1 --store file:keys",
                "`--secret-file` is missing: expected the file ",
            ),
            ("replica --port 1 --store keys", "--store: expected `file:DIR`, "),
            ("replica --port 1 --store mysql://a:b@host", "--store: expected `file:DIR`, "),
            ("replica --port 1 --store file:", "--store: `file:` needs a directory"),
            ("replica --port 1 --arm memory --ring a", "`--arm memory` has no keys: it takes no "),
            (
                "replica --port 1 --arm memory --drain-seconds 61",
                "--drain-seconds 61: expected 0 to 60",
            ),
            ("replica --port 1 --arm memory --host here", "--host here: invalid IP address"),
        ] {
            let error = parsed(line).expect_err(line);
            assert!(error.starts_with(problem), "{line}: {error}");
        }
    }

    #[test]
    fn compare_keeps_the_order_of_the_faults() {
        let options = CompareOptions {
            arms: Some(vec![Arm::Sticky, Arm::Stateless]),
            faults: vec![Event::Kill, Event::Replay],
            seconds: 1,
            json: Some("a.json".into()),
            svg: None,
        };
        let line = "compare --arms sticky,stateless --faults replay,kill --seconds 1 --json a.json";
        assert_eq!(parsed(line), Ok(Command::Compare(options)));
        let Ok(Command::Compare(all)) = parsed("compare") else { panic!("no option is needed") };
        assert_eq!((all.arms, all.seconds, &all.faults[..]), (None, 2, &compare::FAULTS[..]));
    }

    #[test]
    fn watch_shows_all_arms_unless_some_are_chosen() {
        let watch = |port, arms, replicas, users| {
            Ok(Command::Watch(WatchOptions { port, arms, replicas, users }))
        };
        assert_eq!(parsed("watch"), watch(8080, None, 3, 24));
        let line = "watch --port 0 --arms stateless,sticky --replicas 4 --users 30";
        assert_eq!(parsed(line), watch(0, Some(vec![Arm::Stateless, Arm::Sticky]), 4, 30));
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
            ("keys --into keys", "`--jwks` is missing"),
            (
                "keys --jwks https://host --into keys",
                "--jwks https://host: expected http://host:port/.well-known/jwks.json",
            ),
            ("--balancer envoy", "--balancer envoy: expected own, haproxy or nginx"),
            ("--algorithm RS256", "--algorithm RS256: expected EdDSA, ES256 or HS256"),
            (
                "serve --store derived --algorithm ES256",
                "`--store derived` has no ES256: expected EdDSA or HS256",
            ),
            (
                "serve --arm memory --algorithm ES256",
                "`--arm memory` has no keys, and takes no `--algorithm`",
            ),
            ("serve 4", "unexpected argument `4`"),
            ("serve --port", "`--port` needs a value"),
            ("serve --port --arm memory", "`--port` needs a value"),
            ("serve --replicas 0", "--replicas 0: expected 1 to 9"),
            ("serve --port 1 --port 2", "`--port` was given twice"),
            ("serve --speed 9", "unknown option `--speed`"),
            (
                "serve --arm redis",
                "--arm redis: expected one of stateless, memory, sticky, replicated, database, cold, \
                 bare",
            ),
            ("load --arm sticky", "`--arm sticky` is not for `load`"),
            ("--arms stateless,bare", "--arms: `bare` is for `load`"),
            ("--arms stateless,memory,memory", "--arms: `memory` was named twice"),
            ("serve --log loud", "--log loud: expected one of off, error, warn, info, debug"),
            ("serve --arm bare", "`--arm bare` is for `load`"),
            ("watch --users 0", "--users 0: expected 1 to 99"),
            ("watch --arms bare", "--arms: `bare` is for `load`"),
            ("watch --store file", "unknown option `--store`"),
            ("load --seconds 0", "--seconds 0: expected 1 to 600"),
            ("load --replicas 10", "--replicas 10: expected 1 to 9"),
            ("load --store file", "`load` derives its keys, and takes no `--store`"),
            ("load --port 1", "unknown option `--port`"),
            ("compare --seconds 0", "--seconds 0: expected 1 to 60"),
            (
                "compare --faults kill,start",
                "--faults: `start` undoes others, and comes after each of them",
            ),
            ("balancer", "`--port` is missing"),
        ] {
            assert_eq!(parsed(line), Err(problem.to_owned()), "{line}");
        }
        let error = parsed("--arms memory,sticky").expect_err("nothing is proved");
        assert!(error.starts_with("--arms: found `memory` first"), "{error}");
        let error = parsed("serve --port 70000").expect_err("no such port");
        assert!(error.starts_with("--port 70000: "), "{error}");
        let error = parsed("--store mysql://app:password@host").expect_err("no such store");
        assert!(error.starts_with("--store: expected `file`, "), "{error}");
    }
}
