//! Whether there is room for any login: in the longest token that is accepted, and in the cookie.

use crate::error::build::BuildError;
use crate::keyring::ring::KeyRing;
use crate::token;
use crate::token::policy::Policy;
use crate::transport::cookie::CookieTransport;

/// Checks that the shortest token of this issuer, audience and algorithm fits: else every login
/// would fail.
pub(crate) fn check(
    keys: &KeyRing,
    policy: &Policy,
    cookie: Option<&CookieTransport>,
    has_revocations: bool,
    has_refresh_tokens: bool,
    has_persistent: bool,
) -> Result<(), BuildError> {
    if !keys.issues() {
        return Ok(());
    }
    let keys = keys.keys(keys.now());
    let shortest = |seq| {
        let (iss, aud) = (&policy.issuers.first, &policy.audiences.first);
        let of = |key| token::encode::shortest(iss, aud, key, seq, has_revocations, has_persistent);
        let of_keys = keys.keys().iter().filter_map(|key| of(Some(key))).min();
        // A ring that has no key yet gets one of some algorithm.
        of_keys.or_else(|| of(None)).unwrap_or_default()
    };
    let session = shortest(None);
    let refresh = if has_refresh_tokens { shortest(Some(0)) } else { 0 };
    let names = [("issuer", &*policy.issuers.first), ("audience", &*policy.audiences.first)];
    let (bytes, limit) = (session.max(refresh), policy.max_token_bytes);
    if bytes > limit {
        let (field, text) = longest(&names);
        // Of a usual length, it is not what is at fault.
        if text.len() <= 256 {
            let help = format!(
                "make it at least {bytes}: no token of this issuer, audience and algorithm is \
                 shorter, and claims come on top"
            );
            return Err(BuildError::invalid("max_token_bytes", limit, help));
        }
        let help = format!(
            "shorten it: the shortest token with it has {bytes} bytes, and max_token_bytes is \
             {limit}"
        );
        return Err(BuildError::invalid(field, shown(text), help));
    }
    if let Some(cookie) = cookie.map(CookieTransport::own_name) {
        let (bytes, limit) = (session + cookie.len(), CookieTransport::MOST_BYTES);
        if bytes > limit {
            let [issuer, audience] = names;
            let (field, text) = longest(&[("cookie name", cookie), issuer, audience]);
            let help = format!(
                "shorten it: name and value of the shortest cookie have {bytes} bytes, and \
                 browsers accept {limit}"
            );
            return Err(BuildError::invalid(field, shown(text), help));
        }
    }
    Ok(())
}

fn longest<'t>(texts: &[(&'static str, &'t str)]) -> (&'static str, &'t str) {
    texts.iter().copied().max_by_key(|(_, text)| text.len()).unwrap_or_default()
}

/// How a long text begins, and its length.
fn shown(text: &str) -> String {
    let beginning: String = text.chars().take(32).collect();
    format!("{beginning:?}... ({} bytes)", text.len())
}
