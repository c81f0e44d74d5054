/** Runs in a process of its own: sessions that are due for the database, and the upserts that a program would write without us. */
import { randomBytes } from 'node:crypto'
import { createSessionStore, type Session } from 'nonstick'
import { msgpackCodec } from 'nonstick/codecs'
import { postgres } from 'nonstick/postgres'
import pg from 'pg'
import { PATIENT, patientMemcached } from './patient.js'
import type { Sample } from './rounds.js'
import { sessionOf, USUAL_SIZE } from './sessions.js'
import { answerAll, cpuUs } from './subject.js'

export type Flusher = 'nonstick' | 'upserts one by one' | 'upserts in one statement'

export type FlushQuestion =
  | { readonly open: { readonly memcached: string; readonly database: string } }
  /** So many sessions are due at once, again and again. */
  | { readonly flush: Flusher; readonly atOnce: number; readonly seconds: number }

const SESSIONS = 256
const CONNECTIONS = 10
const DAY_MS = 86_400_000
const numbers = Array.from({ length: SESSIONS }, (_, number) => number)

const open = async ({ memcached: servers, database }: { readonly memcached: string; readonly database: string }) => {
  const pool = new pg.Pool({ connectionString: database, max: CONNECTIONS })
  pool.on('error', () => {})
  const sessions = createSessionStore({
    cache: patientMemcached(servers),
    backend: postgres({ pool, migrate: true, queryTimeoutMs: 60_000 }),
    // Every change is due.
    maxStaleCount: 1,
    ...PATIENT,
  })
  await sessions.ready({ deadlineMs: 60_000 })
  const held: Session[] = []
  for (const number of numbers) held.push(await sessions.create({ ...sessionOf(USUAL_SIZE, number) }))

  await pool.query(
    'create table bare (id text primary key, data bytea not null, expires_at timestamptz not null); create index on bare (expires_at)',
  )
  const ids = numbers.map(() => randomBytes(24).toString('base64url'))
  const values = numbers.map((number) => ({ ...sessionOf(USUAL_SIZE, number) }))
  const upsert = (those: readonly number[]): Promise<unknown> =>
    pool.query(
      `insert into bare (id, data, expires_at)
       values ${those.map((_, at) => `($${3 * at + 1}, $${3 * at + 2}, $${3 * at + 3})`).join(', ')}
       on conflict (id) do update set data = excluded.data, expires_at = excluded.expires_at`,
      those.flatMap((number) => [
        ids[number],
        Buffer.from(msgpackCodec.encode(values[number])),
        new Date(Date.now() + DAY_MS),
      ]),
    )

  const flushers: Readonly<Record<Flusher, (those: readonly number[], count: number) => Promise<unknown>>> = {
    nonstick: (those, count) =>
      Promise.all(
        those.map((number) => {
          const session = held[number]
          if (session === undefined) throw new Error('the session is not there')
          session.data['count'] = count
          return sessions.save(session)
        }),
      ),
    'upserts one by one': (those, count) => {
      change(those, count)
      return Promise.all(those.map((number) => upsert([number])))
    },
    'upserts in one statement': (those, count) => {
      change(those, count)
      return upsert(those)
    },
  }
  const change = (those: readonly number[], count: number): void => {
    for (const number of those) {
      const data = values[number]
      if (data !== undefined) data.count = count
    }
  }

  let changes = 0
  return async (flusher: Flusher, atOnce: number, seconds: number): Promise<Sample> => {
    const usedUs = cpuUs()
    const startedMs = performance.now()
    const untilMs = startedMs + seconds * 1_000
    let rows = 0
    while (performance.now() < untilMs) {
      changes = (changes + 1) % 50_000
      await flushers[flusher](numbers.slice(0, atOnce), 10_000 + changes)
      rows += atOnce
    }
    return { cpuUs: (cpuUs() - usedUs) / rows, perSecond: rows / ((performance.now() - startedMs) / 1_000) }
  }
}

let flush: Awaited<ReturnType<typeof open>> | undefined

answerAll(async (question: FlushQuestion): Promise<unknown> => {
  if ('open' in question) {
    flush = await open(question.open)
    return undefined
  }
  return await flush?.(question.flush, question.atOnce, question.seconds)
})
