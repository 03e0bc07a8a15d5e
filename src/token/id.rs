//! IDs of sessions and tokens: 132 random bits each, so that no two are ever equal.

use std::cell::RefCell;
use std::time::Duration;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};

use crate::claims::ID_LENGTH;
use crate::clock::Timestamp;
use crate::error::IssueError;
use crate::keys::KeyError;
use crate::keys::algorithm;

/// IDs as they are written, in the alphabet of base64url: 6 bits a character.
pub(crate) struct Ids<const N: usize>([[u8; ID_LENGTH]; N]);

impl<const N: usize> Ids<N> {
    /// New IDs.
    pub(crate) fn random(now: Timestamp) -> Result<Self, IssueError> {
        let mut ids = [[0; ID_LENGTH]; N];
        let bytes = ids.as_flattened_mut();
        GENERATOR
            .with_borrow_mut(|held| Generator::fill(held, bytes, now))
            .map_err(|_| IssueError::RandomGenerator)?;
        bytes.iter_mut().for_each(|byte| *byte = character(*byte));
        Ok(Self(ids))
    }

    pub(crate) fn texts(&self) -> [&str; N] {
        // They are ASCII.
        self.0.each_ref().map(|id| str::from_utf8(id).unwrap_or_default())
    }
}

/// The character of a byte's last six bits. Without a table, so that many are made at once.
#[inline(always)]
fn character(byte: u8) -> u8 {
    let six = byte % 64;
    let step = |least: u8, step: u8| if six >= least { step } else { 0 };
    // From the capitals on to the small letters, back to the digits, and to the last two.
    (b'A' + six)
        .wrapping_add(step(26, b'a' - b'Z' - 1))
        .wrapping_sub(step(52, b'z' + 1 - b'0'))
        .wrapping_sub(step(62, b'9' + 1 - b'-'))
        .wrapping_add(step(63, b'_' - b'-' - 1))
}

/// A thread's generator of random bytes: a call to the system's costs as much as an HMAC.
///
/// SECURITY: where a process is forked, or a virtual machine is restored twice from a snapshot, both
/// hold the same generator; so it is used only while it is fresh, and a few times, should the clock
/// stand still. IDs are no secrets: they stand in every token.
struct Generator {
    bytes: ChaCha20Rng,
    seeded_at: Timestamp,
    left: u32,
}

const FRESH: Duration = Duration::from_millis(10);
const FEW: u32 = 1000;

thread_local! {
    static GENERATOR: RefCell<Option<Generator>> = const { RefCell::new(None) };
}

impl Generator {
    /// Fills `bytes` by the generator that is held, or else by a new one.
    fn fill(held: &mut Option<Self>, bytes: &mut [u8], now: Timestamp) -> Result<(), KeyError> {
        let is_fresh =
            |held: &Self| held.left > 0 && (held.seeded_at..held.seeded_at + FRESH).contains(&now);
        let generator = match held {
            Some(held) if is_fresh(held) => held,
            held => {
                let mut seed = [0; 32];
                algorithm::fill_random(&mut seed)?;
                let bytes = ChaCha20Rng::from_seed(seed);
                held.insert(Self { bytes, seeded_at: now, left: FEW })
            }
        };
        generator.left -= 1;
        generator.bytes.fill_bytes(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_generator_is_used_while_it_is_fresh_and_a_few_times() {
        let now = Timestamp::from_unix_seconds(1_800_000_000);
        let milli = Duration::from_millis(1);
        let mut held = None;
        let mut use_at = |now| {
            Generator::fill(&mut held, &mut [0; 32], now).expect("random bytes");
            held.as_ref().map(|held| (held.seeded_at, held.left)).expect("a generator")
        };
        assert_eq!(use_at(now), (now, FEW - 1));
        assert_eq!(use_at(now + FRESH - milli), (now, FEW - 2));
        assert_eq!(use_at(now + FRESH), (now + FRESH, FEW - 1), "it was seeded too long ago");
        assert_eq!(use_at(now + milli), (now + milli, FEW - 1), "it comes from the future");
        for left in (0..FEW - 1).rev() {
            assert_eq!(use_at(now + milli), (now + milli, left));
        }
        assert_eq!(use_at(now + milli), (now + milli, FEW - 1), "it was used often enough");
    }

    #[test]
    fn an_id_is_of_the_alphabet_of_base64url() {
        let characters = (0..64).map(character).collect::<Vec<_>>();
        assert_eq!(characters, base64::alphabet::URL_SAFE.as_str().as_bytes());
        assert!((0..=255).all(|byte| character(byte) == character(byte % 64)));
        let now = Timestamp::from_unix_seconds(1_800_000_000);
        let ids: Vec<_> = (0..100).map(|_| Ids::<2>::random(now).expect("random")).collect();
        let different: HashSet<&str> = ids.iter().flat_map(Ids::texts).collect();
        assert_eq!(different.len(), 200);
        assert!(different.iter().all(|id| id.len() == ID_LENGTH));
    }
}
