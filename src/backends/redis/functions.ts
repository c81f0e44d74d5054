/**
 * What Redis does in one atomic step: functions in Lua. Each gets the names of all keys that it touches, which are in one
 * slot, so that a cluster can send it to the right node also while slots move. It goes by its SHA-1; a server that does not
 * know it is sent the text.
 *
 * Numbers are compared as doubles, which are exact for moments and versions below 2^53; what is kept is the text that came.
 */
import { createHash } from 'node:crypto'

export interface RedisFunction {
  readonly text: string
  readonly sha1: string
}

const defined = (...parts: readonly string[]): RedisFunction => {
  const text = parts.map((part) => part.trim()).join('\n')
  return { text, sha1: createHash('sha1').update(text).digest('hex') }
}

/**
 * KEYS of what changes a session: the session, then `listed`, `ends`, `seen`, `users` and `tombs` of its group.
 *
 * The indexes are written before the session. If the server has refused a command of a function, nothing counts that was
 * done before.
 */
const SESSIONS = `
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The same member as the index of users has it: the user first.
local function byUser(member)
  local hash, user, app = string.match(member, '^([^:]*):([^:]*):(.*)$')
  if user == nil or user == '' then return nil end
  return user .. ':' .. hash .. ':' .. app
end

local function forget(member)
  redis.call('ZREM', KEYS[2], member)
  redis.call('ZREM', KEYS[3], member)
  redis.call('ZREM', KEYS[4], member)
  local user = byUser(member)
  if user then redis.call('ZREM', KEYS[5], user) end
end

-- When Redis itself removes what ends then. The clocks of two machines differ, so it is never at once.
local function removeAt(ends, slack)
  redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', math.ceil(math.max(ends, now()) + slack)))
end

-- From when on no copy of it can be in use.
local function endOf(expires, absolute, grace)
  return math.max(expires, math.min(expires + grace, absolute))
end

-- What stands there, for an answer. A key without the field f is somebody else's.
local function standing()
  local row = redis.call('HMGET', KEYS[1], 'f', 'l', 'v', 'w', 'x', 'i', 's', 'a', 'm', 'k')
  local kind = row[1]
  if not kind then
    if redis.call('EXISTS', KEYS[1]) == 1 then return row, 'unreadable' end
    return row, 'absent'
  end
  if kind == 's1' then return row, 'live' end
  if kind == 't1' then return row, 'destroyed' end
  return row, 'unreadable'
end

local function told(row, state)
  if state == 'live' then return { state, row[2], row[3], row[4] } end
  return { state }
end
`

/** ARGV of a session, from a place on: lineage, version, write ids, expires, idle, seen, absolute, header, data, member. */
const KEEPING = `
local function keep(at, old, expires, seen, grace, slack)
  local member = ARGV[at + 9]
  if old and old ~= member then forget(old) end
  redis.call('ZADD', KEYS[2], 0, member)
  redis.call('ZADD', KEYS[3], expires, member)
  redis.call('ZADD', KEYS[4], seen, member)
  local user = byUser(member)
  if user then redis.call('ZADD', KEYS[5], 0, user) end
  redis.call('HSET', KEYS[1], 'f', 's1', 'l', ARGV[at], 'v', ARGV[at + 1], 'w', ARGV[at + 2], 'x', expires,
    'i', ARGV[at + 4], 's', seen, 'a', ARGV[at + 6], 'h', ARGV[at + 7], 'd', ARGV[at + 8], 'm', member)
  removeAt(endOf(tonumber(expires), tonumber(ARGV[at + 6]), grace), slack)
end
`

/** ARGV: grace, slack, notAfter or empty, the lineage, version and end of the copy to replace or empty, the session. */
export const INSERT: RedisFunction = defined(
  SESSIONS,
  KEEPING,
  `
local row, state = standing()
local late = ARGV[3] ~= '' and now() > tonumber(ARGV[3])
if state ~= 'absent' then
  local ended = state == 'live' and ARGV[4] ~= '' and row[2] == ARGV[4] and tonumber(row[3]) == tonumber(ARGV[5])
    and tonumber(row[5]) <= tonumber(ARGV[6])
  if late or not ended then return told(row, state) end
elseif late then
  return { 'too-late' }
end
keep(7, row[9], ARGV[10], ARGV[12], tonumber(ARGV[1]), tonumber(ARGV[2]))
return { 'inserted' }
`,
)

