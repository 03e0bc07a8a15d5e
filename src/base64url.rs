//! base64url without padding (RFC 7515, section 2), by the CPU's vector instructions where it has
//! them. Strict: a text that would not be written is not read.

use base64_simd::AsOut as _;
pub(crate) use base64_simd::URL_SAFE_NO_PAD as BASE64URL;

/// What text is decoded into: on the stack, unless it is long.
pub(crate) struct Buffer {
    short: [u8; 512],
    long: Vec<u8>,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self { short: [0; 512], long: Vec::new() }
    }

    /// Decodes `text`; `None` if it is not canonical base64url without padding.
    pub(crate) fn decode(&mut self, text: &[u8]) -> Option<&mut [u8]> {
        let length = BASE64URL.decoded_length(text).ok()?;
        let room = match self.short.get_mut(..length) {
            Some(room) => room,
            None => {
                self.long = vec![0; length];
                &mut self.long
            }
        };
        BASE64URL.decode(text, room.as_out()).ok()
    }
}
