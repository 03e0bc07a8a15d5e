//! The rules of registers: which tokens they refuse, how long they are kept, and when one was lost.
//!
//! They hold together only: the histories in this module's tests show for each of them that a revoked
//! token is accepted without it.

#[cfg(test)]
mod histories;

use std::time::Duration;

use crate::clock::Timestamp;
use crate::store::feed::Register;

/// The durations of a ring, and of its store, that the rules depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Durations {
    /// The largest difference between any two clocks.
    pub(crate) clock_skew: Duration,
    /// The longest time until a replica sees a change in the store.
    pub(crate) refresh_bound: Duration,
    /// The longest time that a write takes.
    pub(crate) insert_timeout: Duration,
    /// How long a replica that hears nothing of revocations may continue: the ring's.
    pub(crate) stale_limit: Duration,
    /// The longest life of any token: the ring's.
    pub(crate) max_token_lifetime: Duration,
}

impl Durations {
    /// How long after a cutoff a login at a replica that has not yet heard of it is refused. It is never
    /// less than 10 minutes: clocks that differ by more than they should must not spare a session that
    /// was there.
    pub(crate) fn slack(&self) -> Duration {
        let hearing = self.refresh_bound.saturating_add(self.insert_timeout);
        self.clock_skew.saturating_mul(2).max(hearing).max(LEAST_SLACK)
    }

    /// For how long after it was made a revocation is kept: a replica that hears nothing of it may
    /// renew a token as long as the stale limit lets it, and that token lives its longest; the clocks of
    /// writer, store, issuer and reader differ.
    pub(crate) fn keeping(&self) -> Duration {
        let renewed = self.stale_limit.saturating_add(self.max_token_lifetime);
        renewed.saturating_add(self.clock_skew.saturating_mul(4))
    }

    /// Whether the store has lost the register that a token's login was made under: a complete read
    /// that began when the token had been issued by every clock shows a lower version, or none, though
    /// the register would still be kept. A version is the time of its cutoff in milliseconds, or more.
    ///
    /// Such a register is advanced above the token's version, to the [cutoff](lost_cutoff) that it had;
    /// until then the token's version counts as 0.
    pub(crate) fn is_lost(
        &self,
        held: Option<&Register>,
        token: &Issued,
        read_began: Option<Timestamp>,
        now: Timestamp,
    ) -> bool {
        let is_read_after = read_began.is_some_and(|began| began > token.at + self.clock_skew);
        is_read_after && self.is_unread(held, token.version, now)
    }

    /// Whether a token claims a version above what is held, of a register that would still be kept: this
    /// replica has not read it yet, the store has lost it, or a holder of a signing key invented it.
    pub(crate) fn is_unread(&self, held: Option<&Register>, version: u64, now: Timestamp) -> bool {
        let shown = held.map_or(0, |held| held.version);
        let made = Timestamp::from_unix_millis(i64::try_from(version).unwrap_or(i64::MAX));
        // By the clock that was ahead when it was made, and the one that is behind now.
        let may_be_dropped = now + self.clock_skew.saturating_mul(2) >= made + self.keeping();
        shown < version && !may_be_dropped
    }
}

/// When a token was issued, and the version that its login was made under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Issued {
    /// The `iat` claim.
    pub(crate) at: Timestamp,
    /// The `rv` claim, or `rg` for the register of all; 0 if it is absent.
    pub(crate) version: u64,
}

/// Whether a register refuses a token of that version and login time. The version decides: a login
/// that knew the cutoff is spared, whatever the clocks. The time only spares logins at replicas that
/// had not heard of it for longer than `slack`.
pub(crate) fn hits(
    register: &Register,
    version: u64,
    login: Option<Timestamp>,
    slack: Duration,
) -> bool {
    // SECURITY: a login at an unknown time may have been before the cutoff.
    let is_later = login.is_some_and(|login| login > register.at + slack);
    version < register.version && !is_later
}

/// The highest version that an issuer can know now: versions are times in milliseconds.
pub(crate) fn highest_version(now: Timestamp) -> u64 {
    let latest = (now + Register::MOST_AHEAD).as_unix_millis();
    u64::try_from(latest).unwrap_or_default().min(Register::MAX_VERSION)
}

