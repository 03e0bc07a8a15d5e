//! base64url without padding (RFC 7515, section 2), by the CPU's vector instructions where it has
//! them. As strict as `URL_SAFE_NO_PAD`: a text that would not be written is not read.

use base64::{DecodeSliceError, Engine as _};

#[cfg(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon")))]
pub(crate) static BASE64URL: std::sync::LazyLock<base64::engine::Simd> =
    std::sync::LazyLock::new(|| {
        base64::engine::Simd::url_safe(base64::engine::general_purpose::NO_PAD)
    });

#[cfg(not(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_feature = "neon")
)))]
pub(crate) use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

/// What text is decoded into: on the stack, unless it is long.
pub(crate) struct Buffer {
    short: [u8; 512],
    long: Vec<u8>,
}

/// As much text as the vector instructions are used for at least.
const VECTORS: usize = 68;

impl Buffer {
    pub(crate) fn new() -> Self {
        Self { short: [0; 512], long: Vec::new() }
    }

    /// Decodes `text`; `None` if it is not canonical base64url without padding.
    pub(crate) fn decode(&mut self, text: &[u8]) -> Option<&mut [u8]> {
        if text.len() < VECTORS {
            return self.decode_short(text);
        }
        match BASE64URL.decode_slice(text, &mut self.short) {
            Ok(length) => self.short.get_mut(..length),
            Err(DecodeSliceError::OutputSliceTooSmall) => {
                self.long = BASE64URL.decode(text).ok()?;
                Some(&mut self.long)
            }
            Err(DecodeSliceError::DecodeError(_)) => None,
        }
    }

    /// Decodes a text by the vector instructions, too: filled up with zeros, which have to become
    /// zeros, as have the bits of its last character that are no whole byte.
    fn decode_short(&mut self, text: &[u8]) -> Option<&mut [u8]> {
        const ZERO: u8 = b'A';
        let mut filled = [ZERO; VECTORS];
        filled.get_mut(..text.len())?.copy_from_slice(text);
        let all = BASE64URL.decode_slice(filled, &mut self.short).ok()?;
        let length = text.len() * 3 / 4;
        let (bytes, zeros) = self.short.get_mut(..all)?.split_at_mut(length);
        let is_canonical = text.len() % 4 != 1 && zeros.iter().fold(0, |all, byte| all | byte) == 0;
        is_canonical.then_some(bytes)
    }
}
