//! The counts of one step: which replica answered, faults, and times.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use axum::http::StatusCode;

use crate::{BoxError, users::client::Answer};

/// The expected answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Expect {
    /// Any 2xx.
    Success,
    /// Just this.
    Status(StatusCode),
}

impl Expect {
    fn holds(self, status: StatusCode) -> bool {
        match self {
            Self::Success => status.is_success(),
            Self::Status(expected) => status == expected,
        }
    }
}

/// The counts of one step, or of several merged.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    /// Requests, whatever came of them.
    pub(crate) requests: u64,
    /// Answers by replica.
    pub(crate) by_replica: BTreeMap<String, u64>,
    /// 401 where there was a good session.
    pub(crate) unexpected_401: u64,
    /// 5xx, and connections that broke.
    pub(crate) failed: u64,
    /// Retries, of the balancer and of clients.
    pub(crate) retries: u64,
    /// Copies of a session that were accepted after its logout was answered.
    pub(crate) accepted_after_logout: u64,
    /// How long after that the last one was.
    pub(crate) accepted_for: Duration,
    /// Cookies renewed in passing.
    pub(crate) renewals: u64,
    /// The keys that signed the sessions that were seen.
    pub(crate) kids: BTreeSet<String>,
    /// Who refused a session (first) that who had made (second), and how often.
    pub(crate) refusals: BTreeMap<(String, String), u64>,
    /// The first other surprise, in words.
    pub(crate) surprise: Option<String>,
    /// How long each answer took, in microseconds, in no order.
    pub(crate) micros: Vec<u64>,
}

impl Tally {
    /// Counts one request that should have gone as `expected`; `maker` made the session it
    /// carried, and is empty if it carried none.
    pub(crate) fn record(
        &mut self,
        outcome: &Result<Answer, BoxError>,
        expected: Expect,
        maker: &str,
    ) {
        self.requests += 1;
        let answer = match outcome {
            Ok(answer) => answer,
            Err(error) => {
                self.failed += 1;
                self.surprise.get_or_insert_with(|| error.to_string());
                return;
            }
        };
        self.micros.push(u64::try_from(answer.took.as_micros()).unwrap_or(u64::MAX));
        self.retries += answer.retries;
        if !answer.replica.is_empty() {
            *self.by_replica.entry(answer.replica.clone()).or_default() += 1;
        }
        if let Some(kid) = answer.json["kid"].as_str() {
            self.kids.insert(kid.to_owned());
        }
        if expected.holds(answer.status) {
            return;
        }
        if answer.status == StatusCode::UNAUTHORIZED {
            self.unexpected_401 += 1;
            if !maker.is_empty() {
                let pair = (answer.replica.clone(), maker.to_owned());
                *self.refusals.entry(pair).or_default() += 1;
            }
            return;
        }
        if answer.status.is_server_error() {
            self.failed += 1;
        }
        let (status, replica) = (answer.status, &answer.replica);
        let who = if replica.is_empty() { "the balancer" } else { replica };
        self.surprise.get_or_insert_with(|| format!("{who} answered {status}"));
    }

    /// Notes something that no single answer shows.
    pub(crate) fn note_surprise(&mut self, surprise: String) {
        self.surprise.get_or_insert(surprise);
    }

    /// Adds what another tally counted.
    pub(crate) fn merge(&mut self, other: Self) {
        self.requests += other.requests;
        self.unexpected_401 += other.unexpected_401;
        self.failed += other.failed;
        self.retries += other.retries;
        self.accepted_after_logout += other.accepted_after_logout;
        self.accepted_for = self.accepted_for.max(other.accepted_for);
        self.renewals += other.renewals;
        self.kids.extend(other.kids);
        self.micros.extend(other.micros);
        self.surprise = self.surprise.take().or(other.surprise);
        for (replica, count) in other.by_replica {
            *self.by_replica.entry(replica).or_default() += count;
        }
        for (pair, count) in other.refusals {
            *self.refusals.entry(pair).or_default() += count;
        }
    }

    /// The time within which `percent` of the answers came; none if there were no answers.
    pub(crate) fn percentile(&self, percent: usize) -> Option<Duration> {
        let mut micros = self.micros.clone();
        micros.sort_unstable();
        nearest_rank(&micros, percent).map(Duration::from_micros)
    }
}

/// The smallest value that is not exceeded by `percent` of a sorted list.
pub(crate) fn nearest_rank<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: StatusCode, replica: &str) -> Result<Answer, BoxError> {
        Ok(Answer {
            status,
            replica: replica.to_owned(),
            retries: 1,
            set_cookie: false,
            took: Duration::from_micros(7),
            json: serde_json::json!({ "kid": "k" }),
            text: String::new(),
        })
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(nearest_rank(&hundred, 50), Some(50));
        assert_eq!(nearest_rank(&hundred, 99), Some(99));
        assert_eq!(nearest_rank(&hundred, 100), Some(100));
        assert_eq!(nearest_rank(&[1, 9], 99), Some(9));
        assert_eq!(nearest_rank(&[5], 0), Some(5));
        assert_eq!(nearest_rank::<u64>(&[], 50), None);
    }

    #[test]
    fn a_surprise_is_counted_by_its_kind() {
        let mut tally = Tally::default();
        tally.record(&answer(StatusCode::NO_CONTENT, "a"), Expect::Success, "a");
        let denied = Expect::Status(StatusCode::UNAUTHORIZED);
        tally.record(&answer(StatusCode::UNAUTHORIZED, "a"), denied, "");
        assert_eq!((tally.unexpected_401, tally.failed, &tally.surprise), (0, 0, &None));

        tally.record(&answer(StatusCode::UNAUTHORIZED, "b"), Expect::Success, "a");
        tally.record(&answer(StatusCode::BAD_GATEWAY, ""), Expect::Success, "a");
        tally.record(&Err("broken".into()), Expect::Success, "a");
        assert_eq!((tally.requests, tally.unexpected_401, tally.failed), (5, 1, 2));
        assert_eq!(tally.refusals[&("b".to_owned(), "a".to_owned())], 1);
        let surprise = tally.surprise.as_deref();
        assert_eq!(surprise, Some("the balancer answered 502 Bad Gateway"));
        assert_eq!(tally.by_replica["a"], 2);
    }

    #[test]
    fn merging_adds_everything() {
        let mut one = Tally::default();
        one.record(&answer(StatusCode::OK, "a"), Expect::Success, "a");
        let mut both = one.clone();
        both.merge(one);
        assert_eq!((both.requests, both.retries, both.by_replica["a"]), (2, 2, 2));
        assert_eq!(both.kids.len(), 1);
        assert_eq!(both.percentile(50), Some(Duration::from_micros(7)));
    }
}
