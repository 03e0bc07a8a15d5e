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
        match self.short.get_mut(..length) {
            Some(room) => BASE64URL.decode(text, room.as_out()).ok(),
            None => {
                self.long = BASE64URL.decode_to_vec(text).ok()?;
                Some(&mut self.long)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    /// Every byte at each of these places of a text, as another decoder finds it.
    fn compare(length: usize, places: Range<usize>) {
        let text: Vec<u8> = BASE64URL.charset().iter().copied().cycle().take(length).collect();
        for place in places {
            // A few in Miri, which takes its time and has no vector instructions.
            for byte in (0..=255).step_by(if cfg!(miri) { 51 } else { 1 }) {
                let mut text = text.clone();
                text[place] = byte;
                let known = URL_SAFE_NO_PAD.decode(&text).ok();
                let mut buffer = Buffer::new();
                assert_eq!(buffer.decode(&text).as_deref(), known.as_deref(), "{length} {place}");
            }
        }
    }

    #[test]
    fn every_byte_at_every_place_is_read_as_another_decoder_reads_it() {
        assert_eq!(Buffer::new().decode(b""), Some(&mut [][..]));
        // As far as two steps of the vector instructions, and what they leave.
        for length in 1..=if cfg!(miri) { 9 } else { 76 } {
            compare(length, 0..length);
        }
    }

    #[test]
    fn a_text_as_long_as_the_buffer_is_read_as_a_shorter_one() {
        for length in 681..=686 {
            compare(length, length - if cfg!(miri) { 1 } else { 6 }..length);
        }
    }
}
