//! The latest redeemed refresh token of each session, in Redis: a string that expires.

use crate::clock::Timestamp;
use crate::store::contract::{EntryName, StoreError};
use crate::store::redemption::{Redeemed, Redemption};
use crate::store::redis::connection::Servers;

/// Redeems in one atomic script.
pub(crate) async fn redeem(
    servers: &Servers,
    ring: &str,
    redemption: &Redemption,
) -> Result<Redeemed, StoreError> {
    let Redemption { family, sequence, at, keep_for } = redemption;
    let mut script = redis::cmd("EVAL");
    script.arg(REDEEM).arg(1).arg(family_key(ring, family)).arg(sequence);
    // The server has its own clock: it gets a duration, not a time.
    let keep_for = u64::try_from(keep_for.as_millis()).unwrap_or(u64::MAX).clamp(1, LONGEST);
    script.arg(at.as_unix_millis()).arg(keep_for);
    let (sequence, at): (u32, i64) =
        servers.run("redeem a refresh token of", ring, &script).await?;
    Ok(Redeemed { sequence, at: Timestamp::from_unix_millis(at) })
}

fn family_key(ring: &str, family: &EntryName) -> String {
    format!("{{tower-jwt-session:{ring}}}:family:{family}")
}

/// Returns the sequence that was redeemed last, and when. Both are numbers that Lua's hold exactly.
/// The longest time to live wins, and one without end stays so.
const REDEEM: &str = "\
local last = redis.call('GET', KEYS[1])
local sequence, at = string.match(last or '', '^(%d+) (-?%d+)')
if last and not sequence then
    return redis.error_reply('ERR what is there is no redemption: remove it')
end
local is_newer = not last or tonumber(sequence) < tonumber(ARGV[1])
if is_newer then
    sequence, at = ARGV[1], ARGV[2]
end
local life, keep = redis.call('PTTL', KEYS[1]), tonumber(ARGV[3])
local value = sequence .. ' ' .. at
if life == -1 then
    if is_newer then redis.call('SET', KEYS[1], value) end
elseif life < keep then
    redis.call('SET', KEYS[1], value, 'PX', ARGV[3])
elseif is_newer then
    redis.call('SET', KEYS[1], value, 'PX', string.format('%.0f', life))
end
return {tonumber(sequence), tonumber(at)}";

/// A thousand years, in milliseconds: far from where a time to live overflows.
const LONGEST: u64 = 1000 * 365 * 24 * 60 * 60 * 1000;
