import type { ServerResponse } from 'node:http'
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { freePort } from '../../../scripts/servers/index.js'
import { tokenOf } from '../../../src/backends/couchdb/document.js'
import { monthAt } from '../../../src/backends/couchdb/months.js'
import type { Backend } from '../../../src/contract/backend.js'
import { isSessionStoreError, type SessionStoreError } from '../../../src/errors.js'
import { monthOf } from '../../../src/session/id.js'
import { sampleLocator, sampleWriteId, storedSession } from '../../../src/testing/stored-session.js'
import { quietRuntime } from '../../support/calendar.js'
import { couchdb, type DatedOptions } from './backend.js'
import { closedAfterEach } from './scene.js'
import { half, html, json, type Script, type Scripted, scripted } from './scripted.js'

const SECRET = 'b4d-s3cret'
const DAY_MS = 86_400_000

const { now } = quietRuntime

const REVISION = `1-${'a0'.repeat(16)}`

const closing = closedAfterEach()

const serverThat = async (script: Script): Promise<Scripted> => {
  const server = await scripted(script)
  closing.push(() => server.close())
  return server
}

const backendOf = (url: string | readonly string[], more: Partial<DatedOptions> = {}) => {
  const options = {
    url,
    username: 'someone',
    password: SECRET,
    absoluteTtlMs: 30 * DAY_MS,
    requestTimeoutMs: 10_000,
    runtime: quietRuntime,
  }
  const backend = couchdb({ ...options, ...more })
  closing.push(() => backend.close())
  return backend
}

const errorOf = async (call: Promise<unknown>): Promise<SessionStoreError> => {
  const error = await call.then(
    () => undefined,
    (raised: unknown) => raised,
  )
  if (!isSessionStoreError(error)) throw new Error(`it should have rejected with an error of ours: ${inspect(error)}`)
  expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(SECRET)
  expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(
    Buffer.from(`someone:${SECRET}`).toString('base64'),
  )
  return error
}

const locator = () => sampleLocator({ bornMonth: monthOf(now()) })
const insert = (backend: Backend) => backend.insert(locator(), storedSession())
const tombstone = () => ({ writeId: sampleWriteId(), at: now(), keepUntil: now() + 1_000 })

/** An update whose token says where its document is, so that it is one write. */
const update = async (backend: Backend) => {
  const session = storedSession()
  const guard = { lineage: session.lineage, belowVersion: 2, parentLineage: session.lineage, parentVersion: 1 }
  const month = monthAt(now())
  const token = tokenOf({ ...session, month, revision: REVISION })
  const outcomes = await backend.update([{ locator: locator(), guard, session, token }])
  const [outcome] = outcomes
  if (outcome?.outcome === 'failed') throw outcome.error
  return outcome
}

type Answer = (response: ServerResponse) => void

const SILENCE: Answer = () => {}

/** Only silence has to be waited for. */
const patienceFor = (answer: Answer): Partial<DatedOptions> => (answer === SILENCE ? { requestTimeoutMs: 200 } : {})

