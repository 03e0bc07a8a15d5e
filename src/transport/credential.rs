//! A token as it comes with a request, and that there is only one.

use crate::error::rejection::RejectionKind;

/// A token as a client sent it: any bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Credential<'r> {
    pub(crate) token: &'r [u8],
    pub(crate) place: Place,
}

/// Where a credential stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Bearer,
    Cookie,
    WebSocketProtocol,
    Header,
}

/// The token at one place, if there is one.
pub(crate) type Found<'r> = Result<Option<&'r [u8]>, RejectionKind>;

/// The one item, if there is one. More are ambiguous, whether or not they are equal: which one counts
/// would depend on who reads them (RFC 6750, section 2).
pub(crate) fn one<T>(items: impl IntoIterator<Item = T>) -> Result<Option<T>, RejectionKind> {
    let mut items = items.into_iter();
    match (items.next(), items.next()) {
        (_, Some(_)) => Err(RejectionKind::Ambiguous),
        (item, None) => Ok(item),
    }
}
