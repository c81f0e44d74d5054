import { type AddressInfo, createServer } from 'node:net'
import pg from 'pg'
import { expect, test } from 'vitest'
import { postgres } from '../../../src/backends/postgres/index.js'
import { sampleLocator, storedSession } from '../../../src/testing/stored-session.js'
import { clusterForThisFile } from './cluster.js'

const cluster = clusterForThisFile()

/** A connection that is still closing when the server stops would otherwise be an error that nobody listens to. */
const ended = async (given: {
  on(event: 'error', listener: () => void): unknown
  end(): Promise<void>
}): Promise<void> => {
  given.on('error', () => {})
  await given.end()
}

test('a given pool is not closed, and has an error listener only while it is used here', async () => {
  const { url, schema, table } = cluster()
  const pool = new pg.Pool({ connectionString: url })
  try {
    expect(pool.listenerCount('error')).toBe(0)
    const backend = postgres({ pool, schema, table })
    expect(pool.listenerCount('error')).toBe(1)
    await backend.read(sampleLocator())
    await backend.close()
    expect(pool.listenerCount('error')).toBe(0)
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
    await expect(backend.read(sampleLocator())).rejects.toMatchObject({ code: 'E_CLOSED' })
  } finally {
    await ended(pool)
  }
})

test('a pool whose errors somebody listens to is left alone', async () => {
  const { url, schema, table } = cluster()
  const pool = new pg.Pool({ connectionString: url })
  pool.on('error', () => {})
  const backend = postgres({ pool, schema, table })
  expect(pool.listenerCount('error')).toBe(1)
  await backend.close()
  expect(pool.listenerCount('error')).toBe(1)
  await ended(pool)
})

test('a connection that is lost while idle ends nothing: neither the process nor the next call', async () => {
  const { url, schema, table, query } = cluster()
  for (const given of [true, false]) {
    const application = `idle-${given}`
    const lost: string[] = []
    const pool = new pg.Pool({ connectionString: url, application_name: application })
    const backend = postgres({
      ...(given ? { pool } : { connectionString: url, applicationName: application }),
      schema,
      table,
      log: (message) => lost.push(message),
    })
    try {
      const [first, second] = [sampleLocator(), sampleLocator()]
      expect((await backend.insert(first, storedSession())).outcome).toBe('inserted')
      const terminated = await query(
        'select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1',
        [application],
      )
      expect(terminated.rowCount).toBe(1)
      // At once, before the pool can have noticed: a read is simply asked again.
      expect((await backend.read(first)).state).toBe('live')
      expect((await backend.insert(second, storedSession())).outcome).toBe('inserted')
      expect(lost.every((message) => /^postgres \S+ lost an idle connection: \w+$/.test(message))).toBe(true)
    } finally {
      await backend.close()
      await ended(pool)
    }
  }
})

test('a connection that is lost in the middle of a change leaves its outcome unknown, and the next call works', async () => {
  const { url, schema, table, query } = cluster()
  const application = 'in-the-middle'
  const backend = postgres({ connectionString: url, applicationName: application, schema, table })
  const locator = sampleLocator()
  const session = storedSession()
  await backend.insert(locator, session)
  const blocker = new pg.Client({ connectionString: url })
  await blocker.connect()
  try {
    await blocker.query('begin')
    await blocker.query(`select 1 from "${schema}"."${table}" for update`)
    const guard = { lineage: session.lineage, belowVersion: 2, parentLineage: session.lineage, parentVersion: 1 }
    const update = { locator, guard, session: { ...session, version: 2 }, token: new Uint8Array(0) }
    const pending = backend.update([update])
    pending.catch(() => {})
    for (let waiting = 0; waiting === 0; )
      waiting = Number(
        (
          await query(
            `select count(*) as n from pg_stat_activity where application_name = $1 and wait_event_type = 'Lock'`,
            [application],
          )
        ).rows[0].n,
      )
    await query('select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1', [application])
    await expect(pending).rejects.toMatchObject({
      code: 'E_SESSION_UNAVAILABLE',
      operation: 'update',
      applied: 'unknown',
    })
    await blocker.query('rollback')
    expect((await backend.update([update]))[0]?.outcome).toBe('applied')
  } finally {
    await ended(blocker)
    await backend.close()
  }
})

test('waiting for a connection counts towards the deadline, and what was not sent is never sent', async () => {
  const { url, schema, table } = cluster()
  const pool = new pg.Pool({ connectionString: url, max: 1 })
  const backend = postgres({ pool, schema, table, queryTimeoutMs: 150 })
  const locator = sampleLocator()
  const held = await pool.connect()
  await expect(backend.insert(locator, storedSession())).rejects.toMatchObject({
    code: 'E_SESSION_UNAVAILABLE',
    applied: 'no',
  })
  held.release()
  expect((await backend.read(locator)).state).toBe('absent')
  await backend.close()
  await ended(pool)
})

test('a server that shuts down in the same breath as it says "ready" is an error of the call, not of the process', async () => {
  const message = (type: string, body: Buffer): Buffer => {
    const length = Buffer.alloc(4)
    length.writeInt32BE(body.length + 4)
    return Buffer.concat([Buffer.from(type), length, body])
  }
  const shuttingDown = Buffer.from('SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0')
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () =>
      socket.end(
        Buffer.concat([message('R', Buffer.alloc(4)), message('Z', Buffer.from('I')), message('E', shuttingDown)]),
      ),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const connectionString = `postgres://somebody@127.0.0.1:${port}/nowhere`
  const pool = new pg.Pool({ connectionString })
  pool.on('error', () => {})
  for (const backend of [postgres({ connectionString }), postgres({ pool })]) {
    await expect(backend.read(sampleLocator())).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE' })
    await backend.close()
  }
  expect(pool.listenerCount('connect')).toBe(0)
  await pool.end()
  server.close()
})
