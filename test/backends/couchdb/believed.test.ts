import type { ServerResponse } from 'node:http'
import { describe, expect, test } from 'vitest'
import { tokenOf } from '../../../src/backends/couchdb/document.js'
import { sampleWriteId, storedSession } from '../../../src/testing/stored-session.js'
import { QUIET_DAY, standingRuntime } from '../../support/calendar.js'
import { bornThen, sceneForThisFile } from './scene.js'
import { html, json, type Script } from './scripted.js'
import { couchForThisFile } from './server.js'

const couch = couchForThisFile()

const { serverThat, backendOf } = sceneForThisFile({ requestTimeoutMs: 10_000, runtime: standingRuntime })

const OF_NO_COUCHDB = {
  code: 'E_SESSION_UNAVAILABLE',
  answered: true,
  message: expect.stringMatching(/look at the URL|lacks the database/),
}
const NO_DATABASE = { error: 'not_found', reason: 'Database does not exist.' }

/** What asks for something that can be absent. */
const calls = (backend: ReturnType<typeof backendOf>) => {
  const session = storedSession()
  const guard = { lineage: session.lineage, belowVersion: 2, parentLineage: session.lineage, parentVersion: 1 }
  return {
    read: () => backend.read(bornThen()),
    update: () => backend.update([{ locator: bornThen(), guard, session, token: new Uint8Array(0) }]),
    extend: () => backend.extend([{ locator: bornThen(), seenAt: 1, expiresAt: 2 }]),
    destroy: () =>
      backend.destroy(bornThen(), { writeId: sampleWriteId(), at: QUIET_DAY, keepUntil: QUIET_DAY + 1_000 }),
    list: () => backend.list({ namespace: 'contract', now: QUIET_DAY, limit: 9, withData: true, maxBytes: 1_000_000 }),
    count: () => backend.count({ namespace: 'contract', now: QUIET_DAY }),
    purge: () => backend.purge({ now: QUIET_DAY, limit: 9 }),
  }
}

const page = (response: ServerResponse): void => html(response, 200)
const answering =
  (status: number, body: unknown): Script =>
  (_, response) =>
    json(response, status, body)

