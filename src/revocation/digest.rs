//! The digests under which revocations are recorded and looked up.

use crate::base64url;
use crate::crypto::backend;
use crate::store::feed::Digest;

/// The digests of a token's session and subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digests {
    pub(crate) session: Digest,
    pub(crate) subject: Digest,
}

impl Digests {
    /// `is_own_id` says that the session's ID is one of this crate.
    pub(crate) fn of(issuer: &str, session_id: &str, is_own_id: bool, subject: &str) -> Self {
        let session = of_session(issuer, session_id, is_own_id);
        Self { session, subject: of_subject(issuer, subject) }
    }
}

/// The digest of a session's ID. An ID of this crate is 16 random bytes, which are the digest. No other
/// ID has the same bytes: they have one text.
///
/// SECURITY: another issuer may write any ID. Its digest includes the issuer, so that no logout there ends a
/// session of this crate.
pub(crate) fn of_session(issuer: &str, session_id: &str, is_own_id: bool) -> Digest {
    let own = if is_own_id { base64url::decode_16(session_id) } else { None };
    own.unwrap_or_else(|| hash("tower-jwt-session session", issuer, session_id))
}

/// A session's ID in the log and in audit events: that of this crate, or the digest of another issuer's.
pub(crate) fn shown_session(issuer: &str, session_id: &str, is_own_id: bool) -> String {
    base64url::encode(of_session(issuer, session_id, is_own_id))
}

/// The digest of a subject: a pseudonym, since anyone can compute it for a subject that he can guess.
pub(crate) fn of_subject(issuer: &str, subject: &str) -> Digest {
    hash("tower-jwt-session subject", issuer, subject)
}

fn hash(domain: &str, issuer: &str, id: &str) -> Digest {
    // The length keeps the end of the issuer from being read as the beginning of the ID.
    let length = (issuer.len() as u64).to_be_bytes();
    let hash = backend::sha256([domain.as_bytes(), &length, issuer.as_bytes(), id.as_bytes()]);
    let [digest, _] = hash.as_chunks::<16>().0 else { unreachable!("32 bytes are two chunks") };
    *digest
}
