import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { betterAuth } from 'better-auth'
import { memoryAdapter } from 'better-auth/adapters/memory'
import { toNodeHandler } from 'better-auth/node'
import makeFetchCookie from 'fetch-cookie'
import { CookieJar } from 'tough-cookie'
import { afterEach, describe, expect, test } from 'vitest'
import { nonstickStorage } from '../../src/adapters/better-auth.js'
import { postgres } from '../../src/backends/postgres/index.js'
import { memcached } from '../../src/caches/memcached/index.js'
import { faultyBackend, faultyCache } from '../../src/testing/faulty-tier.js'
import { world } from '../store/world.js'
import { type FreshSchema, freshSchema, sharedMemcached, sharedPostgres, skipUnless } from '../support/servers.js'

const ADA = { name: 'Ada', email: 'ada@example.org', password: 'correct horse battery staple' }

const [cacheFound, postgresFound] = [await sharedMemcached(), await sharedPostgres()]
const servers =
  cacheFound.kind === 'absent'
    ? cacheFound
    : postgresFound.kind === 'absent'
      ? postgresFound
      : { found: cacheFound, shared: postgresFound }

skipUnless('better-auth over HTTP, on Memcached and PostgreSQL', servers, ({ found, shared }) => {
  const closing: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })

  /** Processes of an application: each with a better-auth and a store of its own. They share users, cache and database. */
  const cluster = async ({ rateLimit = false }: { readonly rateLimit?: boolean } = {}) => {
    const place: FreshSchema = await freshSchema(shared)
    closing.push(() => place.drop())
    const users: Record<string, Record<string, unknown>[]> = { user: [], account: [], session: [], verification: [] }
    const resets: string[] = []
    const namespace = `${found.namespace}-${randomBytes(3).toString('hex')}`
    const process = async () => {
      const cache = faultyCache(memcached({ servers: found.address }))
      const backend = faultyBackend(
        postgres({ connectionString: place.connectionString, schema: place.schema, migrate: true }),
      )
      const storage = nonstickStorage({ cache, backend, namespace })
      await storage.sessions.ready()
      const auth = betterAuth({
        database: memoryAdapter(users),
        secondaryStorage: storage,
        secret: 'a secret of a test and of no use, 32 letters',
        baseURL: 'http://127.0.0.1',
        trustedOrigins: ['http://127.0.0.1'],
        logger: { disabled: true },
        emailAndPassword: {
          enabled: true,
          sendResetPassword: async ({ token }) => void resets.push(token),
        },
        rateLimit: { enabled: rateLimit, storage: 'secondary-storage', window: 60, max: 5 },
        advanced: { ipAddress: { ipAddressHeaders: ['x-client'] } },
      })
      const server = createServer(toNodeHandler(auth))
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      closing.push(async () => {
        server.closeAllConnections()
        server.close()
        await once(server, 'close')
        await storage.close()
      })
      return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/auth`, storage, cache, backend }
    }
    return { process, resets, users }
  }

  type Process = Awaited<ReturnType<Awaited<ReturnType<typeof cluster>>['process']>>

  const visitor = (client = '203.0.113.7') => {
    const fetchWithCookies = makeFetchCookie(fetch, new CookieJar()) as unknown as typeof fetch
    const ask = async ({ url }: Process, path: string, body?: object) => {
      const response = await fetchWithCookies(`${url}${path}`, {
        method: body === undefined ? 'GET' : 'POST',
        headers: { 'content-type': 'application/json', origin: 'http://127.0.0.1', 'x-client': client },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      const text = await response.text()
      return { status: response.status, body: text === '' ? null : (JSON.parse(text) as unknown) }
    }
    return {
      ask,
      who: async (process: Process): Promise<string | undefined> => {
        const { status, body } = await ask(process, '/get-session')
        if (status !== 200) throw new Error(`get-session was answered with ${status}`)
        return (body as { user?: { email: string } } | null)?.user?.email
      },
    }
  }

  test('who signs up at one process is known to the other, until he signs out', async () => {
    const { process, users } = await cluster()
    const [one, other] = [await process(), await process()]
    const ada = visitor()
    expect(await ada.who(other)).toBeUndefined()
    expect((await ada.ask(one, '/sign-up/email', ADA)).status).toBe(200)
    expect(await ada.who(other)).toBe(ADA.email)
    // The sessions are ours alone.
    expect(users['session']).toEqual([])
    expect((await ada.ask(other, '/sign-out', {})).status).toBe(200)
    expect(await ada.who(one)).toBeUndefined()
    const again = await ada.ask(other, '/sign-in/email', { email: ADA.email, password: ADA.password })
    expect(again.status).toBe(200)
    expect(await ada.who(one)).toBe(ADA.email)
  })

  test('a user sees his devices, and logs the others out', async () => {
    const { process } = await cluster()
    const [one, other] = [await process(), await process()]
    const [laptop, phone, tablet] = [visitor(), visitor(), visitor()]
    await laptop.ask(one, '/sign-up/email', ADA)
    for (const [device, at] of [
      [phone, other],
      [tablet, one],
    ] as const)
      await device.ask(at, '/sign-in/email', { email: ADA.email, password: ADA.password })
    const { body } = await laptop.ask(other, '/list-sessions')
    expect(body).toHaveLength(3)
    expect((await phone.ask(one, '/revoke-other-sessions', {})).status).toBe(200)
    for (const process of [one, other]) {
      expect(await laptop.who(process)).toBeUndefined()
      expect(await tablet.who(process)).toBeUndefined()
      expect(await phone.who(process)).toBe(ADA.email)
    }
    await phone.ask(other, '/revoke-sessions', {})
    expect(await phone.who(one)).toBeUndefined()
  })

  test('a link to a new password opens once, however often and wherever it is used at once', async () => {
    const { process, resets } = await cluster()
    const [one, other] = [await process(), await process()]
    const ada = visitor()
    await ada.ask(one, '/sign-up/email', ADA)
    await ada.ask(one, '/request-password-reset', { email: ADA.email, redirectTo: 'http://127.0.0.1/' })
    expect(resets).toHaveLength(1)
    const answers = await Promise.all(
      [one, other, one, other, one, other].map((process, number) =>
        visitor().ask(process, '/reset-password', { token: resets[0], newPassword: `a new password ${number}` }),
      ),
    )
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 400, 400, 400, 400, 400])
  })

  test('the rate limit counts over all processes, and no request slips through', async () => {
    const { process } = await cluster({ rateLimit: true })
    const [one, other] = [await process(), await process()]
    const crowd = await Promise.all(
      Array.from({ length: 12 }, (_, number) =>
        visitor('203.0.113.9').ask(number % 2 === 0 ? one : other, '/get-session'),
      ),
    )
    expect(crowd.filter(({ status }) => status === 200)).toHaveLength(5)
    expect(crowd.filter(({ status }) => status === 429)).toHaveLength(7)
    expect((await visitor('203.0.113.10').ask(one, '/get-session')).status).toBe(200)
  })

  test('without the cache everybody stays signed in; without both tiers it is an error, and nobody is signed out', async () => {
    const { process } = await cluster()
    const one = await process()
    const ada = visitor()
    await ada.ask(one, '/sign-up/email', ADA)
    one.cache.unreachable = true
    expect(await ada.who(one)).toBe(ADA.email)
    one.backend.unreachable = true
    expect((await ada.ask(one, '/get-session')).status).toBeGreaterThanOrEqual(500)
    one.backend.unreachable = false
    one.cache.unreachable = false
    await expect.poll(() => ada.who(one).catch(() => 'nobody could know'), { timeout: 20_000 }).toBe(ADA.email)
  })
})

describe('the storage', () => {
  const storages = () => {
    const { process, runtime } = world()
    const sessions = process()
    return { runtime, storage: () => nonstickStorage({ sessions, runtime }) }
  }

  test('keeps a value for the seconds that it is given, and gives null after that', async () => {
    const { storage, runtime } = storages()
    const one = storage()
    await one.set('verification:a', 'x', 60)
    await one.set('for-good', 'y')
    await one.set('over', 'z', 0)
    runtime.advance(59_999)
    expect(await storage().get('verification:a')).toBe('x')
    runtime.advance(1)
    expect(await storage().get('verification:a')).toBeNull()
    expect(await storage().getAndDelete('verification:a')).toBeNull()
    expect(await one.get('over')).toBeNull()
    expect(await one.getAndDelete('for-good')).toBe('y')
    expect(await one.get('for-good')).toBeNull()
    await one.delete('for-good')
  })

  test('counts from 1, and what was counted ends when the first count said so', async () => {
    const { storage, runtime } = storages()
    const { increment, get } = storage()
    expect([await increment('k', 10), await increment('k', 10)]).toEqual([1, 2])
    expect(await get('k')).toBe('2')
    runtime.advance(9_999)
    expect(await increment('k', 10)).toBe(3)
    runtime.advance(1)
    expect(await get('k')).toBeNull()
    expect(await increment('k', 10)).toBe(1)
  })

  test('refuses a time to live that is no number', async () => {
    await expect(storages().storage().set('k', 'v', Number.NaN)).rejects.toMatchObject({ code: 'E_CONFIG' })
  })
})