/// The cutoff of a register that was lost with a version which a token shows: a version is the time of its
/// cutoff in milliseconds, or little more. Sessions that it ended are ended again. So are those whose login
/// was up to `slack` later: nothing tells them apart any more.
pub(crate) fn lost_cutoff(held: Option<&Register>, version: u64, now: Timestamp) -> Timestamp {
    let made = Timestamp::from_unix_millis(i64::try_from(version).unwrap_or(i64::MAX)).min(now);
    held.map_or(made, |held| held.at.max(made))
}

/// Until when a revocation is kept that is made `now`, with a cutoff `at`, for so long. A cutoff in the
/// past concerns tokens that are still renewed today.
pub(crate) fn kept_until(at: Timestamp, now: Timestamp, keeping: Duration) -> Timestamp {
    at.max(now) + keeping
}

/// What a replica that mirrors a register does with the value that it has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mirrored {
    /// It holds the value that was read.
    Taken(Register),
    /// The store has lost the value that is held: the replica restores that one, and reads the outcome.
    Lost {
        /// The value that is looked up until then: it refuses what either of the two does.
        ///
        /// SECURITY: no login may carry its version, since the store has not made it, and may give the
        /// same number to another cutoff. A login takes the version of the value that was held.
        enforced: Register,
    },
}

/// Compares the value that a replica holds with the one that it has read, `seen`; `None` if a complete
/// read shows none. Two values of which neither includes the other come from two histories of the store.
/// Their maximum would spare the sessions that know the higher version and not the later cutoff, so only
/// the store makes one that is above both. A value out of bounds counts as none.
pub(crate) fn mirror(
    held: Option<&Register>,
    seen: Option<&Register>,
    now: Timestamp,
) -> Option<Mirrored> {
    let seen = seen.filter(|seen| seen.is_plausible(now)).copied();
    let Some(held) = held else { return seen.map(Mirrored::Taken) };
    match seen.filter(|seen| seen.dominates(held)) {
        Some(seen) => {
            let until = seen.until.max(held.until);
            Some(Mirrored::Taken(Register { until, ..seen }))
        }
        None => {
            let enforced = Register::restored(seen, held, now).unwrap_or(*held);
            Some(Mirrored::Lost { enforced })
        }
    }
}

