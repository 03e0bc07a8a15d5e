//! The builder's settings for tokens of another issuer.

use crate::sessions::builder::SessionsBuilder;

impl<C> SessionsBuilder<C> {
    /// Accepts another issuer's tokens of this type in place of `session+jwt`, for example `at+jwt` for
    /// the access tokens of RFC 9068. Only for sessions that are validated and not issued.
    ///
    /// The type is compared as a media type: without the prefix `application/`, and ignoring case (RFC
    /// 9068, section 4; RFC 7515, section 4.1.9). The default, `session+jwt`, is compared exactly.
    #[doc(alias = "sso")]
    pub fn accept_token_type(mut self, token_type: impl Into<String>) -> Self {
        self.external.token_type = Some(token_type.into());
        self
    }

    /// Accepts another issuer's tokens that have no type, or the type `JWT`, in place of
    /// `session+jwt`. Only for sessions that are validated and not issued.
    ///
    /// # Security
    ///
    /// Then any other JWT of that issuer for the same audience is accepted as a session, such as an ID
    /// token in place of an access token (RFC 8725, section 2.8). Configure the issuer to write a type,
    /// or give each kind of token its own audience.
    pub fn dangerous_accept_untyped(mut self) -> Self {
        self.external.untyped = true;
        self
    }

    /// Accepts another issuer's tokens without `jti`. Their [ID](crate::Session::token_id) is then a
    /// hash of the signed bytes.
    pub fn accept_without_token_id(mut self) -> Self {
        self.external.without_token_id = true;
        self
    }

    /// Accepts another issuer's tokens without `iat`. They count as issued at the earliest possible time:
    /// the ring's longest lifetime before they expire.
    ///
    /// # Security
    ///
    /// The age of such a token is unknown: a token with a longer lifetime than the ring's is not refused
    /// for good, but becomes valid when the ring's longest lifetime is left of it.
    pub fn dangerous_accept_without_issued_at(mut self) -> Self {
        self.external.without_issued_at = true;
        self
    }

    /// Reads the claim `rv` of another issuer's tokens as the version of the revocations, as this
    /// crate writes it: for a service that validates the tokens of one that uses this crate, and
    /// shares its [`Revocations`](crate::Revocations). Its `sid` is taken, too. Without this, `rv` is the issuer's own claim,
    /// left to the application's type, and a login right after its subject was ended is refused
    /// until the clocks' difference is over.
    pub fn trust_revocation_version(mut self) -> Self {
        self.external.trusts_revocation_version = true;
        self
    }

    /// Refuses tokens without `auth_time` (OpenID Connect Core, section 2). Every token that is
    /// issued here has it; another issuer may have to be configured to write it.
    ///
    /// Without this, such a token is accepted, its
    /// [`authenticated_at`](crate::Session::authenticated_at) is `None`, and
    /// [`max_auth_age`](crate::layer::ValidateLayer::max_auth_age) refuses it.
    pub fn require_auth_time(mut self) -> Self {
        self.external.requires_auth_time = true;
        self
    }

    /// Uses the `sid` of another issuer's tokens as the [session's ID](crate::Session::session_id),
    /// as OpenID Connect Front-Channel and Back-Channel Logout define it. Default: it is ignored, and
    /// each token is a session of its own, so that [`logout`](crate::Sessions::logout) refuses that token
    /// alone.
    pub fn accept_issuer_session_id(mut self) -> Self {
        self.external.takes_session_id = true;
        self
    }

    /// Revokes the sessions of a subject by `iat` where another issuer's tokens lack `auth_time`.
    ///
    /// # Security
    ///
    /// A revoked session comes back as soon as the issuer refreshes its token, which has a later
    /// `iat`: [`revoke_subject`](crate::Sessions::revoke_subject) then holds only until the next refresh.
    /// Prefer [`require_auth_time`](Self::require_auth_time), or have the issuer revoke its sessions.
    pub fn dangerous_revoke_by_issued_at(mut self) -> Self {
        self.external.revokes_by_issued_at = true;
        self
    }
}
