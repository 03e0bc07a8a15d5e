//! The registers that the store has lost, as tokens show.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::store::feed::RegisterId;
use crate::sync::lock;

/// The registers to be advanced, each above the highest version that a token carries.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<BTreeMap<RegisterId, u64>>);

impl Claims {
    /// Remembers a version, unless somebody else changes this now: it is on the way of a request, and the
    /// next token shows it again.
    pub(crate) fn note(&self, id: RegisterId, version: u64) {
        let Ok(mut claims) = self.0.try_lock() else { return };
        if claims.len() < MOST || claims.contains_key(&id) {
            raise(&mut claims, id, version);
        }
    }

    /// Removes and returns them all.
    pub(crate) fn take(&self) -> BTreeMap<RegisterId, u64> {
        std::mem::take(&mut *lock(&self.0))
    }

    /// Adds those that are still to be advanced.
    pub(crate) fn extend(&self, claims: BTreeMap<RegisterId, u64>) {
        let mut all = lock(&self.0);
        claims.into_iter().for_each(|(id, version)| raise(&mut all, id, version));
    }
}

fn raise(claims: &mut BTreeMap<RegisterId, u64>, id: RegisterId, version: u64) {
    let claimed = claims.entry(id).or_default();
    *claimed = version.max(*claimed);
}

/// How many lost registers are remembered at once.
const MOST: usize = 1024;
