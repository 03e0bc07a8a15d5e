//! What a history is made of: its world, the rule that it breaks, tokens, replicas and chance.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::revocation::rules::Durations;
use crate::store::feed::Register;

pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const DURATIONS: Durations = Durations {
    clock_skew: MINUTE,
    refresh_bound: Duration::from_secs(22),
    insert_timeout: Duration::from_secs(10),
    stale_limit: Duration::from_secs(3600),
    max_token_lifetime: Duration::from_secs(3600),
};
pub(super) const REPLICAS: usize = 3;
pub(super) const STEPS: usize = 16;

/// What a history may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct World {
    /// How far clocks differ at most.
    pub(super) skew: Duration,
    pub(super) store_clock: StoreClock,
    /// The store is purged and replaced by older copies.
    pub(super) losses: bool,
    /// Replicas lose what they hold.
    pub(super) restarts: bool,
    pub(super) broken: Option<Broken>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreClock {
    /// The writers' clocks count.
    None,
    Steady,
    /// A store that lost records has another clock: another server took over.
    OfEachServer,
}

/// The rule that is left out, by its number in the list of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// 2: a version is a plain number, without the time in it.
    Counted,
    /// 2: two histories of a register are merged by their maxima.
    MergedByMaxima,
    /// 2: an advance is a read and a write, between which another one comes. A version is a plain number.
    AdvancedInTwoSteps,
    /// 3: a renewal carries the version that is known when it is signed.
    RenewedWithNewVersion,
    /// 3: a login carries the version that its replica holds, without a read.
    LoginWithoutRead,
    /// 4: the slack is the clocks' difference.
    ShortSlack,
    /// 5: a lost register is not noticed.
    LossIgnored,
    /// 6: a cutoff is kept as long as a token lives.
    KeptForOneLifetime,
}

/// A token; its renewals are the same session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) version: u64,
    pub(super) login: Timestamp,
    pub(super) issued: Timestamp,
    pub(super) expires: Timestamp,
    /// The cutoffs at which the session was there, one bit each.
    pub(super) cut_off: u32,
    /// Whether its login was made under the last known values, with the store out of reach.
    pub(super) blind: bool,
    /// The number of cutoffs made before its login.
    pub(super) after: usize,
}

/// A register, and the cutoffs that it includes, one bit each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Value {
    pub(super) register: Option<Register>,
    pub(super) cutoffs: u32,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Replica {
    /// How far its clock is ahead.
    pub(super) ahead: Duration,
    pub(super) held: Value,
    /// The value made by the store that is to be restored, while another is enforced.
    pub(super) lost: Option<Register>,
    pub(super) read_began: Option<Timestamp>,
}

/// What a history came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Tokens that were there at a cutoff, and are good.
    pub(super) revoked_but_good: usize,
    /// Tokens of logins after all cutoffs, that are refused.
    pub(super) good_but_refused: usize,
    pub(super) revoked: usize,
    pub(super) good: usize,
}

impl Outcome {
    pub(super) fn add(&mut self, other: Self) {
        self.revoked_but_good += other.revoked_but_good;
        self.good_but_refused += other.good_but_refused;
        self.revoked += other.revoked;
        self.good += other.good;
    }
}

/// SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(super) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn up_to(&mut self, most: Duration) -> Duration {
        Duration::from_millis(self.next() % (most.as_millis() as u64 + 1))
    }
}
