//! Reading a shard of a feed in Redis.
//!
//! The state is read first, then the logs. So a log that is not the last is complete when it is read.

use futures_util::future::try_join_all;

use crate::store::contract::{Skipped, StoreError};
use crate::store::feed::FeedPage;
use crate::store::redis::feed_write::{Shards, random};
use crate::store::redis::scripts::CHECK;
use crate::store::redis::shard::{EntryId, Place, Shard, parse_id};

/// The ID of an entry, and its fields and values in turns.
type LogEntry = (String, Vec<Vec<u8>>);

/// The state of a shard.
struct State {
    incarnation: String,
    first: u64,
    last: u64,
    /// The number of bytes in all logs.
    end: u64,
    /// By the server's clock.
    now: u64,
    checked: u64,
    /// Those from a number on that have not expired.
    logs: Vec<Log>,
    /// The number up to which they are all there.
    looked_up_to: u64,
}

#[derive(Clone, Copy)]
struct Log {
    number: u64,
    /// The number of bytes in the logs before it.
    start: u64,
}

enum Answer {
    /// Where to read on, and whether there is more.
    Read(Place, bool),
    Gap,
    /// A log seems to be missing.
    Missing,
}

impl Shards {
    /// Adds about so many bytes after a place, or from the beginning, to the page. Returns where to read
    /// on and whether there is more; `None` if there is a gap.
    pub(crate) async fn read(
        &self,
        shard: &Shard,
        after: Option<&Place>,
        bytes: u64,
    ) -> Result<Option<(Place, bool, FeedPage)>, StoreError> {
        let mut page = FeedPage::new(Place::cursor(&[]));
        // The logs as they were found when the place was not in them.
        let mut missed = None;
        for _ in 0..TRIES {
            let Some(state) = self.state(shard, after.map(|place| place.log)).await? else {
                self.check(shard, 0, 0).await?;
                continue;
            };
            let is_due = state.now.abs_diff(state.checked) >= CHECK_EVERY;
            if is_due {
                self.check(shard, state.first, state.last).await?;
                continue;
            }
            match self.logs(shard, &state, after, bytes, &mut page).await? {
                Answer::Read(place, has_more) => return Ok(Some((place, has_more, page))),
                Answer::Gap => return Ok(None),
                Answer::Missing => {
                    let logs = (state.first, state.last);
                    // All logs are there, so the place is none that was ever read.
                    if after.is_some() && missed.replace(logs) == Some(logs) {
                        return Ok(None);
                    }
                    self.check(shard, state.first, state.last).await?;
                }
            }
        }
        let cause = format!("its logs changed {TRIES} times");
        Err(self.failed("read", shard)(cause.into()))
    }

    /// Reads the state, with the logs from a number on; `None` if there is none.
    async fn state(&self, shard: &Shard, from: Option<u64>) -> Result<Option<State>, StoreError> {
        // Most often the log of the place is the last; once an hour it is not.
        let (mut from, mut count) = (from.unwrap_or_default(), 2);
        loop {
            let mut command = redis::cmd("HMGET");
            command.arg(shard.state()).arg(&["incarnation", "first", "last", "end", "checked"]);
            for number in from..from + count {
                command.arg(number);
            }
            let time = redis::cmd("TIME");
            let (time, fields) = tokio::join!(
                self.servers.query::<(u64, u64)>(&shard.tag, &time),
                self.servers.query_at::<Vec<Option<String>>>(&shard.tag, &command),
            );
            let (seconds, micros) = time.map_err(self.failed("read", shard))?;
            let (fields, node) = fields.map_err(self.failed("read", shard))?;
            let now = seconds * 1000 + micros / 1000;
            let number = |index: usize| fields.get(index)?.as_ref()?.parse::<u64>().ok();
            let (Some(Some(name)), Some(first), Some(last), Some(end)) =
                (fields.first(), number(1), number(2), number(3))
            else {
                return Ok(None);
            };
            let start = from.max(first);
            if start <= last && (start > from || (count < LOGS && from + count <= last)) {
                (from, count) = (start, LOGS);
                continue;
            }
            let logs = (from..).zip(fields.iter().skip(5)).filter_map(|(number, field)| {
                let (expires, start) = field.as_ref()?.split_once(' ')?;
                let is_there = number >= first && expires.parse::<u64>().ok()? > now;
                is_there.then_some(Log { number, start: start.parse().ok()? })
            });
            let server = node.incarnation.as_deref().unwrap_or_default();
            return Ok(Some(State {
                incarnation: format!("{server}.{name}"),
                first,
                last,
                end,
                now,
                checked: number(4).unwrap_or_default(),
                logs: logs.collect(),
                looked_up_to: if start > last { last } else { last.min(from + count - 1) },
            }));
        }
    }