/** ARGV: grace, slack, lineage, belowVersion, parentLineage, parentVersion, the session. */
export const UPDATE: RedisFunction = defined(
  SESSIONS,
  KEEPING,
  `
local row, state = standing()
if state ~= 'live' then return told(row, state) end
local version = tonumber(row[3])
local admitted = (row[2] == ARGV[3] and version < tonumber(ARGV[4]))
  or (row[2] == ARGV[5] and version == tonumber(ARGV[6]))
if not admitted then return told(row, state) end
local expires, seen = ARGV[10], ARGV[12]
if tonumber(row[7]) > tonumber(seen) then seen = row[7] end
if tonumber(row[6]) == tonumber(ARGV[11]) and tonumber(row[5]) > tonumber(expires) then expires = row[5] end
keep(7, row[9], expires, seen, tonumber(ARGV[1]), tonumber(ARGV[2]))
return { 'applied' }
`,
)

/** ARGV: grace, slack, seen, expires. */
export const EXTEND: RedisFunction = defined(
  SESSIONS,
  `
local row, state = standing()
if state ~= 'live' then return told(row, state) end
local seen, expires = row[7], row[5]
if tonumber(ARGV[3]) > tonumber(seen) then seen = ARGV[3] end
if tonumber(ARGV[4]) > tonumber(expires) then expires = ARGV[4] end
redis.call('ZADD', KEYS[3], expires, row[9])
redis.call('ZADD', KEYS[4], seen, row[9])
redis.call('HSET', KEYS[1], 's', seen, 'x', expires)
removeAt(endOf(tonumber(expires), tonumber(row[8]), tonumber(ARGV[1])), tonumber(ARGV[2]))
return { 'extended' }
`,
)

/** ARGV: slack, hash, writeId, at, keepUntil, keepUntilIfAbsent, lineage and version of the only copy or empty. */
export const DESTROY: RedisFunction = defined(
  SESSIONS,
  `
local row, state = standing()
if state == 'unreadable' then return { state } end
local slack = tonumber(ARGV[1])
if state == 'destroyed' then
  if tonumber(ARGV[6]) > tonumber(row[10]) then
    redis.call('ZADD', KEYS[6], ARGV[6], ARGV[2])
    redis.call('HSET', KEYS[1], 'k', ARGV[6])
    removeAt(tonumber(ARGV[6]), slack)
  end
  return { row[4] == ARGV[3] and 'destroyed' or 'already-destroyed' }
end
if ARGV[7] ~= '' and not (state == 'live' and row[2] == ARGV[7] and tonumber(row[3]) == tonumber(ARGV[8])) then
  return { 'refused' }
end
local keepUntil = ARGV[5]
if state == 'absent' then
  keepUntil = ARGV[6]
  if tonumber(keepUntil) <= tonumber(ARGV[4]) then return { 'absent' } end
else
  forget(row[9])
end
redis.call('ZADD', KEYS[6], keepUntil, ARGV[2])
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'f', 't1', 'w', ARGV[3], 'k', keepUntil)
removeAt(tonumber(keepUntil), slack)
return { 'destroyed' }
`,
)

/**
 * ARGV: member, lineage, version, expires. Removes the session if it is that one still, and its place in the indexes also
 * where Redis has removed it already. Answers how many it removed.
 */
export const REMOVE_SESSION: RedisFunction = defined(
  SESSIONS,
  `
local row, state = standing()
local score = redis.call('ZSCORE', KEYS[3], ARGV[1])
if state ~= 'live' or row[9] ~= ARGV[1] then
  if score and tonumber(score) == tonumber(ARGV[4]) then forget(ARGV[1]) end
  return 0
end
if row[2] ~= ARGV[2] or tonumber(row[3]) ~= tonumber(ARGV[3]) or tonumber(row[5]) ~= tonumber(ARGV[4]) then return 0 end
forget(ARGV[1])
redis.call('DEL', KEYS[1])
return 1
`,
)

