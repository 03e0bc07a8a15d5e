//! The rules for the claims of a token whose signature is valid.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use super::checks::Observer;
use super::header_rules::HeaderRules;
use super::names::{Issuers, Names};
use super::other_rules::OtherRules;
use crate::claims::extra::Extra;
use crate::claims::issuer::IssuerName;
use crate::claims::read::{Dialect, Registered};
use crate::clock::Timestamp;
use crate::error::rejection::Rejection;
use crate::error::rejection::RejectionKind::{self, *};
use crate::keys::schedule::KeyTimes;
use crate::store::feed::Register;

/// The rules for a token's registered claims (RFC 7519, section 4.1; RFC 8725, section 3).
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) issuers: Issuers,
    pub(crate) audiences: Names,
    /// Whose tokens they are.
    pub(crate) dialect: Dialect,
    pub(crate) leeway: Duration,
    /// The longest from `iat` to `exp`, where the key does not say it.
    pub(crate) max_lifetime: Duration,
    pub(crate) max_token_bytes: usize,
    pub(crate) header: HeaderRules,
    pub(crate) without_token_id: bool,
    pub(crate) without_issued_at: bool,
    /// Whether `sid` is the session's ID, as it is in tokens of this crate.
    pub(crate) takes_session_id: bool,
    /// Whether session IDs are those of this crate.
    pub(crate) has_own_session_ids: bool,
    pub(crate) requires_auth_time: bool,
    /// Whether sessions are looked up among revocations.
    pub(crate) is_revocable: bool,
    /// The further rules of another issuer's tokens.
    pub(crate) others: Option<Box<OtherRules>>,
    /// Where the roles are: the names of members, one in the other. Empty if none are read.
    pub(crate) roles: Box<[Box<str>]>,
    /// The claims whose JSON these rules need.
    pub(crate) extra: Box<[Box<str>]>,
}

