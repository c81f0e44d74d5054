import type { Runtime } from '../../../contract/time.js'
import { isPlainObject } from '../../../tools/is-plain-object.js'
import { within } from '../../../tools/waiting.js'
import { UsageError } from '../../exits.js'
import { lifeSince } from '../life.js'
import { pickledOrJson } from '../python.js'
import { type Item, type Page, placeIn, type Source, type SourceKind, type SourceOptions } from '../source.js'
import { unreachable } from '../unreachable.js'
import { CHULA_TTL_MS, withoutCounter } from './chula.js'

const DOCUMENTS_AT_ONCE = 200
const PREFIX = 'chula/session/'
const PATIENCE_MS = 60_000

interface Row {
  readonly id: string
  readonly doc?: unknown
}

/** Chula's databases in CouchDB, one for each month: `chula/session/2014/11`. */
export const chulaCouchdb: SourceKind = {
  summary: 'Chula in CouchDB, all of its months; --idle-ttl is its session_timeout [30m]',
  at: 'couchdb',
  open: async ({ at, prefix = PREFIX, idleTtlMs = CHULA_TTL_MS, runtime }: SourceOptions): Promise<Source> => {
    const ask = askerOf(at, runtime)
    const months = (await ask<readonly string[]>('_all_dbs')).filter((name) => name.startsWith(prefix)).sort()
    const pageIn = async (month: string, after: string | undefined): Promise<Page> => {
      const start = after === undefined ? '' : `&startkey=${encodeURIComponent(JSON.stringify(after))}`
      const path = `${encodeURIComponent(month)}/_all_docs?include_docs=true&limit=${DOCUMENTS_AT_ONCE + 1}${start}`
      const { rows } = await ask<{ readonly rows: readonly Row[] }>(path)
      const items = rows
        .slice(0, DOCUMENTS_AT_ONCE)
        .flatMap(({ id, doc }) => (id.startsWith('_design/') ? [] : [itemOf(month, id, doc, idleTtlMs, runtime.now())]))
      const following = rows[DOCUMENTS_AT_ONCE]?.id
      const at = following === undefined ? nextMonth(months, month) : placeOf(month, following)
      const resumeAt = following === undefined ? at : placeOf(month, placeIn(following))
      return { items, next: at, resumeAt }
    }
    return {
      count: async () => {
        let count = 0
        for (const month of months)
          count += (await ask<{ readonly doc_count: number }>(encodeURIComponent(month))).doc_count
        return count
      },
      page: async (after) => {
        const [month = months[0], id] = after === undefined ? [] : (JSON.parse(after) as readonly [string, string?])
        return month === undefined ? { items: [], next: undefined, resumeAt: undefined } : await pageIn(month, id)
      },
      remove: async (refs) => {
        for (const ref of refs) {
          const [month, id, rev] = JSON.parse(ref) as readonly [string, string, string]
          await ask(`${encodeURIComponent(month)}/${encodeURIComponent(id)}?rev=${rev}`, 'DELETE')
        }
      },
      close: async () => {},
    }
  },
}

const placeOf = (month: string, id: string): string => JSON.stringify([month, id])

const nextMonth = (months: readonly string[], month: string): string | undefined => {
  const next = months[months.indexOf(month) + 1]
  return next === undefined ? undefined : JSON.stringify([next])
}

const itemOf = (month: string, id: string, doc: unknown, idleTtlMs: number, now: number): Item => {
  if (!isPlainObject(doc)) return { ref: placeOf(month, id), unreadable: 'it is no document of Chula' }
  const { _rev: rev, PICKLE: stored, created, modified } = doc
  const ref = JSON.stringify([month, id, rev])
  if (typeof stored !== 'string' || typeof modified !== 'number')
    return { ref, unreadable: 'it is no document of Chula' }
  const createdAt = typeof created === 'number' ? Math.floor(created * 1_000) : undefined
  const lived = lifeSince({ createdAt, seenAt: Math.floor(modified * 1_000) }, idleTtlMs, now)
  if (!('life' in lived)) return { ref, ...lived }
  const read = pickledOrJson(Buffer.from(stored, 'latin1'))
  if ('unreadable' in read) return { ref, ...read }
  return { ref, id, session: { data: withoutCounter(read.data), ...lived.life } }
}

/** Asks a CouchDB. A user and a password in its URL go with each request, and stand in no message. */
const askerOf = (at: string, runtime: Runtime): (<Answer>(path: string, method?: string) => Promise<Answer>) => {
  if (!/^https?:/.test(at) || !URL.canParse(at))
    throw new UsageError('Expected --at to be the URL of a CouchDB: http://user:password@host:5984')
  const url = new URL(at.endsWith('/') ? at : `${at}/`)
  const login = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`
  const headers: Record<string, string> =
    url.username === '' ? {} : { authorization: `Basic ${Buffer.from(login).toString('base64')}` }
  url.username = ''
  url.password = ''
  return async <Answer>(path: string, method = 'GET') => {
    const asked = fetch(new URL(path, url), { method, headers }).catch((cause: unknown) => {
      throw unreachable('CouchDB', cause)
    })
    const response = await within(runtime, PATIENCE_MS, asked, () => unreachable('CouchDB', undefined))
    // What is gone already need not be removed; what was changed meanwhile stays.
    if (method === 'DELETE' && (response.status === 404 || response.status === 409)) return undefined as Answer
    if (!response.ok)
      throw new Error(
        `The CouchDB that --at names refused, with the status ${response.status}. See whether the user and the password in ` +
          '--at are right, and whether that user may read its databases; then run the command again',
      )
    return (await response.json().catch(() => {
      // The message of the error quotes what came.
      throw new Error('Expected an answer of a CouchDB, got no JSON. See whether --at leads to a CouchDB')
    })) as Answer
  }
}
