import type { ServerResponse } from 'node:http'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { contentOf, idOf } from '../../../src/backends/couchdb/document.js'
import { sampleLocator, storedSession } from '../../../src/testing/stored-session.js'
import { QUIET_DAY, standingRuntime } from '../../support/calendar.js'
import { couchdb } from './backend.js'
import { closedAfterEach } from './scene.js'
import { json, type Script, scripted } from './scripted.js'

const closing = closedAfterEach()

const backendOn = async (script: Script, options: { readonly maxDocumentBytes?: number } = {}) => {
  const server = await scripted(script)
  closing.push(() => server.close())
  const backend = couchdb({
    url: server.url,
    absoluteTtlMs: 86_400_000,
    requestTimeoutMs: 60_000,
    runtime: standingRuntime,
    ...options,
  })
  closing.push(() => backend.close())
  return { backend, server }
}

const bornNow = () => sampleLocator({ namespace: 'shop', bornMonth: '2606' })

const MIB = 1_048_576

describe('an answer that is larger than what was asked for may come to is not read, and its connection is ended', () => {
  /** Sends a MiB again and again while anybody takes it, and counts; 64 of them at most. */
  const pouring = (response: ServerResponse, count: (bytes: number) => void): void => {
    const chunk = Buffer.alloc(MIB, 0x20)
    let sent = 0
    const pour = (): void => {
      if (response.destroyed || sent >= 64) return void response.end()
      sent += 1
      count(chunk.length)
      response.write(chunk, () => setTimeout(pour, 1))
    }
    pour()
  }
  const session = storedSession({ createdAt: QUIET_DAY })
  const update = () => ({
    locator: bornNow(),
    session: { ...session, version: 2 },
    guard: { lineage: session.lineage, belowVersion: 2, parentLineage: session.lineage, parentVersion: 1 },
    token: new Uint8Array(0),
  })

  test.each([
    ['a read', 3, (backend: ReturnType<typeof couchdb>) => backend.read(bornNow())],
    ['an insert', 3, (backend: ReturnType<typeof couchdb>) => backend.insert(bornNow(), session)],
    ['a count', 3, (backend: ReturnType<typeof couchdb>) => backend.count({ namespace: 'shop', now: QUIET_DAY })],
    [
      'a listing',
      3,
      (backend: ReturnType<typeof couchdb>) => backend.listKeys({ namespace: 'shop', now: QUIET_DAY, limit: 100 }),
    ],
    ['a purge', 32, (backend: ReturnType<typeof couchdb>) => backend.purge({ now: QUIET_DAY, limit: 9 })],
  ] as const)('of %s', async (_what, mostMib, ask) => {
    let sent = 0
    const { backend, server } = await backendOn(
      (_, response) => {
        response.writeHead(200, { 'content-type': 'application/json' })
        pouring(response, (bytes) => {
          sent += bytes
        })
      },
      { maxDocumentBytes: 2 * MIB },
    )
    const error: unknown = await ask(backend).catch((raised: unknown) => raised)
    expect(error).toMatchObject({
      code: 'E_SESSION_UNAVAILABLE',
      answered: true,
      message: expect.stringMatching(/its answer is larger than the \d+ bytes/),
    })
    // What may be repeated is asked twice. A few MiB more are under way in buffers of the system.
    expect(sent / server.asked.length).toBeLessThan((mostMib + 16) * MIB)
  })

  test('of an update that nobody could look for', async () => {
    const { backend } = await backendOn((_, response) => pouring(response, () => {}), { maxDocumentBytes: MIB })
    await expect(backend.update([update(), update()])).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE' })
  })

  test('nor is one that says so beforehand, or one that is compressed', async () => {
    for (const [headers, body, because] of [
      [{ 'content-length': '9000000000' }, '{', /larger than/],
      [{ 'content-encoding': 'gzip' }, gzipSync(Buffer.alloc(64 * MIB, 0x20)), /compressed/],
    ] as const) {
      const { backend, server } = await backendOn((_, response) => {
        response.writeHead(200, { 'content-type': 'application/json', ...headers })
        response.write(body)
      })
      await expect(backend.read(bornNow())).rejects.toMatchObject({ message: expect.stringMatching(because) })
      expect(server.asked[0]?.headers['accept-encoding']).toBe('identity')
    }
  })
})

