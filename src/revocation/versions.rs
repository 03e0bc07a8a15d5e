//! The versions of cutoffs and of stale claims that a login is made under, and how they are read.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::revocation::handle::Revocations;
use crate::revocation::writing::News;
use crate::store::feed::{Digest, RegisterId};

/// The versions of the registers under which a login is made: the claims `rv` and `rg`. And `rc`, the version
/// of stale claims after which the token's claims were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) subject: u64,
    pub(crate) all: u64,
    pub(crate) claims: u64,
}

impl Revocations {
    /// The versions under which a subject's login is made, from the store. If it fails, those last known.
    pub(crate) async fn versions_for_login(&self, subject: &Digest) -> Versions {
        let ids = [RegisterId::Subject(*subject), RegisterId::All];
        match self.0.place.registers(ids).await {
            Ok(registers) => {
                let now = self.0.place.clock.now();
                for (id, register) in ids.into_iter().zip(registers) {
                    if let Some(register) = register.filter(|it| it.is_plausible(now)) {
                        let (place, known) = (&self.0.place, &self.0.known);
                        let news = [News::Register(id, register)].into_iter();
                        let news = place.writing.news(news, |news| known.is_news(news));
                        known.mirror_risen(id, register, now);
                        place.note_learned(news);
                    }
                }
            }
            Err(error) => {
                let ring = &*self.0.place.name;
                tracing::warn!(ring, %error, "a login could not read the cutoffs; using the last known");
            }
        }
        self.versions(subject)
    }

    /// The versions that this replica knows, for a login.
    pub(crate) fn versions(&self, subject: &Digest) -> Versions {
        let known = &self.0.known;
        Versions {
            subject: known.version(RegisterId::Subject(*subject)),
            all: known.version(RegisterId::All),
            claims: self.claims_version_at_login(subject),
        }
    }

    /// The version under which a login was made at the register `next`, if it was made under `version` of
    /// the register `held`: the registers of one subject under two names of its issuer.
    ///
    /// SECURITY: a cutoff is recorded in both, at one time, and a replica may know it in one of them only.
    /// So `next` counts if the last cutoff in it is one that `held` has, too, and that this login knew; and
    /// if it is old enough for a later one in `held` to be known. Otherwise 0: the time of the login decides.
    pub(crate) fn renamed_version(
        &self,
        held: &Digest,
        version: u64,
        next: &Digest,
        now: Timestamp,
    ) -> u64 {
        let registers = [held, next].map(|digest| self.0.known.subject(digest));
        let [Some(held), Some(next)] = registers else { return 0 };
        let durations = self.0.durations();
        let settled = durations.refresh_bound + durations.insert_timeout * 2;
        let settled = settled + durations.clock_skew * 2;
        let is_known = version >= held.version && next.at <= held.at;
        if is_known && now - next.at >= settled { next.version } else { 0 }
    }

    /// The version of a subject's stale claims after which the claims of a login were read. The handler has
    /// read them before it returned the login, so a call of `reload_claims` within the last moments does
    /// not count: the next request then renews once more than it has to.
    fn claims_version_at_login(&self, subject: &Digest) -> u64 {
        let id = RegisterId::Stale(*subject);
        let Some(stale) = self.0.known.register(id) else { return 0 };
        let moments = self.0.durations().clock_skew.saturating_add(LOGIN_TAKES);
        let is_later = self.0.place.clock.now() - stale.at > moments;
        if is_later { self.0.known.version(id) } else { 0 }
    }

    /// The version of a subject's stale claims that this replica knows; 0 for none.
    pub(crate) fn claims_version(&self, subject: &Digest) -> u64 {
        self.0.known.version(RegisterId::Stale(*subject))
    }

    /// Whether a subject's claims became stale after they were read under that version. It costs a request
    /// nothing where nobody's claims are.
    pub(crate) fn has_stale_claims(&self, subject: &Digest, version: u64) -> bool {
        self.0.known.stale(subject).is_some_and(|stale| stale.version > version)
    }
}

/// How long a handler of a login may take.
const LOGIN_TAKES: Duration = Duration::from_secs(60);
