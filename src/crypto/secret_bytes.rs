//! [`SecretBytes`]: bytes that may be secret.

use std::fmt;
use std::hint::black_box;
use std::ops::Deref;

use zeroize::Zeroizing;

/// Bytes that may be secret: zeroized on drop, compared in constant time, and not shown by `Debug`.
#[derive(Clone, Default)]
pub struct SecretBytes(pub(crate) Zeroizing<Vec<u8>>);

impl Deref for SecretBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

/// In constant time for values of one length.
impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.iter().zip(other.iter());
        let difference = pairs.fold(0, |difference, (one, other)| difference | (one ^ other));
        self.len() == other.len() && black_box(difference) == 0
    }
}

impl Eq for SecretBytes {}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes)", self.len())
    }
}
