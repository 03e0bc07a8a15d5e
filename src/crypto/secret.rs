//! Secrets of the application: random bytes, or their encoding as text. Text where bytes are expected
//! is refused: it has fewer or other bytes than intended.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::crypto::error::{KeyError, KeyErrorKind};

/// The constructors that an error recommends.
pub(crate) struct Advice {
    /// The beginning of the names of `from_base64` and its like.
    pub(crate) constructors: &'static str,
    /// Whether there is a `from_text`, for text that is itself the secret.
    pub(crate) has_text: bool,
}

impl Advice {
    fn refuses(&self, found: &'static str) -> KeyError {
        let from = format!("{}from", self.constructors);
        let fix = match found {
            HEX => format!("decode it with `{from}_hex`"),
            BASE64 => format!("decode it with `{from}_base64`"),
            _ => {
                format!("make one with `openssl rand -base64 32` and read it with `{from}_base64`")
            }
        };
        let mut text = format!("the secret is {found}, expected random bytes: {fix}");
        if self.has_text {
            text += &format!("; a text that another issuer uses as its secret: `{from}_text`");
        }
        KeyError::new(KeyErrorKind::WeakSecret, text)
    }
}

const HEX: &str = "text that looks like hex";
const BASE64: &str = "text that looks like base64";
const TEXT: &str = "text";

/// Refuses a secret that is too short, is text, or has only a few different byte values.
pub(crate) fn check_random(secret: &[u8], least: usize, advice: &Advice) -> Result<(), KeyError> {
    if secret.len() < least {
        return Err(KeyError::short_secret(least, secret.len()));
    }
    if let Some(found) = text(secret) {
        return Err(advice.refuses(found));
    }
    // The probability that 32 random bytes have at most 8 different values is far below 10^-13.
    let values = secret.iter().collect::<HashSet<_>>().len();
    if values <= 8 {
        let text = format!(
            "the secret has only {values} different byte values, expected random bytes: make one \
             with `openssl rand -base64 32`"
        );
        return Err(KeyError::new(KeyErrorKind::WeakSecret, text));
    }
    Ok(())
}

/// Reads base64 in either alphabet, padded or not, on one line or several.
pub(crate) fn from_base64(
    text: &str,
    least: usize,
    advice: &Advice,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let text = lines(text);
    if text.len() >= 32 && is_hex(&text) {
        return Err(advice.refuses(HEX));
    }
    let secret =
        decode_base64(&text).ok_or_else(|| wrong_encoding("base64", base64_fault(&text)))?;
    check_random(&secret, least, advice)?;
    Ok(secret)
}

/// Reads hex in either case, on one line or several.
pub(crate) fn from_hex(
    text: &str,
    least: usize,
    advice: &Advice,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let text = lines(text);
    if !is_hex(&text) {
        return Err(wrong_encoding("hex", "a character is not a hex digit"));
    }
    if !text.len().is_multiple_of(2) {
        return Err(wrong_encoding("hex", "it has an odd number of digits"));
    }
    // Each pair is two hex digits, so `filter_map` drops none.
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    let mut secret = Zeroizing::new(Vec::with_capacity(text.len() / 2));
    secret.extend(text.chunks_exact(2).filter_map(byte));
    check_random(&secret, least, advice)?;
    Ok(secret)
}

fn wrong_encoding(encoding: &str, reason: &str) -> KeyError {
    let text = format!("the secret is not {encoding}: {reason}");
    KeyError::new(KeyErrorKind::InvalidEncoding, text)
}

/// The text without its line breaks, and without space around it: `openssl rand` ends its output
/// with a line break and breaks long ones.
fn lines(text: &str) -> Zeroizing<Vec<u8>> {
    let mut joined = Zeroizing::new(Vec::with_capacity(text.len()));
    joined.extend(text.trim().bytes().filter(|byte| !b"\r\n".contains(byte)));
    joined
}

fn decode_base64(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut secret = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
    let length = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD]
        .iter()
        .find_map(|alphabet| alphabet.decode_slice(text, &mut secret).ok())?;
    secret.truncate(length);
    Some(secret)
}

fn base64_fault(text: &[u8]) -> &'static str {
    let in_alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(byte);
    let has = |any: &[u8]| text.iter().any(|byte| any.contains(byte));
    if !text.iter().all(in_alphabet) {
        "a character is outside the alphabet"
    } else if has(b"+/") && has(b"-_") {
        "it mixes the standard and the URL-safe alphabet"
    } else {
        "its length or padding is wrong; it may have been cut"
    }
}

fn is_hex(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_hexdigit)
}

/// Returns the kind of text that a secret is, if it is text. 32 random bytes are text with a
/// probability of 10^-12.
fn text(secret: &[u8]) -> Option<&'static str> {
    let narrow = narrow(secret);
    let secret = narrow.as_ref().map_or(secret, |narrow| narrow.as_slice());
    let secret = secret.strip_prefix(b"\xef\xbb\xbf").unwrap_or(secret);
    // Files may end with line breaks, C strings with a zero byte.
    let end = secret.iter().rposition(|byte| !byte.is_ascii_whitespace() && *byte != 0);
    let secret = secret.get(..=end?).unwrap_or_default();
    let text = std::str::from_utf8(secret).ok()?;
    if text.chars().any(|letter| letter.is_control() && !letter.is_ascii_whitespace()) {
        return None;
    }
    let joined = lines(text);
    if is_hex(&joined) {
        Some(HEX)
    } else if decode_base64(&joined).is_some() {
        Some(BASE64)
    } else {
        Some(TEXT)
    }
}

/// Returns the ASCII text of UTF-16, as some shells write files.
fn narrow(secret: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let secret = secret.strip_prefix(b"\xff\xfe").unwrap_or(secret);
    let secret = secret.strip_prefix(b"\xfe\xff").unwrap_or(secret);
    let half = |first: usize| secret.iter().skip(first).step_by(2);
    [0, 1].into_iter().find_map(|zeros| {
        let is_wide = half(zeros).all(|byte| *byte == 0) && half(1 - zeros).all(u8::is_ascii);
        is_wide.then(|| half(1 - zeros).copied().collect::<Vec<_>>().into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_however_it_ends_is_found() {
        let kinds = [
            ("6465666768696a6b6c6d6e6f70717273", HEX),
            ("ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXo=", BASE64),
            ("ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eX_-", BASE64),
            ("correct horse battery staple, yes", TEXT),
            ("ein längeres Passwort mit Umlauten", TEXT),
        ];
        for (secret, kind) in kinds {
            for end in ["", "\n", "\r\n", "\n\n", " ", "\t", "\0", "\n\0"] {
                let secret = format!("{secret}{end}");
                assert_eq!(text(secret.as_bytes()), Some(kind), "{secret:?}");
                let marked = format!("\u{feff}{secret}");
                assert_eq!(text(marked.as_bytes()), Some(kind), "{marked:?}");
                if secret.is_ascii() {
                    let wide: Vec<u8> = secret.bytes().flat_map(|byte| [byte, 0]).collect();
                    assert_eq!(text(&wide), Some(kind), "{secret:?} in UTF-16");
                    let wide: Vec<u8> = secret.bytes().flat_map(|byte| [0, byte]).collect();
                    assert_eq!(text(&wide), Some(kind), "{secret:?} in UTF-16");
                }
            }
        }
        let bytes: Vec<u8> = (100..132).collect();
        assert_eq!(text(&bytes), None);
        assert_eq!(text(&[1; 32]), None);
    }
}