const LEAST_SLACK: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    const fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    const DURATIONS: Durations = Durations {
        clock_skew: minutes(1),
        refresh_bound: Duration::from_secs(22),
        insert_timeout: Duration::from_secs(10),
        stale_limit: minutes(24 * 60),
        max_token_lifetime: minutes(12 * 60),
    };
    /// 36 hours and 4 minutes.
    const KEEPING: Duration = minutes(36 * 60 + 4);

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_unix_millis(1_800_000_000_000 + millis)
    }

    fn register(version: i64, cutoff: i64) -> Register {
        let version = at(version).as_unix_millis() as u64;
        Register::new(version, at(cutoff), at(cutoff) + KEEPING)
    }

    fn version(millis: i64) -> u64 {
        register(millis, 0).version
    }

    #[test]
    fn slack_is_the_longest_of_its_three_bounds() {
        assert_eq!(DURATIONS.slack(), minutes(10));
        let clocks = Durations { clock_skew: minutes(7), ..DURATIONS };
        assert_eq!(clocks.slack(), minutes(14));
        let slow = Durations { refresh_bound: minutes(15), insert_timeout: minutes(2), ..clocks };
        assert_eq!(slow.slack(), minutes(17));
        let longest = Durations { clock_skew: Duration::MAX, ..slow };
        assert_eq!(longest.slack(), Duration::MAX);
        assert_eq!(kept_until(at(0), at(0), longest.keeping()), Timestamp::MAX);
    }

    #[test]
    fn revocation_is_kept_from_the_later_of_cutoff_and_now() {
        assert_eq!(DURATIONS.keeping(), KEEPING);
        for (cutoff, now) in [(0, 0), (0, -5), (-86_400_000, 0), (7, 0)] {
            let until = kept_until(at(cutoff), at(now), DURATIONS.keeping());
            assert_eq!(until, at(cutoff.max(now)) + KEEPING, "{cutoff} {now}");
        }
    }

    #[test]
    fn lower_version_is_refused_up_to_the_slack_after_the_cutoff() {
        let slack = minutes(10);
        let last = 600_000;
        for (token, login, is_hit) in [
            (-1, Some(-1_000_000_000), true),
            (-1, Some(0), true),
            (-1, Some(last), true),
            (-1, Some(last + 1), false),
            (-1, None, true),
            (0, Some(-1_000_000_000), false),
            (0, None, false),
            (1, Some(0), false),
        ] {
            let login = login.map(at);
            let found = hits(&register(0, 0), version(token), login, slack);
            assert_eq!(found, is_hit, "version {token}, login {login:?}");
        }
        assert!(hits(&register(0, 0), 0, Some(at(0)), slack), "a token without a version");
        assert!(hits(&register(0, 0), 0, Some(at(0)), Duration::MAX));
    }

    #[test]
    fn lower_version_after_the_issue_is_a_loss_while_it_would_be_kept() {
        let skew = 60_000;
        let keeping = KEEPING.as_millis() as i64;
        let token = Issued { at: at(1_000), version: version(0) };
        let read = 1_000 + skew + 1;
        for (held, read_began, now, is_lost) in [
            (None, Some(read), read, true),
            (Some(register(-1, 0)), Some(read), read, true),
            (Some(register(0, 0)), Some(read), read, false),
            (Some(register(1, 0)), Some(read), read, false),
            // The read may have begun before the token was issued.
            (None, Some(read - 1), read, false),
            (None, None, read, false),
            // The register may have been dropped in its time.
            (None, Some(read), keeping - 2 * skew - 1, true),
            (None, Some(read), keeping - 2 * skew, false),
        ] {
            let found = DURATIONS.is_lost(held.as_ref(), &token, read_began.map(at), at(now));
            assert_eq!(found, is_lost, "{held:?}, read at {read_began:?}, now {now}");
        }
    }

    #[test]
    fn token_without_a_version_or_with_the_highest_shows_no_overflow() {
        let read = Some(Timestamp::MAX);
        let without = Issued { at: at(0), version: 0 };
        assert!(!DURATIONS.is_lost(None, &without, read, at(0)));
        let highest = Issued { at: at(0), version: u64::MAX };
        assert!(DURATIONS.is_lost(None, &highest, read, at(0)));
        assert!(!DURATIONS.is_lost(None, &highest, read, Timestamp::MAX));
    }

    #[test]
    fn value_that_includes_the_held_one_is_taken() {
        let held = register(5, 5);
        for seen in [held, register(6, 5), register(5, 6), register(9, 9)] {
            assert_eq!(mirror(Some(&held), Some(&seen), at(0)), Some(Mirrored::Taken(seen)));
        }
        assert_eq!(mirror(None, Some(&held), at(0)), Some(Mirrored::Taken(held)));
        assert_eq!(mirror(None, None, at(0)), None);
        let shorter = Register { until: at(6), ..register(6, 6) };
        let taken = Register { until: held.until, ..shorter };
        assert_eq!(mirror(Some(&held), Some(&shorter), at(0)), Some(Mirrored::Taken(taken)));
    }

    #[test]
    fn value_that_does_not_include_the_held_one_is_a_loss_and_both_are_enforced() {
        let held = register(5, 5);
        let lost = Some(Mirrored::Lost { enforced: held });
        assert_eq!(mirror(Some(&held), None, at(0)), lost);
        let beyond = register(2 * Register::MOST_AHEAD.as_millis() as i64, 9);
        assert_eq!(mirror(Some(&held), Some(&beyond), at(0)), lost);
        assert_eq!(mirror(None, Some(&beyond), at(0)), None);
        for seen in [register(4, 4), register(4, 5), register(5, 4), register(9, 4), register(4, 9)]
        {
            let found = mirror(Some(&held), Some(&seen), at(0));
            let Some(Mirrored::Lost { enforced }) = found else {
                panic!("{seen:?} over {held:?}: {found:?}");
            };
            // What either refuses is refused.
            for token in 0..12 {
                for login in 0..12 {
                    let hit =
                        |it: &Register| hits(it, version(token), Some(at(login)), Duration::ZERO);
                    let either = hit(&held) || hit(&seen);
                    assert!(!either || hit(&enforced), "{token} {login}: {enforced:?}");
                }
            }
            // As the store will have it, if nobody advances it before.
            assert_eq!(Register::restored(Some(seen), &held, at(0)), Some(enforced));
        }
    }
}
