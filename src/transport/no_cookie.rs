//! The cookie transport where the feature `cookie` is off: there is none, and nobody makes one.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request};

use crate::error::build::BuildError;
use crate::error::operation::OperationError;
use crate::error::rejection::RejectionKind;
use crate::transport::cookie_use::CookieUse;
use crate::transport::credential::Found;
use crate::transport::old_cookies::OldCookies;

#[derive(Clone, Debug)]
pub(crate) enum CookieTransport {}

impl CookieTransport {
    pub(crate) const MOST_BYTES: usize = 4096;

    pub(crate) fn own_name(&self) -> &str {
        match *self {}
    }

    pub(crate) fn read<'r>(&self, _: &'r HeaderMap) -> Found<'r> {
        match *self {}
    }

    pub(crate) fn set(
        &self,
        _: &str,
        _: usize,
        _: Option<Duration>,
    ) -> Result<HeaderValue, OperationError> {
        match *self {}
    }

    pub(crate) fn clear(&self) -> HeaderValue {
        match *self {}
    }

    pub(crate) fn is_set_by(&self, _: &HeaderValue) -> bool {
        match *self {}
    }

    pub(crate) fn build(self, _: &str) -> Result<Self, BuildError> {
        match self {}
    }

    pub(crate) fn admit<B>(&self, _: &Request<B>, _: bool) -> Result<CookieUse, RejectionKind> {
        match *self {}
    }

    pub(crate) fn unguarded<B>(&self, _: &Request<B>) -> CookieUse {
        match *self {}
    }

    pub(crate) fn old_cookies(&self, _: &HeaderMap) -> Option<Box<OldCookies>> {
        match *self {}
    }

    pub(crate) fn clear_old(&self, _: &OldCookies) -> impl Iterator<Item = HeaderValue> {
        match *self {}
        #[expect(unreachable_code, reason = "the type is inferred from it")]
        std::iter::empty()
    }
}
