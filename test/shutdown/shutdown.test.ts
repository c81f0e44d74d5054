import { randomBytes } from 'node:crypto'
import { Agent } from 'node:http'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { postgres } from '../../src/backends/postgres/index.js'
import { memoryCache } from '../../src/caches/memory/index.js'
import { createSessionStore } from '../../src/index.js'
import {
  type FreshSchema,
  freshSchema,
  type MemcachedServer,
  ownMemcached,
  sharedPostgres,
  skipUnless,
} from '../support/servers.js'
import { get, type Program, startProgram } from './programs.js'

// A busy machine takes its time to start a program.
vi.setConfig({ testTimeout: 300_000 })

const [postgresFound, memcachedFound] = [await sharedPostgres(), await ownMemcached()]
const servers =
  typeof memcachedFound !== 'function'
    ? memcachedFound
    : postgresFound.kind === 'absent'
      ? postgresFound
      : { shared: postgresFound, start: memcachedFound }

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

skipUnless('shutting down over real Memcached and PostgreSQL', servers, ({ shared, start }) => {
  let cache: MemcachedServer
  let place: FreshSchema
  let running: Program[] = []

  beforeAll(async () => {
    cache = await start()
  })
  afterAll(async () => {
    await cache.stop()
  })
  afterEach(async () => {
    cache.resume()
    await Promise.all(running.map((program) => program.stop()))
    running = []
    await place.drop()
  })
  const program = async (file: string): Promise<{ readonly program: Program; readonly port: number }> => {
    place = await freshSchema(shared)
    await postgres({ connectionString: place.connectionString, schema: place.schema, migrate: true }).setUp()
    const started = startProgram(file, {
      MEMCACHED_SERVERS: cache.address,
      DATABASE_URL: place.connectionString,
      PORT: '0',
      SESSION_SECRET: randomBytes(32).toString('base64'),
    })
    running.push(started)
    const [listening] = await started.prints(/^listening on .*port: (\d+)/)
    return { program: started, port: Number(listening?.[1]) }
  }
  /** What PostgreSQL alone knows of how often each session was there. */
  const visitsInBackend = async (): Promise<number[]> => {
    const store = createSessionStore<{ visits: number }>({
      cache: memoryCache(),
      backend: postgres({ connectionString: place.connectionString, schema: place.schema }),
    })
    const sessions = await store.list({ data: true })
    await store.close()
    return sessions.map(({ data }) => data?.visits ?? 0).sort()
  }
  const cookieOf = (headers: Record<string, string | string[] | undefined>): string =>
    String(headers['set-cookie']).split(';')[0] ?? ''

  /** A session whose newest change is in the cache only. */
  const visitThrice = async (port: number): Promise<string> => {
    const cookie = cookieOf((await get(port, '/')).headers)
    for (let visit = 2; visit <= 3; visit += 1) await get(port, '/', { cookie })
    return cookie
  }

  test('the documented express program finishes its requests, flushes every session, and ends with 0', async () => {
    const { program: app, port } = await program('docs/examples/shutdown.ts')
    const kept = new Agent({ keepAlive: true })
    const cookies: string[] = []
    for (let visitor = 0; visitor < 5; visitor += 1) {
      const cookie = cookieOf((await get(port, '/')).headers)
      cookies.push(cookie)
      for (let visit = 2; visit <= 4; visit += 1)
        expect((await get(port, '/', { cookie, agent: kept })).body).toBe(visit)
    }
    // The first change may be flushed, as the first after a fill; no later one is due.
    for (const visits of await visitsInBackend()) expect(visits).toBeLessThan(3)

    const slow = get(port, '/slow', { cookie: cookies[0] ?? '', agent: kept })
    await pause(400)
    app.signal('SIGTERM')
    await pause(200)
    // Nobody new is let in, on no connection.
    await expect(get(port, '/')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    expect(await slow).toMatchObject({ status: 200, body: 5, headers: { connection: 'close' } })
    expect(await app.ended).toBe(0)
    kept.destroy()
    expect(await visitsInBackend()).toEqual([4, 4, 4, 4, 5])
    const [found] = await app.prints(/^shut down (.*)$/)
    expect(JSON.parse(found?.[1] ?? '')).toMatchObject({
      cause: 'SIGTERM',
      requestsLeft: 0,
      sessions: { flushed: 5, left: 0, destroysLeft: 0 },
      exitCode: 0,
    })
  })

  test('what cannot be flushed as Memcached is frozen is counted, and the program ends with 1', async () => {
    const { program: app, port } = await program('test/shutdown/hasty.ts')
    await visitThrice(port)
    cache.pause()
    app.signal('SIGINT')
    expect(await app.ended).toBe(1)
    const [found] = await app.prints(/^shut down (.*)$/)
    const report = JSON.parse(found?.[1] ?? '')
    expect(report).toMatchObject({ cause: 'SIGINT', sessions: { flushed: 0, left: 1 }, exitCode: 1 })
    // Its deadline is a second; the rest is for a busy machine.
    expect(report.tookMs).toBeLessThan(3_000)
  })

  test('a request that never ends is given up in time for the sessions to be flushed', async () => {
    const { program: app, port } = await program('test/shutdown/hasty.ts')
    const cookie = await visitThrice(port)
    const stuck = get(port, '/never', { cookie }).catch((error: unknown) => error)
    await pause(100)
    app.signal('SIGTERM')
    expect(await app.ended).toBe(1)
    expect(await stuck).toBeInstanceOf(Error)
    expect(await visitsInBackend()).toEqual([3])
    const [found] = await app.prints(/^shut down (.*)$/)
    expect(JSON.parse(found?.[1] ?? '')).toMatchObject({ requestsLeft: 1, sessions: { flushed: 1, left: 0 } })
  })

  test('a second signal ends it at once', async () => {
    const { program: app, port } = await program('docs/examples/shutdown.ts')
    const slow = get(port, '/slow').catch((error: unknown) => error)
    await pause(200)
    app.signal('SIGTERM')
    await pause(100)
    app.signal('SIGTERM')
    expect(await app.ended).toBe(1)
    expect(await slow).toBeInstanceOf(Error)
    expect(app.output()).not.toContain('shut down')
  })

  /** Sessions of both workers, changed in the cache only. */
  const visitBoth = async (app: Program, port: number): Promise<readonly string[]> => {
    await app.prints(/^listening/, 2)
    const pids = new Set<number>()
    const ids: string[] = []
    for (let visitor = 0; visitor < 6; visitor += 1) {
      const { id } = (await get(port, '/')).body as { id: string }
      ids.push(id)
      for (let visit = 2; visit <= 4; visit += 1) {
        const { visits, pid } = (await get(port, `/?session=${id}`)).body as { visits: number; pid: number }
        expect(visits).toBe(visit)
        pids.add(pid)
      }
    }
    expect(pids.size).toBe(2)
    return ids
  }

  test('the documented cluster ends with 0, its workers having finished and flushed everything', async () => {
    const { program: app, port } = await program('docs/examples/shutdown-cluster.ts')
    const ids = await visitBoth(app, port)
    const slow = [0, 1].map((at) => get(port, `/slow?session=${ids[at]}`))
    await pause(400)
    app.signal('SIGTERM')
    for (const answer of await Promise.all(slow)) expect(answer).toMatchObject({ status: 200, body: { visits: 5 } })
    expect(await app.ended).toBe(0)
    expect(await visitsInBackend()).toEqual([4, 4, 4, 4, 5, 5])
    const reports = (await app.prints(/^shut down (.*)$/, 2)).map(([, report]) => JSON.parse(report ?? ''))
    for (const report of reports) expect(report).toMatchObject({ requestsLeft: 0, exitCode: 0, sessions: { left: 0 } })
    // Nobody was forked in place of those that were asked to end.
    expect((await app.prints(/^listening/)).length).toBe(2)
  })

  test('workers whose primary was killed flush everything, and end', async () => {
    const { program: app, port } = await program('docs/examples/shutdown-cluster.ts')
    await visitBoth(app, port)
    app.signal('SIGKILL')
    // Its output ends when the last of its workers does.
    expect(await app.ended).toBe('SIGKILL')
    const reports = await app.prints(/^shut down (.*)$/, 2)
    for (const [, report] of reports) expect(JSON.parse(report ?? '')).toMatchObject({ cause: 'primary', exitCode: 0 })
    expect(await visitsInBackend()).toEqual([4, 4, 4, 4, 4, 4])
  })
})