/// The claims that a session is made of, known to be there.
pub(crate) struct Required<'c> {
    pub(crate) issuer: &'c str,
    pub(crate) subject: &'c str,
    /// `None` only where the policy lets it.
    pub(crate) token_id: Option<&'c str>,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// The times at which this very answer is given.
    pub(crate) valid: Range<Timestamp>,
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

    /// The `sid` claim, where it is the session's ID: in another issuer's tokens the name is the
    /// issuer's own.
    pub(crate) fn session_id<'c>(&self, claims: &'c Registered<'_>) -> Option<&'c str> {
        claims.sid.as_deref().filter(|_| self.takes_session_id)
    }

    /// Checks everything but the signature, which is of a key with these times. `now` is when the
    /// token is used.
    #[inline(always)]
    pub(crate) fn check<'c>(
        &self,
        claims: &'c Registered<'_>,
        extra: &Extra<'_, '_>,
        key: (&KeyTimes, Option<&IssuerName>),
        now: Timestamp,
        observer: &mut impl Observer,
    ) -> Result<Required<'c>, Rejection> {
        let (times, key_issuer) = key;
        let issuer = claims.iss.as_deref().ok_or_else(|| self.missing("iss"))?;
        if *issuer != *self.issuers.first && !self.issuers.accept(issuer) {
            let expected = format_args!("{} (the issuer of the sessions)", self.issuers);
            return Err(different(WrongIssuer, "iss", &issuer, &expected));
        }
        if let Some(others) = &self.others {
            others.check_issuer(&self.issuers, issuer, key_issuer, extra)?;
        }
        observer.passed("issuer", || format!("{issuer:?}"));
        let audience = claims.aud.as_ref().ok_or_else(|| self.missing("aud"))?;
        if !audience.contains(&self.audiences.first)
            && !self.audiences.has_other(|other| audience.contains(other))
        {
            return Err(different(WrongAudience, "aud", audience, &self.audiences));
        }
        observer.passed("audience", || format!("{audience:?}"));
        let subject = claims.sub.as_ref().ok_or_else(|| self.missing("sub"))?;
        let token_id = claims.jti.as_deref();
        if token_id.is_none() && !self.without_token_id {
            return Err(self.missing("jti"));
        }
        // An empty text identifies nothing, and all such tokens would be one session.
        for (name, text) in
            [("sub", Some(&**subject)), ("jti", token_id), ("sid", self.session_id(claims))]
        {
            if text.is_some_and(str::is_empty) {
                return Err(InvalidClaim(name).about(name, "an empty text", "a text"));
            }
        }
        for (name, version) in [("rv", claims.rv), ("rg", claims.rg), ("rc", claims.rc)] {
            if let Some(version) = version.filter(|version| *version > Register::MAX_VERSION) {
                return Err(InvalidClaim(name).about(name, version, "a number up to 2^53-1"));
            }
        }
        observer.passed("identity", || "sub and jti".to_owned());
        if let Some(others) = &self.others {
            others.check_required(claims, extra)?;
        }
        observer.passed("required claims", || self.required_claims());
        let expires_at = claims.exp.ok_or_else(|| self.missing("exp"))?.0;
        let longest = self.lifetime_of(times);
        let issued_at = match claims.iat {
            Some(issued_at) => issued_at.0,
            // The earliest that it can have been, so that no check takes it for a young one.
            None if self.without_issued_at => expires_at - longest,
            None => return Err(self.missing("iat")),
        };
        if expires_at <= issued_at {
            let expected = format_args!("later than iat, {issued_at}");
            return Err(InvalidClaim("exp").about("exp", expires_at, expected));
        }
        observer.passed("times", || format!("iat {issued_at}, exp {expires_at}"));
        if expires_at - issued_at > longest {
            let found = format_args!("{:?} after iat", expires_at - issued_at);
            let expected = format_args!("at most {longest:?}");
            return Err(LifetimeTooLong.about("exp", found, expected));
        }
        observer.passed("lifetime", || format!("{:?}", expires_at - issued_at));
        let (ends, soon) = (expires_at + self.leeway, now + self.leeway);
        // "On or after" (RFC 7519, section 4.1.4).
        if now >= ends {
            let found = format_args!("{expires_at}, {:?} ago", now - expires_at);
            let expected = format_args!("later than {now}, less the leeway of {:?}", self.leeway);
            return Err(Expired.about("exp", found, expected));
        }
        observer.passed("expiry", || format!("exp {expires_at}"));
        if issued_at > soon {
            return Err(self.too_late(IssuedInFuture, "iat", issued_at, now));
        }
        observer.passed("issue time", || format!("iat {issued_at}"));
        if let Some(not_before) = claims.nbf.filter(|not_before| not_before.0 > soon) {
            return Err(self.too_late(NotYetValid, "nbf", not_before.0, now));
        }
        observer.passed("not before", || match claims.nbf {
            Some(not_before) => format!("nbf {}", not_before.0),
            None => "no nbf".to_owned(),
        });
        match claims.auth_time {
            None if self.requires_auth_time => return Err(self.missing("auth_time")),
            Some(at) if at.0 > soon => {
                return Err(self.too_late(InvalidClaim("auth_time"), "auth_time", at.0, now));
            }
            // A login is never later than its token.
            Some(at) if claims.iat.is_some_and(|issued| at.0 > issued.0 + self.leeway) => {
                let (found, leeway) = (at.0, self.leeway);
                let expected =
                    format_args!("at most iat, {issued_at}, and the leeway of {leeway:?}");
                return Err(InvalidClaim("auth_time").about("auth_time", found, expected));
            }
            _ => {}
        }
        observer.passed("login time", || match claims.auth_time {
            Some(at) => format!("auth_time {}", at.0),
            None => "no auth_time".to_owned(),
        });
        let times_of = [claims.nbf, claims.auth_time].into_iter().flatten().map(|date| date.0);
        let latest = times_of.fold(issued_at, Timestamp::max);
        let valid = latest - self.leeway..ends.min(times.verifies_until);
        Ok(Required { issuer, subject, token_id, issued_at, expires_at, valid })
    }

    /// The names of the claims that are required beside the registered ones.
    fn required_claims(&self) -> String {
        let required = self.others.iter().flat_map(|others| &others.required);
        let names: Vec<_> = required.map(|claim| &*claim.name).collect();
        if names.is_empty() { "none is required".to_owned() } else { names.join(", ") }
    }

    /// A claim that is not there: what it should be, and the setting that accepts another issuer's tokens without it.
    #[cold]
    #[inline(never)]
    fn missing(&self, claim: &'static str) -> Rejection {
        let (expected, setting) = match claim {
            "iss" => (self.issuers.to_string(), None),
            "aud" => (self.audiences.to_string(), Some("audience_claim")),
            "sub" => ("a subject".to_owned(), Some("subject_claim")),
            "jti" => ("an ID of the token".to_owned(), Some("accept_without_token_id")),
            "iat" => ("a time of issue".to_owned(), Some("dangerous_accept_without_issued_at")),
            "exp" => ("a time of expiry".to_owned(), None),
            _ => ("a time of the login".to_owned(), None),
        };
        let Some((others, setting)) = self.others.as_deref().zip(setting) else {
            return MissingClaim(claim).about(claim, "none", expected);
        };
        let in_place = match claim {
            "aud" => others.audience_claim.as_deref(),
            "sub" => others.subject_claim.as_deref(),
            _ => None,
        };
        let expected = match in_place {
            Some(name) => format!("{expected} in {claim}, or in {name} (`{setting}`)"),
            None => format!("{expected}, or the setting `{setting}`"),
        };
        MissingClaim(claim).about(claim, "none", expected)
    }

    /// A time of the future.
    #[cold]
    fn too_late(
        &self,
        kind: RejectionKind,
        claim: &'static str,
        found: Timestamp,
        now: Timestamp,
    ) -> Rejection {
        let found = format_args!("{found}, in {:?}", found - now);
        let expected = format_args!("at most {now} and the leeway of {:?}", self.leeway);
        kind.about(claim, found, expected)
    }
}

#[cold]
fn different(
    kind: RejectionKind,
    claim: &'static str,
    found: &dyn fmt::Debug,
    expected: &dyn fmt::Display,
) -> Rejection {
    kind.about(claim, format_args!("{found:?}"), expected)
}
