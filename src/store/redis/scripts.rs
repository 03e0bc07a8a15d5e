//! The Lua scripts that write a shard of a feed, each in one atomic step.
//!
//! Lua's numbers hold integers exactly below 2^53, and so are all numbers here.

/// What every script that writes the log begins with. Its keys are the shard's state, the log of the
/// number in `ARGV[1]`, and the one that limits hints.
///
/// A log that another number has been given to returns that number: keys of a script have to be named
/// by its caller. A new log is begun every span, also if the clock was set back. Numbers start at the
/// time in seconds, so that after a loss of the state no key is used again. A log to which nothing can
/// be added is left for a new one.
///
/// The ID of an entry is the number of bytes in all logs up to its end, and the time.
macro_rules! opening {
    () => {
        "\
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local state, log, hinted = KEYS[1], KEYS[2], KEYS[3]
local number, span = tonumber(ARGV[1]), tonumber(ARGV[2])
local held = redis.call('HMGET', state, 'incarnation', 'last', 'started')
local last, started = tonumber(held[2]), tonumber(held[3])
if not (held[1] and last and started) then
    last, started = tonumber(time[1]), 0
    redis.call('HSET', state, 'incarnation', ARGV[3], 'first', last + 1, 'last', last,
        'started', 0, 'end', 0)
end
local is_new = math.abs(now - started) >= span
if number ~= (is_new and last + 1 or last) then
    return {is_new and last + 1 or last}
end
if not is_new and redis.call('EXISTS', log) == 0 then
    redis.call('HSET', state, 'incarnation', ARGV[3])
end

local function add(entries, first, kept)
    local ended = tonumber(redis.call('HGET', state, 'end'))
    local found = not is_new and redis.call('HGET', state, number)
    local expires, start = string.match(found or '', '^(%d+) (%d+)$')
    local wanted = math.ceil(math.max(kept, now + span) / 60000) * 60000
    for index = first, #entries do
        local entry = entries[index]
        ended = ended + #entry
        local place = string.format('%.0f-%.0f', ended, now)
        local added = redis.pcall('XADD', log, place, 'r', entry)
        if added.err then
            redis.call('HSET', state, 'last', number, 'started', 0)
            error(added.err)
        end
        start = start or string.format('%.0f', ended - #entry)
    end
    redis.call('HSET', state, 'end', string.format('%.0f', ended))
    if is_new then
        redis.call('HSET', state, 'last', number, 'started', now)
        local oldest = tonumber(redis.call('HGET', state, 'first'))
        while oldest < number do
            local expired = string.match(redis.call('HGET', state, oldest) or '0', '^%d+')
            if tonumber(expired) > now then break end
            redis.call('HDEL', state, oldest)
            oldest = oldest + 1
        end
        redis.call('HSET', state, 'first', oldest)
    end
    if wanted > tonumber(expires or 0) then
        wanted = string.format('%.0f', wanted)
        redis.call('HSET', state, number, wanted .. ' ' .. start)
        redis.call('PEXPIREAT', log, wanted)
    end
    if ARGV[4] ~= '' and redis.call('SET', hinted, '', 'NX', 'PX', 450) then
        redis.pcall('PUBLISH', ARGV[4], ARGV[5])
    end
end
"
    };
}

/// What the scripts of registers begin with. A register is 4 numbers: version, cutoff, until when it is
/// kept, and which log has its last record.
macro_rules! registers {
    () => {
        "\
local latest = now + 86400000
local function plausible(version, at)
    return version >= 1 and version <= math.min(latest, 9007199254740991) and at <= latest
end
local function stored(key)
    local value = redis.pcall('GET', key)
    if type(value) ~= 'string' or #value ~= 32 then return end
    local version, at, kept, place = struct.unpack('>I8i8i8I8', value)
    if plausible(version, at) then return version, at, kept, string.format('%.0f', place) end
end
local function set(key, version, at, kept)
    local value = struct.pack('>I8i8i8', version, at, kept)
    local expires = string.format('%.0f', math.max(kept, now + span))
    redis.call('SET', key, value .. struct.pack('>I8', number), 'PXAT', expires)
    return value
end
"
    };
}

/// Appends the entries from `ARGV[7]` on, which are kept until `ARGV[6]`.
pub(crate) const APPEND: &str = concat!(
    opening!(),
    "\
add(ARGV, 7, tonumber(ARGV[6]))
return {0}"
);

/// Advances the register in `KEYS[4]`. Its arguments are the beginning of the record, the version to be
/// above, the cutoff and until when it is kept. Returns the new value; if that is out of bounds, -1, the
/// time, and the value.
pub(crate) const ADVANCE: &str = concat!(
    opening!(),
    registers!(),
    "\
local version, at, kept = stored(KEYS[4])
version = math.max(math.max(version or 0, tonumber(ARGV[7])) + 1, now)
at = math.max(at or tonumber(ARGV[8]), tonumber(ARGV[8]))
kept = math.max(kept or tonumber(ARGV[9]), tonumber(ARGV[9]))
if not plausible(version, at) then
    return {-1, now, version, at, kept}
end
add({ARGV[6] .. set(KEYS[4], version, at, kept)}, 1, kept)
return {0, version, at, kept}"
);

/// Restores the registers from `KEYS[4]` on. Each has 4 arguments: the beginning of its record, version,
/// cutoff and until when it is kept. One that needs no restoration is recorded again if the log with its
/// last record was lost.
pub(crate) const RESTORE: &str = concat!(
    opening!(),
    registers!(),
    "\
local entry, longest = '', 0
for index = 4, #KEYS do
    local first = 6 + (index - 4) * 4
    local version, at = tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2])
    local kept, is_lost = tonumber(ARGV[first + 3]), true
    local found, found_at, found_kept, place = stored(KEYS[index])
    if found then
        if found >= version and found_at >= at then
            version, at = found, found_at
            is_lost = kept > found_kept or redis.call('HEXISTS', state, place) == 0
        else
            version = math.min(math.max(found, version) + 1, 9007199254740991)
            at = math.max(found_at, at)
        end
        kept = math.max(found_kept, kept)
    end
    if is_lost then
        local id = ARGV[first]
        if entry ~= '' then id = string.sub(id, 2) end
        entry = entry .. id .. set(KEYS[index], version, at, kept)
        longest = math.max(longest, kept)
    end
