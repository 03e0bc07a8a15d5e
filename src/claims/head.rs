//! The first members of a payload, where they stand as [`write`](super::write) writes them, are read
//! without a parser: each name is compared whole, at its place.
//!
//! Nothing is taken that the parser would read otherwise: a member has no white space, escape or
//! fraction, and another one or the object's end follows it. From the first that differs, all is
//! left to the parser.

use std::borrow::Cow;
use std::ops::Range;

use super::read::{Audience, LAST_SECOND, NumericDate, Registered};
use super::strict::Text;
use crate::clock::Timestamp;

/// Takes the members that stand as they are written, and hands back the object of the others;
/// `None` if it is not UTF-8.
pub(super) fn take<'de>(json: &'de mut [u8], registered: &mut Registered<'de>) -> Option<&'de str> {
    let mut head = Head { json, end: 0 };
    let iss = head.text(br#"{"iss":""#);
    let sub = head.text(br#","sub":""#);
    let aud = head.text(br#","aud":""#);
    let iat = head.date(br#","iat":"#);
    let exp = head.date(br#","exp":"#);
    let jti = head.text(br#","jti":""#);
    let sid = head.text(br#","sid":""#);
    let auth_time = head.date(br#","auth_time":"#);
    let scope = head.text(br#","scope":""#);
    let rv = head.number(br#","rv":"#, u64::MAX);
    let seq = head.number(br#","seq":"#, u32::MAX.into());
    let end = head.end;
    // No control character stands in a text (RFC 8259, section 7). Looked for in all at once.
    if end == 0 || json[..end].iter().fold(false, |found, byte| found | (*byte < b' ')) {
        return str::from_utf8(json).ok();
    }
    let is_all = json[end..] == *b"}";
    // What is left is an object again: the comma before it becomes its brace.
    json[end] = if is_all { b'}' } else { b'{' };
    let json = str::from_utf8(json).ok()?;
    let text = |range: Option<Range<usize>>| Some(Text(Cow::Borrowed(json.get(range?)?)));
    *registered = Registered {
        iss: text(iss),
        sub: text(sub),
        aud: text(aud).map(|Text(one)| Audience::One(one)),
        iat,
        exp,
        jti: text(jti),
        sid: text(sid),
        auth_time,
        scope: text(scope),
        rv,
        seq: seq.map(|seq| seq as u32),
        nbf: None,
    };
    if is_all { Some("{}") } else { json.get(end..) }
}

/// An object of which the members up to `end` are taken.
struct Head<'j> {
    json: &'j [u8],
    end: usize,
}

impl Head<'_> {
    /// Where the next member's text stands, if the member begins so.
    fn text<const N: usize>(&mut self, start: &[u8; N]) -> Option<Range<usize>> {
        let value = self.value(start)?;
        let length = memchr::memchr2(b'"', b'\\', value)?;
        let start = self.end + N;
        let end = start + length;
        (value[length] == b'"' && self.take(end + 1)).then_some(start..end)
    }

    fn date<const N: usize>(&mut self, start: &[u8; N]) -> Option<NumericDate> {
        let seconds = self.number(start, LAST_SECOND)?;
        Some(NumericDate(Timestamp::from_unix_seconds(seconds as i64)))
    }

    /// The number of the next member, if the member begins so and the number is at most `limit`.
    fn number<const N: usize>(&mut self, start: &[u8; N], limit: u64) -> Option<u64> {
        let value = self.value(start)?;
        let (mut number, mut length) = (0, 0);
        // So many digits overflow nothing.
        while length < 18 && value.get(length).is_some_and(u8::is_ascii_digit) {
            number = 10 * number + u64::from(value[length] - b'0');
            length += 1;
        }
        // No number begins with a zero but zero itself.
        let is_written = length == 1 || length > 1 && value[0] != b'0';
        (is_written && number <= limit && self.take(self.end + N + length)).then_some(number)
    }

    /// What follows the start of the next member.
    fn value<const N: usize>(&self, start: &[u8; N]) -> Option<&[u8]> {
        self.json.get(self.end..)?.strip_prefix(start)
    }

    /// Takes what stands before `end`, if another member or the object's end follows.
    fn take(&mut self, end: usize) -> bool {
        let follows = self.json.get(end..).unwrap_or_default();
        let is_whole = follows.starts_with(br#",""#) || follows == b"}";
        if is_whole {
            self.end = end;
        }
        is_whole
    }
}
