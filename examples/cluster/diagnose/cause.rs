//! The eight causes of lost sessions that this example can show, in the words of the guide.

use std::str::FromStr;

/// Why users are logged out, although the service is up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cause {
    /// A replica has other keys than the others.
    OtherKeys,
    /// A replica's clock is wrong.
    WrongClock,
    /// The store was emptied while no replica lived.
    PurgedStore,
    /// A proxy drops the cookie.
    DroppedCookie,
    /// A proxy replaces the `Host` header.
    RewrittenHost,
    /// Another service of the same host writes a cookie of the same name.
    SharedCookieName,
    /// The session has expired.
    Expired,
    /// The session was revoked.
    Revoked,
}

impl Cause {
    /// All of them, in the order of the guide.
    pub(crate) const ALL: [Self; 8] = [
        Self::OtherKeys,
        Self::WrongClock,
        Self::PurgedStore,
        Self::DroppedCookie,
        Self::RewrittenHost,
        Self::SharedCookieName,
        Self::Expired,
        Self::Revoked,
    ];

    /// Its name on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::OtherKeys => "other-keys",
            Self::WrongClock => "wrong-clock",
            Self::PurgedStore => "purged-store",
            Self::DroppedCookie => "dropped-cookie",
            Self::RewrittenHost => "rewritten-host",
            Self::SharedCookieName => "shared-cookie-name",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    /// What is wrong, in one sentence.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::OtherKeys => {
                "One replica has other keys: another store, ring name or root secret."
            }
            Self::WrongClock => "The clock of one replica is wrong by more than `clock_skew`.",
            Self::PurgedStore => {
                "The store was emptied while no replica was running: the ring was founded anew."
            }
            Self::DroppedCookie => "A proxy or cache removes `Cookie` from requests.",
            Self::RewrittenHost => "A proxy replaces `Host`, so that it differs from `Origin`.",
            Self::SharedCookieName => {
                "Another service on the same host name sets a cookie of the same name."
            }
            Self::Expired => {
                "The session has expired: no request renewed it in the second half of `idle_lifetime`, or \
                 `absolute_lifetime` is over."
            }
            Self::Revoked => "The session was revoked: a logout elsewhere, or an administrator.",
        }
    }

    /// How to fix it, in one sentence.
    pub(crate) fn fix(self) -> &'static str {
        match self {
            Self::OtherKeys => {
                "Give all replicas the same store and ring name, or the same root secrets."
            }
            Self::WrongClock => {
                "Synchronize the clocks (NTP), and alert on `clock_offset_seconds`."
            }
            Self::PurgedStore => {
                "Users log in again; make the store durable, and back it up or set `never_found`."
            }
            Self::DroppedCookie => {
                "Let the proxy pass `Cookie` and `Set-Cookie` on every path, and cache neither."
            }
            Self::RewrittenHost => "Pass it on: `proxy_set_header Host $http_host` in nginx.",
            Self::SharedCookieName => "Give each service another cookie name or another host name.",
            Self::Expired => {
                "Nothing is broken; a longer `idle_lifetime` or `persistent_lifetime` keeps users longer."
            }
            Self::Revoked => {
                "Nothing is broken; the audit events `logout`, `session_revoked`, `subject_revoked` and \
                 `logins_revoked` show which."
            }
        }
    }
}

impl FromStr for Cause {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|cause| cause.word() == text)
            .ok_or_else(|| format!("expected one of {}", Self::ALL.map(Self::word).join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The guide's table and this file say the same.
    #[test]
    fn each_cause_and_fix_is_a_row_of_the_guide() {
        let guide = include_str!("../../../src/guide/random_logouts.md");
        let rows: Vec<_> = guide.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(rows.len(), Cause::ALL.len());
        for (cause, row) in Cause::ALL.into_iter().zip(rows) {
            let starts = format!("| `{}` | ", cause.word());
            assert!(row.starts_with(&starts), "{row}");
            let ends = format!(" | {} | {} |", cause.sentence(), cause.fix());
            assert!(row.ends_with(&ends), "{row}\n{ends}");
        }
    }
}
