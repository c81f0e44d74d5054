import { createServer, type Server, type Socket } from 'node:net'
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { freePort } from '../../../scripts/servers/index.js'
import { postgres } from '../../../src/backends/postgres/index.js'
import type { Locator } from '../../../src/contract/locator.js'
import { isSessionStoreError, type SessionStoreError } from '../../../src/errors.js'
import { sampleLocator, sampleWriteId, storedSession } from '../../../src/testing/stored-session.js'
import { startWatch } from '../../support/stopwatch.js'
import { changesOf } from './calls.js'
import { clusterForThisFile } from './cluster.js'

const cluster = clusterForThisFile()

const errorOf = async (call: Promise<unknown>): Promise<SessionStoreError> => {
  const error = await call.then(
    () => undefined,
    (raised: unknown) => raised,
  )
  if (!isSessionStoreError(error)) throw new Error(`it should have rejected with an error of ours: ${inspect(error)}`)
  return error
}

test('a port that nobody listens on is said so at once, with the address and without the password', async () => {
  const port = await freePort()
  const backend = postgres({ connectionString: `postgres://someone:b4d-s3cret@127.0.0.1:${port}/db` })
  const watch = startWatch()
  const read = await errorOf(backend.read(sampleLocator()))
  expect(read).toMatchObject({
    code: 'E_SESSION_UNAVAILABLE',
    tier: `postgres 127.0.0.1:${port}`,
    operation: 'read',
    applied: undefined,
  })
  expect(read.message).toBe(`postgres 127.0.0.1:${port} could not be asked to read: ECONNREFUSED`)
  for (const change of changesOf(backend))
    expect(await errorOf(change())).toMatchObject({ code: 'E_SESSION_UNAVAILABLE', applied: 'no' })
  expect(watch()).toBeLessThan(1_500)
  expect(inspect(read, { depth: 9, showHidden: true })).not.toContain('b4d-s3cret')
  const health = await backend.health()
  expect(health).toMatchObject({ tier: 'postgres', state: 'down' })
  expect(health.reason).toContain('ECONNREFUSED')
  await backend.close()
})

test('a wrong password is said so, and stands nowhere', async () => {
  const url = new URL(cluster().url)
  url.password = 'b4d-s3cret'
  const backend = postgres({ connectionString: url.href })
  const error = await errorOf(backend.read(sampleLocator()))
  expect(error.code).toBe('E_SESSION_UNAVAILABLE')
  if (cluster().server.source !== 'environment') expect(error.message).toContain('it refused the password (28P01)')
  expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('for user')
  expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('b4d-s3cret')
  await backend.close()
})

test('a missing table, schema or database is said so, with the command that makes it', async () => {
  const { url, schema } = cluster()
  const elsewhere = new URL(url)
  elsewhere.pathname = '/there_is_no_such_database'
  for (const [options, missing] of [
    [{ connectionString: url, schema, table: 'nothing' }, `"${schema}"."nothing"`],
    [{ connectionString: url, schema: 'no "schema"' }, '"no ""schema"""."session"'],
    [{ connectionString: elsewhere.href }, 'the database'],
  ] as const) {
    const backend = postgres(options)
    const error = await errorOf(backend.read(sampleLocator()))
    expect(error.code).toBe('E_BACKEND_SCHEMA')
    expect(error.message).toContain(missing)
    expect(error.message).toContain('`npx nonstick setup`')
    expect(error.message.includes('migrate: true')).toBe(missing !== 'the database')
    for (const change of changesOf(backend))
      expect(await errorOf(change())).toMatchObject({ code: 'E_BACKEND_SCHEMA', applied: 'no' })
    expect((await backend.health()).reason).toBe(error.message.replace('to read', 'to report its health'))
    await backend.close()
  }
})

test('a column that is missing is a schema of another version', async () => {
  const { url, schema, query } = cluster()
  await query(`create table "${schema}"."older" (namespace text, id_hash bytea)`)
  const backend = postgres({ connectionString: url, schema, table: 'older' })
  expect((await errorOf(backend.read(sampleLocator()))).code).toBe('E_BACKEND_SCHEMA')
  await backend.close()
})

/** A server that can fall silent: it passes bytes on to the real one, or swallows them. */
const startSilencer = async (target: URL): Promise<{ port: number; silent: boolean; cut(): void; stop(): void }> => {
  const { connect } = await import('node:net')
  const sockets = new Set<Socket>()
  const cut = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  const control = { port: 0, silent: false, cut, stop: () => {} }
  const server: Server = createServer((client) => {
    const upstream = connect(Number(target.port || 5432), target.hostname)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        client.destroy()
        upstream.destroy()
      })
    }
    client.on('data', (bytes) => control.silent || upstream.write(bytes))
    upstream.on('data', (bytes) => control.silent || client.write(bytes))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  control.port = typeof address === 'object' && address !== null ? address.port : 0
  control.stop = () => {
    server.close()
    cut()
  }
  return control
}