    async fn logs(
        &self,
        shard: &Shard,
        state: &State,
        after: Option<&Place>,
        bytes: u64,
        page: &mut FeedPage,
    ) -> Result<Answer, StoreError> {
        let mut place = match after {
            Some(place) => place.clone(),
            None => Place { incarnation: state.incarnation.clone(), log: 0, entry: None },
        };
        if place.incarnation != state.incarnation
            || place.log > state.last
            || place.entry.is_some_and(|(end, _)| end > state.end)
        {
            return Ok(Answer::Gap);
        }
        let mut logs = &state.logs[..];
        // The entry after which the first log is read, unless that log has expired.
        let is_there = logs.first().is_some_and(|log| log.number == place.log);
        let mut last = place.entry.filter(|_| is_there);
        let (mut has_more, mut has_read) = (false, false);
        while let Some(first) = logs.first()
            && !has_read
        {
            let until = last.map_or(first.start, |(end, _)| end) + bytes;
            let reads = logs.iter().take_while(|log| log.start < until).zip(0..);
            let reads = reads.map(|(log, index)| {
                self.range(shard, log.number, last.filter(|_| index == 0), until)
            });
            for (index, mut entries) in try_join_all(reads).await?.into_iter().enumerate() {
                let Some(((id, _), log)) = entries.first().zip(logs.first()) else {
                    if index == 0 {
                        // Each log has entries, and one that was read stays.
                        return Ok(Answer::Missing);
                    }
                    // The first one does not fit the page.
                    break;
                };
                if let (0, Some(last)) = (index, last) {
                    if parse_id(id) != Some(last) {
                        return Ok(Answer::Gap);
                    }
                    entries.remove(0);
                }
                for (id, values) in entries {
                    (place.log, place.entry) = (log.number, parse_id(&id));
                    has_read = true;
                    let name = || format!("{} {id}", shard.log(log.number));
                    match &values[..] {
                        [field, value] if field == b"r" => page.decode(&name(), value),
                        _ => page.skipped.push(Skipped::new(name(), "is not an entry: remove it")),
                    }
                }
                logs = &logs[1..];
            }
            has_more = until < logs.first().map_or(state.end, |log| log.start);
            last = None;
        }
        if !has_read && (after.is_none() || state.looked_up_to < state.last) {
            // All of these have expired.
            (place.log, place.entry) = (state.looked_up_to, None);
        }
        has_more = (has_more && has_read) || !logs.is_empty() || state.looked_up_to < state.last;
        Ok(Answer::Read(place, has_more))
    }

    /// Reads the entries of a log from one on, up to a number of bytes in all logs.
    async fn range(
        &self,
        shard: &Shard,
        log: u64,
        from: Option<EntryId>,
        until: u64,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let mut command = redis::cmd("XRANGE");
        command.arg(shard.log(log));
        match from {
            Some((end, time)) => command.arg(format!("{end}-{time}")),
            None => command.arg("-"),
        };
        command.arg(until);
        self.servers.query(&shard.tag, &command).await.map_err(self.failed("read", shard))
    }

    /// Makes the state if there is none, and looks for logs that are missing.
    async fn check(&self, shard: &Shard, first: u64, last: u64) -> Result<(), StoreError> {
        let logs: Vec<_> = (first..=last).map(|number| shard.log(number)).collect();
        let mut command = redis::cmd("EVAL");
        command.arg(CHECK).arg(1 + logs.len()).arg(shard.state()).arg(logs);
        command.arg(random()?).arg(first);
        let checked = self.servers.query::<i64>(&shard.tag, &command).await;
        checked.map(drop).map_err(self.failed("read", shard))
    }
}

/// How many logs are looked for at a time, if they are more than one or two.
const LOGS: u64 = 64;
/// How often, in milliseconds, it is looked for logs that are missing.
const CHECK_EVERY: u64 = 10_000;
/// How often a read begins again because a log was missing. The next finds what that has changed.
const TRIES: usize = 5;
