//! Writing a shard of a feed in Redis.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use redis::Cmd;

use crate::clock::Timestamp;
use crate::crypto::backend;
use crate::store::contract::StoreError;
use crate::store::feed::{Advance, Register, RegisterId, RevokedSession};
use crate::store::redis::channel::{CHANNEL, message};
use crate::store::redis::connection::Servers;
use crate::store::redis::scripts::{ADVANCE, APPEND, HINT, RESTORE};
use crate::store::redis::shard::Shard;
use crate::sync::lock;

/// The shards of all feeds of a store.
pub(crate) struct Shards {
    pub(crate) servers: Arc<Servers>,
    /// The number of the log to which a shard's last write went, by its tag.
    logs: Mutex<HashMap<String, u64>>,
}

impl fmt::Debug for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shards").finish_non_exhaustive()
    }
}

impl Shards {
    pub(crate) fn new(servers: Arc<Servers>) -> Self {
        Self { servers, logs: Mutex::default() }
    }

    /// The shards of a feed.
    pub(crate) fn of(&self, feed: &str) -> Vec<Shard> {
        Shard::all(feed, self.servers.shards())
    }

    /// Appends sessions. Without one an empty entry tests whether it can, and nobody is notified.
    pub(crate) async fn append(
        &self,
        shard: &Shard,
        sessions: &[RevokedSession],
    ) -> Result<(), StoreError> {
        let none = sessions.is_empty().then_some(sessions);
        for part in sessions.chunks(SESSIONS * ENTRIES).chain(none) {
            let latest = part.iter().map(|session| session.until).max();
            let write = |script: &mut Cmd| {
                script.arg(latest.map_or(0, exact));
                for entry in part.chunks(SESSIONS).chain(none) {
                    script.arg(RevokedSession::encode(entry));
                }
            };
            let channel = if none.is_some() { "" } else { self.channel() };
            self.write((shard, channel), "append to", APPEND, &[], write).await?;
        }
        Ok(())
    }

    /// Advances a register.
    pub(crate) async fn advance(
        &self,
        shard: &Shard,
        advance: &Advance,
    ) -> Result<Register, StoreError> {
        let Advance { id, above, at, until, .. } = advance;
        let write = |script: &mut Cmd| {
            script.arg(id.encode()).arg(above.min(&(Register::MAX_VERSION + 1)));
            script.arg(exact(*at)).arg(exact(*until));
        };
        let verb = "advance a register of";
        let to = (shard, self.channel());
        let answer = self.write(to, verb, ADVANCE, &[shard.register(id)], write).await?;
        let register = |version: i64, at, until| {
            let time = Timestamp::from_unix_millis;
            Register::new(u64::try_from(version).unwrap_or_default(), time(at), time(until))
        };
        match answer[..] {
            [0, version, at, until] => Ok(register(version, at, until)),
            [-1, now, version, at, until] => {
                Err(register(version, at, until).out_of_bounds(Timestamp::from_unix_millis(now)))
            }
            _ => Err(self.failed(verb, shard)(format!("unexpected answer {answer:?}").into())),
        }
    }

    /// Restores registers.
    pub(crate) async fn restore(
        &self,
        shard: &Shard,
        held: &[(RegisterId, Register)],
    ) -> Result<(), StoreError> {
        for part in held.chunks(REGISTERS) {
            let keys: Vec<_> = part.iter().map(|(id, _)| shard.register(id)).collect();
            let write = |script: &mut Cmd| {
                for (id, Register { version, at, until }) in part {
                    script.arg(id.encode()).arg(version.min(&Register::MAX_VERSION));
                    script.arg(exact(*at)).arg(exact(*until));
                }
            };
            let to = (shard, self.channel());
            self.write(to, "restore registers of", RESTORE, &keys, write).await?;
        }
        Ok(())
    }

    /// The channel in which scripts publish hints. In a cluster, hints have one place, so that they are
    /// limited together.
    fn channel(&self) -> &'static str {
        if self.servers.shards() == 1 { CHANNEL } else { "" }
    }

    /// Runs a script that writes the current log, which is found out if it is not known.
    async fn write(
        &self,
        (shard, channel): (&Shard, &str),
        verb: &str,
        script: &str,
        registers: &[String],
        arguments: impl Fn(&mut Cmd),
    ) -> Result<Vec<i64>, StoreError> {
        let mut log = lock(&self.logs).get(&shard.tag).copied().unwrap_or_default();
        let message = message(self.servers.database(), &shard.feed);
        for _ in 0..TRIES {
            let mut command = redis::cmd("EVAL");
            command.arg(script).arg(3 + registers.len());
            command.arg(shard.state()).arg(shard.log(log)).arg(shard.hinted()).arg(registers);
            command.arg(log).arg(SPAN).arg(random()?).arg(channel).arg(&message);
            arguments(&mut command);
            let answer = self.servers.query(&shard.tag, &command).await;
            let answer: Vec<i64> = answer.map_err(self.failed(verb, shard))?;
            match answer[..] {
                [number] if number > 0 => {
                    log = number.unsigned_abs();
                    lock(&self.logs).insert(shard.tag.clone(), log);
                }
                _ => return Ok(answer),
            }
        }
        Err(self.failed(verb, shard)(format!("its log changed {TRIES} times").into()))
    }

    /// Publishes that a feed has changed, where the scripts cannot.
    pub(crate) async fn hint(&self, feed: &str) {
        if self.servers.shards() == 1 {
            return;
        }
        if let Some(shard) = Shard::all(feed, 1).first() {
            let mut command = redis::cmd("EVAL");
            command.arg(HINT).arg(1).arg(shard.hinted()).arg(CHANNEL);
            command.arg(message(self.servers.database(), feed));
            // Who misses it polls.
            if let Err(error) = self.servers.query::<i64>(&shard.tag, &command).await {
                tracing::debug!(feed, error, "cannot publish a change of the feed");
            }
        }
    }

    /// The error of an operation on a feed.
    pub(crate) fn failed(
        &self,
        verb: &str,
        shard: &Shard,
    ) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> StoreError {
        let address = self.servers.address();
        let context = format!("could not {verb} the feed {} in Redis at {address}", shard.feed);
        move |cause| StoreError::with_source(context, cause)
    }
}

/// A random name.
pub(crate) fn random() -> Result<String, StoreError> {
    let mut random = [0; 16];
    backend::fill_random(&mut random)
        .map_err(|source| StoreError::with_source("could not write to Redis", source))?;
    Ok(format!("{:032x}", u128::from_be_bytes(random)))
}

/// A time as a number that Lua holds exactly: up to the year 287396.
fn exact(time: Timestamp) -> i64 {
    const LARGEST: i64 = (1 << 53) - 1;
    time.as_unix_millis().clamp(-LARGEST, LARGEST)
}

/// How long a log is written, and the shortest time for which it is kept, in milliseconds: an hour.
const SPAN: u64 = 3600 * 1000;
/// The number of sessions in an entry of a log: 13 KB.
const SESSIONS: usize = 500;
/// The number of entries that one script appends.
const ENTRIES: usize = 16;
/// The number of registers that one script restores.
const REGISTERS: usize = 300;
/// How often a write looks for the current log. It changes once an hour.
const TRIES: usize = 10;
