//! IDs of sessions and tokens: 132 random bits each, so that no two are ever equal.

use std::cell::RefCell;
use std::time::Duration;

use base64_simd::AsOut as _;
use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};

use crate::base64url::BASE64URL;
use crate::claims::names::ID_LENGTH;
use crate::clock::Timestamp;
use crate::crypto::algorithm;
use crate::crypto::error::KeyError;
use crate::error::IssueError;

/// Room for new IDs as they are written, in the alphabet of base64url.
pub(crate) struct Ids<const N: usize>([[u8; CHARACTERS]; N]);

/// An ID is drawn as so many characters, of whole bytes, and the first [`ID_LENGTH`] are kept.
const CHARACTERS: usize = ID_LENGTH.next_multiple_of(4);
const BYTES: usize = CHARACTERS / 4 * 3;

impl<const N: usize> Ids<N> {
    /// Room for IDs.
    pub(crate) fn new() -> Self {
        Self([[0; CHARACTERS]; N])
    }

    /// Draws IDs.
    pub(crate) fn draw(&mut self, now: Timestamp) -> Result<[&str; N], IssueError> {
        let mut bytes = [[0; BYTES]; N];
        let bytes = bytes.as_flattened_mut();
        GENERATOR
            .with_borrow_mut(|held| Generator::fill(held, bytes, now))
            .map_err(|_| IssueError::RandomGenerator)?;
        let text: &str = BASE64URL.encode_as_str(bytes, self.0.as_flattened_mut().as_out());
        let id = |place: usize| text.get(place * CHARACTERS..)?.get(..ID_LENGTH);
        Ok(std::array::from_fn(|place| id(place).unwrap_or_default()))
    }
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
    fn ids_are_long_and_different() {
        let now = Timestamp::from_unix_seconds(1_800_000_000);
        let mut all = HashSet::new();
        for _ in 0..100 {
            let mut ids = Ids::<3>::new();
            all.extend(ids.draw(now).expect("random").map(str::to_owned));
        }
        assert_eq!(all.len(), 300);
        assert!(all.iter().all(|id| id.len() == ID_LENGTH));
        // Every character is drawn at every place: none of the bits is always the same.
        for place in 0..ID_LENGTH {
            let drawn: HashSet<u8> = all.iter().map(|id| id.as_bytes()[place]).collect();
            assert!(
                drawn.len() > 50 && drawn.iter().all(|byte| BASE64URL.charset().contains(byte))
            );
        }
    }
}
