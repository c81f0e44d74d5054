import { randomBytes } from 'node:crypto'
import { afterEach, expect, test } from 'vitest'
import { couchdbUrl, welcomeOf } from '../../../scripts/servers/couchdb.js'
import { contentOf, idOf, tombstoneOf } from '../../../src/backends/couchdb/document.js'
import { monthOf } from '../../../src/session/id.js'
import { sampleLocator, sampleWriteId, storedSession } from '../../../src/testing/stored-session.js'
import { quietRuntime } from '../../support/calendar.js'
import { absent, skipUnless } from '../../support/skip.js'
import { couchdb, type DatedOptions } from './backend.js'
import { couchForThisFile } from './server.js'

const { now } = quietRuntime

const given = couchdbUrl()
const isReal = given !== undefined && !(await welcomeOf(given)).isStandIn
const real = isReal ? given : absent('COUCHDB_URL names no CouchDB; the stand-in does not do this')

skipUnless('what only a real CouchDB does', real, () => {
  const couch = couchForThisFile()
  const closing: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })
  const born = () => sampleLocator({ bornMonth: monthOf(now()) })
  const backendOf = (options: DatedOptions) => {
    const backend = couchdb(options)
    closing.push(() => backend.close())
    return backend
  }
  const server = (): string => {
    const url = new URL(couch().url)
    url.username = ''
    url.password = ''
    return url.href.replace(/\/+$/, '')
  }

  test('it refuses whoever is nobody', async () => {
    const backend = backendOf({ ...couch().options(), url: server() })
    await expect(backend.insert(born(), storedSession())).rejects.toMatchObject({ applied: 'no' })
  })

  test('it refuses a wrong password, with both ways to authenticate', async () => {
    for (const auth of ['basic', 'cookie'] as const) {
      const who = { auth, username: 'nobody', password: 'b4d-s3cret' }
      const backend = backendOf({ ...couch().options(), url: server(), ...who })
      await expect(backend.read(born())).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE' })
    }
  })

  test.each(['basic', 'cookie'] as const)(
    'a member who is no administrator keeps sessions (%s), and makes and drops no databases',
    async (auth) => {
      const who = { username: `member_${randomBytes(6).toString('hex')}`, password: randomBytes(12).toString('hex') }
      const path = `_users/org.couchdb.user:${who.username}`
      const body = { name: who.username, password: who.password, roles: [], type: 'user' }
      expect((await couch().ask(path, { method: 'PUT', body })).status).toBe(201)
      closing.push(async () => {
        const { _rev: rev } = (await couch().ask(path)).body as { _rev: string }
        await couch().ask(`${path}?rev=${rev}`, { method: 'DELETE' })
      })
      const options = couch().options({ members: [who.username] })
      const member = backendOf({ ...options, ...who, auth, url: server() })
      await expect(member.insert(born(), storedSession())).rejects.toMatchObject({ code: 'E_BACKEND_SCHEMA' })
      await backendOf(options).setUp()
      const locator = born()
      expect((await member.insert(locator, storedSession({ createdAt: now(), expiresAt: now() }))).outcome).toBe(
        'inserted',
      )
      expect((await member.read(locator)).state).toBe('live')
      expect(await member.purge({ now: now() + 1_000, limit: 9, graceMs: 0 })).toEqual({ removed: 1, more: false })
      await member.setUp()
    },
  )

  test('an update that has seen nothing sees every leaf of its document', async () => {
    const options = couch().options()
    const backend = backendOf(options)
    const locator = born()
    const session = storedSession({ version: 9 })
    await backend.insert(locator, session)
    const [name = ''] = await couch().databases(options.database ?? '')
    const leaves = [tombstoneOf(sampleWriteId(), 1, now() + 60_000), contentOf(storedSession({ version: 10 }))]
    const docs = leaves.map((leaf, at) => ({ _id: idOf(locator.key), _rev: `${at + 2}-${'0'.repeat(32)}`, ...leaf }))
    await couch().ask(`${name}/_bulk_docs`, { method: 'POST', body: { docs, new_edits: false } })
    const guard = { lineage: session.lineage, belowVersion: 10, parentLineage: session.lineage, parentVersion: 9 }
    const entry = { locator, guard, session: { ...session, version: 10 }, token: new Uint8Array(0) }
    expect(await backend.update([entry])).toEqual([{ outcome: 'refused', row: { state: 'destroyed' } }])
  })

  test('a document that is too large for it fails alone', async () => {
    const { status, body } = await couch().ask('_node/_local/_config/couchdb/max_document_size')
    const limit = status === 200 ? Number(body) : 8_000_000
    const backend = backendOf(couch().options({ requestTimeoutMs: 60_000 }))
    const entries = await Promise.all(
      [10, limit, 10].map(async (size) => {
        const locator = born()
        const session = storedSession()
        await backend.insert(locator, session)
        const guard = { lineage: session.lineage, belowVersion: 2, parentLineage: session.lineage, parentVersion: 1 }
        return {
          locator,
          guard,
          token: new Uint8Array(0),
          session: { ...session, version: 2, data: new Uint8Array(size) },
        }
      }),
    )
    const outcomes = await backend.update(entries)
    expect(outcomes).toMatchObject([
      { outcome: 'applied' },
      { outcome: 'failed', error: { code: 'E_SESSION_TOO_LARGE', applied: 'no' } },
      { outcome: 'applied' },
    ])
  })
})