end
if entry ~= '' then add({entry}, 1, longest) end
return {0}"
);

/// Makes the state of a shard if it has none, and looks whether its logs are there. Their numbers start
/// at `ARGV[2]`, their keys at `KEYS[2]`. If one is missing that has not expired, the shard gets another
/// incarnation, so that every reader reads it as a whole.
pub(crate) const CHECK: &str = "\
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local state, last = KEYS[1], tonumber(time[1])
if redis.call('HEXISTS', state, 'incarnation') == 0 then
    redis.call('HSET', state, 'incarnation', ARGV[1], 'first', last + 1, 'last', last,
        'started', 0, 'end', 0)
end
local oldest, is_lost = tonumber(redis.call('HGET', state, 'first')), false
for index = 2, #KEYS do
    local number = tonumber(ARGV[2]) + index - 2
    local found = redis.call('HGET', state, number)
    local expires, start = string.match(found or '', '^(%d+) (%d+)$')
    if expires and tonumber(expires) > now and redis.call('EXISTS', KEYS[index]) == 0 then
        is_lost, expires = true, '0'
        redis.call('HSET', state, number, '0 ' .. start)
    end
    if number == oldest and tonumber(expires or 0) <= now then
        redis.call('HDEL', state, number)
        oldest = oldest + 1
    end
end
redis.call('HSET', state, 'first', oldest, 'checked', now)
if is_lost then redis.call('HSET', state, 'incarnation', ARGV[1]) end
if is_lost or oldest > tonumber(redis.call('HGET', state, 'last')) then
    redis.call('HSET', state, 'started', 0)
end
return 0";

/// Publishes the message in `ARGV[2]` in the channel in `ARGV[1]`, at most twice a second.
pub(crate) const HINT: &str = "\
if redis.call('SET', KEYS[1], '', 'NX', 'PX', 450) then
    redis.pcall('PUBLISH', ARGV[1], ARGV[2])
end
return 0";
