import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { DESIGN, hexOf } from '../../../src/backends/couchdb/design.js'
import { contentOf, idOf, leafOfHeader, tombstoneOf, userHashOf } from '../../../src/backends/couchdb/document.js'
import { sampleLocator, storedSession } from '../../../src/testing/stored-session.js'

/** What an index has of a document. */
const rowsOf = (view: string, document: object): unknown[] => {
  const rows: unknown[] = []
  const { map } = (DESIGN['views'] as Record<string, { map: string }>)[view] ?? {}
  runInNewContext(`(${map})`, { emit: (...row: unknown[]) => rows.push(row) })(document)
  return JSON.parse(JSON.stringify(rows)) as unknown[]
}

const NAMESPACE = 'sh-op_1.a'

const documentOf = (more: Parameters<typeof storedSession>[0]) => {
  const { key } = sampleLocator({ namespace: NAMESPACE })
  const session = storedSession(more)
  return { key, session, document: { _id: idOf(key), _rev: '1-a', ...contentOf(session) } }
}

const TOMBSTONE = { _id: 's:a:b', ...tombstoneOf('0011223344556677', 1, 2) }

test('the index of lines has each session at the places where this program looks for it, and no tombstone', () => {
  const { key, session, document } = documentOf({ app: 'größer', userId: 'ada' })
  const order = hexOf(key.slice(NAMESPACE.length + 1), 2)
  const line = [session.expiresAt, session.seenAt, 'größer']
  expect(rowsOf('lines', document)).toEqual([
    [[NAMESPACE, 'all', '', order], line],
    [[NAMESPACE, 'app', hexOf('größer', 4), order], line],
    [[NAMESPACE, 'user', userHashOf('ada'), order], line],
  ])
  expect(rowsOf('lines', documentOf({}).document)).toHaveLength(1)
  expect(rowsOf('lines', TOMBSTONE)).toEqual([])
})

test('the index that counts has each session once for its namespace, and once for its application', () => {
  const { session, document } = documentOf({ app: 'shop' })
  expect(rowsOf('living', document)).toEqual([
    [[NAMESPACE, '', session.expiresAt], null],
    [[NAMESPACE, hexOf('shop', 4), session.expiresAt], null],
  ])
  expect(rowsOf('living', documentOf({}).document)).toHaveLength(1)
  expect(rowsOf('living', TOMBSTONE)).toEqual([])
})

test('the index of headers has everything of a session but its data, unless that is in conflict', () => {
  const { key, session, document } = documentOf({ app: 'shop', userId: 'ada', data: Buffer.alloc(100, 7) })
  const [row, ...others] = rowsOf('headers', document) as [unknown, object][]
  expect(others).toEqual([])
  expect(row?.[0]).toBe(hexOf(idOf(key), 2))
  expect(JSON.stringify(row)).not.toContain(Buffer.alloc(100, 7).toString('base64').slice(0, 8))
  const bare = { ...session, data: new Uint8Array(0) }
  expect(leafOfHeader({ ...row?.[1] })).toEqual({ kind: 'session', revision: '1-a', session: bare })
  expect(rowsOf('headers', { ...document, _conflicts: ['1-b'] })).toEqual([[row?.[0], 'in conflict']])
  expect(rowsOf('headers', TOMBSTONE)).toEqual([])
})

test('the places are in the order of the keys, by whichever order of letters', () => {
  const characters = ['-', '0', '9', 'A', 'Z', '_', 'a', 'z']
  const hashes = characters.flatMap((one) => ['', ...characters].map((other) => `${one}${other}`)).sort()
  const orders = hashes.map((hash) => hexOf(hash, 2))
  const collator = new Intl.Collator('en')
  expect([...orders].sort((one, other) => collator.compare(one, other))).toEqual(orders)
  expect([...hashes].sort((one, other) => collator.compare(one, other))).not.toEqual(hashes)
})

test('no two texts have the same hexadecimal digits, as CouchDB takes some texts for equal that are not', () => {
  const texts = ['\u00e9', 'e\u0301', '\u212b', '\u00c5', 'ab', '\u6162', 'a', 'A']
  expect(new Set(texts.map((text) => hexOf(text, 4))).size).toBe(texts.length)
})
