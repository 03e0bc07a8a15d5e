//! Several Redis servers that belong together: a service of Redis Sentinel, or a Redis Cluster.

use std::{
    io,
    net::TcpListener,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use super::{START_TIMEOUT, Server, ServerKind, free_port};

/// The name of the service that the Sentinels know.
pub(crate) const SERVICE: &str = "mymaster";

/// How a process of a server is to be started.
pub(super) struct Role {
    pub(super) port: u16,
    pub(super) is_sentinel: bool,
    pub(super) configuration: String,
}

/// The processes of a server of that kind. Only Redis has a configuration.
///
/// # Errors
/// If there are no free ports.
pub(super) fn roles(kind: ServerKind, password: &str) -> io::Result<Vec<Role>> {
    // What was written to the file outlives the process, whether or not it is on the disk.
    let redis = |port| {
        format!(
            "bind 127.0.0.1\nport {port}\nrequirepass {password}\nmasterauth {password}\n\
             databases 1000\nsave \"\"\nappendonly yes\nappendfsync no\n\
             repl-diskless-sync-delay 0\n"
        )
    };
    let role = |port, configuration| Role { port, is_sentinel: false, configuration };
    Ok(match kind {
        ServerKind::Postgres => vec![role(free_port()?, String::new())],
        ServerKind::Redis => {
            let port = free_port()?;
            vec![role(port, redis(port))]
        }
        ServerKind::RedisSentinel => {
            let ports = free_ports(6)?;
            let (master, others) = (ports[0], &ports[1..]);
            let replica =
                |port| role(port, redis(port) + &format!("replicaof 127.0.0.1 {master}\n"));
            let sentinel = |port| Role {
                port,
                is_sentinel: true,
                configuration: format!(
                    "bind 127.0.0.1\nport {port}\nrequirepass {}\n\
                     sentinel monitor {SERVICE} 127.0.0.1 {master} 2\n\
                     sentinel auth-pass {SERVICE} {password}\n\
                     sentinel down-after-milliseconds {SERVICE} 1000\n\
                     sentinel failover-timeout {SERVICE} 4000\n",
                    sentinel_password(password),
                ),
            };
            let (replicas, sentinels) = others.split_at(2);
            let replicas = replicas.iter().map(|port| replica(*port));
            let sentinels = sentinels.iter().map(|port| sentinel(*port));
            [role(master, redis(master))].into_iter().chain(replicas).chain(sentinels).collect()
        }
        ServerKind::RedisCluster => {
            let node = |port| {
                let cluster = "cluster-enabled yes\ncluster-config-file nodes.conf\n\
                               cluster-node-timeout 1000\n";
                role(port, redis(port) + cluster)
            };
            free_ports(6)?.into_iter().map(node).collect()
        }
    })
}

/// Different ports. A node of a cluster needs the port 10000 above its own, too.
fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let mut held = Vec::new();
    while held.len() < count {
        let port = free_port()?;
        let Some(bus) = port.checked_add(10_000) else { continue };
        if let (Ok(one), Ok(two)) =
            (TcpListener::bind(("127.0.0.1", port)), TcpListener::bind(("127.0.0.1", bus)))
        {
            held.push((port, one, two));
        }
    }
    Ok(held.into_iter().map(|(port, ..)| port).collect())
}

/// Another than that of the servers.
fn sentinel_password(password: &str) -> String {
    format!("{password}-of-sentinels")
}

impl Server {
    /// The URLs of what a client is to know: the Sentinels, or the nodes of the cluster.
    pub(crate) fn urls(&self) -> Vec<String> {
        let password = match self.kind {
            ServerKind::RedisSentinel => sentinel_password(&self.password),
            _ => self.password.clone(),
        };
        let known = self
            .nodes
            .iter()
            .filter(|node| node.role.is_sentinel == (self.kind == ServerKind::RedisSentinel));
        known.map(|node| format!("redis://:{password}@127.0.0.1:{}", node.role.port)).collect()
    }

    /// The password of a process.
    pub(super) fn password_of(&self, role: &Role) -> String {
        if role.is_sentinel { sentinel_password(&self.password) } else { self.password.clone() }
    }

    /// Makes a cluster of the nodes.
    pub(super) fn join(&self) -> Result<(), String> {
        let mut create = self.cli(self.port);
        create.args(["--cluster", "create"]);
        create.args(self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.role.port)));
        let made = create.args(["--cluster-replicas", "1", "--cluster-yes"]).output();
        let made = made.map_err(|error| format!("cannot start redis-cli: {error}"))?;
        let failed =
            || format!("cannot create a cluster: {}", String::from_utf8_lossy(&made.stdout));
        if made.status.success() { Ok(()) } else { Err(failed()) }
    }

    /// Waits until every replica follows its master, and all know each other.
    ///
    /// # Errors
    /// If that takes too long.
    pub(crate) async fn complete(&self) -> Result<(), String> {
        let start = Instant::now();
        for node in &self.nodes {
            while !self.is_complete(node) {
                if start.elapsed() > START_TIMEOUT {
                    return Err(format!("the servers of {} do not meet", self.kind));
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    fn is_complete(&self, node: &super::Node) -> bool {
        let port = node.role.port;
        let ask = |words: &[&str]| {
            let output = self.cli(port).args(words).output();
            output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let follows = || {
            ask(&["INFO", "replication"]).is_ok_and(|info| {
                info.contains("role:master") || info.contains("master_link_status:up")
            })
        };
        let known = |info: String| {
            let all = self.nodes.iter().filter(|node| node.role.is_sentinel).count();
            info.contains("slaves=2") && info.contains(&format!("sentinels={all}"))
        };
        match self.kind {
            ServerKind::Redis | ServerKind::Postgres => true,
            ServerKind::RedisSentinel if node.role.is_sentinel => {
                ask(&["INFO", "sentinel"]).is_ok_and(known)
            }
            ServerKind::RedisSentinel => follows(),
            ServerKind::RedisCluster => {
                follows()
                    && ask(&["CLUSTER", "INFO"]).is_ok_and(|info| {
                        ["cluster_state:ok", "cluster_known_nodes:6", "cluster_size:3"]
                            .iter()
                            .all(|expected| info.contains(expected))
                    })
            }
        }
    }

    /// The command-line client, logged in at that port.
    fn cli(&self, port: u16) -> Command {
        let mut cli = Command::new(self.cli_program());
        let node = self.nodes.iter().find(|node| node.role.port == port);
        let password = node.map_or(self.password.clone(), |node| self.password_of(&node.role));
        cli.env("REDISCLI_AUTH", password).args(["-h", "127.0.0.1", "-p", &port.to_string()]);
        cli
    }

    fn cli_program(&self) -> PathBuf {
        let server = &self.programs.program;
        let name = server.file_name().unwrap_or_default().to_string_lossy();
        server.with_file_name(name.replace("-server", "-cli"))
    }
}
