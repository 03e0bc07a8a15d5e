//! `replica`: one replica by itself, for a balancer of one's own.

use std::{net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

use crate::{
    command::{algorithm::Signing, arm::Arm, flags::Flags, pace::Pace},
    store::choice::{ServerUrl, Store},
    store::keys::Limits,
};

/// The text of `replica --help`.
pub(crate) const USAGE: &str = "\
One replica by itself, for a balancer of your own, until Ctrl-C or SIGTERM.

Usage: cargo run --release --example cluster -- replica --port P [options]

Options:
  --port P         where it listens
  --host H         its address; 0.0.0.0 for other machines (127.0.0.1)
  --name NAME      the value of `x-replica` in its answers (replica-P)
  --arm ARM        stateless (the crate), memory or sticky (stateless)
  --log LEVEL      its log on standard error: off, error, warn, info or debug (info)
  --drain-seconds N    how long it still answers after SIGTERM, with `/health/ready` failing, 0 to 60 (2)
  --session-seconds N  how long a session lives without a request, 10 to 43200 (600)
 for the arm `stateless`, the same at each replica:
  --store STORE    where replicas meet: file:DIR, redis://host:port, or
                   postgres://user:password@host/database
  --secret-file F  the key that seals the private keys in the store, 32 bytes as base64 or as 64
                   hexadecimal digits; made if it is missing. Repeated: the first one seals, all decrypt
  --ring NAME      the name of their keys in the store (cluster)
  --algorithm ALG  what signs the sessions: EdDSA, ES256 or HS256 (EdDSA)
  --signing-seconds N  how long one key signs, 3 to 86400 (60)
  --clock-skew-seconds N   the largest difference between two clocks, 0 to 600 (0.1 s)
  --stale-seconds N    how long it uses the last known revocations while the store cannot be
                   read; then it answers 503 to sessions; 1 to 86400 (86400)";

/// The options of a replica by itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AloneOptions {
    /// How it signs its answers.
    pub(crate) name: String,
    /// The address at which it listens.
    pub(crate) host: IpAddr,
    /// And the port.
    pub(crate) port: u16,
    /// Which kind of sessions.
    pub(crate) arm: Arm,
    /// How fast keys change and sessions end.
    pub(crate) pace: Pace,
    /// The level of its log.
    pub(crate) log: String,
    /// How long it still answers requests after it was asked to stop.
    pub(crate) drain: Duration,
    /// The keys; none for an arm without.
    pub(crate) keys: Option<SharedKeys>,
}

/// Where the keys are that replicas share.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SharedKeys {
    /// Their name in the store.
    pub(crate) ring: String,
    /// The store.
    pub(crate) store: SharedStore,
    /// The files with the keys that seal them there; the first seals new ones.
    pub(crate) secret_files: Vec<PathBuf>,
    /// The algorithm of new ones.
    pub(crate) algorithm: Signing,
    /// What may differ between the replicas.
    pub(crate) limits: Limits,
}

/// A store that was there before the replica, and stays when it ends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SharedStore {
    /// A directory.
    Directory(PathBuf),
    /// A server.
    Server(ServerUrl),
}

impl AloneOptions {
    /// Takes the options.
    ///
    /// # Errors
    /// If one is missing or wrong, or two contradict each other.
    pub(crate) fn take(flags: &mut Flags) -> Result<Self, String> {
        let port = flags.need("port")?;
        let arm = flags.take("arm")?.unwrap_or(Arm::Stateless);
        if !matches!(arm, Arm::Stateless | Arm::Memory | Arm::Sticky) {
            return Err(format!("--arm {arm}: expected stateless, memory or sticky"));
        }
        let signing_period = flags.seconds("signing-seconds", 3..=86_400)?;
        let keys = match (arm, SharedKeys::take(flags)) {
            (Arm::Stateless, keys) => Some(keys?.ok_or(MISSING)?),
            (_, Ok(None)) if signing_period.is_none() => None,
            _ => {
                return Err(format!(
                    "`--arm {arm}` has no keys: it takes no `--store`, `--secret-file`, `--ring`, \
                     `--algorithm`, `--signing-seconds`, `--clock-skew-seconds` or \
                     `--stale-seconds`"
                ));
            }
        };
        let signing_period = signing_period.unwrap_or(Duration::from_secs(60));
        let session_lifetime = flags.seconds("session-seconds", 10..=43_200)?;
        Ok(Self {
            name: flags.take("name")?.unwrap_or_else(|| format!("replica-{port}")),
            host: flags.take("host")?.unwrap_or(std::net::Ipv4Addr::LOCALHOST.into()),
            port,
            arm,
            pace: Pace {
                signing_period,
                session_lifetime: session_lifetime.unwrap_or(Duration::from_secs(600)),
                // Keys are published before they sign by a few of these. Records have whole milliseconds.
                store_timeout: Duration::from_millis(signing_period.as_secs() * 1000 / 15)
                    .min(Duration::from_secs(2)),
            },
            log: flags.level()?.unwrap_or_else(|| "info".to_owned()),
            drain: flags.seconds("drain-seconds", 0..=60)?.unwrap_or(Duration::from_secs(2)),
            keys,
        })
    }
}

/// What to say if a replica of the crate has no keys.
const MISSING: &str = "`--store` is missing: expected `file:DIR`, or the URL of a server, the same \
                       at each replica, and `--secret-file FILE` beside it";

impl SharedKeys {
    /// Takes the options of the keys; none if there is not one of them.
    fn take(flags: &mut Flags) -> Result<Option<Self>, String> {
        let store: Option<String> = flags.take("store")?;
        let store = store.map(|text| text.parse::<SharedStore>()).transpose();
        let store = store.map_err(|problem| format!("--store: {problem}"))?;
        let secret_files: Vec<PathBuf> = flags.take_all("secret-file")?;
        let ring: Option<String> = flags.take("ring")?;
        let algorithm = flags.take("algorithm")?;
        let clock_skew = flags.seconds("clock-skew-seconds", 0..=600)?;
        let max_staleness = flags.seconds("stale-seconds", 1..=86_400)?;
        if store.is_none()
            && secret_files.is_empty()
            && ring.is_none()
            && algorithm.is_none()
            && clock_skew.is_none()
            && max_staleness.is_none()
        {
            return Ok(None);
        }
        let clock_skew = clock_skew.unwrap_or(Limits::default().clock_skew);
        let no_file = "`--secret-file` is missing: expected the file with the key that seals the \
                       private keys in the store; it is made if there is none";
        let store = store.ok_or(MISSING)?;
        if secret_files.is_empty() {
            return Err(no_file.to_owned());
        }
        Ok(Some(Self {
            store,
            secret_files,
            ring: ring.unwrap_or_else(|| "cluster".to_owned()),
            algorithm: algorithm.unwrap_or_default(),
            limits: Limits { clock_skew, max_staleness },
        }))
    }
}

impl FromStr for SharedStore {
    type Err = String;

    /// The error does not repeat the text, which may hold a password.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("file:") {
            Some("") => Err("`file:` needs a directory: expected `file:DIR`".to_owned()),
            Some(directory) => Ok(Self::Directory(directory.into())),
            None if SERVERS.iter().any(|scheme| text.starts_with(scheme)) => match text.parse()? {
                Store::Given(url) => Ok(Self::Server(url)),
                _ => Err(EXPECTED.to_owned()),
            },
            None => Err(EXPECTED.to_owned()),
        }
    }
}

const SERVERS: [&str; 3] = ["redis://", "postgres://", "postgresql://"];
const EXPECTED: &str =
    "expected `file:DIR`, `redis://host:port` or `postgres://user:password@host/database`";
