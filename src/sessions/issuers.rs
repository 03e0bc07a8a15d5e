//! Several issuers in one [`Sessions`]: to which of them a token or a session belongs.
//!
//! SECURITY: keys are bound to their issuer. Each issuer's tokens are validated by its own `Sessions`, with
//! its own keys alone, and that one checks the verified `iss`. The unverified `iss` only chooses which one
//! is asked. So no issuer can sign for another, whatever key IDs and algorithms it publishes.

use crate::base64url::Buffer;
use crate::claims::issuer::IssuerName;
use crate::clock::Timestamp;
use crate::error::build::BuildError;
use crate::error::rejection::{Rejection, RejectionKind};
use crate::sessions::handle::{ReadClaims, Sessions};
use crate::sessions::session::Session;
use crate::token;
use crate::token::header_rules::TokenType;
use crate::token::names::Issuers;
use crate::token::other_rules::OtherRules;
use crate::token::policy::Policy;

impl<C> Sessions<C> {
    /// Returns the sessions that validate tokens with this `iss`: these, or
    /// [accepted ones](crate::SessionsBuilder::also_accept_sessions).
    pub fn of_issuer(&self, issuer: &str) -> Option<&Self> {
        self.each().find(|sessions| sessions.0.policy.issuers.accept(issuer))
    }

    /// These sessions, and all that they accept.
    pub(crate) fn each(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.0.others.iter())
    }

    /// The sessions that have validated this one: its keys, its revocations and its policy count.
    pub(crate) fn home_of(&self, session: &Session<C>) -> &Self {
        match self.0.others.is_empty() {
            true => self,
            false => self.of_issuer(session.issuer()).unwrap_or(self),
        }
    }

    /// Whether a session's next token can be issued here.
    pub(crate) fn is_own(&self, session: &Session<C>) -> bool {
        self.home_of(session).0.id == self.0.id
    }

    /// The names of all issuers, as they are expected.
    pub(crate) fn issuer_names(&self) -> String {
        let names: Vec<_> = self.each().map(|it| it.0.policy.issuers.to_string()).collect();
        names.join(" or ")
    }

    /// Whether a session of these may be one of the issuer of that name, `{tenantid}` in it or not.
    pub(crate) fn may_be_of(&self, name: &str) -> bool {
        let Policy { issuers, others, .. } = &self.0.policy;
        let is_allowed = |others: &OtherRules| others.check_tenant(issuers, name).is_ok();
        issuers.has_name(name) || (issuers.accept(name) && others.as_deref().is_none_or(is_allowed))
    }

    /// Whether these sessions accept both names for one issuer: of a tenant only its own.
    pub(crate) fn are_one_issuer(&self, name: &str, iss: &str) -> bool {
        let issuers = &self.0.policy.issuers;
        let is_other_name = || issuers.is_exact(name) && issuers.is_exact(iss);
        IssuerName::new(name).accepts(iss) || is_other_name()
    }

    /// Whether the token begins with a header that the ring's own keys write.
    fn has_own_header(&self, token: &[u8], now: Timestamp) -> bool {
        let is_session = self.0.policy.header.token_type == TokenType::Session;
        is_session && self.0.keys.keys(now).has_header_of(token)
    }

    /// Whether the cache holds the token as valid.
    fn holds(&self, token: &[u8], now: Timestamp) -> bool {
        let cache = self.0.cache.as_ref();
        cache.is_some_and(|cache| cache.holds(token, &self.0.keys.keys(now), now))
    }

    /// Counts a rejection for the ring of the issuer whose token or session it is.
    pub(crate) fn count_rejected(&self, rejection: &Rejection) {
        let of_ring = |ring: &str| self.each().find(|sessions| **sessions.0.keys.name() == *ring);
        let sessions = rejection.ring().and_then(of_ring).unwrap_or(self);
        sessions.0.counters.rejected(rejection.kind());
    }

    /// Chooses who validates a token: the only owner of its header, who has validated it before, or who has
    /// the issuer that it names. Where there is none that could be read, these sessions refuse it.
    ///
    /// # Errors
    ///
    /// If the token names an issuer that is not accepted.
    pub(crate) fn judge_of(&self, token: &[u8], now: Timestamp) -> Result<&Self, Rejection> {
        // Rings of two issuers may hold one key, or keys of one ID: now, or after a rotation.
        let is_shared = || self.0.others.iter().any(|it| it.has_own_header(token, now));
        if self.has_own_header(token, now) && !is_shared() {
            return Ok(self);
        }
        match self.each().find(|sessions| sessions.holds(token, now)) {
            Some(sessions) => Ok(sessions),
            None => self.judge_by_issuer(token),
        }
    }

    pub(crate) fn judge_by_issuer(&self, token: &[u8]) -> Result<&Self, Rejection> {
        let longest = self.each().map(|sessions| sessions.0.policy.max_token_bytes).max();
        let mut buffer = Buffer::new();
        let short = Some(token).filter(|token| Some(token.len()) <= longest);
        let issuer = short.and_then(|token| token::unverified::issuer(token, &mut buffer));
        let Some(issuer) = issuer else { return Ok(self) };
        self.of_issuer(&issuer).ok_or_else(|| {
            let found = format_args!("{issuer:?}");
            RejectionKind::WrongIssuer.about("iss", found, self.issuer_names())
        })
    }

    /// Who else may accept a token that these sessions have refused for its key: key IDs of two issuers may
    /// be the same, and so the headers of their tokens.
    pub(crate) fn other_judge_of(&self, token: &[u8], kind: RejectionKind) -> Option<&Self> {
        if !matches!(kind, RejectionKind::BadSignature | RejectionKind::UnknownKey) {
            return None;
        }
        self.judge_by_issuer(token).ok().filter(|sessions| sessions.0.id != self.0.id)
    }
}

impl<C: ReadClaims> Sessions<C> {
    /// Validates a token where several issuers are accepted.
    // Out of the way of those who accept one.
    #[inline(never)]
    pub(crate) fn validate_among(
        &self,
        token: &[u8],
        now: Timestamp,
    ) -> Result<Session<C>, Rejection> {
        let judge = self.judge_of(token, now).inspect_err(|rejection| {
            self.0.counters.invalid(None, rejection.kind());
        })?;
        let validated = judge.validate_alone(token, now);
        let Err(rejection) = &validated else { return validated };
        let other = match judge.0.id == self.0.id {
            true => self.other_judge_of(token, rejection.kind()),
            false => None,
        };
        let (judge, validated) = match other {
            Some(other) => (other, other.validate_alone(token, now)),
            None => (judge, validated),
        };
        validated.map_err(|rejection| rejection.of_ring(judge.0.keys.name()))
    }
}

/// Checks that of some sessions no two have the same issuer: a token could be either's.
pub(crate) fn check<C>(others: &[Sessions<C>], own: &Issuers) -> Result<(), BuildError> {
    let invalid = |value: &str, help: &str| {
        let value = format_args!("{value:?}");
        Err(BuildError::invalid("also_accept_sessions", value, help))
    };
    let mut known = vec![own];
    for Sessions(other) in others {
        let issuers = &other.policy.issuers;
        if !other.others.is_empty() {
            let help = "they accept other sessions themselves: accept each of those here instead";
            return invalid(&issuers.first, help);
        }
        if let Some(name) = known.iter().find_map(|known| issuers.shared_with(known)) {
            let help = "its issuer is accepted already: give the sessions of each issuer once";
            return invalid(&name, help);
        }
        known.push(issuers);
    }
    Ok(())
}
