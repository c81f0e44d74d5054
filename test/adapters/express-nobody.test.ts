import type { AddressInfo } from 'node:net'
import express, { type RequestHandler } from 'express'
import session from 'express-session'
import pg from 'pg'
import { expect, test } from 'vitest'
import { NonstickStore } from '../../src/adapters/express.js'
import { postgres } from '../../src/backends/postgres/index.js'
import { relationOf } from '../../src/backends/postgres/statements.js'
import { memoryCache } from '../../src/caches/memory/index.js'
import { clusterForThisFile } from '../backends/postgres/cluster.js'

const cluster = clusterForThisFile()
const MINUTES = 60_000
/** As many requests as a robot makes in a minute, and as many at once. */
const VISITORS = 5_000
const AT_ONCE = 20

const end = (response: express.Response) => (): void => void response.end()

/** How visitors without a cookie may end a session that was never stored, one after another. */
const ROUTES: readonly RequestHandler[] = [
  (request, response) => void request.session.destroy(end(response)),
  (request, response) => {
    Object.assign(request, { session: null })
    response.end()
  },
  (request, response) => {
    Object.assign(request.session, { lastVisit: 1 })
    request.session.cookie.maxAge = 0
    response.end()
  },
  // The new session is one that nothing was put into, and ends as well.
  (request, response) => void request.session.regenerate(() => request.session.destroy(end(response))),
]

test('five thousand requests of visitors who have no stored session leave no row in PostgreSQL', {
  timeout: 10 * MINUTES,
}, async () => {
  const { url, schema, table } = cluster()
  const patience = { queryTimeoutMs: MINUTES, connectTimeoutMs: MINUTES }
  const backend = postgres({ connectionString: url, schema, table, ...patience })
  const store = new NonstickStore({ cache: memoryCache(), backend, backendTimeoutMs: MINUTES, deadlineMs: 2 * MINUTES })
  const app = express()
  app.use(session({ store, secret: 'of a test', resave: false, saveUninitialized: false, unset: 'destroy' }))
  for (const [at, route] of ROUTES.entries()) app.get(`/${at}`, route)
  app.get('/stored', (request, response) => {
    Object.assign(request.session, { cart: ['tea'] })
    response.end()
  })
  const server = app.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  const client = new pg.Client(url)
  await client.connect()
  const rows = async (): Promise<number> =>
    Number((await client.query(`select count(*) as rows from ${relationOf(schema, table)}`)).rows[0]?.rows)
  try {
    let next = 0
    const visit = async (): Promise<void> => {
      while (next < VISITORS) {
        const route = next % ROUTES.length
        next += 1
        expect((await fetch(`http://127.0.0.1:${port}/${route}`)).status).toBe(200)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, visit))
    expect(await rows()).toBe(0)
    // It is the same table that a visitor with a cart has a row in.
    await fetch(`http://127.0.0.1:${port}/stored`)
    expect(await rows()).toBe(1)
  } finally {
    await client.end()
    await new Promise((resolve) => server.close(resolve))
    await store.close()
  }
})
