import {
  idleTtlMsOf,
  isSpent,
  type RevivedCookie,
  revivedCookie,
  type StoredCookie,
  storedCookie,
  withoutDrift,
} from '../../../src/adapters/express-cookie.js'
import {
  afterRead,
  afterWrite,
  livingRecord,
  newRecord,
  replyOf,
  userOfRedisSession,
} from '../../../src/adapters/redis-sessions/record.js'
import { newToken, sessionIdOf } from '../../../src/adapters/redis-sessions/token.js'
import { SessionStoreError } from '../../../src/errors.js'
import { bornMonthOf, checkedId } from '../../../src/session/id.js'
import { anyText, mutatedJson, SECRET } from '../mutate.js'
import { assertEqual, assertThat, targetOf } from '../target.js'

const NOW = Date.UTC(2026, 10, 21, 12)

const COOKIES = [
  {
    originalMaxAge: 60_000,
    expires: '2026-11-21T12:01:00.000Z',
    httpOnly: true,
    path: '/',
    sameSite: 'lax',
    secure: 'auto',
    domain: SECRET,
  },
  { originalMaxAge: null, expires: null, path: '/' },
  { maxAge: 5_000 },
  { originalMaxAge: false, priority: 'high', partitioned: true },
]

interface Read {
  readonly stored: StoredCookie
  readonly revived: RevivedCookie
}

/** The cookie of express-session: what a program or another one's row has of it. */
export const cookies = targetOf<unknown, Read>({
  name: 'express-cookies',
  make: (chance) => {
    const cookie = mutatedJson(chance, chance.pick(COOKIES))
    if (typeof cookie !== 'object' || cookie === null || !chance.oneIn(4)) return cookie
    return {
      ...cookie,
      expires: new Date(chance.pick([NOW, 0, 8.64e15, Number.NaN])),
      maxAge: chance.pick([1e300, -1e300, Number.NaN, Number.POSITIVE_INFINITY, 1]),
    }
  },
  bytesOf: (cookie) => Buffer.from(JSON.stringify(cookie) ?? ''),
  parse: (cookie) => {
    const stored = storedCookie(cookie, NOW)
    return { stored: withoutDrift(stored, cookie), revived: revivedCookie(stored, NOW + 60_000, NOW) }
  },
  check: ({ stored, revived }) => {
    assertEqual('a cookie that was stored and read', storedCookie(stored, NOW), stored)
    const { expires } = revived
    assertThat(
      'a cookie that ends at a moment, or with the browser',
      expires === null || expires === false || Number.isFinite(expires.getTime()),
    )
    const idleTtlMs = idleTtlMsOf(stored)
    assertThat('a session that lives for some time', idleTtlMs === undefined || idleTtlMs >= 1_000)
    assertThat('a cookie that is spent or is not', typeof isSpent(stored) === 'boolean')
    assertThat('a prototype that is nobody’s', Object.getPrototypeOf(stored) === Object.prototype)
  },
  cut: { stored: { originalMaxAge: null }, revived: { originalMaxAge: 1, expires: new Date(Number.NaN) } },
  faults: {
    'accepts a field that is cut short': (parse) => (cookie) => {
      const { stored, revived } = parse(cookie)
      return revived.expires instanceof Date
        ? { stored, revived: { ...revived, expires: new Date('2026-1') && new Date('2026-11-2x') } }
        : { stored, revived }
    },
    'shows what it could not read': (parse) => (cookie) => {
      const text = JSON.stringify(cookie) ?? ''
      if (text.includes(SECRET)) throw new SessionStoreError('E_SESSION_DATA', text)
      return parse(cookie)
    },
  },
})

const RECORDS = [
  newRecord({ app: 'shop', id: SECRET, ip: '192.0.2.7', ttl: 3_600, d: { cart: [1, 2] }, no_resave: false }, NOW),
  newRecord({ app: 'shop', id: 'u', ip: '192.0.2.7', ttl: 60, d: undefined, no_resave: true }, NOW),
]

export const records = targetOf<unknown, ReturnType<typeof livingRecord>>({
  name: 'redis-sessions-records',
  make: (chance) => mutatedJson(chance, chance.pick(RECORDS)),
  bytesOf: (data) => Buffer.from(JSON.stringify(data) ?? ''),
  parse: (data) => {
    userOfRedisSession(data)
    const record = livingRecord(data, 'shop', NOW + 1_000)
    if (record === undefined) throw new SessionStoreError('E_SESSION_FORMAT', 'It is no record')
    return record
  },
  check: (record) => {
    if (record === undefined) return
    const reply = replyOf(record, NOW + 1_000, { emptyData: 'absent' } as unknown as Parameters<typeof replyOf>[2])
    assertThat(
      'counts that are numbers',
      [reply.r, reply.w, reply.ttl, reply.idle].every((count) => typeof count === 'number'),
    )
    const read = afterRead(record, NOW + 1_000, true)
    assertThat('a record that is one read later', read.r === record.r + 1 || !Number.isSafeInteger(record.r))
    assertThat('a record without what was removed', afterWrite(record, NOW, null).d === undefined)
    assertThat('a record of this application', record.app === 'shop' && typeof record.id === 'string')
  },
  cut: { ...RECORDS[0], app: 'sho' } as ReturnType<typeof livingRecord>,
})

const runtime = { now: () => NOW, randomBytes: (size: number) => Buffer.alloc(size, 9) }

/** What a request brings in a cookie or a header, as a name of a session. */
export const redisTokens = targetOf<string, string>({
  name: 'redis-sessions-tokens',
  make: (chance) => anyText(chance, [newToken(runtime), `${SECRET}Z0`, 'x'.repeat(64)], ['Z', 'zzzzzzzz', '00000000']),
  bytesOf: (token) => Buffer.from(token),
  parse: (token) => sessionIdOf('shop', token),
  check: (id, token) => {
    assertEqual('the id of a token', sessionIdOf('shop', token), id)
    assertEqual('an id', checkedId(id), id)
    assertThat(
      'an id that is no token, and of this application alone',
      id !== token && id !== sessionIdOf('other', token),
    )
    assertThat(
      'an id of a known size',
      [43, 47].includes(id.length) && (id.length === 43 || bornMonthOf(id) !== undefined),
    )
  },
  cut: 'short',
  faults: {
    'accepts a field that is cut short': (parse) => (token) => parse(token).slice(0, 40),
    'shows what it could not read': (parse) => (token) => {
      if (token.includes(SECRET)) throw new SessionStoreError('E_INVALID_ID', token)
      return parse(token)
    },
  },
})
