import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  contentOf,
  copyOf,
  HEADER,
  idOf,
  keyOf,
  knownLeafIn,
  type Leaf,
  leafOf,
  leafOfHeader,
  movedOf,
  stateOf,
  tokenOf,
  tombstoneOf,
  winnerOf,
} from '../../../src/backends/couchdb/document.js'
import { contentOfUser } from '../../../src/backends/couchdb/user-document.js'
import { storedSession } from '../../../src/testing/stored-session.js'

const written = (content: object, revision = '1-a'): Leaf =>
  leafOf(JSON.parse(JSON.stringify({ _id: 's:a:b', _rev: revision, ...content })))

describe('a document', () => {
  test('gives back the session that was put into it', () => {
    const session = storedSession({
      ...{ userId: 'Žofia', app: 'shop', address: '::1', userAgent: 'größer', identifiedAt: 5, reads: 6, writes: 7 },
      origin: 8,
      data: Uint8Array.from({ length: 256 }, (_, byte) => byte),
    })
    for (const each of [session, { ...session, userId: undefined, app: '', address: undefined, userAgent: undefined }])
      expect(written(contentOf(each))).toEqual({ kind: 'session', revision: '1-a', session: each })
  })

  test('shows what a session is without its data being decoded', () => {
    const session = storedSession({ userId: 'somebody', address: '::1', userAgent: 'Browser/1.0' })
    const { data, ...readable } = session
    expect(contentOf(session)).toMatchObject({ kind: 'session', ...readable })
    expect(Buffer.from(String(contentOf(session)['data']), 'base64')).toEqual(Buffer.from(data))
  })

  test('keeps nothing of a session beside its fields', () => {
    const session = { ...storedSession(), sessionId: 'secret' }
    expect(JSON.stringify(contentOf(session))).not.toContain('secret')
  })

  test.each(['userId', 'app', 'address', 'userAgent'])('refuses a text that would come back as another: %s', (name) => {
    expect(() => contentOf(storedSession({ [name]: 'half a pair \ud800' }))).toThrow(TypeError)
  })

  test('says all but the data in its header', () => {
    const session = storedSession({ userId: 'somebody', address: '::1', userAgent: 'Browser/1.0', app: 'shop' })
    const document: Record<string, unknown> = { _rev: '1-a', ...contentOf(session) }
    const header = Object.fromEntries(HEADER.map((name) => [name, document[name]]))
    expect(leafOfHeader(header)).toEqual({
      kind: 'session',
      revision: '1-a',
      session: { ...session, data: new Uint8Array(0) },
    })
    expect(leafOfHeader({ ...header, format: 2 }).kind).toBe('unreadable')
  })

  test.each([
    ['of a newer format', { ...contentOf(storedSession()), format: 2 }],
    ['of a kind that nobody knows', { kind: 'sealed', format: 1 }],
    ['of a session with a user that is none', { ...contentOf(storedSession()), userId: 5 }],
    ['of a session without its data', { ...contentOf(storedSession()), data: undefined }],
    ['of a session with a moment that is none', { ...contentOf(storedSession()), expiresAt: '2026' }],
    ['of a tombstone that is for ever', { ...tombstoneOf('0', 1, 2), keepUntil: null }],
    ['of something else', { hello: 'world' }],
  ])('%s is unreadable, which is an error and not an absence', (_, content) => {
    const leaf = written(content)
    expect(leaf.kind).toBe('unreadable')
    for (const judge of [copyOf, stateOf])
      expect(() => judge({ month: '2026-11', leaf })).toThrow(
        expect.objectContaining({ code: 'E_SESSION_FORMAT', tier: 'couchdb' }),
      )
  })

  test('has an id that no namespace turns into one of CouchDB’s own', () => {
    expect(idOf('_design:x')).toBe('s:_design:x')
    expect(keyOf(idOf('a:b'))).toBe('a:b')
  })
})

describe('a token', () => {
  const seen = { revision: `123456789-${'0f'.repeat(16)}`, month: '2026-11', lineage: '0123456789abcdef', version: 7 }

  test.each([
    ['a usual one', {}],
    ['the first revision', { revision: `1-${'a0'.repeat(16)}` }],
    ['January and December', { month: '2027-01' }],
    ['', { month: '9999-12' }],
    ['the largest version', { version: Number.MAX_SAFE_INTEGER }],
  ])('says what was seen, in few bytes: %s', (_, more) => {
    const token = tokenOf({ ...seen, ...more })
    expect(token.length).toBeLessThanOrEqual(64)
    expect(knownLeafIn(token)).toEqual({ ...seen, ...more })
  })

  test('is not known for a revision or a lineage of another form', () => {
    expect(tokenOf({ ...seen, revision: '1-abc' })).toHaveLength(0)
    expect(tokenOf({ ...seen, lineage: 'mine' })).toHaveLength(0)
  })

  test.each(['', 'nonsense', '1-a', '1-a@2026-11'])('that is %j says nothing', (text) => {
    expect(knownLeafIn(Buffer.from(text))).toBeUndefined()
  })
})

describe('of several leaves', () => {
  const tombstone = (keepUntil: number, revision: string): Leaf => written(tombstoneOf('0', 0, keepUntil), revision)
  const session = (version: number, revision: string): Leaf => written(contentOf(storedSession({ version })), revision)
  const moved = written(movedOf(9), '9-a')
  const newer = written({ kind: 'session', format: 2 }, '9-b')

  test.each([
    ['none', [], undefined],
    ['a destroyed one counts, however new the others', [session(99, '99-f'), tombstone(1, '1-a')], '1-a'],
    ['of destroyed ones the one that lasts longest', [tombstone(5, '9-f'), tombstone(6, '2-a')], '2-a'],
    ['of live ones the newest version', [session(3, '9-f'), session(4, '2-a')], '2-a'],
    [
      'of equal versions what CouchDB would choose: the longest history',
      [session(3, '9-a'), session(3, '10-a')],
      '10-a',
    ],
    ['and of equal histories the greatest revision', [session(3, '9-b'), session(3, '9-c')], '9-c'],
    ['one that cannot be read counts before a live one', [session(3, '9-f'), newer], '9-b'],
    ['but not before a destroyed one', [newer, tombstone(1, '1-a')], '1-a'],
    ['a place that was taken counts last', [moved, session(1, '1-a')], '1-a'],
  ] as const)('%s', (_, leaves, revision) => {
    expect(winnerOf(leaves)?.revision).toBe(revision)
    expect(winnerOf([...leaves].reverse())?.revision).toBe(revision)
  })
})

describe('the page about the format', () => {
  const page = readFileSync(new URL('../../../docs/data-format.md', import.meta.url), 'utf8')
  /** The fields in the table that begins with this heading. */
  const fieldsUnder = (heading: string): readonly string[] => {
    const table = page.slice(page.indexOf(`| ${heading} | who reads it |`)).split('\n\n')[0] ?? ''
    return [...table.matchAll(/^\| `(\w+)` \|/gm)].map(([, field = '']) => field)
  }
  const session = storedSession({ userId: 'ann', address: '::1', userAgent: 'Browser/1.0', origin: 1 })
  const record = { epoch: 1, seats: [] }

  test.each<[string, object]>([
    ['field', contentOf(session)],
    ['field of a tombstone', tombstoneOf('0', 1, 2)],
    ['field of a user', contentOfUser({ namespace: 'a', userId: 'ann' }, record)],
  ])('names what a document has, and nothing else: %s', (heading, content) => {
    expect(fieldsUnder(heading)).toEqual(Object.keys(content))
  })
})