test('a document that may be too large for an answer is refused before it is sent', async () => {
  const { backend, server } = await backendOn(
    ({ path, body }, response) => {
      if (!path.endsWith('_bulk_docs')) return json(response, 201, { ok: true, rev: `1-${'a'.repeat(32)}` })
      const { docs } = JSON.parse(body) as { docs: { _id: string }[] }
      return json(
        response,
        201,
        docs.map(({ _id: id }) => ({ ok: true, id, rev: `1-${'a'.repeat(32)}` })),
      )
    },
    { maxDocumentBytes: 10_000 },
  )
  const large = storedSession({ createdAt: QUIET_DAY, data: Buffer.alloc(8_000, 7) })
  const small = storedSession({ createdAt: QUIET_DAY, data: Buffer.alloc(7_000, 7) })
  await expect(backend.insert(bornNow(), large)).rejects.toMatchObject({ code: 'E_SESSION_TOO_LARGE', applied: 'no' })
  expect(server.asked.filter(({ method }) => method !== 'GET')).toEqual([])
  expect(await backend.insert(bornNow(), small)).toMatchObject({ outcome: 'inserted' })
})

test('many documents that are too large for one answer are asked for in halves, until each is there', async () => {
  const keys = Array.from({ length: 8 }, () => bornNow().key).sort()
  const lookedAt: number[] = []
  const data = Buffer.alloc(9 * MIB, 7)
  const doc = (key: string) => ({
    _id: idOf(key),
    _rev: `1-${'a'.repeat(32)}`,
    ...contentOf(storedSession({ createdAt: QUIET_DAY, data })),
  })
  const script: Script = ({ path, body }, response) => {
    if (path.includes('_view/lines'))
      return json(response, 200, {
        rows: keys.map((key) => ({ id: idOf(key), key: [], value: [QUIET_DAY + 1_000_000, QUIET_DAY, ''] })),
      })
    const ids = (JSON.parse(body) as { docs: { id: string }[] }).docs.map(({ id }) => id)
    lookedAt.push(ids.length)
    return json(response, 200, {
      results: ids.map((id) => ({ id, docs: [{ ok: doc(id.slice('s:'.length)) }] })),
    })
  }
  // A document of 9 MiB comes to 12 MiB in base64, and four of them to less than what is read at once.
  const { backend } = await backendOn(script, { maxDocumentBytes: 12_700_000 })
  const page = await backend.list({ namespace: 'shop', now: QUIET_DAY, limit: 8, withData: true, maxBytes: 30 * MIB })
  expect(page.entries.map(({ locator }) => locator.key)).toEqual(keys.slice(0, 3))
  expect(page.next).toBe(keys[2])
  expect(lookedAt).toEqual([4])

  lookedAt.length = 0
  const tight = await backendOn(script, { maxDocumentBytes: 3 * MIB })
  const error: unknown = await tight.backend
    .list({ namespace: 'shop', now: QUIET_DAY, limit: 8, withData: true, maxBytes: 30 * MIB })
    .catch((raised: unknown) => raised)
  // Each of them alone comes to no more than the few leaves may that one document can have.
  expect(error).toMatchObject({ entries: { length: 3 } })
  expect(Math.min(...lookedAt)).toBe(1)
})

test('a document that this program cannot read is in its page, and the others are read', async () => {
  const keys = Array.from({ length: 3 }, () => bornNow().key).sort()
  const { backend } = await backendOn(({ path, body }, response) => {
    if (path.includes('_view/lines'))
      return json(response, 200, {
        rows: keys.map((key) => ({ id: idOf(key), key: [], value: ['of a newer program'] })),
      })
    const { docs } = JSON.parse(body) as { docs: { id: string }[] }
    const content = { ...contentOf(storedSession({ createdAt: QUIET_DAY })), _rev: `1-${'a'.repeat(32)}` }
    return json(response, 200, {
      results: docs.map(({ id }) => ({
        id,
        docs: [{ ok: { ...content, _id: id, ...(id === idOf(keys[1] ?? '') ? { format: 99 } : {}) } }],
      })),
    })
  })
  const { entries } = await backend.list({ namespace: 'shop', now: QUIET_DAY, limit: 9, withData: true, maxBytes: MIB })
  expect(entries.map(({ locator }) => locator.key)).toEqual(keys)
  expect(entries[1]).toMatchObject({ unreadable: { code: 'E_SESSION_FORMAT' } })
})
