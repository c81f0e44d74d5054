import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll } from 'vitest'
import { couchdbUrl, startCouchdb } from '../../../scripts/servers/couchdb.js'
import { quietRuntime } from '../../support/calendar.js'
import type { DatedOptions } from './backend.js'

/** A CouchDB for one test file, and names of databases that nobody else has. */
export interface Couch {
  /** With the password, if it takes one. */
  readonly url: string
  /** Whether it is a real one and not the stand-in. */
  readonly isReal: boolean
  /** The pattern of the databases' names, new with each call; all that fit it are removed after the file. */
  pattern(): string
  /** Options for a backend with databases of its own, on the quiet day where nothing else is said. */
  options(more?: Partial<DatedOptions>): DatedOptions
  /** As the administrator; for looking at what the backend did, and for doing it harm. */
  ask(path: string, init?: { method?: string; body?: unknown }): Promise<{ status: number; body: unknown }>
  /** The databases of a pattern, but for the users'. */
  databases(pattern: string): Promise<readonly string[]>
}

const DAY_MS = 86_400_000

/** The one that `COUCHDB_URL` names, or a stand-in of its own. */
export const openCouch = async (): Promise<Couch & { stop(): Promise<void> }> => {
  const prefix = `test_${randomBytes(6).toString('hex')}`
  let patterns = 0
  const given = couchdbUrl()
  const server = given === undefined ? await startCouchdb() : undefined
  const url = (given ?? server?.url ?? '').replace(/\/+$/, '')
  const ask = askerOf(url)
  const pattern = (): string => `${prefix}_${++patterns}-{yyyy}-{mm}`
  const named = async (start: string): Promise<string[]> =>
    ((await ask('_all_dbs')).body as string[]).filter((name) => name.startsWith(start)).sort()
  return {
    url,
    isReal: given !== undefined,
    pattern,
    options: (more = {}) => ({
      url,
      absoluteTtlMs: 30 * DAY_MS,
      database: pattern(),
      requestTimeoutMs: 60_000,
      connectTimeoutMs: 60_000,
      runtime: quietRuntime,
      ...more,
    }),
    ask,
    databases: async (database) => {
      const names = await named(database.slice(0, database.indexOf('{')))
      return names.filter((name) => name !== database.replace('{yyyy}-{mm}', 'users'))
    },
    stop: async () => {
      if (server === undefined) for (const name of await named(prefix)) await ask(name, { method: 'DELETE' })
      await server?.stop()
    },
  }
}

/** Starts before the file's tests and ends after them. */
export const couchForThisFile = (): (() => Couch) => {
  let couch: Awaited<ReturnType<typeof openCouch>> | undefined
  beforeAll(async () => {
    couch = await openCouch()
  })
  afterAll(() => couch?.stop())

  return () => {
    if (couch === undefined) throw new Error('the server is started before the first test')
    return couch
  }
}

const askerOf = (url: string): Couch['ask'] => {
  const { origin, pathname, username, password } = new URL(url)
  const base = `${origin}${pathname.replace(/\/+$/, '')}`
  const who = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  const authorization = { authorization: `Basic ${Buffer.from(who).toString('base64')}` }
  return async (path, { method = 'GET', body } = {}) => {
    const response = await fetch(`${base}/${path}`, {
      method,
      headers: {
        'content-type': 'application/json',
        accept: 'application/json',
        ...(username === '' ? {} : authorization),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, body: text === '' ? undefined : (JSON.parse(text) as unknown) }
  }
}
