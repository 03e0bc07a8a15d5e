//! What the claims of a token must be, beside signed.

use std::time::Duration;

use crate::claims::Registered;
use crate::clock::Timestamp;
use crate::error::RejectionKind::{self, *};
use crate::keys::KeyTimes;

/// The rules for a token's registered claims (RFC 7519, section 4.1; RFC 8725, section 3).
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) issuer: Box<str>,
    pub(crate) audience: Box<str>,
    pub(crate) leeway: Duration,
    /// The longest from `iat` to `exp`, where the key does not say it.
    pub(crate) max_lifetime: Duration,
    /// The longest token, in bytes.
    pub(crate) max_token_bytes: usize,
}

/// The claims that a session is made of, known to be there.
pub(crate) struct Required<'c> {
    pub(crate) subject: &'c str,
    pub(crate) token_id: &'c str,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

impl Policy {
    /// The longest life of a token of this key. Replicas with different settings agree on it,
    /// since it is the key's.
    pub(crate) fn lifetime_of(&self, times: &KeyTimes) -> Duration {
        times.token_lifetime().unwrap_or(self.max_lifetime)
    }

    /// The longest life that a token of this key is given: what is accepted, less the clocks'
    /// difference that it includes.
    pub(crate) fn issued_lifetime(&self, times: &KeyTimes) -> Duration {
        match times.token_lifetime() {
            Some(lifetime) => lifetime.saturating_sub(self.leeway),
            None => self.max_lifetime,
        }
    }

    /// Checks everything but the signature, which is of a key with these times. `now` is when the
    /// token is used.
    pub(crate) fn check<'c>(
        &self,
        claims: &'c Registered<'_>,
        times: &KeyTimes,
        now: Timestamp,
    ) -> Result<Required<'c>, RejectionKind> {
        let issuer = claims.iss.as_ref().ok_or(MissingClaim("iss"))?;
        if **issuer != *self.issuer {
            return Err(WrongIssuer);
        }
        let audience = claims.aud.as_ref().ok_or(MissingClaim("aud"))?;
        if !audience.contains(&self.audience) {
            return Err(WrongAudience);
        }
        let subject = claims.sub.as_ref().ok_or(MissingClaim("sub"))?;
        let token_id = claims.jti.as_ref().ok_or(MissingClaim("jti"))?;
        // What is empty names nobody and nothing; and all such would be one.
        for (name, text) in
            [("sub", Some(subject)), ("jti", Some(token_id)), ("sid", claims.sid.as_ref())]
        {
            if text.is_some_and(|text| text.is_empty()) {
                return Err(InvalidClaim(name));
            }
        }
        let issued_at = claims.iat.ok_or(MissingClaim("iat"))?;
        let expires_at = claims.exp.ok_or(MissingClaim("exp"))?;
        if expires_at <= issued_at {
            return Err(InvalidClaim("exp"));
        }
        if expires_at - issued_at > self.lifetime_of(times) {
            return Err(LifetimeTooLong);
        }
        // "On or after" (RFC 7519, section 4.1.4).
        if now >= expires_at + self.leeway {
            return Err(Expired);
        }
        if issued_at > now + self.leeway {
            return Err(IssuedInFuture);
        }
        if claims.nbf.is_some_and(|not_before| not_before > now + self.leeway) {
            return Err(NotYetValid);
        }
        if claims.auth_time.is_some_and(|at| at > now + self.leeway) {
            return Err(InvalidClaim("auth_time"));
        }
        Ok(Required { subject, token_id, issued_at, expires_at })
    }
}
