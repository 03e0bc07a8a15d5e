//! Several issuers in one [`Sessions`]: to which of them a token or a session belongs.
//!
//! SECURITY: keys are bound to their issuer. Each issuer's tokens are validated by its own `Sessions`, with
//! its own keys alone, and that one checks the verified `iss`. The unverified `iss` only chooses which one
//! is asked. So no issuer can sign for another, whatever key IDs and algorithms it publishes.

use crate::base64url::Buffer;
use crate::clock::Timestamp;
use crate::error::build::BuildError;
use crate::error::rejection::{Rejection, RejectionKind};
use crate::sessions::handle::{ReadClaims, Sessions};
use crate::sessions::session::Session;
use crate::token;
use crate::token::header_rules::TokenType;
use crate::token::names::Issuers;

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
    fn issuer_names(&self) -> String {
        let names: Vec<_> = self.each().map(|it| it.0.policy.issuers.to_string()).collect();
        names.join(" or ")
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

    /// Chooses who validates a token: the owner of its header, who has validated it before, or who has the
    /// issuer that it names. Where there is none that could be read, these sessions refuse it.
    ///
    /// # Errors
    ///
    /// If the token names an issuer that is not accepted.
    pub(crate) fn judge_of(&self, token: &[u8], now: Timestamp) -> Result<&Self, Rejection> {
        if self.has_own_header(token, now) {
            return Ok(self);
        }
        match self.each().find(|sessions| sessions.holds(token, now)) {
            Some(sessions) => Ok(sessions),
            None => self.judge_by_issuer(token),
        }
    }

    fn judge_by_issuer(&self, token: &[u8]) -> Result<&Self, Rejection> {
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
        if judge.0.id != self.0.id {
            return validated;
        }
        match self.other_judge_of(token, rejection.kind()) {
            Some(other) => other.validate_alone(token, now),
            None => validated,
        }
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