describe('what an answer means', () => {
  const error = { error: 'some_error', reason: 'a reason that quotes s:a:document' }
  const rows: readonly (readonly [string, Answer, string, 'no' | 'unknown', RegExp])[] = [
    ['a password that it refuses', (to) => json(to, 401, error), 'E_SESSION_UNAVAILABLE', 'no', /credentials.*401/],
    ['a user who may not', (to) => json(to, 403, error), 'E_SESSION_UNAVAILABLE', 'no', /allow.*403/],
    ['a 404 of something else, as a page', (to) => html(to, 404), 'E_SESSION_UNAVAILABLE', 'no', /look at the URL/],
    [
      'a 404 of something else, as JSON',
      (to) => json(to, 404, { error: 'No route' }),
      'E_SESSION_UNAVAILABLE',
      'no',
      /URL/,
    ],
    [
      'a redirection',
      (to) => to.writeHead(302, { location: '/login' }).end(),
      'E_SESSION_UNAVAILABLE',
      'no',
      /redirects/,
    ],
    ['too many requests', (to) => json(to, 429, error), 'E_SESSION_UNAVAILABLE', 'no', /too many.*429/],
    ['a method that it does not know', (to) => json(to, 405, error), 'E_SESSION_UNAVAILABLE', 'no', /HTTP 405/],
    ['an error of its own', (to) => json(to, 500, error), 'E_SESSION_UNAVAILABLE', 'unknown', /HTTP 500/],
    ['a proxy that does not reach it', (to) => html(to, 502), 'E_SESSION_UNAVAILABLE', 'unknown', /HTTP 502/],
    ['a server in maintenance', (to) => json(to, 503, error), 'E_SESSION_UNAVAILABLE', 'unknown', /HTTP 503/],
    ['a proxy that lost patience', (to) => html(to, 504), 'E_SESSION_UNAVAILABLE', 'unknown', /HTTP 504/],
    ['a full disk', (to) => json(to, 507, error), 'E_SESSION_UNAVAILABLE', 'unknown', /disk is too full.*HTTP 507/],
    ['half an answer', (to) => half(to, 200, 'application/json'), 'E_SESSION_UNAVAILABLE', 'unknown', /UND_ERR_SOCKET/],
    ['half a page', (to) => half(to, 200, 'text/html'), 'E_SESSION_UNAVAILABLE', 'unknown', /UND_ERR_SOCKET/],
    ['half an error', (to) => half(to, 500, 'application/json'), 'E_SESSION_UNAVAILABLE', 'unknown', /UND_ERR_SOCKET/],
    ['a page', (to) => html(to, 200), 'E_SESSION_UNAVAILABLE', 'unknown', /no JSON/],
    ['nothing', (to) => json(to, 200, undefined), 'E_SESSION_UNAVAILABLE', 'unknown', /no JSON/],
    ['a number', (to) => json(to, 200, 7), 'E_SESSION_UNAVAILABLE', 'unknown', /no JSON/],
    [
      'an object of another shape',
      (to) => json(to, 200, {}),
      'E_SESSION_UNAVAILABLE',
      'unknown',
      /none that CouchDB gives/,
    ],
    ['a connection that breaks', (to) => to.destroy(), 'E_SESSION_UNAVAILABLE', 'unknown', /UND_ERR_SOCKET/],
    ['silence', SILENCE, 'E_SESSION_UNAVAILABLE', 'unknown', /no answer came in time/],
  ]

  test.each(rows)('%s is an error of a read, never an absence', async (_, answer, code, __, words) => {
    const { url, port } = await serverThat((___, response) => answer(response))
    const raised = await errorOf(backendOf(url, patienceFor(answer)).read(locator()))
    expect(raised).toMatchObject({ code, tier: `couchdb 127.0.0.1:${port}`, operation: 'read', applied: undefined })
    expect(raised.message).toMatch(words)
  })

  test.each(rows)('%s tells of a change whether it was done', async (_, answer, code, applied, words) => {
    const { url, asked } = await serverThat((___, response) => answer(response))
    for (const change of [insert, update]) {
      const raised = await errorOf(change(backendOf(url, patienceFor(answer))))
      expect(raised).toMatchObject({ code, operation: change.name, applied })
      expect(raised.message).toMatch(words)
    }
    expect(asked).toHaveLength(2)
  })

  test('a full disk is an answer, after which the same server is asked for what it can do', async () => {
    const { url } = await serverThat((_, response) => json(response, 507, error))
    for (const change of [insert, update])
      expect(await errorOf(change(backendOf(url)))).toMatchObject({ answered: true })
  })

  test.each([
    ['a document that is too large', (to: ServerResponse) => json(to, 413, error), 'E_SESSION_TOO_LARGE'],
    ['one that is too large for a proxy', (to: ServerResponse) => html(to, 413), 'E_SESSION_TOO_LARGE'],
    ['a value that it cannot read', (to: ServerResponse) => json(to, 400, error), 'E_SESSION_DATA'],
  ])('%s is no fault of the server', async (_, answer, code) => {
    const { url } = await serverThat((__, response) => answer(response))
    for (const change of [insert, update])
      expect(await errorOf(change(backendOf(url)))).toMatchObject({ code, applied: 'no' })
  })

  test('a write that too few nodes have is not acknowledged', async () => {
    const { url } = await serverThat(({ path, body }, response) => {
      const { docs: [document] = [] } = JSON.parse(body) as { docs?: { _id: string }[] }
      const row = { ok: true, id: document?._id, rev: '2-a', accepted: true }
      json(response, 202, path.endsWith('_bulk_docs') ? [row] : { ok: true, rev: '1-a' })
    })
    for (const change of [insert, update]) {
      const raised = await errorOf(change(backendOf(url)))
      expect(raised).toMatchObject({ code: 'E_SESSION_UNAVAILABLE', applied: 'unknown' })
      expect(raised.message).toMatch(/quorum.*202/)
    }
  })

  test('a destroy whose lost answer was a tombstone finds its own', async () => {
    let document: Record<string, unknown> | undefined
    const { url, asked } = await serverThat(({ method, body }, response) => {
      if (method === 'GET') {
        if (document === undefined) json(response, 404, { error: 'not_found', reason: 'missing' })
        else json(response, 200, { _rev: '1-a', ...document })
        return
      }
      if (document !== undefined) return json(response, 409, { error: 'conflict' })
      document = JSON.parse(body) as Record<string, unknown>
      response.destroy()
    })
    const backend = backendOf(url)
    const mine = tombstone()
    const where = locator()
    expect(await errorOf(backend.destroy(where, mine))).toMatchObject({
      code: 'E_SESSION_UNAVAILABLE',
      applied: 'unknown',
    })
    expect(await backend.destroy(where, mine)).toBe('destroyed')
    expect(await backend.destroy(where, { ...mine, writeId: sampleWriteId() })).toBe('already-destroyed')
    expect(asked.filter(({ method }) => method === 'PUT').length).toBe(1)
  })
})