test('a server that falls silent costs one deadline per call and its connections, and then all is well again', async () => {
  // What a whole server answers comes within that on a busy machine too.
  const WITHIN_MS = 1_500
  const { url, schema, table } = cluster()
  const through = new URL(url)
  const silencer = await startSilencer(new URL(url))
  through.hostname = '127.0.0.1'
  through.port = String(silencer.port)
  const backend = postgres({
    connectionString: through.href,
    schema,
    table,
    queryTimeoutMs: WITHIN_MS,
    connectTimeoutMs: WITHIN_MS,
    maxConnections: 2,
  })
  // A busy machine may take longer for a new connection than one call has.
  const wellAgain = (locator: Locator) =>
    expect
      .poll(async () => (await backend.read(locator).catch(() => undefined))?.state, { timeout: 15_000 })
      .toBe('live')
  try {
    const locator = sampleLocator()
    expect((await backend.insert(locator, storedSession())).outcome).toBe('inserted')
    silencer.silent = true
    const watch = startWatch()
    const read = await errorOf(backend.read(locator))
    expect(read.message).toContain('no answer came in time')
    const destroy = await errorOf(backend.destroy(sampleLocator(), { writeId: sampleWriteId(), at: 1, keepUntil: 2 }))
    // Its connection was new, and did not get so far as to send anything.
    expect(destroy.applied).toBe('no')
    expect((await backend.health()).state).toBe('down')
    expect(watch()).toBeLessThan(3 * WITHIN_MS + 600)
    silencer.silent = false
    await wellAgain(locator)
    silencer.silent = true
    const change = await errorOf(backend.destroy(sampleLocator(), { writeId: sampleWriteId(), at: 1, keepUntil: 2 }))
    expect(change.applied).toBe('unknown')
    silencer.silent = false
    await wellAgain(locator)
    silencer.silent = true
    const closing = startWatch()
    await backend.close()
    expect(closing()).toBeLessThan(WITHIN_MS + 600)
  } finally {
    await backend.close()
    silencer.stop()
  }
})

test('a connection that is cut under a statement ends nothing but that statement, and a read not even that', async () => {
  const { url, schema, table } = cluster()
  const through = new URL(url)
  const silencer = await startSilencer(new URL(url))
  through.hostname = '127.0.0.1'
  through.port = String(silencer.port)
  const backend = postgres({ connectionString: through.href, schema, table })
  const cutUnder = async <Result>(call: () => Promise<Result>): Promise<Result> => {
    await backend.health()
    silencer.silent = true
    const pending = call()
    pending.catch(() => {})
    await new Promise((resolve) => setTimeout(resolve, 20))
    silencer.silent = false
    silencer.cut()
    return pending
  }
  try {
    const locator = sampleLocator()
    expect((await cutUnder(() => backend.read(locator))).state).toBe('absent')
    expect(
      await cutUnder(() => backend.destroy(sampleLocator(), { writeId: sampleWriteId(), at: 1, keepUntil: 2 })),
    ).toBe('destroyed')
    const insert = await errorOf(cutUnder(() => backend.insert(locator, storedSession())))
    expect(insert).toMatchObject({ code: 'E_SESSION_UNAVAILABLE', applied: 'unknown' })
    expect((await backend.insert(locator, storedSession())).outcome).toBe('inserted')
  } finally {
    await backend.close()
    silencer.stop()
  }
})

test('a server that takes connections and never says a word is given up on in time', async () => {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => sockets.add(socket.on('error', () => {})))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  for (const [connectTimeoutMs, queryTimeoutMs] of [
    [5_000, 200],
    [200, 5_000],
  ] as const) {
    const backend = postgres({ host: '127.0.0.1', port, user: 'someone', connectTimeoutMs, queryTimeoutMs })
    const watch = startWatch()
    expect(await errorOf(backend.insert(sampleLocator(), storedSession()))).toMatchObject({
      code: 'E_SESSION_UNAVAILABLE',
      applied: 'no',
    })
    expect(watch()).toBeLessThan(900)
    await backend.close()
  }
  for (const socket of sockets) socket.destroy()
  await new Promise((resolve) => server.close(resolve))
})

test('what is given to be stored stands in no error, also not in its causes', async () => {
  const { url, schema, query } = cluster()
  await query(`create table "${schema}"."picky" (like "${schema}"."session" including all)`)
  await query(`alter table "${schema}"."picky" add check (user_id <> 'refused by a check')`)
  const backend = postgres({ connectionString: url, schema, table: 'picky' })
  const locator = sampleLocator()
  const session = storedSession({ userId: 'refused by a check', data: Buffer.from('very private') })
  const error = await errorOf(backend.insert(locator, session))
  expect(error).toMatchObject({ code: 'E_SESSION_DATA', applied: 'no' })
  const shown = inspect(error, { depth: 9, showHidden: true })
  expect(shown).toContain('23514')
  expect(shown).not.toMatch(/refused by a check|76657279/)
  expect(shown).not.toContain(Buffer.from(locator.key.split(':')[1] ?? '', 'base64url').toString('hex'))
  await backend.close()
})
