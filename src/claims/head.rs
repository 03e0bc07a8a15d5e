//! The first members of a payload, where they stand as [`write`](super::write) writes them, are read
//! without a parser: each name is compared whole, at its place.
//!
//! Nothing is taken that the parser would read otherwise: the members from issuer to login's time are
//! all there, in the order written, without white space, escapes or fractions, with IDs and times as
//! long as those that are written here; and another member or the object's end follows. A payload
//! that is otherwise is left to the parser as a whole, be it only for the escapes in an issuer's name.

use std::borrow::Cow;
use std::ops::Range;

use super::read::{Dialect, Registered};
use super::strict::Text;
use super::values::{Audience, NumericDate};
use crate::claims::names::ID_LENGTH;
use crate::claims::parties::Parties;
use crate::clock::Timestamp;

/// Takes the members that stand as they are written, and hands back the object of the others;
/// `None` if it is not UTF-8.
pub(crate) fn take<'de>(
    json: &'de mut [u8],
    parties: &'de Parties,
    dialect: Dialect,
    registered: &mut Registered<'de>,
) -> Option<&'de str> {
    let Some(head) = Head::of(json, parties, dialect) else { return str::from_utf8(json).ok() };
    let is_all = json[head.end..] == *b"}";
    // What is left is an object again: the comma before it becomes its brace.
    json[head.end] = if is_all { b'}' } else { b'{' };
    let json = str::from_utf8(json).ok()?;
    let text = |range: Range<usize>| json.get(range).map(|text| Text(Cow::Borrowed(text)));
    let date = |seconds| Some(NumericDate(Timestamp::from_unix_seconds(seconds)));
    *registered = Registered {
        head: json.get(head.sub.start..head.end)?,
        iss: Some(Text(Cow::Borrowed(&*parties.issuer))),
        sub: text(head.sub),
        aud: Some(Audience::One(Cow::Borrowed(&*parties.audience))),
        iat: date(head.iat),
        exp: date(head.exp),
        jti: text(head.jti),
        sid: text(head.sid),
        auth_time: date(head.auth_time),
        scope: head.scope.and_then(text),
        rv: head.rv,
        nbf: None,
        seq: None,
    };
    if is_all { Some("{}") } else { json.get(head.end..) }
}

/// The first members: their numbers, and where their texts stand.
struct Head {
    sub: Range<usize>,
    iat: i64,
    exp: i64,
    jti: Range<usize>,
    sid: Range<usize>,
    auth_time: i64,
    scope: Option<Range<usize>>,
    rv: Option<u64>,
    end: usize,
}

impl Head {
    fn of(json: &[u8], parties: &Parties, dialect: Dialect) -> Option<Self> {
        let mut at = Cursor { json, at: 0 };
        at.skip(&parties.before_subject)?;
        let sub = at.text()?;
        at.skip(&parties.after_subject)?;
        let iat = at.seconds()?;
        at.skip(br#","exp":"#)?;
        let exp = at.seconds()?;
        at.skip(br#","jti":""#)?;
        let jti = at.id()?;
        at.skip(br#"","sid":""#)?;
        let sid = at.id()?;
        at.skip(br#"","auth_time":"#)?;
        let auth_time = at.seconds()?;
        let scope = match at.skip(br#","scope":""#) {
            Some(()) => Some((at.text()?, at.skip(br#"""#)?).0),
            None => None,
        };
        let rv = match at.skip(br#","rv":"#) {
            // Another issuer's is the application's to read.
            Some(()) if !dialect.reads_rv() => return None,
            Some(()) => Some(at.number()?),
            None => None,
        };
        let (end, rest) = (at.at, at.rest());
        let follows = rest.starts_with(br#",""#) || rest == b"}";
        // No control character stands in a text (RFC 8259, section 7), and a backslash begins an
        // escape. Looked for in all at once.
        let is_special = |byte: &u8| (*byte < b' ') | (*byte == b'\\');
        let has_special = json[..end].iter().fold(false, |found, byte| found | is_special(byte));
        (follows && !has_special).then_some(Self {
            sub,
            iat,
            exp,
            jti,
            sid,
            auth_time,
            scope,
            rv,
            end,
        })
    }
}

/// A payload, and the place in it that is read next.
struct Cursor<'j> {
    json: &'j [u8],
    at: usize,
}

impl Cursor<'_> {
    #[inline(always)]
    fn rest(&self) -> &[u8] {
        self.json.get(self.at..).unwrap_or_default()
    }

    #[inline(always)]
    fn skip(&mut self, text: &[u8]) -> Option<()> {
        self.rest().starts_with(text).then(|| self.at += text.len())
    }

    /// Reads so many bytes: where they stand.
    #[inline(always)]
    fn take(&mut self, length: usize) -> Range<usize> {
        let start = self.at;
        self.at += length;
        start..self.at
    }

    /// Reads a text, as far as a quotation mark.
    fn text(&mut self) -> Option<Range<usize>> {
        let length = memchr::memchr(b'"', self.rest())?;
        Some(self.take(length))
    }

    /// Reads an ID as long as those that are written here.
    #[inline(always)]
    fn id(&mut self) -> Option<Range<usize>> {
        let id: &[u8; ID_LENGTH] = self.rest().first_chunk()?;
        let has_end = id.iter().fold(false, |found, byte| found | (*byte == b'"'));
        (!has_end).then(|| self.take(ID_LENGTH))
    }

    /// Reads a time that has as many digits as those of our days.
    #[inline(always)]
    fn seconds(&mut self) -> Option<i64> {
        let digits: &[u8; 10] = self.rest().first_chunk()?;
        let (mut seconds, mut is_number) = (0, digits[0] != b'0');
        for digit in digits.map(|digit| digit.wrapping_sub(b'0')) {
            is_number &= digit < 10;
            seconds = 10 * seconds + i64::from(digit);
        }
        self.take(digits.len());
        is_number.then_some(seconds)
    }

    /// Reads a number.
    fn number(&mut self) -> Option<u64> {
        let length = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        let digits = &self.json[self.take(length)];
        // No number begins with a zero but zero itself; so many digits overflow nothing.
        let is_number = matches!(digits, [b'0'] | [b'1'..=b'9', ..]) && length <= 18;
        let value = |number, digit: &u8| 10 * number + u64::from(digit - b'0');
        is_number.then(|| digits.iter().fold(0, value))
    }
}
