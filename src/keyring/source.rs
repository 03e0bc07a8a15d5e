//! [`KeySource`]: where a ring's keys come from. A ring knows its source only by this trait.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::crypto::backend::CryptoBackend;
use crate::error::operation::OperationError;
use crate::keyring::core::RingCore;
use crate::keyring::skew::watch::ClockWatch;
use crate::keys::key_set::KeySet;
use crate::replica::writes::Writes;

/// A future of a [`KeySource`], which is a trait object.
pub(crate) type SourceFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whether sessions are issued with the keys of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Issues {
    /// The source makes private keys.
    Always,
    /// If it was given a private key.
    WithPrivateKey,
    /// Its keys only verify.
    Never,
}

/// Where a ring's keys come from. It publishes them to the ring's [`RingCore`].
pub(crate) trait KeySource: Send + Sync + 'static {
    fn issues(&self) -> Issues;

    /// Reads the keys anew, publishes and records that. Does nothing where there is nothing to read.
    ///
    /// # Errors
    ///
    /// If the keys can't be read. The last known ones stay.
    fn refresh<'a>(&'a self, _ring: &'a RingCore) -> SourceFuture<'a, Result<(), OperationError>> {
        Box::pin(async { Ok(()) })
    }

    /// When the next refresh is due, after one that `began` then; `random` spreads the replicas.
    fn due<'a>(
        &'a self,
        ring: &'a RingCore,
        began: Instant,
        random: u16,
    ) -> SourceFuture<'a, Instant> {
        Box::pin(std::future::ready(ring.policy.polling().due(began, None, random)))
    }

    /// The keys at a time that the last snapshot does not cover.
    fn keys_at(&self, _now: Timestamp) -> Option<KeySet> {
        None
    }

    /// The backend of the keys, if the application may replace them.
    fn replaceable(&self) -> Option<CryptoBackend> {
        None
    }

    /// Asks for a refresh because a request named an unknown key. It never waits.
    fn request_refetch(&self, _ring: &RingCore, _now: Timestamp) {}

    /// How long keys verify after they were fetched from an issuer, whose name is the ring's; `None`
    /// unless the source follows one.
    fn max_staleness(&self) -> Option<Duration> {
        None
    }

    /// Whether the ring was opened, or could have been, without the keys of the issuer that it follows.
    fn starts_without_keys(&self) -> bool {
        false
    }

    /// The source as one whose keys rotate in a store.
    fn rotating(&self) -> Option<&dyn Rotating> {
        None
    }
}

/// A source whose keys rotate in a store.
pub(crate) trait Rotating: Send + Sync {
    /// Ends the signing of the key that signs, as soon as its successor has reached everyone.
    fn rotate_now<'a>(
        &'a self,
        ring: &'a RingCore,
    ) -> SourceFuture<'a, Result<Timestamp, OperationError>>;

    /// Revokes a key, or all.
    fn revoke<'a>(
        &'a self,
        ring: &'a RingCore,
        key_id: Option<&'a str>,
    ) -> SourceFuture<'a, Result<(), OperationError>>;

    fn writes(&self) -> &Writes;

    /// Whether private keys are sealed when they are written.
    fn seals(&self) -> bool;

    fn clock_watch(&self) -> &ClockWatch;
}
