//! IDs of sessions and tokens: 128 random bits each, so that no two are ever equal.

use crate::base64url;
use crate::claims::names::ID_LENGTH;
use crate::crypto::backend;
use crate::error::operation::OperationError;

/// New IDs in base64url, one behind the other.
#[derive(Default)]
pub(crate) struct Ids<const N: usize>(String);

const BYTES: usize = 16;

impl<const N: usize> Ids<N> {
    /// Draws IDs from the system's random generator, in one call.
    pub(crate) fn draw(&mut self) -> Result<[&str; N], OperationError> {
        let mut bytes = [[0; BYTES]; N];
        let bytes = bytes.as_flattened_mut();
        backend::fill_random(bytes).map_err(|_| OperationError::random_generator())?;
        self.0 = String::with_capacity(N * ID_LENGTH);
        bytes.chunks(BYTES).for_each(|id| base64url::encode_append(id, &mut self.0));
        let id = |place: usize| self.0.get(place * ID_LENGTH..)?.get(..ID_LENGTH);
        Ok(std::array::from_fn(|place| id(place).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_long_and_different() {
        let mut all = HashSet::new();
        for _ in 0..100 {
            let mut ids = Ids::<3>::default();
            all.extend(ids.draw().expect("random").map(str::to_owned));
        }
        assert_eq!(all.len(), 300);
        assert!(all.iter().all(|id| id.len() == ID_LENGTH));
        // Every character is drawn at every place: none of the bits is always the same. The last one has
        // two bits.
        for place in 0..ID_LENGTH {
            let drawn: HashSet<u8> = all.iter().map(|id| id.as_bytes()[place]).collect();
            let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
            let least = if place == ID_LENGTH - 1 { 4 } else { 51 };
            assert!(drawn.len() >= least && drawn.iter().all(is_letter));
        }
    }
}
