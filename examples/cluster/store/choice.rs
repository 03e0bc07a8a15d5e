//! `--store`: where the replicas' keys are to meet, as a person says it.

use std::{fmt, str::FromStr};

use crate::{command::arm::Arm, store::server::ServerKind};

/// Where the replicas' keys meet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Store {
    /// In a directory of this run's own.
    File,
    /// Nowhere: each replica derives them from one root secret.
    Derived,
    /// In a server that the cluster starts, kills, and starts again.
    Own(ServerKind),
    /// In a server that is there.
    Given(ServerUrl),
}

/// Where a server is, and perhaps how to log in: shown without that.
#[derive(Clone, PartialEq)]
pub(crate) struct ServerUrl {
    /// Which server it is.
    pub(crate) kind: ServerKind,
    /// The whole URL, which may hold a password.
    pub(crate) secret: String,
}

impl ServerKind {
    /// The name for `--store`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::RedisSentinel => "redis-sentinel",
            Self::RedisCluster => "redis-cluster",
            Self::Postgres => "postgres",
        }
    }

    /// The feature that talks to such a server.
    fn feature(self) -> &'static str {
        match self {
            Self::Redis | Self::RedisSentinel | Self::RedisCluster => "redis",
            Self::Postgres => "postgres",
        }
    }

    /// Whether this build can talk to such a server.
    fn is_built_in(self) -> bool {
        match self {
            Self::Redis | Self::RedisSentinel | Self::RedisCluster => cfg!(feature = "redis"),
            Self::Postgres => cfg!(feature = "postgres"),
        }
    }
}

impl Store {
    /// Where the replicas of an arm meet if the crate's meet here: the arm `database` needs one Redis, and
    /// starts its own unless there is one.
    pub(crate) fn of_arm(&self, arm: Arm) -> Self {
        match (arm, self.server()) {
            (Arm::Database, server) if server != Some(ServerKind::Redis) => {
                Self::Own(ServerKind::Redis)
            }
            _ => self.clone(),
        }
    }

    fn server(&self) -> Option<ServerKind> {
        match self {
            Self::File | Self::Derived => None,
            Self::Own(kind) => Some(*kind),
            Self::Given(url) => Some(url.kind),
        }
    }
}

impl FromStr for Store {
    type Err = String;

    /// The error does not repeat the text, which may hold a password.
    fn from_str(text: &str) -> Result<Self, String> {
        let store = match text {
            "file" => Self::File,
            "derived" => Self::Derived,
            "redis" => Self::Own(ServerKind::Redis),
            "redis-sentinel" => Self::Own(ServerKind::RedisSentinel),
            "redis-cluster" => Self::Own(ServerKind::RedisCluster),
            "postgres" => Self::Own(ServerKind::Postgres),
            url => {
                let kind = match url.split_once("://") {
                    Some(("redis", _)) => ServerKind::Redis,
                    Some(("postgres" | "postgresql", _)) => ServerKind::Postgres,
                    _ => {
                        return Err("expected `file`, `derived`, `redis`, `redis-sentinel`, \
                                    `redis-cluster`, `postgres`, `redis://host:port` or \
                                    `postgres://user:password@host/database`"
                            .to_owned());
                    }
                };
                Self::Given(ServerUrl { kind, secret: url.to_owned() })
            }
        };
        match store.server() {
            Some(kind) if !kind.is_built_in() => Err(format!(
                "this build does not know {kind}; it takes the feature `{feature}`:\n  \
                 cargo run --release --example cluster --features {feature} -- --store {store}",
                feature = kind.feature(),
            )),
            _ => Ok(store),
        }
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("file"),
            Self::Derived => f.write_str("derived"),
            Self::Own(kind) => f.write_str(kind.word()),
            Self::Given(url) => url.fmt(f),
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.secret.rsplit_once('@') {
            // The text before it was not a login, or a login in the wrong place.
            Some((before, _)) if before.contains(['?', '#']) => "…",
            Some((_, place)) => place,
            None => self.secret.split_once("://").map_or("…", |(_, place)| place),
        };
        let place = place.split(['?', '#']).next().unwrap_or_default();
        write!(f, "{}://{place}", self.kind.word())
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_login() {
        for (secret, shown) in [
            ("postgres://host", "postgres://host"),
            ("postgresql://app:pass@host:1/db?sslmode=disable", "postgres://host:1/db"),
            ("postgres://app:p@ss/word@host/db", "postgres://host/db"),
            ("postgres://host/db?user=app&password=pass", "postgres://host/db"),
            ("postgres://app:pa?ss@host/db", "postgres://…"),
            ("postgres://app@host/db?password=p@ss", "postgres://…"),
        ] {
            let url = ServerUrl { kind: ServerKind::Postgres, secret: secret.to_owned() };
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), format!("ServerUrl({shown})"));
        }
    }

    #[test]
    fn a_mistake_is_told_without_the_url() {
        for text in ["", "File", "rediss://:pass@host", "mysql://app:pass@host", "app:pass@host"] {
            let problem = text.parse::<Store>().expect_err(text);
            assert!(problem.starts_with("expected `file`, "), "{problem}");
            assert!(!problem.contains("pass@"), "{problem}");
        }
    }

    #[test]
    fn a_store_that_is_not_built_in_names_its_feature() {
        for kind in [ServerKind::RedisSentinel, ServerKind::RedisCluster] {
            let own = kind.word().parse::<Store>();
            if kind.is_built_in() {
                assert_eq!(own, Ok(Store::Own(kind)));
            } else {
                let command = format!("--features redis -- --store {}", kind.word());
                assert!(own.expect_err("no such feature").ends_with(&command));
            }
        }
        for kind in [ServerKind::Redis, ServerKind::Postgres] {
            let (word, url) = (kind.word(), format!("{}://:pass@host", kind.word()));
            let parsed = url.parse::<Store>();
            if kind.is_built_in() {
                let given = Store::Given(ServerUrl { kind, secret: url });
                assert_eq!((parsed, word.parse()), (Ok(given), Ok(Store::Own(kind))));
            } else {
                let command = format!("--features {word} -- --store {word}://host");
                assert!(parsed.expect_err("no such feature").ends_with(&command));
            }
        }
    }
}
