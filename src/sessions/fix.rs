//! What has to change for a refused token to be accepted: one sentence for each kind of failure.

use crate::error::rejection::{Rejection, RejectionKind};

/// The sentence for a token that this check has refused; for one of an issuer whose published keys are followed.
pub(crate) fn fix(check: &str, rejection: &Rejection, is_followed: bool) -> Box<str> {
    use RejectionKind::*;
    let about = rejection.about().unwrap_or_default();
    let text = match (rejection.kind(), check) {
        (TooLong, _) => {
            "the token must be shorter: put fewer claims into it, or raise `max_token_bytes` on every \
             replica"
        }
        (Malformed, "parts") => {
            "the token must be a signed JWT of three parts: copy it whole, without added or missing \
             parts; encrypted tokens (JWE) and opaque tokens are not accepted"
        }
        (Malformed, _) if REFUSED.contains(&about) => {
            "the issuer must write tokens without this header member, which is not supported"
        }
        (Malformed, _) if EMBEDDED_KEYS.contains(&about) => {
            "the issuer must write tokens without a key in the header; for another issuer's tokens the \
             application can set `ignore_embedded_keys`"
        }
        (Malformed, "header") => {
            "the header must be base64url without padding of a JSON object as the issuer wrote it: copy \
             the token whole"
        }
        (Malformed, "signature") => {
            "the signature must be base64url without padding as the issuer wrote it: copy the token whole"
        }
        (Malformed, _) => {
            "the payload must be base64url without padding of a JSON object without repeated names: copy \
             the token whole, or correct its issuer"
        }
        (WrongAlgorithm, _) => {
            "the token must be signed by a key of the service, with the algorithm of that key: it is of \
             another issuer, or its header was changed"
        }
        (WrongType, _) => {
            "the client must send the token of the expected type: this is one of another kind, such as a \
             refresh token or an ID token; for another issuer's tokens the application can set \
             `accept_token_type`"
        }
        (UnknownKey, "key times") => {
            "the user must log in again: a key that was revoked, or whose time is over, verifies no token \
             any more"
        }
        (UnknownKey, _) if is_followed => {
            "the service must hold the key of this ID, which the issuer publishes: send the token again when the keys \
             were fetched (`refreshed_at` of the ring in /health/status); if the issuer does not publish it, the key \
             was withdrawn or the token is forged; replicas of an issuer that uses this crate show one fingerprint"
        }
        (UnknownKey, _) => {
            "the service must hold the key of this ID: check that it has the issuer's store, ring name and \
             sealing keys, so that all replicas show one fingerprint; if the key is gone, the user must \
             log in again"
        }
        (KeysUnavailable, _) => {
            "the service must fetch the issuer's keys: see `failure` of the ring in /health/status, then \
             send the token again"
        }
        (BadSignature, _) => {
            "the token must arrive as its key signed it: it was changed or cut on its way, or another key \
             has the same ID"
        }
        (MissingClaim("aud"), _) => {
            "the issuer must write the claim `aud` (Keycloak does so with an audience mapper); for another \
             issuer's tokens the application can set `audience_claim`"
        }
        (MissingClaim("sub"), _) => {
            "the issuer must write the claim `sub`; for another issuer's tokens the application can set \
             `subject_claim`"
        }
        (MissingClaim("jti"), _) => {
            "the issuer must write the claim `jti`; for another issuer's tokens the application can set \
             `accept_without_token_id`"
        }
        (MissingClaim("iat"), _) => {
            "the issuer must write the claim `iat`; for another issuer's tokens the application can set \
             `dangerous_accept_without_issued_at`"
        }
        (MissingClaim(claim), _) => {
            return format!("the issuer must write the claim `{claim}`").into();
        }
        (InvalidClaim(_), "login time") => {
            "`auth_time` must be no later than `iat` and now: compare the clocks of issuer and service"
        }
        (InvalidClaim(claim), _) => {
            return format!("the issuer must write a valid value of the claim `{claim}`").into();
        }
        (InvalidApplicationClaims, _) => {
            "the claims must fit the application's type: the token may be of another version of the \
             application, and a new field then needs a default"
        }
        (WrongIssuer, _) => {
            "the client must send a token of the expected issuer, or the service must accept this one: \
             `also_accept_issuer`, `also_accept_sessions`"
        }
        (WrongAudience, _) if is_followed => {
            "the client must send a token for the expected audience: the issuer writes it into `aud` (Keycloak: by an \
             audience mapper of the client); accept no audience that the tokens for other services have, too"
        }
        (WrongAudience, _) => {
            "the client must send a token for the expected audience (Keycloak writes it with an audience mapper); \
             or the service must accept this one, if no token for another service has it: `audiences`"
        }
        (WrongClaim, _) => {
            "the client must send a token with the required value of this claim: this is one of another \
             kind, such as an ID token"
        }
        (Expired, _) => {
            "the client must get a new token by a login or its refresh token; if this one is new, compare \
             the clocks of the replicas"
        }
        (NotYetValid, _) => {
            "wait until `nbf`; if the token is new, compare the clocks of issuer and service"
        }
        (IssuedInFuture, _) => {
            "the clocks of issuer and service must agree within `clock_skew`: correct the wrong one"
        }
        (LifetimeTooLong, _) => {
            "the issuer must give its tokens a shorter lifetime, or the ring needs a longer \
             `max_token_lifetime` on every replica"
        }
        (Revoked, _) => "the user must log in again: a revoked session never becomes valid again",
        (StaleRevocations { .. }, _) => {
            "the replica must read its store again: see `failure` of the revocations in /health/status, \
             then send the token again; a test with a manual clock calls `testing::refresh`"
        }
        // None of them is the outcome of a validation.
        (_, _) => "the request must meet the requirement of the route",
    };
    text.into()
}

const REFUSED: [&str; 4] = ["header crit", "header b64", "header enc", "header zip"];
const EMBEDDED_KEYS: [&str; 4] = ["header jwk", "header jku", "header x5u", "header x5c"];
