//! Redis behind Sentinels: a master, two replicas, three Sentinels.

use redis::cmd;
use tokio::time::sleep;
use tower_jwt_session::store::{RedisStore, Store, StoreError};

use crate::failover::RELIED_ON;
use crate::group::{self, Group, PASSWORD, connection, installed, send};
use crate::server::{Server, ServerKind};
use crate::{Test, block_on, run_tests};

/// Runs the tests, as the program's `main`.
pub fn run() -> ! {
    let own: [Test<Sentinel>; 2] = [
        ("a_service_that_no_sentinel_knows_is_an_error", |group| {
            block_on(unknown_service_is_an_error(&group));
        }),
        ("one_sentinel_of_three_is_not_trusted", |_| block_on(one_of_three_is_not_trusted())),
    ];
    let start = || block_on(Sentinel::start());
    run_tests(installed(), start, group::all().into_iter().chain(own))
}

struct Sentinel {
    server: Server,
}

impl Sentinel {
    fn ports(&self) -> Vec<u16> {
        let urls = self.server.urls();
        let ports = urls.iter().map(|url| url.rsplit_once(':').expect("a port").1.parse());
        ports.collect::<Result<_, _>>().expect("a port")
    }

    /// The password of the Sentinels is another.
    fn password(&self) -> String {
        let url = self.server.urls().swap_remove(0);
        let (login, _) = url.rsplit_once('@').expect("a login");
        login.trim_start_matches("redis://:").to_owned()
    }
}

impl Group for Sentinel {
    const KIND: ServerKind = ServerKind::RedisSentinel;

    fn of(server: Server) -> Self {
        Self { server }
    }

    /// As the user `app`, which an isolated master keeps.
    async fn try_open(&self) -> Result<RedisStore, StoreError> {
        for port in self.servers().await {
            let mut user = cmd("ACL");
            user.arg("SETUSER").arg("app").arg("on").arg(format!(">{PASSWORD}"));
            let _: () = send(port, user.arg(&["~*", "&*", "+@all"])).await.expect("is made");
        }
        let url = self.server.url().replace("redis://:", "redis://app:");
        RedisStore::sentinel(self.server.urls(), &url).await
    }

    async fn servers(&self) -> Vec<u16> {
        let master = self.master("").await.expect("a master");
        let info = cmd("INFO").arg("replication").take();
        let info: String = send(master, &info).await.unwrap_or_default();
        let port = |line: &str| line.split("port=").nth(1)?.split(',').next()?.parse().ok();
        info.lines().filter_map(port).chain([master]).collect()
    }

    async fn master(&self, _ring: &str) -> Option<u16> {
        let mut connection = connection("", &self.password(), self.ports()[0]).await.ok()?;
        let mut ask = cmd("SENTINEL");
        let ask = ask.arg("GET-MASTER-ADDR-BY-NAME").arg("mymaster");
        let (_, port): (String, u16) = ask.query_async(&mut connection).await.ok()?;
        Some(port)
    }

    /// It has another password than the Sentinels and the replicas know. The user `app` has its own.
    async fn isolate(&self, master: u16) -> Box<dyn Send> {
        let connection = connection("", PASSWORD, master).await.expect("connects");
        let run = async |words: &str| {
            let mut command = redis::Cmd::new();
            for word in words.split(' ') {
                command.arg(word);
            }
            let _: redis::Value =
                command.query_async(&mut connection.clone()).await.expect("the server does it");
        };
        run("CONFIG SET requirepass isolated").await;
        for kind in ["normal", "pubsub", "replica"] {
            run(&format!("CLIENT KILL TYPE {kind} SKIPME yes")).await;
        }
        Box::new(())
    }
}

async fn unknown_service_is_an_error(group: &Sentinel) {
    let urls = group.server.urls();
    let unknown = RedisStore::sentinel(&urls, "other").await.expect_err("nobody knows it");
    let text = chain(&unknown);
    assert!(text.contains("which server is the master of other"), "{text}");
    assert!(text.contains("does not know the service"), "{text}");
    let nobody = RedisStore::sentinel(Vec::<String>::new(), "mymaster").await;
    assert!(nobody.expect_err("no Sentinel").to_string().contains("expected at least one"));
    let wrong = group.server.url().replace(PASSWORD, "wrong");
    let refused = RedisStore::sentinel(&urls, &wrong).await.expect_err("another password");
    assert!(chain(&refused).contains("could not connect to Redis at "), "{}", chain(&refused));
}

/// It may be on the side of a network with the old master.
async fn one_of_three_is_not_trusted() {
    let group = Sentinel::start().await;
    let store = group.open().await;
    let password = group.password();
    let ports = group.ports();
    store.load("ring").await.expect("loads");
    for (left, port) in [(2, ports[1]), (1, ports[2])] {
        let mut connection = connection("", &password, port).await.expect("connects");
        let info: String =
            cmd("INFO").arg("server").query_async(&mut connection).await.expect("answers");
        let process = info.lines().find_map(|line| line.strip_prefix("process_id:"));
        let kill = std::process::Command::new("kill")
            .args(["-KILL", process.expect("a number").trim()])
            .status();
        assert!(kill.expect("runs").success());
        sleep(RELIED_ON).await;
        let loaded = store.load("ring").await;
        assert_eq!(loaded.is_ok(), left == 2, "{loaded:?}");
        if let Err(error) = loaded {
            let text = chain(&error);
            let votes = format!(
                "no majority says which server is the master of mymaster: of 3 1 say \
                 127.0.0.1:{}, expected 2 for one",
                group.server.port,
            );
            assert!(text.contains(&votes) && !text.contains(PASSWORD), "{text}");
        }
    }
    let role: String = send(group.server.port, cmd("INFO").arg("replication")).await.expect("ok");
    assert!(role.contains("role:master"), "{role}");
}

fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