describe('nobody there', () => {
  test('a port that nobody listens on is said so at once, with the address and without the password', async () => {
    const port = await freePort()
    const backend = backendOf(`http://127.0.0.1:${port}`, { requestTimeoutMs: 60_000 })
    const read = await errorOf(backend.read(sampleLocator()))
    expect(read).toMatchObject({ tier: `couchdb 127.0.0.1:${port}`, operation: 'read', applied: undefined })
    expect(read.message).toBe(`couchdb 127.0.0.1:${port} could not be asked to read: ECONNREFUSED`)
    for (const change of [
      () => insert(backend),
      () => update(backend),
      () => backend.extend([{ locator: locator(), seenAt: 1, expiresAt: 2 }]),
      () => backend.destroy(locator(), tombstone()),
      () => backend.purge({ now: 1, limit: 1 }),
    ])
      expect(await errorOf(change())).toMatchObject({ code: 'E_SESSION_UNAVAILABLE', applied: 'no' })
    const health = await backend.health()
    expect(health).toMatchObject({ tier: 'couchdb', state: 'down' })
    expect(health.reason).toContain('ECONNREFUSED')
  })

  test('a request that waits for a connection in vain was not sent', async () => {
    const { url } = await serverThat(() => {})
    const backend = backendOf(url, { maxConnections: 1, requestTimeoutMs: 1_500 })
    const first = errorOf(insert(backend))
    const second = errorOf(backend.insert(locator(), storedSession(), { notAfter: now() + 200 }))
    expect((await second).applied).toBe('no')
    expect((await first).applied).toBe('unknown')
  })

  test('an insert that counts until a moment is not waited for beyond it', async () => {
    const { url } = await serverThat(() => {})
    const backend = backendOf(url, { requestTimeoutMs: 600_000 })
    const insertion = backend.insert(locator(), storedSession(), { notAfter: now() + 300 })
    expect(await errorOf(insertion)).toMatchObject({ code: 'E_SESSION_UNAVAILABLE', applied: 'unknown' })
  })

  test('a batch of which nothing was answered rejects; one of which some was says so of each', async () => {
    const session = storedSession()
    const guard = { lineage: session.lineage, belowVersion: 2, parentLineage: session.lineage, parentVersion: 1 }
    const token = (month: string) => tokenOf({ ...session, month, revision: REVISION })
    const [month, other] = [monthAt(now()), monthAt(now() - 25 * DAY_MS)]
    const entries = [
      { locator: { key: 'a:1' }, guard, session, token: token(month) },
      { locator: { key: 'a:2' }, guard, session, token: token(other) },
    ]
    const { url } = await serverThat(({ path, body }, response) => {
      if (!path.includes(month)) return void response.destroy()
      const { docs } = JSON.parse(body) as { docs: { _id: string }[] }
      json(
        response,
        201,
        docs.map(({ _id }) => ({ ok: true, id: _id, rev: '2-b' })),
      )
    })
    const outcomes = await backendOf(url).update(entries)
    expect(outcomes).toMatchObject([{ outcome: 'applied' }, { outcome: 'failed', error: { applied: 'unknown' } }])
    const silent = await serverThat((_, response) => void response.destroy())
    expect(await errorOf(backendOf(silent.url).update(entries))).toMatchObject({
      operation: 'update',
      applied: 'unknown',
    })
  })
})

test('documents that a server refuses one by one fail alone, and a batch is halved until the large one stands alone', async () => {
  const month = monthAt(now())
  const { url, asked } = await serverThat(({ body }, response) => {
    const { docs } = JSON.parse(body) as { docs: { _id: string; userId?: string }[] }
    if (docs.some(({ userId }) => userId === 'large')) return json(response, 413, { error: 'document_too_large' })
    json(
      response,
      201,
      docs.map(({ _id, userId }) =>
        userId === 'forbidden' ? { id: _id, error: 'forbidden', reason: 'x' } : { ok: true, id: _id, rev: '2-b' },
      ),
    )
  })
  const users = ['a', 'b', 'large', 'c', 'forbidden', 'd', 'e']
  const entries = users.map((userId) => {
    const session = storedSession({ userId })
    const guard = { lineage: session.lineage, belowVersion: 2, parentLineage: session.lineage, parentVersion: 1 }
    return { locator: locator(), guard, session, token: tokenOf({ ...session, month, revision: REVISION }) }
  })
  const outcomes = await backendOf(url).update(entries)
  expect(outcomes.map((outcome) => (outcome.outcome === 'failed' ? outcome.error.code : outcome.outcome))).toEqual([
    'applied',
    'applied',
    'E_SESSION_TOO_LARGE',
    'applied',
    'E_SESSION_UNAVAILABLE',
    'applied',
    'applied',
  ])
  for (const outcome of outcomes) if (outcome.outcome === 'failed') expect(outcome.error.applied).toBe('no')
  expect(asked.length).toBeLessThanOrEqual(7)
})
