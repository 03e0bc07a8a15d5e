//! What users saw, counted.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::run::ask::Answer;

/// How many problems of a kind are kept in words.
const KEPT: usize = 6;

/// Answers to one kind of request.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Answers {
    /// How many requests.
    pub asked: u64,
    /// Answered as they should be: 2xx.
    pub good: u64,
    /// 401.
    pub unauthorized: u64,
    /// 503.
    pub unavailable: u64,
    /// Any other 5xx.
    pub server_errors: u64,
    /// Any other answer.
    pub others: u64,
    /// No answer: refused, closed, or none within the client's time.
    pub unreachable: u64,
}

impl Answers {
    /// Counts one answer; whether it was good.
    pub(crate) fn count(&mut self, answer: &Answer) -> bool {
        self.asked += 1;
        let counter = match answer {
            Answer::Status(200..=299, _) => &mut self.good,
            Answer::Status(401, _) => &mut self.unauthorized,
            Answer::Status(503, _) => &mut self.unavailable,
            Answer::Status(500..=599, _) => &mut self.server_errors,
            Answer::Status(..) => &mut self.others,
            Answer::Unreachable(_) => &mut self.unreachable,
        };
        *counter += 1;
        matches!(answer, Answer::Status(200..=299, _))
    }

    /// All of these.
    pub(crate) fn plus(&self, more: &Self) -> Self {
        Self {
            asked: self.asked + more.asked,
            good: self.good + more.good,
            unauthorized: self.unauthorized + more.unauthorized,
            unavailable: self.unavailable + more.unavailable,
            server_errors: self.server_errors + more.server_errors,
            others: self.others + more.others,
            unreachable: self.unreachable + more.unreachable,
        }
    }
}

/// Answers to copies of tokens whose logout was answered 204.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Copies {
    /// How many requests.
    pub tried: u64,
    /// Refused, as they should be.
    pub refused: u64,
    /// Answered 503: the replica does not rely on what it knows.
    pub unavailable: u64,
    /// Accepted within the stated bound.
    pub within_bound: u64,
    /// Accepted by a replica that could not see the store, as promised.
    pub cut_off: u64,
    /// Accepted later.
    pub after_bound: u64,
    /// Sessions whose logout only a replica knew that was killed, with a purge of the store.
    pub forgotten: u64,
}

/// All counts of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counts {
    /// Requests of sessions from before the fault, at every replica in turn.
    pub sessions: Answers,
    /// Logins at every replica in turn.
    pub logins: Answers,
    /// The first requests of new sessions, at every replica.
    pub first: Answers,
    /// Logouts at every replica in turn.
    pub logouts: Answers,
    /// Copies of ended sessions, at every replica.
    pub copies: Copies,
    /// Good sessions refused.
    pub refused: u64,
    /// Good sessions refused as the fault's promise says.
    pub refused_as_stated: u64,
    /// The first problems, in words.
    pub problems: Vec<String>,
}

/// The counts of a run in progress.
#[derive(Default)]
pub(crate) struct Tally(Mutex<Counts>);

impl Tally {
    /// To count something.
    pub(crate) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a problem in words, if there are few of its kind.
    pub(crate) fn problem(&self, kind: &'static str, problem: String) {
        let mut counts = self.counts();
        let kept = counts.problems.iter().filter(|kept| kept.starts_with(kind)).count();
        if kept < KEPT {
            counts.problems.push(format!("{kind}: {problem}"));
        }
    }
}
