import { randomBytes } from 'node:crypto'
import makeFetchCookie from 'fetch-cookie'
import { CookieJar } from 'tough-cookie'
import type { Backend } from '../../src/contract/backend.js'
import type { FrontCache } from '../../src/contract/front-cache.js'
import type { SessionStore } from '../../src/contract/session-store.js'
import { createSessionStore } from '../../src/index.js'
import { systemRuntime } from '../../src/runtime.js'
import type { StoreOptions } from '../../src/store/options.js'
import { faultyBackend, faultyCache } from '../../src/testing/faulty-tier.js'
import { type MovableRuntime, movableRuntime } from '../../src/testing/movable-runtime.js'
import type { AppOptions, Cost, Framework, RequestSession, Routes } from './framework.js'

export interface Tiers {
  cache(): FrontCache
  backend(): Backend
}

export const SECRETS = [
  'the newest secret, of a test and of no use',
  'an older secret, of a test and of no use',
] as const

/** Where one behaviour of one framework is tried: processes of its own, on tiers that fail when they are told to. */
export interface Ground extends AsyncDisposable {
  readonly cache: ReturnType<typeof faultyCache>
  readonly backend: ReturnType<typeof faultyBackend>
  /** The stores' clock; that of frameworks, browsers and servers is the machine's. */
  readonly clock: MovableRuntime
  /** Another process: the app once more, with a store of its own, on the tiers that all share. */
  process(options?: ProcessOptions): Promise<Process>
  /** What the tiers are asked while `work` runs. */
  costOf(work: () => Promise<unknown>): Promise<Cost>
}

export interface ProcessOptions extends Pick<AppOptions, 'maxAgeMs' | 'rolling'> {
  readonly store?: Pick<StoreOptions<unknown>, 'idleTtlMs' | 'touchIntervalMs' | 'touchBackendMs'>
}

export interface Process {
  readonly url: string
  readonly sessions: SessionStore<unknown>
  /** Lets the next request of the route `slow` wait once it has its session. */
  hold(): Held
}

export interface Held {
  /** Resolves when a request waits. */
  readonly reached: Promise<void>
  open(): void
}

export const openGround = async (framework: Framework, tiers: Tiers): Promise<Ground> => {
  // Memcached forgets by its own clock.
  const clock = movableRuntime(systemRuntime.now())
  const namespace = `frameworks-${randomBytes(6).toString('hex')}`
  const cache = faultyCache(tiers.cache())
  const backend = faultyBackend(tiers.backend())
  const closing: (() => Promise<unknown>)[] = []

  return {
    cache,
    backend,
    clock,
    process: async ({ store: storeOptions, ...appOptions } = {}) => {
      const sessions = createSessionStore<unknown>({
        ...{ cache: left(cache), backend: left(backend), namespace, runtime: clock, purgeEveryMs: 0 },
        identify: (data) => framework.identify?.(data) ?? userIn(data),
        ...storeOptions,
      })
      sessions.on('fault', () => {}) // They are made on purpose.
      const waiting: { place: Gate | undefined } = { place: undefined }
      const app = await framework.start(routesWith(waiting), { sessions, secrets: SECRETS, ...appOptions })
      closing.push(async () => {
        await app.close()
        await sessions.close()
      })
      return {
        url: app.url,
        sessions,
        hold: () => {
          waiting.place = gate()
          return waiting.place
        },
      }
    },
    costOf: async (work) => {
      const before = { cache: cache.calls.length, backend: backend.calls.length }
      await work()
      return { cache: cache.calls.length - before.cache, backend: backend.calls.length - before.backend }
    },
    [Symbol.asyncDispose]: async () => {
      cache.unreachable = false
      backend.unreachable = false
      for (const end of closing) await end()
      await cache.close()
      await backend.close()
    },
  }
}

/** The tier, as one store of several has it: it stays open for the others. */
const left = <Tier extends FrontCache | Backend>(tier: Tier): Tier =>
  new Proxy(tier, {
    get: (target, name) => (name === 'close' ? async () => undefined : (Reflect.get(target, name) as unknown)),
  })