describe('an absence', () => {
  test.each<[string, number, unknown]>([
    ['an object', 200, {}],
    ['a list', 200, []],
    ['a 404 without a word of CouchDB’s', 404, { error: 'not_found' }],
    ['a 404 with another reason', 404, { error: 'not_found', reason: 'no route' }],
    ['a 404 with CouchDB’s reason and another error', 404, { error: 'NotFound', reason: 'missing' }],
    ['a 404 about a database, without CouchDB at the root of the URL', 404, NO_DATABASE],
  ])('is read out of nothing that asks of it, where all that is answered is %s', async (_, status, body) => {
    const { url } = await serverThat(answering(status, body), { hasDatabases: false })
    const backend = backendOf(url)
    for (const [name, call] of Object.entries(calls(backend)))
      await expect(call(), name).rejects.toMatchObject(OF_NO_COUCHDB)
    expect(await backend.health()).toMatchObject({ state: 'down', reason: OF_NO_COUCHDB.message })
  })

  test.each<[string, unknown]>([
    ['another document', { _id: 's:contract:other', _rev: '1-a' }],
    ['a document without a revision', { _id: 's:contract:mine' }],
    ['a list with the document', [{ _id: 's:contract:mine', _rev: '1-a' }]],
  ])('or a session is not read out of %s', async (_, body) => {
    const { url } = await serverThat(answering(200, body))
    const read = backendOf(url).read({ ...bornThen(), key: 'contract:mine' })
    await expect(read).rejects.toMatchObject(OF_NO_COUCHDB)
  })

  test('of a document is believed only of a database that says its name', async () => {
    const script: Script = ({ path }, response) => {
      if (path.includes('s%3A')) json(response, 404, { error: 'not_found', reason: 'missing' })
      else json(response, 200, { db_name: 'other-2026-06' })
    }
    const { url } = await serverThat(script, { hasDatabases: false })
    await expect(backendOf(url).read(bornThen())).rejects.toMatchObject(OF_NO_COUCHDB)
    const named = await serverThat(script)
    expect(await backendOf(named.url).read(bornThen())).toEqual({ state: 'absent' })
  })

  test('of many documents is believed only where each is told of', async () => {
    const about =
      (docs: unknown): Script =>
      (_, response) =>
        json(response, 200, { results: docs })
    const { extend } = calls(backendOf((await serverThat(about([]))).url))
    await expect(extend()).rejects.toMatchObject(OF_NO_COUCHDB)
    for (const docs of [[], [{}], [{ error: { error: 'internal_fabric_error', reason: 'nodedown' } }]]) {
      const script: Script = ({ body }, response) => {
        const [{ id } = { id: '' }] = (JSON.parse(body) as { docs: { id: string }[] }).docs
        about([{ id, docs }])({ method: 'POST', path: '', headers: {}, body }, response)
      }
      await expect(calls(backendOf((await serverThat(script)).url)).extend()).rejects.toMatchObject(OF_NO_COUCHDB)
    }
  })

  test('is not read out of a wrong path in the URL, wherever it leads', async () => {
    const database = couch().pattern()
    const here = backendOf(couch().url, { database })
    await here.setUp()
    const [name = ''] = await couch().databases(database)
    for (const path of ['somewhere', name, `${name}/_design`]) {
      const backend = backendOf(`${couch().url}/${path}`, { database })
      for (const [call, run] of Object.entries(calls(backend)))
        await expect(run(), `${call} at ${path}`).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE' })
      expect((await backend.health()).state).toBe('down')
    }
    expect((await here.health()).state).toBe('up')
  })
})

describe('a login', () => {
  const cookie = { username: 'ann', password: 'b4d-s3cret', auth: 'cookie' } as const

  test.each<[string, Script, RegExp]>([
    ['a 404', answering(404, { error: 'not_found', reason: 'missing' }), /at the login, something else than CouchDB/],
    ['a 404 about a database', answering(404, NO_DATABASE), /at the login, it lacks the database/],
    ['no cookie', answering(200, { ok: true, name: 'ann', roles: [] }), /at the login, it gave no cookie/],
    ['an object', answering(200, {}), /at the login, it gave no cookie/],
    ['a list', answering(200, []), /at the login, it gave no cookie/],
    ['a page', (_, response) => page(response), /at the login, it gave no cookie/],
    [
      'a cookie beside what CouchDB does not say',
      (_, response) => json(response, 200, {}, { 'set-cookie': 'AuthSession=a' }),
      /at the login, it gave no cookie/,
    ],
    ['a 409', answering(409, { error: 'conflict' }), /at the login, it answered with an error \(HTTP 409\)/],
    ['a 413', (_, response) => html(response, 413), /at the login, it answered with an error \(HTTP 413\)/],
    ['a 500', answering(500, { error: 'unknown' }), /at the login, it answered with an error \(HTTP 500\)/],
  ])('that is answered with %s says nothing of any session', async (_, script, words) => {
    const { url, asked } = await serverThat(script, { hasDatabases: false })
    const backend = backendOf(url, cookie)
    const failure = { code: 'E_SESSION_UNAVAILABLE', message: expect.stringMatching(words) }
    for (const [name, call] of Object.entries(calls(backend))) await expect(call(), name).rejects.toMatchObject(failure)
    const insertion = backend.insert(bornThen(), storedSession())
    await expect(insertion).rejects.toMatchObject({ ...failure, applied: 'no' })
    expect(await backend.health()).toMatchObject({ state: 'down', reason: failure.message })
    expect(asked.every(({ path }) => path === '/_session')).toBe(true)
  })

  test('that meets a lock of the user’s is said so, and so is one without a login', async () => {
    const reason = 'Account is temporarily locked due to multiple authentication failures'
    const { url } = await serverThat(answering(403, { error: 'forbidden', reason }))
    for (const auth of ['cookie', 'basic'] as const)
      await expect(backendOf(url, { ...cookie, auth }).read(bornThen())).rejects.toMatchObject({
        code: 'E_SESSION_UNAVAILABLE',
        message: expect.stringMatching(/locked this user out at this address.*HTTP 403/),
        answered: true,
      })
  })
})

