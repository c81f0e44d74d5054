import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { type CouchdbOptions, couchdb } from '../../../src/backends/couchdb/index.js'
import { resolveCouchdbOptions } from '../../../src/backends/couchdb/options.js'

const SECRET = 'b4d-s3cret'
const DAY_MS = 86_400_000
const url = 'http://127.0.0.1:5984'
const absoluteTtlMs = 30 * DAY_MS

const complaintOf = (options: unknown): string => {
  try {
    couchdb(options as CouchdbOptions)
  } catch (error) {
    expect(error).toMatchObject({ code: 'E_CONFIG' })
    expect(inspect(error, { depth: 9 })).not.toContain(SECRET)
    return (error as Error).message
  }
  return ''
}

test('the defaults are those of the documentation', () => {
  const { servers, names, runtime, log, ...rest } = resolveCouchdbOptions({ url, absoluteTtlMs })
  expect(rest).toEqual({
    auth: 'basic',
    createDatabases: true,
    members: [],
    replicas: 1,
    absoluteTtlMs,
    maxClockSkewMs: 60_000,
    purgeGraceMs: DAY_MS,
    rememberedMonths: 10_000,
    maxDocumentBytes: 8_000_000,
    maxConnections: 10,
    connectTimeoutMs: 1_000,
    requestTimeoutMs: 2_000,
    tls: undefined,
  })
  expect(names.of('2026-11')).toBe('nonstick-2026-11')
  expect(servers).toEqual([{ url, tier: 'couchdb 127.0.0.1:5984', credentials: undefined }])
})

test('servers are named by host and port, whatever their URL holds besides', () => {
  const { servers, members } = resolveCouchdbOptions({
    url: ['https://ann:secret@one.example/couch/', 'http://[::1]:5984', 'http://ann:other@two.example'],
    absoluteTtlMs,
  })
  expect(servers).toEqual([
    {
      url: 'https://one.example/couch',
      tier: 'couchdb one.example:443',
      credentials: { username: 'ann', password: 'secret' },
    },
    { url: 'http://[::1]:5984', tier: 'couchdb [::1]:5984', credentials: undefined },
    { url: 'http://two.example', tier: 'couchdb two.example:80', credentials: { username: 'ann', password: 'other' } },
  ])
  expect(members).toEqual(['ann'])
})

test.each([
  ['no object', `http://u:${SECRET}@localhost`, '`couchdb(options)` to be an object such as `{ url, absoluteTtlMs }`'],
  ['no URL', { absoluteTtlMs }, '`url`'],
  ['no absolute lifetime', { url }, '`absoluteTtlMs`'],
  ['an option that does not exist', { url, absoluteTtlMs, uri: url }, '`uri`'],
  ['a misspelt option with a secret', { url, absoluteTtlMs, pasword: SECRET }, '`pasword`'],
  ['a URL of something else', { url: `couchdb://u:${SECRET}@localhost`, absoluteTtlMs }, '`url`'],
  ['a URL that is none', { url: `u:${SECRET}@localhost`, absoluteTtlMs }, '`url`'],
  ['a password with a slash', { url: `http://ann:12/${SECRET}@localhost`, absoluteTtlMs }, '`url`'],
  ['one with a backslash', { url: `http://ann:12\\${SECRET}@localhost`, absoluteTtlMs }, '`url`'],
  ['a user with a slash', { url: `http://a/nn:${SECRET}@localhost`, absoluteTtlMs }, '`url`'],
  ['a password with a hash', { url: `http://ann:12#${SECRET}@localhost`, absoluteTtlMs }, '`url`'],
  ['a password with a question mark', { url: `http://ann:12?${SECRET}@localhost`, absoluteTtlMs }, '`url`'],
  ['a URL with a query', { url: `${url}/?x=${SECRET}`, absoluteTtlMs }, '`url`'],
  ['a URL with a user and no password', { url: 'http://ann@localhost', absoluteTtlMs }, '`url`'],
  ['a URL with a password that cannot be read', { url: 'http://ann:%zz@localhost', absoluteTtlMs }, '`url`'],
  ['no URL in a list', { url: [], absoluteTtlMs }, '`url`'],
  ['a user without a password', { url, absoluteTtlMs, username: 'ann' }, '`password`'],
  ['a password without a user', { url, absoluteTtlMs, password: SECRET }, '`username`'],
  ['a user with a colon', { url, absoluteTtlMs, username: 'a:b', password: SECRET }, '`username`'],
  ['two users', { url: `http://a:${SECRET}@h`, absoluteTtlMs, username: 'b', password: SECRET }, '`username`'],
  ['a cookie for nobody', { url, absoluteTtlMs, auth: 'cookie' }, '`auth`'],
  ['an unknown way to authenticate', { url, absoluteTtlMs, auth: 'jwt' }, '`auth`'],
  ['no copies at all', { url, absoluteTtlMs, replicas: 0 }, '`replicas`'],
  ['half a copy', { url, absoluteTtlMs, replicas: 1.5 }, '`replicas`'],
  ['a life of no length', { url, absoluteTtlMs: 0 }, '`absoluteTtlMs`'],
  ['a life without end', { url, absoluteTtlMs: Number.POSITIVE_INFINITY }, '`absoluteTtlMs`'],
  ['clocks that tell nothing', { url, absoluteTtlMs, maxClockSkewMs: DAY_MS }, '`maxClockSkewMs`'],
  ['no connections at all', { url, absoluteTtlMs, maxConnections: 0 }, '`maxConnections`'],
  ['a time-out of 0', { url, absoluteTtlMs, requestTimeoutMs: 0 }, '`requestTimeoutMs`'],
  ['a time-out longer than timers can be', { url, absoluteTtlMs, connectTimeoutMs: 2 ** 31 }, '`connectTimeoutMs`'],
  ['documents of no size', { url, absoluteTtlMs, maxDocumentBytes: 0 }, '`maxDocumentBytes`'],
  ['nothing to remember', { url, absoluteTtlMs, rememberedMonths: 0 }, '`rememberedMonths`'],
  ['a text for a yes or no', { url, absoluteTtlMs, createDatabases: 'yes' }, '`createDatabases`'],
  ['one member', { url, absoluteTtlMs, members: 'ann' }, '`members`'],
  ['TLS that is none', { url, absoluteTtlMs, tls: SECRET }, '`tls`'],
  ['a database for all months', { url, absoluteTtlMs, database: 'sessions' }, '`database`'],
  ['a database for all years', { url, absoluteTtlMs, database: 'sessions-{mm}' }, '`database`'],
  ['a month twice', { url, absoluteTtlMs, database: 'a{yyyy}{mm}{mm}' }, '`database`'],
  ['a database in capitals', { url, absoluteTtlMs, database: 'Sessions-{yyyy}-{mm}' }, '`database`'],
  ['a database that begins with its year', { url, absoluteTtlMs, database: '{yyyy}-{mm}' }, '`database`'],
  ['a database of CouchDB’s own', { url, absoluteTtlMs, database: '_users-{yyyy}-{mm}' }, '`database`'],
  ['a database with a slash', { url, absoluteTtlMs, database: 'a/{yyyy}-{mm}' }, 'without a slash'],
  ['a database with a dot', { url, absoluteTtlMs, database: 'a.{yyyy}-{mm}' }, '`database`'],
  ['a database with too long a name', { url, absoluteTtlMs, database: `${'a'.repeat(200)}{yyyy}{mm}` }, '`database`'],
])('%s is refused by name', (_, options, words) => {
  expect(complaintOf(options)).toContain(words)
})
