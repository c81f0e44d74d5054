/** Requests to the servers that are measured, over connections that stay open. */
import { Pool } from 'undici'
import type { Size } from './sessions.js'
import { median, quantile } from './statistics.js'

/** So many sessions of each size, and so many connections to each server. */
const SESSIONS = 48
const AT_ONCE = 16

export interface Visits {
  readonly requests: number
  readonly perSecond: number
  readonly p50Us: number
  readonly p99Us: number
}

export interface VisitOptions {
  readonly bytes: Size
  /** Every so manieth request writes; 0: none does. */
  readonly writeEvery: number
  readonly seconds: number
  /** At most so many requests. */
  readonly requests?: number
}

export interface Visitors {
  visit(options: VisitOptions): Promise<Visits>
  close(): Promise<void>
}

const answerOf = async (
  pool: Pool,
  method: 'GET' | 'POST',
  path: string,
  cookie: string | undefined,
): Promise<{ readonly body: string; readonly setCookie: string | undefined }> => {
  const { statusCode, headers, body } = await pool.request({
    method,
    path,
    headers: cookie === undefined ? {} : { cookie },
  })
  const text = await body.text()
  if (statusCode !== 200) throw new Error(`${path} was answered with ${statusCode}: ${text}`)
  const setCookie = headers['set-cookie']
  return { body: text, setCookie: (Array.isArray(setCookie) ? setCookie[0] : setCookie)?.split(';')[0] }
}

/** Begins the sessions, at the first of the servers. With several servers, the requests of a session go to each in turn. */
export const startVisitors = async (ports: readonly number[], sizes: readonly Size[]): Promise<Visitors> => {
  const pools = ports.map((port) => new Pool(`http://127.0.0.1:${port}`, { connections: AT_ONCE, pipelining: 1 }))
  const [first] = pools
  if (first === undefined) throw new Error('there is no server to visit')
  const cookies = new Map<Size, string[]>()
  for (const bytes of sizes) {
    const begun: string[] = []
    for (let user = 1; user <= SESSIONS; user += 1) {
      const { setCookie } = await answerOf(first, 'POST', `/start/${bytes}/${user}`, undefined)
      if (setCookie === undefined) throw new Error('no cookie came with a new session')
      begun.push(setCookie)
    }
    cookies.set(bytes, begun)
  }

  let turn = 0
  return {
    visit: async ({ bytes, writeEvery, seconds, requests = Number.POSITIVE_INFINITY }) => {
      const mine = cookies.get(bytes) ?? []
      const tookUs: number[] = []
      let sent = 0
      const startedMs = performance.now()
      const untilMs = startedMs + seconds * 1_000
      const lane = async (): Promise<void> => {
        for (;;) {
          const beganMs = performance.now()
          if (beganMs > untilMs || sent >= requests) return
          sent += 1
          turn += 1
          const pool = pools[turn % pools.length] ?? first
          const path = writeEvery > 0 && turn % writeEvery === 0 ? '/write' : '/read'
          const { body } = await answerOf(pool, 'GET', path, mine[turn % mine.length])
          // A session that is not there would be fast.
          if (!/\d/.test(body)) throw new Error(`${path} found no session: ${body}`)
          tookUs.push((performance.now() - beganMs) * 1_000)
        }
      }
      await Promise.all(Array.from({ length: AT_ONCE }, lane))
      return {
        requests: tookUs.length,
        perSecond: tookUs.length / ((performance.now() - startedMs) / 1_000),
        p50Us: median(tookUs),
        p99Us: quantile(tookUs, 0.99),
      }
    },
    close: async () => {
      await Promise.all(pools.map((pool) => pool.destroy()))
    },
  }
}