describe('a change', () => {
  const rows =
    (status: number, rowOf: (id: string, at: number) => object): Script =>
    ({ body }, response) => {
      const { docs } = JSON.parse(body) as { docs: { _id: string }[] }
      json(
        response,
        status,
        docs.map(({ _id }, at) => rowOf(_id, at)),
      )
    }
  const three = async (script: Script) => {
    const { url } = await serverThat(script)
    const entries = [1, 2, 3].map(() => {
      const session = storedSession()
      const { lineage } = session
      const guard = { lineage, belowVersion: 2, parentLineage: lineage, parentVersion: 1 }
      const token = tokenOf({ ...session, month: '2026-06', revision: `1-${'a0'.repeat(16)}` })
      return { locator: bornThen(), guard, session, token }
    })
    const outcomes = await backendOf(url).update(entries)
    return outcomes.map((outcome) => (outcome.outcome === 'failed' ? outcome.error.applied : outcome.outcome))
  }
  const written = (id: string) => ({ ok: true, id, rev: '2-b' })

  test('that too few nodes have is not acknowledged, and the others of its request are', async () => {
    const script = rows(202, (id, at) => ({ ...written(id), ...(at === 1 ? { accepted: true } : {}) }))
    expect(await three(script)).toEqual(['applied', 'unknown', 'applied'])
  })

  test('is not acknowledged by a 202 that does not say which of them it means', async () => {
    expect(await three(rows(202, written))).toEqual(['unknown', 'unknown', 'unknown'])
  })

  test('over which the server failed may be there; one that it refused is not', async () => {
    const errors = ['internal_server_error', 'forbidden', 'unauthorized']
    expect(await three(rows(201, (id, at) => ({ id, error: errors[at], reason: 'x' })))).toEqual([
      'unknown',
      'no',
      'no',
    ])
  })

  test('is acknowledged by no answer that tells of other documents, or of fewer', async () => {
    for (const script of [rows(201, () => written('s:contract:other')), answering(201, [])]) {
      const { url } = await serverThat(script)
      const session = storedSession()
      const guard = { lineage: session.lineage, belowVersion: 2, parentLineage: session.lineage, parentVersion: 1 }
      const token = tokenOf({ ...session, month: '2026-06', revision: `1-${'a0'.repeat(16)}` })
      const update = backendOf(url).update([{ locator: bornThen(), guard, session, token }])
      await expect(update).rejects.toMatchObject({ ...OF_NO_COUCHDB, applied: 'unknown' })
    }
    const { url } = await serverThat(answering(201, { ok: true, id: 's:contract:other', rev: '1-a' }))
    const insertion = backendOf(url).insert(bornThen(), storedSession())
    await expect(insertion).rejects.toMatchObject({ ...OF_NO_COUCHDB, applied: 'unknown' })
  })

  test('that met nodes which are away may be there, and the silence counts', async () => {
    const { url } = await serverThat(answering(412, { error: 'nodedown', reason: 'progress not possible' }))
    const insertion = backendOf(url).insert(bornThen(), storedSession())
    await expect(insertion).rejects.toMatchObject({ applied: 'unknown', answered: false })
    await expect(backendOf(url).read(bornThen())).rejects.toThrow(
      /nodes of the cluster that keep the document are away/,
    )
  })
})