/** ARGV: hash, keepUntil. The same for a tombstone. */
export const REMOVE_TOMBSTONE: RedisFunction = defined(
  SESSIONS,
  `
local row, state = standing()
if state ~= 'destroyed' then
  redis.call('ZREM', KEYS[6], ARGV[1])
  return 0
end
if tonumber(row[10]) > tonumber(ARGV[2]) then return 0 end
redis.call('ZREM', KEYS[6], ARGV[1])
redis.call('DEL', KEYS[1])
return 1
`,
)

/**
 * KEYS: `ends` and `tombs` of a group. ARGV: until which end, until which `keepUntil`, how many. Answers the oldest of
 * both, each with its moment.
 */
export const ENDED: RedisFunction = defined(`
return {
  redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[3]),
  redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[2], 'WITHSCORES', 'LIMIT', 0, ARGV[3])
}
`)

/**
 * KEYS: `listed` or `users`, `ends` and `seen` of a group. ARGV: the first and the last member, how many are wanted, how
 * many are looked at, now, 1 and the application or 0 and nothing, the least `seenAt` or empty. Answers 1 where more may
 * follow, up to which hash it looked, and the hashes of those who are meant.
 */
export const PAGE: RedisFunction = defined(`
local wanted, most, now = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local rows = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], ARGV[2], 'LIMIT', 0, most)
local last, found = '', {}
for place, row in ipairs(rows) do
  local first, second, app = string.match(row, '^([^:]*):([^:]*):(.*)$')
  local hash, member = first, row
  if string.sub(KEYS[1], -6) == '#users' then
    hash, member = second, second .. ':' .. first .. ':' .. app
  end
  local ends = redis.call('ZSCORE', KEYS[2], member)
  local meant = ends and tonumber(ends) > now and (ARGV[6] == '0' or app == ARGV[7])
  if meant and ARGV[8] ~= '' then
    local seen = redis.call('ZSCORE', KEYS[3], member)
    meant = seen and tonumber(seen) >= tonumber(ARGV[8])
  end
  last = hash
  if meant then found[#found + 1] = hash end
  if #found == wanted then return { place < #rows and 1 or (#rows == most and 1 or 0), last, found } end
end
return { #rows == most and 1 or 0, last, found }
`)

/**
 * KEYS: `ends` and `seen` of a group. ARGV: now, 1 and the application or 0 and nothing, the least `seenAt` or empty, 1
 * where users are wanted. Answers how many sessions are meant, and which users they have.
 */
export const COUNT: RedisFunction = defined(`
local now, users, known, count = tonumber(ARGV[1]), {}, {}, 0
local rows
if ARGV[4] == '' then rows = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf')
else rows = redis.call('ZRANGEBYSCORE', KEYS[2], ARGV[4], '+inf') end
for _, row in ipairs(rows) do
  local user, app = string.match(row, '^[^:]*:([^:]*):(.*)$')
  local meant = ARGV[2] == '0' or app == ARGV[3]
  if meant and ARGV[4] ~= '' then
    local ends = redis.call('ZSCORE', KEYS[1], row)
    meant = ends and tonumber(ends) > now
  end
  if meant then
    count = count + 1
    if ARGV[5] == '1' and user ~= '' and not known[user] then
      known[user] = true
      users[#users + 1] = user
    end
  end
end
return { count, users }
`)

/** KEYS: the record of a user. ARGV: the revision that was seen or empty, epoch, seats. Answers 1 where it was written. */
export const WRITE_USER: RedisFunction = defined(`
local revision = redis.call('HGET', KEYS[1], 'revision') or ''
if revision ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'epoch', ARGV[2], 'seats', ARGV[3],
  'revision', string.format('%.0f', (tonumber(revision) or 0) + 1))
return 1
`)

/** KEYS: who purges. ARGV: the name of a purge. Ends its turn, if it is still its own. */
export const END_TURN: RedisFunction = defined(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`)

/** KEYS: any key, by which a cluster finds one of its nodes. Answers what the node says of itself. */
export const FACTS: RedisFunction = defined(`return redis.call('INFO')`)
