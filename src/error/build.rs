//! [`BuildError`]: why a ring, its sessions or revocations could not be built.

use std::error::Error;
use std::fmt;

use crate::error::macros::debug_as_display;

/// Why a ring, its sessions or its revocations could not be built: the setting, its value and how to
/// fix it.
///
/// `Debug` shows the same text as `Display`, so that a `main` that returns the error prints it.
#[derive(thiserror::Error)]
#[error(transparent)]
pub struct BuildError(Box<Kind>);

/// With the source: the text goes to logs, where nobody asks for the source.
#[derive(thiserror::Error)]
enum Kind {
    #[error("{setting} is {value}: {help}")]
    Setting { setting: &'static str, value: String, help: String },
    #[error("{setting}: {source}")]
    Key { setting: &'static str, source: Source },
    #[error("the store of ring {ring:?} failed: {source}")]
    Store { ring: String, source: Source },
    #[error("the store of ring {ring:?} cannot be used: {reason}")]
    Unreadable { ring: String, reason: String },
    #[error(
        "the store holds no key of ring {ring:?}, and `never_found` is set: check that it is the \
         right store and the right name; or start one replica without `never_found`, which founds \
         the ring"
    )]
    NoRing { ring: String },
    #[error(
        "the store holds no revocations {name:?}, and `never_found` is set: check that it is the right store \
         and the right name; if they were lost just now, live replicas restore them: try again"
    )]
    NoRevocations { name: String },
    #[error("the keys of {issuer} could not be fetched: {source}{fix}")]
    Fetch { issuer: String, source: Source, fix: &'static str },
}

type Source = Box<dyn Error + Send + Sync>;

impl BuildError {
    pub(crate) fn invalid(
        setting: &'static str,
        value: impl fmt::Display,
        help: impl fmt::Display,
    ) -> Self {
        Self(Box::new(Kind::Setting { setting, value: value.to_string(), help: help.to_string() }))
    }

    pub(crate) fn key(setting: &'static str, source: impl Into<Source>) -> Self {
        Self(Box::new(Kind::Key { setting, source: source.into() }))
    }

    pub(crate) fn store(ring: impl fmt::Display, source: impl Into<Source>) -> Self {
        Self(Box::new(Kind::Store { ring: ring.to_string(), source: source.into() }))
    }

    pub(crate) fn unreadable(ring: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self(Box::new(Kind::Unreadable { ring: ring.to_string(), reason: reason.to_string() }))
    }

    pub(crate) fn no_ring(ring: impl fmt::Display) -> Self {
        Self(Box::new(Kind::NoRing { ring: ring.to_string() }))
    }

    pub(crate) fn no_revocations(name: impl fmt::Display) -> Self {
        Self(Box::new(Kind::NoRevocations { name: name.to_string() }))
    }

    pub(crate) fn fetch(
        issuer: impl fmt::Display,
        source: impl Into<Source>,
        fix: &'static str,
    ) -> Self {
        Self(Box::new(Kind::Fetch { issuer: issuer.to_string(), source: source.into(), fix }))
    }

    /// Returns the name of the setting whose value was refused, if it was one.
    pub fn setting(&self) -> Option<&'static str> {
        match &*self.0 {
            Kind::Setting { setting, .. } | Kind::Key { setting, .. } => Some(setting),
            _ => None,
        }
    }

    /// Returns the refused value of the [`setting`](Self::setting); `None` for key material, of which
    /// the [source](Error::source) is a [`KeyError`](crate::KeyError).
    pub fn value(&self) -> Option<&str> {
        match &*self.0 {
            Kind::Setting { value, .. } => Some(value),
            _ => None,
        }
    }

    /// Returns how to fix the [`setting`](Self::setting).
    pub fn help(&self) -> Option<&str> {
        match &*self.0 {
            Kind::Setting { help, .. } => Some(help),
            _ => None,
        }
    }

    /// Returns whether the store could not be opened, read or written; the [source](Error::source)
    /// is a [`StoreError`](crate::store::StoreError).
    pub fn is_store_unavailable(&self) -> bool {
        matches!(*self.0, Kind::Store { .. })
    }

    /// Returns whether the store holds keys of the ring, none of which can be used. A new key would
    /// log everyone out.
    pub fn is_unreadable(&self) -> bool {
        matches!(*self.0, Kind::Unreadable { .. })
    }

    /// Returns whether the store holds no key of the ring and `never_found` is set.
    pub fn is_no_ring(&self) -> bool {
        matches!(*self.0, Kind::NoRing { .. })
    }

    /// Returns whether the store holds no revocations of the name and `never_found` is set.
    pub fn is_no_revocations(&self) -> bool {
        matches!(*self.0, Kind::NoRevocations { .. })
    }

    /// Returns whether the first keys of a followed issuer could not be fetched.
    pub fn is_issuer_unavailable(&self) -> bool {
        matches!(*self.0, Kind::Fetch { .. })
    }
}

debug_as_display!(Kind, BuildError);