describe('a server that lacks the database', () => {
  /** A CouchDB with everything but our databases, and what it was asked to make. */
  const lacking = async () => {
    const server = await serverThat(
      ({ method, path }, response) => {
        if (path === '/_session') return json(response, 200, { ok: true, userCtx: { name: null, roles: ['_admin'] } })
        if (method === 'PUT' && !path.includes('s%3A')) return json(response, 201, { ok: true })
        json(response, 404, NO_DATABASE)
      },
      { hasDatabases: false },
    )
    const made = () => server.asked.filter(({ method, path }) => method === 'PUT' && path.includes('?n='))
    return { ...server, made }
  }

  test('beside one that has it is passed over by a process that has never seen it, and makes none', async () => {
    const database = couch().pattern()
    const locator = bornThen()
    await backendOf(couch().url, { database }).insert(locator, storedSession())
    const server = await lacking()
    for (const run of ['read', 'insert', 'list'] as const) {
      const backend = backendOf([server.url, couch().url], { database })
      if (run === 'read') expect((await backend.read(locator)).state).toBe('live')
      if (run === 'insert') expect((await backend.insert(locator, storedSession())).outcome).toBe('exists')
      const [namespace = ''] = locator.key.split(':')
      if (run === 'list')
        expect(
          (await backend.list({ namespace, now: QUIET_DAY, limit: 9, withData: true, maxBytes: 1_000_000 })).entries,
        ).toHaveLength(1)
      expect((await backend.health()).servers).toMatchObject([
        { state: 'down', reason: expect.stringMatching(/none of the cluster that keeps it/) },
        { state: 'up' },
      ])
    }
    expect(server.made()).toEqual([])
  })

  test('makes none while too few of the others can be asked, and says so', async () => {
    const server = await lacking()
    const broken = await serverThat((_, response) => void response.destroy(), { hasDatabases: false })
    const backend = backendOf([server.url, broken.url])
    const failure = { code: 'E_SESSION_UNAVAILABLE', message: expect.stringMatching(/too few of the other servers/) }
    await expect(backend.insert(bornThen(), storedSession())).rejects.toMatchObject({ ...failure, applied: 'no' })
    await expect(backend.read(bornThen())).rejects.toMatchObject(failure)
    expect(server.made()).toEqual([])
    const third = await lacking()
    expect(await backendOf([server.url, broken.url, third.url]).read(bornThen())).toEqual({ state: 'absent' })
  })

  test('is asked once a minute, and not at each read, whether the month is still without a database', async () => {
    const server = await lacking()
    let elapsed = 0
    const runtime = { ...standingRuntime, monotonicMs: () => standingRuntime.monotonicMs() + elapsed }
    const backend = backendOf(server.url, { runtime })
    const sessions = () => server.asked.filter(({ path }) => path === '/_session').length
    for (let round = 0; round < 3; round++) expect(await backend.read(bornThen())).toEqual({ state: 'absent' })
    expect(sessions()).toBe(1)
    elapsed += 60_000
    expect(await backend.read(bornThen())).toEqual({ state: 'absent' })
    expect(sessions()).toBe(2)
    expect(server.made()).toEqual([])
  })

  test('is well, as long as the store may make one; and not for a program that must not, or a user who may not', async () => {
    const server = await lacking()
    expect(await backendOf(server.url).health()).toMatchObject({ state: 'up' })
    const missing = { state: 'down', reason: expect.stringMatching(/lacks the database nonstick-2026-06; call `setUp/) }
    expect(await backendOf(server.url, { createDatabases: false }).health()).toMatchObject(missing)
    const plain = await serverThat(
      ({ path }, response) =>
        path === '/_session'
          ? json(response, 200, { ok: true, userCtx: { name: 'ann', roles: [] } })
          : json(response, 404, NO_DATABASE),
      { hasDatabases: false },
    )
    expect(await backendOf(plain.url).health()).toMatchObject(missing)
  })
})
