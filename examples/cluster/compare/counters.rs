//! What replicas and their store count themselves, read twice and compared.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    processes::cluster::Cluster, store::console, store::faulty::Condition, users::client::Client,
    users::client::Credentials,
};

/// How long the store is watched without users.
const IDLE: Duration = Duration::from_secs(1);

/// One reading.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    /// Bytes sent to other replicas, by process.
    sent: BTreeMap<u32, u64>,
    /// Resident bytes, by process.
    memory: BTreeMap<u32, u64>,
    /// What the store says of itself, and which process it is.
    store: Option<StoreCounters>,
}

/// What a Redis says of itself.
#[derive(Clone, Debug, PartialEq)]
struct StoreCounters {
    process: String,
    commands: u64,
    memory: u64,
}

impl Counters {
    /// Reads those of every replica that is alive, and of the store if it can be reached.
    pub(crate) async fn read(cluster: &mut Cluster<'_>) -> Self {
        let replicas: Vec<_> = cluster
            .alive()
            .into_iter()
            .map(|index| &cluster.replicas()[index])
            .map(|it| (it.id(), Client::new(&it.url)))
            .collect();
        let read = replicas.iter().map(async |(id, client)| {
            let answer = client.get("/figures", Credentials::Nobody).await;
            (*id, answer.map(|it| it.json).unwrap_or_default())
        });
        let mut counters = Self::default();
        for (id, figures) in join_all(read).await {
            let number = |name: &str| figures[name].as_u64();
            counters.sent.extend(number("bytes_sent").map(|sent| (id, sent)));
            counters.memory.extend(number("memory_bytes").map(|memory| (id, memory)));
        }
        if cluster.meeting.condition() != Condition::Down
            && let Ok(linked) = cluster.meeting.linked()
            && let Ok(info) = console::ask(&linked.server.url(), &["INFO"]).await
        {
            counters.store = StoreCounters::read(&info);
        }
        counters
    }

    /// How many bytes went from replica to replica since an earlier reading. What a process sent that has
    /// ended since is not counted.
    pub(crate) fn sent_since(&self, earlier: &Self) -> u64 {
        let sent = self.sent.iter().map(|(id, sent)| {
            sent.saturating_sub(earlier.sent.get(id).copied().unwrap_or_default())
        });
        sent.sum()
    }

    /// How many commands the store processed since an earlier reading; none if it is another process.
    pub(crate) fn commands_since(&self, earlier: &Self) -> Option<u64> {
        let (now, then) = (self.store.as_ref()?, earlier.store.as_ref()?);
        (now.process == then.process).then(|| now.commands.saturating_sub(then.commands))
    }

    /// The memory of a replica, on average.
    pub(crate) fn memory_per_replica(&self) -> Option<u64> {
        let count = u64::try_from(self.memory.len()).ok()?;
        self.memory.values().sum::<u64>().checked_div(count)
    }

    /// By how much the replicas that were there before have grown.
    pub(crate) fn replicas_grown(&self, earlier: &Self) -> Option<i64> {
        let grown = self.memory.iter().filter_map(|(id, now)| {
            let then = i64::try_from(*earlier.memory.get(id)?).ok()?;
            Some(i64::try_from(*now).ok()? - then)
        });
        (!self.memory.is_empty()).then(|| grown.sum())
    }

    /// By how much the store has grown.
    pub(crate) fn store_grown(&self, earlier: &Self) -> Option<i64> {
        let (now, then) = (self.store.as_ref()?, earlier.store.as_ref()?);
        Some(i64::try_from(now.memory).ok()? - i64::try_from(then.memory).ok()?)
    }

    /// How many other replicas each has.
    pub(crate) fn peers(&self) -> u64 {
        u64::try_from(self.sent.len()).unwrap_or_default().saturating_sub(1)
    }
}

impl StoreCounters {
    /// Reads the answer to `INFO`.
    fn read(info: &str) -> Option<Self> {
        let field = |name: &str| {
            info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        Some(Self {
            process: field("run_id")?.to_owned(),
            commands: field("total_commands_processed")?.parse().ok()?,
            memory: field("used_memory")?.parse().ok()?,
        })
    }
}

/// The commands that the store processes without users.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unasked {
    /// Those of one reading.
    by_reading: f64,
    /// Those of the replicas, per second; none without a store.
    pub(crate) per_second: Option<f64>,
}

impl Unasked {
    /// Measures them, before there are users.
    pub(crate) async fn measure(cluster: &mut Cluster<'_>) -> Self {
        if !cluster.meeting.has_link() {
            return Self::default();
        }
        let first = Counters::read(cluster).await;
        let second = Counters::read(cluster).await;
        sleep(IDLE).await;
        let third = Counters::read(cluster).await;
        let since = |now: &Counters, then| now.commands_since(then).map(|count| count as f64);
        let by_reading = since(&second, &first).unwrap_or_default();
        let idle = since(&third, &second).map(|count| (count - by_reading).max(0.0));
        Self { by_reading, per_second: idle.map(|count| count / IDLE.as_secs_f64()) }
    }

    /// How many of so many commands were for users.
    pub(crate) fn taken_from(self, commands: u64, seconds: f64) -> f64 {
        let unasked = self.by_reading + self.per_second.unwrap_or_default() * seconds;
        (commands as f64 - unasked).max(0.0)
    }
}

/// How long a replica may accept a session that was ended on another one, as it states.
pub(crate) async fn bound(cluster: &Cluster<'_>) -> Option<u64> {
    let client = Client::new(cluster.url());
    let status = client.get("/health/status", Credentials::Nobody).await;
    let status: Value = status.map(|it| it.json).unwrap_or_default();
    status["revocations"]["refresh_bound_ms"].as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(sent: &[(u32, u64)], process: &str, commands: u64) -> Counters {
        let store = StoreCounters { process: process.to_owned(), commands, memory: 7 * commands };
        let sent: BTreeMap<_, _> = sent.iter().copied().collect();
        Counters { memory: sent.clone(), sent, store: Some(store) }
    }

    #[test]
    fn info_is_read() {
        let info = "# Server\r\nrun_id:abc\r\n# Memory\r\nused_memory:17\r\nused_memory_rss:99\r\n\
                    # Stats\r\ntotal_commands_processed:5\r\n";
        let read = StoreCounters { process: "abc".to_owned(), commands: 5, memory: 17 };
        assert_eq!(StoreCounters::read(info), Some(read));
        assert_eq!(StoreCounters::read("run_id:abc"), None);
    }

    #[test]
    fn what_the_store_does_without_users_is_taken_off() {
        let unasked = Unasked { by_reading: 4.0, per_second: Some(10.0) };
        assert_eq!(unasked.taken_from(124, 2.0), 100.0);
        assert_eq!(unasked.taken_from(20, 2.0), 0.0);
        assert_eq!(Unasked::default().taken_from(7, 2.0), 7.0);
    }

    #[test]
    fn counts_begin_with_a_process() {
        let before = counters(&[(1, 100), (2, 50)], "a", 10);
        let after = counters(&[(1, 130), (3, 20)], "a", 15);
        assert_eq!(after.sent_since(&before), 50, "process 3 is new");
        assert_eq!(after.replicas_grown(&before), Some(30), "of those that were there before");
        assert_eq!(
            (after.commands_since(&before), after.store_grown(&before)),
            (Some(5), Some(35))
        );
        assert_eq!(counters(&[], "b", 99).commands_since(&before), None, "another server");
        assert_eq!(after.memory_per_replica(), Some(75));
        assert_eq!(Counters::default().memory_per_replica(), None);
    }
}
