//! base64url without padding (RFC 7515, section 2). Strict: a text that would not be written is not
//! read.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Encodes bytes.
pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Encodes bytes and appends the text.
pub(crate) fn encode_append(bytes: impl AsRef<[u8]>, text: &mut String) {
    URL_SAFE_NO_PAD.encode_string(bytes, text);
}

/// Returns the number of characters that encode so many bytes.
pub(crate) const fn encoded_length(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

/// Decodes `text`; `None` if it is not canonical base64url without padding.
pub(crate) fn decode(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Decodes 16 bytes; `None` if `text` is not what [`encode`] returns for so many.
pub(crate) fn decode_16(text: &str) -> Option<[u8; 16]> {
    // What is decoded is written in groups of three.
    let mut bytes = [0; 18];
    let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
    bytes.first_chunk().copied().filter(|_| length == 16)
}

/// Buffer for decoded text: on the stack, unless it is long.
pub(crate) struct Buffer {
    short: [u8; 512],
    long: Vec<u8>,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self { short: [0; 512], long: Vec::new() }
    }

    /// Decodes `text`; `None` if it is not canonical base64url without padding.
    pub(crate) fn decode(&mut self, text: &[u8]) -> Option<&[u8]> {
        match self.short.get_mut(..base64::decoded_len_estimate(text.len())) {
            Some(room) => {
                let length = URL_SAFE_NO_PAD.decode_slice(text, room).ok()?;
                room.get(..length)
            }
            None => {
                self.long = decode(text)?;
                Some(&self.long)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    /// The same, bit by bit.
    fn bit_by_bit(text: &[u8]) -> Option<Vec<u8>> {
        let (mut decoded, mut bits, mut count) = (Vec::new(), 0_u32, 0);
        for byte in text {
            let value = ALPHABET.iter().position(|letter| letter == byte)?;
            (bits, count) = (bits << 6 | value as u32, count + 6);
            if count >= 8 {
                count -= 8;
                decoded.push((bits >> count) as u8);
                bits &= (1 << count) - 1;
            }
        }
        (count < 6 && bits == 0).then_some(decoded)
    }

    /// Every byte at each of these places of a text.
    fn compare(length: usize, places: Range<usize>) {
        let text: Vec<u8> = ALPHABET.iter().copied().cycle().take(length).collect();
        for place in places {
            // A few in Miri, which takes its time.
            for byte in (0..=255).step_by(if cfg!(miri) { 51 } else { 1 }) {
                let mut text = text.clone();
                text[place] = byte;
                let known = bit_by_bit(&text);
                assert_eq!(Buffer::new().decode(&text), known.as_deref(), "{length} {place}");
                if let Some(known) = known {
                    assert_eq!(encode(&known).as_bytes(), text);
                    assert_eq!(encoded_length(known.len()), text.len());
                }
            }
        }
    }

    #[test]
    fn every_byte_at_every_place_is_read_as_another_decoder_reads_it() {
        assert_eq!(Buffer::new().decode(b""), Some(&[][..]));
        for length in 1..=if cfg!(miri) { 9 } else { 76 } {
            compare(length, 0..length);
        }
    }

    #[test]
    fn a_text_as_long_as_the_buffer_is_read_as_a_shorter_one() {
        for length in 678..=if cfg!(miri) { 678 } else { 686 } {
            compare(length, length - if cfg!(miri) { 1 } else { 6 }..length);
        }
    }
}
