//! [`AuditEvent`]: one thing that happened to sessions or keys.

use serde::{Serialize, Serializer};

use crate::base64url;
use crate::clock::Timestamp;
use crate::crypto::backend;

/// One thing that happened to sessions or keys. Serializes to a flat object; fields that do not apply are
/// left out. It never contains a token, a secret or the application's claims.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct AuditEvent {
    /// When, by the clock of the ring or the revocations, in UTC.
    pub at: Timestamp,
    /// What.
    pub kind: AuditKind,
    /// Where it happened.
    pub origin: Origin,
    /// What came of it.
    pub outcome: Outcome,
    /// A random ID of 96 bits. A sink that is asked again for the same event gets the same ID.
    pub event_id: String,
    /// The ring of the sessions or keys; of a revocation that was learned from the store, the name of the
    /// [`Revocations`](crate::Revocations) with `.ended`, as in metrics.
    pub ring: String,
    /// The issuer of the session or the subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The session: the ID that its tokens carry as `sid`. For a session of another issuer it is a digest
    /// of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The subject, as [`AuditBuilder`](crate::audit::AuditBuilder) says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Which sessions a logout ends: `this`, `others` or `everywhere`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reach: Option<&'static str>,
    /// The call or the cause, such as `revoke_session`, `replaced_by_login` or `renewal_hook`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The generation of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The key's ID.
    #[serde(rename = "kid", skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The cutoff of the logins that are revoked; when a key signs, or stops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<Timestamp>,
    /// How many keys or revocations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

impl AuditEvent {
    pub(crate) fn new(kind: AuditKind, ring: &str, at: Timestamp) -> Self {
        let mut id = [0; 12];
        // Without randomness events have equal IDs; all else in them is right.
        let _ = backend::fill_random(&mut id);
        Self {
            at,
            kind,
            origin: Origin::Here,
            outcome: Outcome::Ok,
            event_id: base64url::encode(id),
            ring: ring.to_owned(),
            issuer: None,
            session_id: None,
            subject: None,
            reach: None,
            reason: None,
            generation: None,
            key_id: None,
            effective_at: None,
            count: None,
        }
    }
}

/// Gives the values of an enum their texts.
macro_rules! texts {
    ($name:ident: $($value:ident => $text:literal,)+) => {
        impl $name {
            /// Each text, once.
            #[allow(dead_code)]
            pub(crate) const ALL: &[Self] = &[$(Self::$value),+];

            /// Returns the stable text that logs, metrics and JSON have.
            pub fn as_str(&self) -> &'static str {
                match self {
                    $(Self::$value => $text,)+
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AuditKind {
    /// A session was issued.
    Login,
    /// A user ended sessions: `reach` says which.
    Logout,
    /// A session was revoked, other than by a logout here.
    SessionRevoked,
    /// All sessions of a subject were revoked, other than by a logout here.
    SubjectRevoked,
    /// All logins before a time were revoked.
    LoginsRevoked,
    /// The claims of a subject's sessions are to be reloaded.
    ClaimsReload,
    /// A refresh token was presented that had been redeemed before: it was refused, and its session ended.
    RefreshTokenReused,
    /// This replica read all revocations: `count` of them are new to it.
    RevocationsRead,
    /// This replica restored `count` revocations that the store had lost.
    RevocationsRestored,
    /// A key was published.
    KeyPublished,
    /// A key begins to sign.
    KeySigns,
    /// A key was retired: it stops signing at `effective_at`.
    KeyRetired,
    /// A key was revoked.
    KeyRevoked,
    /// This replica founded a ring.
    RingFounded,
    /// This replica read a ring of `count` keys at its start.
    RingRead,
    /// This replica restored `count` entries of a ring that the store had lost.
    RingRestored,
}

texts! { AuditKind:
    Login => "login",
    Logout => "logout",
    SessionRevoked => "session_revoked",
    SubjectRevoked => "subject_revoked",
    LoginsRevoked => "logins_revoked",
    ClaimsReload => "claims_reload",
    RefreshTokenReused => "refresh_token_reused",
    RevocationsRead => "revocations_read",
    RevocationsRestored => "revocations_restored",
    KeyPublished => "key_published",
    KeySigns => "key_signs",
    KeyRetired => "key_retired",
    KeyRevoked => "key_revoked",
    RingFounded => "ring_founded",
    RingRead => "ring_read",
    RingRestored => "ring_restored",
}

/// Where something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// This replica did it.
    Here,
    /// This replica learned of it from the store.
    Store,
}

texts! { Origin:
    Here => "here",
    Store => "store",
}

/// What came of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// It took effect.
    Ok,
    /// The session's cookie was cleared, and nothing else: the sessions have no revocations.
    CookieOnly,
    /// The sink did not record the login, so that the session was not handed out.
    Withheld,
    /// The refresh token was refused, but its session could not be ended.
    Failed,
}

texts! { Outcome:
    Ok => "ok",
    CookieOnly => "cookie_only",
    Withheld => "withheld",
    Failed => "failed",
}
