import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import makeFetchCookie from 'fetch-cookie'
import { CookieJar } from 'tough-cookie'
import { createWebSessions, type WebSession, type WebSessions } from '../../../src/adapters/web.js'
import type { SessionStore } from '../../../src/contract/session-store.js'
import { createSessionStore } from '../../../src/index.js'
import { memoryBackend, memoryCache } from '../../../src/memory.js'
import { faultyBackend, faultyCache } from '../../../src/testing/faulty-tier.js'

export const KEYS = ['the newest key, of a test and of no use', 'an older key, of a test and of no use'] as const

export interface Visit {
  user?: string
  cart?: string[]
  theme?: string
  visits?: number
}

/** What a test serves at one path. */
export type Answer = (session: WebSession<Visit>, request: Request) => Response | Promise<Response>

/** The tiers of a test, and one store on them. */
export const openTiers = (): {
  readonly cache: ReturnType<typeof faultyCache>
  readonly backend: ReturnType<typeof faultyBackend>
  readonly sessions: SessionStore<Visit>
} => {
  const [cache, backend] = [faultyCache(memoryCache()), faultyBackend(memoryBackend())]
  const sessions = createSessionStore<Visit>({ cache, backend, identify: ({ user }) => user })
  sessions.on('fault', () => {}) // They are made on purpose.
  return { cache, backend, sessions }
}

export interface Served extends AsyncDisposable {
  readonly url: string
}

/** Serves over HTTP, on a free port. What is thrown is a 500 with its code. */
export const serve = async (answer: (request: Request) => Promise<Response>): Promise<Served> => {
  const failed = (error: unknown): Response =>
    new Response(String((error as { readonly code?: string }).code ?? error), { status: 500 })
  const listener = getRequestListener(async (request) => await answer(request).catch(failed), {
    overrideGlobalObjects: false,
  })
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Serves each answer at its path, with the session of the request. */
export const serveSessions = async (
  web: WebSessions<Visit>,
  answers: Readonly<Record<string, Answer>>,
): Promise<Served> =>
  await serve(async (request) => {
    const answer = answers[new URL(request.url).pathname]
    if (answer === undefined) throw new Error('There is no such path')
    return await web.withSession(request, async (session) => await answer(session, request))
  })

/** Sessions as most tests have them: a development server without TLS. */
export const webSessions = (
  sessions: SessionStore<Visit>,
  {
    rolling = false,
    ...cookie
  }: { readonly rolling?: boolean; readonly maxAgeMs?: number; readonly keys?: readonly string[] } = {},
): WebSessions<Visit> => createWebSessions({ sessions, cookie: { keys: KEYS, secure: false, ...cookie }, rolling })

/** A browser, as far as cookies go. */
export class Browser {
  readonly jar: CookieJar

  constructor(jar: CookieJar = new CookieJar()) {
    this.jar = jar
  }

  async get({ url }: Served, path: string): Promise<{ status: number; text: string; setCookies: readonly string[] }> {
    const fetchWithCookies = makeFetchCookie(fetch, this.jar) as unknown as typeof fetch
    const response = await fetchWithCookies(url + path, { redirect: 'manual' })
    return { status: response.status, text: await response.text(), setCookies: response.headers.getSetCookie() }
  }

  async cookies({ url }: Served): Promise<readonly string[]> {
    return (await this.jar.getCookies(url)).map(({ value }) => value)
  }
}
