//! The properties of all histories, and that each rule is needed for them.

use super::history::History;
use super::world::{Broken, DURATIONS, MINUTE, Outcome, StoreClock, World};

fn seeds() -> u64 {
    let named = std::env::var("SIMULATION_SEEDS").ok();
    let named = named.map(|value| value.parse().expect("SIMULATION_SEEDS is a number"));
    named.unwrap_or(if cfg!(miri) { 5 } else { 2_000 })
}

/// What all histories of these worlds came to.
fn all(worlds: impl IntoIterator<Item = World>) -> Outcome {
    let (seeds, mut sum) = (seeds(), Outcome::default());
    for world in worlds {
        let mut found = Outcome::default();
        for seed in 0..seeds {
            let outcome = History::new(seed, world).run().0;
            if revoked_is_good(&outcome) && !revoked_is_good(&found) {
                let story = History::with_story(seed, world).run().1.join("\n");
                println!("a revoked token is good, seed {seed}:\n{story}");
            }
            found.add(outcome);
        }
        println!("{seeds} histories of {world:?}: {found:?}");
        sum.add(found);
    }
    assert!(sum.revoked > 0 && sum.good > 0, "nothing was tried: {sum:?}");
    sum
}

/// Asserts that a violation is found when a rule is left out, and prints after how many histories.
fn assert_finds(broken: Broken, world: World, is_violation: impl Fn(&Outcome) -> bool) {
    if cfg!(miri) {
        return;
    }
    let world = World { broken: Some(broken), ..world };
    let found = (0..200_000).find(|seed| is_violation(&History::new(*seed, world).run().0));
    let seed = found.unwrap_or_else(|| panic!("200000 histories of {world:?} have no violation"));
    let story = History::with_story(seed, world).run().1.join("\n");
    println!("{broken:?} was found by {} histories:\n{story}", seed + 1);
    // It is the broken rule that was found.
    let whole = History::new(seed, World { broken: None, ..world }).run().0;
    assert!(!is_violation(&whole), "the history has a violation by all rules, too: {whole:?}");
}

fn revoked_is_good(outcome: &Outcome) -> bool {
    outcome.revoked_but_good > 0
}

fn good_is_refused(outcome: &Outcome) -> bool {
    outcome.good_but_refused > 0
}

const USUAL: World = World {
    skew: DURATIONS.clock_skew,
    store_clock: StoreClock::Steady,
    losses: false,
    restarts: false,
    broken: None,
};
const FAST_AND_SLOW: World = World { skew: DURATIONS.clock_skew.saturating_mul(2), ..USUAL };
const LOSSES: World = World { losses: true, restarts: true, ..USUAL };
const OTHER_SERVERS: World = World { store_clock: StoreClock::OfEachServer, ..LOSSES };

/// Also with clocks that differ by twice as much as they should.
#[test]
fn without_losses_each_revoked_token_is_refused_and_no_good_one() {
    let clockless = World { store_clock: StoreClock::None, ..USUAL };
    let worlds = [USUAL, FAST_AND_SLOW, clockless, World { skew: 2 * MINUTE, ..clockless }];
    let with_restarts = worlds.map(|world| World { restarts: true, ..world });
    let sum = all(worlds.into_iter().chain(with_restarts));
    assert_eq!((sum.revoked_but_good, sum.good_but_refused), (0, 0), "{sum:?}");
}

#[test]
fn with_losses_each_revoked_token_is_refused() {
    let fast_and_slow = World { skew: 2 * MINUTE, ..LOSSES };
    let worlds = [LOSSES, fast_and_slow, OTHER_SERVERS];
    let without_restarts = worlds.map(|world| World { restarts: false, ..world });
    let sum = all(worlds.into_iter().chain(without_restarts));
    assert_eq!(sum.revoked_but_good, 0, "{sum:?}");
    // Those are logins around a loss.
    assert!(sum.good_but_refused * 10 < sum.good, "{sum:?}");
}

/// What remains: a store without a clock that loses records twice within the clocks' difference may
/// make one version of two cutoffs.
#[test]
fn clockless_store_with_losses_accepts_few_revoked_tokens() {
    let sum = all([World { store_clock: StoreClock::None, ..LOSSES }]);
    assert!(sum.revoked_but_good * 1_000 <= sum.revoked, "{sum:?}");
}

#[test]
fn version_without_the_time_is_found() {
    assert_finds(Broken::Counted, LOSSES, revoked_is_good);
}

#[test]
fn two_histories_merged_by_maxima_are_found() {
    assert_finds(Broken::MergedByMaxima, OTHER_SERVERS, revoked_is_good);
}

#[test]
fn advance_in_two_steps_is_found() {
    assert_finds(Broken::AdvancedInTwoSteps, USUAL, revoked_is_good);
}

#[test]
fn renewal_with_the_version_of_its_signing_is_found() {
    assert_finds(Broken::RenewedWithNewVersion, USUAL, revoked_is_good);
}

#[test]
fn login_without_a_read_is_found() {
    assert_finds(Broken::LoginWithoutRead, USUAL, good_is_refused);
}

#[test]
fn slack_of_the_clocks_difference_is_found() {
    assert_finds(Broken::ShortSlack, FAST_AND_SLOW, revoked_is_good);
}

#[test]
fn loss_that_is_not_noticed_is_found() {
    assert_finds(Broken::LossIgnored, OTHER_SERVERS, revoked_is_good);
}

#[test]
fn cutoff_kept_for_one_lifetime_is_found() {
    assert_finds(Broken::KeptForOneLifetime, USUAL, revoked_is_good);
}