const userIn = (data: unknown): string | undefined => {
  const user = (data as { readonly user?: unknown } | undefined)?.user
  return typeof user === 'string' ? user : undefined
}

/** What the app of the suite can do, in whatever framework. */
const routesWith = (waiting: { place: Gate | undefined }): Routes => ({
  login: async (session, { user }) => {
    await session.regenerate()
    session.set('user', user)
    return { hello: user }
  },
  logout: async (session) => {
    await session.destroy()
    return { bye: true }
  },
  read: (session) => session.data(),
  change: (session, { key, value }) => change(session, key, value),
  forget: (session, { key }) => {
    session.delete(String(key))
    return {}
  },
  slow: async (session, { key, value }) => {
    const seen = session.data()
    const { place } = waiting
    waiting.place = undefined
    await place?.wait()
    change(session, key, value)
    return seen
  },
  'keep-bytes': (session, { key, hex }) => change(session, key, Buffer.from(String(hex), 'hex')),
  'read-bytes': (session, { key }) => {
    const bytes: unknown = session.data()[String(key)]
    return { hex: bytes instanceof Uint8Array ? Buffer.from(bytes).toString('hex') : `no bytes but ${typeof bytes}` }
  },
})

const change = (session: RequestSession, key: unknown, value: unknown): object => {
  session.set(String(key), value)
  return {}
}

interface Gate extends Held {
  wait(): Promise<void>
}

const gate = (): Gate => {
  const arrival = deferred()
  const opening = deferred()
  return {
    wait: async () => {
      arrival.resolve()
      await opening.promise
    },
    reached: arrival.promise,
    open: opening.resolve,
  }
}

const deferred = (): { readonly promise: Promise<void>; readonly resolve: () => void } => {
  let resolve = (): void => undefined
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}

export interface Answer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
  readonly setCookies: readonly string[]
}

type Fetch = (url: string, init: RequestInit) => Promise<Response>

/** A visitor: he keeps the cookies that he is given, for all processes alike. */
export class Visitor {
  readonly #jar: CookieJar
  readonly #fetch: Fetch

  constructor(jar: CookieJar = new CookieJar()) {
    this.#jar = jar
    this.#fetch = makeFetchCookie(fetch, jar) as unknown as Fetch
  }

  async post({ url }: Pick<Process, 'url'>, route: string, body: object = {}): Promise<Answer> {
    const response = await this.#fetch(`${url}/${route}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    const text = await response.text()
    return { status: response.status, body: parsed(text), setCookies: response.headers.getSetCookie() }
  }

  /** Who he is for a process; `undefined` where he is not logged in. What is no answer is an error. */
  async user(process: Pick<Process, 'url'>): Promise<unknown> {
    return (await this.ok(process, 'read')).body['user']
  }

  async ok(process: Pick<Process, 'url'>, route: string, body: object = {}): Promise<Answer> {
    const answer = await this.post(process, route, body)
    if (answer.status !== 200)
      throw new Error(`${route} was answered with ${answer.status}: ${JSON.stringify(answer.body)}`)
    return answer
  }

  /** Another visitor with the same cookies, as they are now. */
  async copy(): Promise<Visitor> {
    return new Visitor(await this.#jar.clone())
  }

  /** Another visitor, whose cookies have the same names and other values. */
  async withCookies(change: (value: string) => string): Promise<Visitor> {
    const jar = new CookieJar()
    for (const cookie of await this.#jar.getCookies('http://127.0.0.1/'))
      await jar.setCookie(`${cookie.key}=${change(cookie.value)}; Path=/`, 'http://127.0.0.1/')
    return new Visitor(jar)
  }

  async cookies(): Promise<readonly string[]> {
    return (await this.#jar.getCookies('http://127.0.0.1/')).map(({ key }) => key)
  }
}

const parsed = (text: string): Readonly<Record<string, unknown>> => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : { value }
  } catch {
    return { text }
  }
}
