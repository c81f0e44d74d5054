import { randomUUID } from 'node:crypto'
import cookieParser from 'cookie-parser'
import express, { type NextFunction, type Request, type Response } from 'express'
import type { App, AppOptions, RequestSession, Routes } from '../framework.js'
import { served } from './served.js'

type Data = Record<string, unknown>

/** What keeps values under keys, for a time. */
export interface KeyValueStore {
  get(key: string): Promise<Data | null | undefined>
  set(key: string, value: Data, ttlMs: number): Promise<unknown>
  delete(key: string): Promise<unknown>
}

/** What a program can be told that makes sessions of keys. */
export const LIMITS_OF_KEYS = {
  'parallel-changes': 'The whole value of a key is set: of two requests that run at once, the later one stands.',
  'logout-races-slow-request':
    'A key that was deleted can be set again, and a slow request sets it: sessions want an adapter for sessions.',
  'log-out-everywhere': 'What stands under a key is nobody’s: there is no call for all that a user has.',
} as const

const COOKIE = 'visitor'
const DAY_MS = 86_400_000

/** The session of one request: a value that is read at its beginning, and set at its end where it was changed. */
class KeyedSession implements RequestSession {
  readonly #keys: KeyValueStore
  id: string | undefined
  changed = false
  #data: Data

  constructor(keys: KeyValueStore, id: string | undefined, data: Data) {
    this.#keys = keys
    this.id = id
    this.#data = data
  }

  data(): Data {
    return this.#data
  }

  set(key: string, value: unknown): void {
    this.#data = { ...this.#data, [key]: value }
    this.changed = true
  }

  delete(key: string): void {
    const { [key]: _, ...others } = this.#data
    this.#data = others
    this.changed = true
  }

  async regenerate(): Promise<void> {
    if (this.id !== undefined) await this.#keys.delete(this.id)
    this.id = undefined
    this.changed = true
  }

  async destroy(): Promise<void> {
    await this.regenerate()
    this.#data = {}
    this.changed = false
  }
}

/** An application that keeps sessions in a key-value store by itself: a signed cookie has the key. */
export const startKeyed = async (
  routes: Routes,
  { secrets, maxAgeMs, rolling = false }: Omit<AppOptions, 'sessions'>,
  keys: KeyValueStore,
): Promise<App> => {
  const app = express()
  app.use(express.json({ limit: '1mb' }), cookieParser([...secrets]))
  for (const [name, route] of Object.entries(routes))
    app.post(`/${name}`, async (req, res) => {
      const cookies = req.signedCookies as Readonly<Record<string, unknown>>
      const claimed = cookies[COOKIE]
      const found = typeof claimed === 'string' ? await keys.get(claimed) : undefined
      const session = new KeyedSession(keys, found ? (claimed as string) : undefined, found ?? {})
      const answer = await route(session, req.body as Data)
      if (session.changed || (rolling && session.id !== undefined)) {
        session.id ??= randomUUID()
        await keys.set(session.id, session.data(), maxAgeMs ?? DAY_MS)
        res.cookie(COOKIE, session.id, { signed: true, httpOnly: true, ...(maxAgeMs ? { maxAge: maxAgeMs } : {}) })
      }
      res.json(answer)
    })
  app.use((error: { readonly code?: string }, _req: Request, res: Response, next: NextFunction) => {
    if (res.headersSent) return next(error)
    res.status(500).json({ code: error.code ?? String(error) })
  })
  return await served(app.listen(0, '127.0.0.1'))
}
