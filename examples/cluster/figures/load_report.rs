//! The output of the load run: a table, and how to read it.

use std::{fmt, thread::available_parallelism, time::Duration};

use crate::{
    command::arm::Arm,
    figures::measure::{CONNECTIONS, ROUND, Way},
    figures::report::{grouped, milliseconds},
    figures::table::{Group, draw},
    users::tally::Tally,
};

/// The figures of one arm on one way.
pub(crate) struct Figures {
    arm: Arm,
    tally: Tally,
    took: Duration,
    /// Requests per second, round by round.
    rates: Vec<f64>,
}

impl Figures {
    /// Nothing yet.
    pub(crate) fn new(arm: Arm) -> Self {
        Self { arm, tally: Tally::default(), took: Duration::ZERO, rates: Vec::new() }
    }

    /// Whose they are.
    pub(crate) fn arm(&self) -> Arm {
        self.arm
    }

    /// Adds what a round counted.
    pub(crate) fn add(&mut self, tally: Tally, took: Duration) {
        self.rates.push(tally.micros.len() as f64 / took.as_secs_f64());
        self.took += took;
        self.tally.merge(tally);
    }

    fn rate(&self) -> f64 {
        self.tally.micros.len() as f64 / self.took.as_secs_f64()
    }

    /// Its share of the other's requests per second: the median over rounds, since one in which the
    /// machine was busy says nothing of either.
    fn of(&self, other: &Self) -> Option<f64> {
        let mut shares: Vec<f64> =
            self.rates.iter().zip(&other.rates).map(|(own, other)| own / other).collect();
        shares.sort_unstable_by(f64::total_cmp);
        let (below, above) = shares.split_at(shares.len() / 2);
        match (below.last(), above.first()) {
            (Some(below), Some(above)) if shares.len().is_multiple_of(2) => {
                Some((below + above) / 2.0)
            }
            (_, middle) => middle.copied(),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("one replica, asked directly"),
            Self::Balanced(1) => f.write_str("balancer, 1 replica"),
            Self::Balanced(count) => write!(f, "balancer, {count} replicas"),
        }
    }
}

/// The table, and the lines below it.
pub(crate) fn report(measured: &[(Way, Vec<Figures>)]) -> String {
    let groups = [
        Group::new("", &[("way", 27), ("arm", 9)]),
        Group::new(
            "GET /me",
            &[("requests", 9), ("failed", 6), ("per s", 7), ("p50", 6), ("p99", 6), ("of bare", 7)],
        ),
    ];
    let mut rows = Vec::new();
    for (way, arms) in measured.iter().filter(|(_, arms)| !arms.is_empty()) {
        if !rows.is_empty() {
            rows.push(None);
        }
        let bare = arms.iter().find(|it| it.arm == Arm::Bare);
        for (index, figures) in arms.iter().enumerate() {
            let title = if index == 0 { way.to_string() } else { String::new() };
            rows.push(Some(cells(title, figures, bare)));
        }
    }
    let cores = available_parallelism().map_or(0, usize::from);
    draw(&groups, &rows)
        + &format!(
            "  {CONNECTIONS} connections, each of which asks again as soon as it is answered; milliseconds.\n  \
             The client, the balancer and the replicas share {cores} cores with whatever else runs there:\n  \
             compare arms within one run. `of bare` is the median of rounds of {ROUND:?}, arms in turn.\n  \
             stateless has verified its token before; cold verifies its EdDSA signature with every request.\n  \
             memory is left out where a balancer sends its sessions to replicas that do not know them.\n",
        )
}

fn cells(title: String, figures: &Figures, bare: Option<&Figures>) -> Vec<String> {
    let tally = &figures.tally;
    let time = |percent| tally.percentile(percent).map(milliseconds).unwrap_or_default();
    let share = bare.and_then(|bare| figures.of(bare));
    vec![
        title,
        figures.arm.to_string(),
        grouped(tally.requests),
        grouped(tally.failed),
        grouped(figures.rate() as u64),
        time(50),
        time(99),
        share.map(|share| format!("{share:.2}")).unwrap_or_default(),
    ]
}

/// One sentence for each arm and way on which a request failed.
pub(crate) fn failures(measured: &[(Way, Vec<Figures>)]) -> Vec<String> {
    let mut failures = Vec::new();
    for (way, arms) in measured {
        for Figures { arm, tally, .. } in arms {
            if tally.failed > 0 {
                let first = tally.surprise.as_deref().unwrap_or_default();
                failures.push(format!("{arm}, {way}: {} failed; the first: {first}", tally.failed));
            }
        }
    }
    failures
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds of a second each with so many requests.
    fn figures(arm: Arm, rounds: [usize; 3]) -> Figures {
        let mut figures = Figures::new(arm);
        for count in rounds {
            let tally =
                Tally { requests: count as u64, micros: vec![1500; count], ..Tally::default() };
            figures.add(tally, Duration::from_secs(1));
        }
        figures
    }

    #[test]
    fn a_share_is_that_of_the_round_in_the_middle() {
        let bare = figures(Arm::Bare, [100, 10, 100]);
        let own = figures(Arm::Stateless, [90, 9, 10]);
        assert_eq!(own.of(&bare), Some(0.9));
        let mut even = figures(Arm::Stateless, [90, 9, 10]);
        even.rates.truncate(2);
        even.rates[1] = 8.0;
        assert!(even.of(&bare).is_some_and(|share| (share - 0.85).abs() < 1e-9));
        assert_eq!(own.of(&Figures::new(Arm::Bare)), None, "nothing was measured");
        let measured = [(Way::Direct, vec![bare, own]), (Way::Balanced(3), vec![])];
        let text = report(&measured);
        let row = "│                             stateless │       109      0      36    1.5    1.5    0.90 │";
        assert!(text.contains(row), "{text}");
        assert!(!text.contains("balancer, 3 replicas"), "an arm that cannot go there has no row");
    }

    #[test]
    fn a_failure_is_told_with_its_way() {
        let mut figures = figures(Arm::Memory, [1, 1, 1]);
        assert!(failures(&[(Way::Direct, vec![])]).is_empty());
        figures.tally.failed = 2;
        figures.tally.note_surprise("answered 401".to_owned());
        let listed = failures(&[(Way::Balanced(3), vec![figures])]);
        assert_eq!(listed, ["memory, balancer, 3 replicas: 2 failed; the first: answered 401"]);
    }
}
