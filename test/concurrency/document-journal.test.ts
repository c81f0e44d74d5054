import { expect, test } from 'vitest'
import { documentJournal } from './document-journal.js'

const id = 's:nonstick:q83v'
const session = (version: number, writeId = `${version}`) => ({
  _id: id,
  kind: 'session',
  lineage: 'a',
  version,
  writeIds: [writeId],
  data: '',
})

const journalOf = () => {
  const { journal, tell } = documentJournal()
  const passed = (method: string, path: string, body: object, answer: object, status = 201) =>
    tell({ method, path, status, body: Buffer.from(JSON.stringify(body)), answer: Buffer.from(JSON.stringify(answer)) })
  return {
    put: (body: object, rev: string, status = 201) =>
      passed('PUT', '/nonstick-2026-11/s%3Anonstick%3Aq83v', body, status < 300 ? { id, rev } : { error: 'x' }, status),
    bulk: (docs: object[], answer: object, status = 201) =>
      passed('POST', '/nonstick-2026-11/_bulk_docs', { docs }, answer, status),
    versions: async () => (await journal.take()).map(({ version }) => version),
    take: journal.take,
  }
}

test('a document counts when it was taken, by itself or among others, and not when it was refused', async () => {
  const { put, bulk, take, versions } = journalOf()
  put(session(1), '1-a')
  put(session(2), '', 409)
  bulk([session(3)], [{ id, error: 'conflict' }])
  bulk([session(3)], { error: 'internal_server_error' }, 500)
  bulk(
    [session(4), { ...session(1), _id: 's:nonstick:EjRW' }],
    [
      { id: 's:nonstick:EjRW', rev: '1-b' },
      { id, rev: '2-c' },
    ],
  )
  expect((await take()).map(({ idHash, version }) => [idHash, version])).toEqual([
    ['abcdef', 1],
    ['123456', 1],
    ['abcdef', 4],
  ])
  expect(await versions()).toEqual([])
})

test('answers that overtook each other are put in order', async () => {
  const { put, versions } = journalOf()
  for (const [version, rev] of [
    [1, '1-a'],
    [10, '10-b'],
    [9, '9-c'],
  ] as const)
    put(session(version), rev)
  expect(await versions()).toEqual([1, 9, 10])
})

test('a tombstone is one; a place that was only taken is no session', async () => {
  const { put, take } = journalOf()
  put({ _id: id, kind: 'moved' }, '1-a')
  put({ _id: id, kind: 'tombstone', writeId: 'w' }, '2-b')
  expect((await take()).map(({ isTombstone }) => isTombstone)).toEqual([true])
})

test('what was written and when it ends are told apart', async () => {
  const { put, take } = journalOf()
  put({ ...session(1), expiresAt: 1 }, '1-a')
  put({ ...session(1), expiresAt: 2 }, '2-a')
  put({ ...session(1, 'other'), expiresAt: 2 }, '3-a')
  const [first, later, other] = (await take()).map(({ content }) => content)
  expect(later).toBe(first)
  expect(other).not.toBe(first)
})
