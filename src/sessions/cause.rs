//! [`Cause`] and [`Whom`]: why sessions are revoked, and whose.

use crate::audit::event::AuditKind;
use crate::sessions::logout::Reach;
use crate::sessions::session::Session;

/// Why sessions are revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Logout(Reach),
    /// The logout of a client by one of its tokens.
    RevokeToken,
    RevokeSession,
    ReplacedByLogin,
    RenewalHook,
    ReusedRefreshToken,
    RevokeSubject,
    RevokeLogins,
    ReloadClaims,
}

impl Cause {
    pub(crate) fn kind(self) -> AuditKind {
        match self {
            Self::Logout(_) | Self::RevokeToken => AuditKind::Logout,
            Self::RevokeSession | Self::ReplacedByLogin | Self::RenewalHook => {
                AuditKind::SessionRevoked
            }
            Self::ReusedRefreshToken => AuditKind::RefreshTokenReused,
            Self::RevokeSubject => AuditKind::SubjectRevoked,
            Self::RevokeLogins => AuditKind::LoginsRevoked,
            Self::ReloadClaims => AuditKind::ClaimsReload,
        }
    }

    /// Which sessions a logout ends; `None` for what is no logout.
    pub(crate) fn reach(self) -> Option<Reach> {
        match self {
            Self::Logout(reach) => Some(reach),
            Self::RevokeToken => Some(Reach::This),
            _ => None,
        }
    }

    pub(crate) fn reason(self) -> Option<&'static str> {
        Some(match self {
            Self::RevokeToken => "revoke_token",
            Self::RevokeSession => "revoke_session",
            Self::ReplacedByLogin => "replaced_by_login",
            Self::RenewalHook => "renewal_hook",
            Self::RevokeSubject => "revoke_subject",
            Self::RevokeLogins => "revoke_logins_before",
            Self::ReloadClaims => "reload_claims",
            Self::Logout(_) | Self::ReusedRefreshToken => return None,
        })
    }
}

/// Whom an event concerns, as far as that is known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Whom<'a> {
    pub(crate) issuer: Option<&'a str>,
    pub(crate) session_id: Option<&'a str>,
    pub(crate) subject: Option<&'a str>,
}

impl<'a> Whom<'a> {
    pub(crate) fn of<C>(session: &'a Session<C>) -> Self {
        Self {
            issuer: Some(session.issuer()),
            session_id: Some(session.session_id()),
            subject: Some(session.subject()),
        }
    }
}

/// The kinds of events of sessions.
pub(crate) const KINDS: [AuditKind; 7] = [
    AuditKind::Login,
    AuditKind::Logout,
    AuditKind::SessionRevoked,
    AuditKind::SubjectRevoked,
    AuditKind::LoginsRevoked,
    AuditKind::ClaimsReload,
    AuditKind::RefreshTokenReused,
];
