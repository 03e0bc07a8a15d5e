//! The settings for another issuer's tokens, as an application gives them.

use std::sync::Arc;

use serde_json::Value;

use crate::sessions::builder::SessionsBuilder;
use crate::token::other_rules::RequiredClaim;
use crate::token::tenants::Tenants;

impl<C> SessionsBuilder<C> {
    /// Accepts another issuer's tokens of this type in place of `session+jwt`: `at+jwt` for the access tokens
    /// of RFC 9068, or `JWT`, which most issuers write. Only for sessions that are validated and not issued.
    ///
    /// Most issuers give all their tokens the type `JWT`, ID tokens, too. An ID token is for the client that
    /// the user logged in to, and not for an API (RFC 8725, section 2.8). What keeps it out is its audience,
    /// which is the client: do not accept a client ID as the audience of an API. Where both have one audience,
    /// [require a claim](Self::require_claim) that only one of them has.
    ///
    /// The type is compared as a media type: without the prefix `application/`, and ignoring case (RFC
    /// 9068, section 4; RFC 7515, section 4.1.9). The default, `session+jwt`, is compared exactly.
    #[doc(alias = "sso")]
    pub fn accept_token_type(mut self, token_type: impl Into<String>) -> Self {
        self.external.token_type = Some(token_type.into());
        self
    }

    /// Accepts another issuer's tokens without a type (`typ`), as Spring Authorization Server, Okta and Amazon
    /// Cognito write them: in addition to the type of [`accept_token_type`](Self::accept_token_type), if that
    /// is set, and otherwise only those. What that method says of ID tokens applies.
    pub fn accept_without_token_type(mut self) -> Self {
        self.external.without_token_type = true;
        self
    }

    /// Accepts another issuer's tokens that name no key of the ring, if one key alone can be meant:
    ///
    /// 1. A token without `kid` is verified by the only key of its algorithm. If the ring has several, it is
    ///    refused.
    /// 2. A token with a `kid` that no key has is verified by the only key of its algorithm that was given
    ///    without an ID: a JWK without `kid`, or a shared secret.
    ///
    /// The algorithm stays that of the key.
    pub fn accept_without_key_id(mut self) -> Self {
        self.external.without_key_id = true;
        self
    }

    /// Ignores the header members `jwk`, `jku`, `x5u` and `x5c` of another issuer's tokens. Default: tokens
    /// with one of them are refused. Keys are those of the ring in either case: none is ever taken from a token,
    /// or from a URL in it. `crit` is refused as before.
    #[doc(alias = "jku")]
    #[doc(alias = "x5c")]
    pub fn ignore_embedded_keys(mut self) -> Self {
        self.external.ignores_embedded_keys = true;
        self
    }

    /// Lets a replica be ready before it has had the keys of these sessions' issuer, so that users of other issuers
    /// get in while this one is down; needs
    /// [`start_without_keys`](crate::IssuerRingBuilder::start_without_keys) on the ring. Default: the replica
    /// waits for them, so that no user of this issuer gets a 503 after a rollout.
    ///
    /// Its tokens are answered 503 until its keys come.
    ///
    /// 1. On sessions that others [accept](Self::also_accept_sessions): the replica does not wait for their keys. Their
    ///    row in `/health/ready` says `"ready": false`.
    /// 2. On the main sessions, which accept others: the replica is ready while any of those others is, whether the
    ///    main keys were never fetched or are older than
    ///    [`max_staleness`](crate::IssuerRingBuilder::max_staleness).
    ///
    /// A replica that can accept tokens of no issuer is not ready. With public keys that are given, as in a test, it
    /// has no effect: they are always there.
    pub fn ready_without_keys(mut self) -> Self {
        self.external.ready_without_keys = true;
        self
    }

    /// Checks this claim in place of `aud` in another issuer's tokens that have no `aud`, such as `client_id`
    /// (Amazon Cognito) or `azp` (Keycloak): a text, or an array of texts, against the audiences of these
    /// sessions. If there is an `aud`, it is checked as always, and this claim is not.
    pub fn audience_claim(mut self, claim: impl Into<String>) -> Self {
        self.external.audience_claim = Some(claim.into());
        self
    }

    /// Uses this claim as the subject of another issuer's tokens that have no `sub`, or an empty one, such as
    /// `azp` or `client_id` in the tokens of services. If there is a `sub`, it is the subject.
    ///
    /// The names of clients and users are then names of subjects side by side: make sure that no user can have
    /// the name of a client.
    pub fn subject_claim(mut self, claim: impl Into<String>) -> Self {
        self.external.subject_claim = Some(claim.into());
        self
    }

    /// Requires a claim with this value of another issuer's tokens, such as `require_claim("token_use",
    /// "access")` (Amazon Cognito) or `require_claim("typ", "Bearer")` (Keycloak), which keep ID tokens out.
    /// Called again with the same claim, one of the values suffices. Tokens without it are refused with
    /// [`WrongClaim`](crate::RejectionKind::WrongClaim).
    ///
    /// The value is compared as JSON: `true` is another value than `"true"`.
    pub fn require_claim(mut self, claim: impl Into<String>, value: impl Into<Value>) -> Self {
        let (name, value) = (claim.into().into_boxed_str(), value.into());
        let required = &mut self.external.required;
        match required.iter_mut().find(|known| known.name == name && !known.values.is_empty()) {
            Some(known) => known.values.push(value),
            None => required.push(RequiredClaim { name, values: vec![value] }),
        }
        self
    }

    /// Requires a claim, whatever its value, of another issuer's tokens: a claim that only one kind of token
    /// has, such as `azp` in the access tokens of Entra ID. May be `nbf`, `sid` or `scope`, too.
    pub fn require_claim_present(mut self, claim: impl Into<String>) -> Self {
        let name = claim.into().into_boxed_str();
        self.external.required.push(RequiredClaim { name, values: Vec::new() });
        self
    }

    /// Accepts tokens of these tenants of a multi-tenant issuer, whose name has `{tenantid}` in it, such as
    /// `https://login.microsoftonline.com/{tenantid}/v2.0`. The tenant is what the token's `iss` has in that
    /// place; a claim `tid`, if there is one, must be the same. Required for such an issuer, or
    /// [`tenants_where`](Self::tenants_where).
    ///
    /// Each tenant is an issuer of its own: a [subject](crate::Session::subject) is unique with its
    /// [issuer](crate::Session::issuer) only.
    #[doc(alias = "multi-tenant")]
    pub fn tenants(mut self, tenants: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let tenants = tenants.into_iter().map(|tenant| tenant.into().into_boxed_str());
        self.external.tenants = Some(Tenants::Listed(tenants.collect()));
        self
    }

    /// Accepts tokens of the tenants for which `allows` returns true: like [`tenants`](Self::tenants), for
    /// tenants that change while the service runs. It is asked for every request, so let it look into
    /// memory. A subject is then revoked by [`revoke_subject_of`](crate::Sessions::revoke_subject_of).
    pub fn tenants_where(mut self, allows: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.external.tenants = Some(Tenants::Where(Arc::new(allows)));
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

    /// Reads the claims `rv` and `rg` of another issuer's tokens as the versions of cutoffs, as this
    /// crate writes them: for a service that validates the tokens of one that uses this crate, and
    /// shares its [`Revocations`](crate::Revocations). Its `sid` is taken, too. Without this, they are the issuer's own claims,
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
    /// as OpenID Connect Front-Channel and Back-Channel Logout define it. Default: it is ignored;
    /// each token is its own session: [`logout`](crate::Sessions::logout) revokes only that token.
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
