import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import express, { type Express, type Request, type Response } from 'express'
import session, { type SessionOptions } from 'express-session'
import { NonstickStore, type OwnStoreOptions } from '../../src/adapters/express.js'
import { memoryBackend } from '../../src/backends/memory/index.js'
import { memoryCache } from '../../src/caches/memory/index.js'
import { faultyBackend, faultyCache } from '../../src/testing/faulty-tier.js'

export type Bag = Record<string, unknown>

/** The request's session, as a test likes to write it. */
export const bag = (req: Request): Bag => req.session as unknown as Bag

export interface App {
  readonly store: NonstickStore
  readonly url: string
  /** The store's methods in the order they were called since this was last asked. */
  takeCalls(): string[]
}

export interface Cluster extends AsyncDisposable {
  readonly cache: ReturnType<typeof faultyCache>
  readonly backend: ReturnType<typeof faultyBackend>
  /** Another process: an app of its own with a store of its own, on the tiers that all share. */
  process(routes: (app: Express) => void, options?: AppOptions): Promise<App>
  /** A store of its own, without an app. */
  store(options?: OwnStoreOptions): NonstickStore
  /** What is to be closed with the cluster. */
  closeAfterwards(close: () => Promise<unknown>): void
  /** From now on neither tier answers, or both do again. */
  cutOff(isCutOff: boolean): void
  /** All of the cache is gone, as after a restart. */
  loseCache(): void
  /** What the tiers are asked while `work` runs. */
  callsDuring(work: () => Promise<unknown>): Promise<{ cache: string[]; backend: string[] }>
}

export interface AppOptions {
  /** @default express 5 */
  readonly framework?: () => Express
  readonly session?: Partial<SessionOptions>
  readonly store?: OwnStoreOptions
}

export const openCluster = (): Cluster => {
  const rawCache = memoryCache()
  const cache = faultyCache(rawCache)
  const backend = faultyBackend(memoryBackend())
  const closing: (() => Promise<unknown>)[] = []

  const store = (options: OwnStoreOptions = {}): NonstickStore => new NonstickStore({ cache, backend, ...options })

  return {
    cache,
    backend,
    store,
    closeAfterwards: (close) => void closing.push(close),
    cutOff: (isCutOff) => {
      cache.unreachable = isCutOff
      backend.unreachable = isCutOff
    },
    loseCache: () => rawCache.flush(),
    process: async (routes, options = {}) => {
      const ours = store(options.store)
      const takeCalls = recordCalls(ours)
      const app = (options.framework ?? express)()
      app.use(
        session({ store: ours, secret: 'of a test', resave: false, saveUninitialized: false, ...options.session }),
      )
      routes(app)
      app.use((error: { code?: string }, _req: Request, res: Response, next: (error: unknown) => void) => {
        if (res.headersSent) return next(error)
        res.status(500).send(error.code ?? String(error))
      })
      const server = app.listen(0, '127.0.0.1')
      await once(server, 'listening')
      closing.push(async () => {
        server.closeAllConnections()
        server.close()
        await once(server, 'close')
      })
      return { store: ours, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, takeCalls }
    },
    callsDuring: async (work) => {
      const before = { cache: cache.calls.length, backend: backend.calls.length }
      await work()
      return { cache: cache.calls.slice(before.cache), backend: backend.calls.slice(before.backend) }
    },
    [Symbol.asyncDispose]: async () => {
      for (const close of closing) await close()
    },
  }
}

const RECORDED = ['get', 'set', 'touch', 'destroy'] as const

const recordCalls = (store: NonstickStore): (() => string[]) => {
  let calls: string[] = []
  for (const name of RECORDED) {
    const method = store[name] as (...parameters: unknown[]) => unknown
    Object.defineProperty(store, name, {
      value: (...parameters: unknown[]) => {
        calls.push(name)
        return method.apply(store, parameters)
      },
    })
  }
  return () => {
    const taken = calls
    calls = []
    return taken
  }
}

export interface Answer {
  readonly status: number
  readonly body: string
  /** The `Set-Cookie` of the session, where one was set. */
  readonly setCookie: string | undefined
}

/** As much of a browser as a session needs: it keeps one cookie, and follows no redirect by itself. */
export class Browser {
  cookie: string | undefined

  async get(url: string): Promise<Answer> {
    const headers = this.cookie === undefined ? {} : { cookie: this.cookie }
    const response = await fetch(url, { headers, redirect: 'manual' })
    const setCookie = response.headers.getSetCookie().find((each) => each.startsWith('connect.sid='))
    if (setCookie !== undefined) this.cookie = setCookie.split(';')[0]
    return { status: response.status, body: await response.text(), setCookie }
  }

  /** The same visitor in another tab. */
  tab(): Browser {
    const other = new Browser()
    other.cookie = this.cookie
    return other
  }
}

/** A place where requests wait until the test lets them go on. */
export const gate = (): { readonly wait: () => Promise<void>; readonly reached: Promise<void>; open(): void } => {
  const arrival = deferred()
  const opening = deferred()
  return {
    wait: async () => {
      arrival.resolve()
      await opening.promise
    },
    reached: arrival.promise,
    open: () => opening.resolve(),
  }
}

/** The session id in a signed cookie. */
export const idOf = (browser: Browser): string => {
  const signed = decodeURIComponent((browser.cookie ?? '').slice('connect.sid='.length)).slice('s:'.length)
  return signed.slice(0, signed.lastIndexOf('.'))
}

const deferred = (): { readonly promise: Promise<void>; readonly resolve: () => void } => {
  let resolve = (): void => undefined
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}
