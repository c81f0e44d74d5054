import { afterEach, expect, test } from 'vitest'
import { memoryBackend } from '../../src/backends/memory/index.js'
import { memoryCache } from '../../src/caches/memory/index.js'
import { createSessionStore } from '../../src/create-session-store.js'
import { faultyBackend, faultyCache } from '../../src/testing/faulty-tier.js'
import { nestExpress } from '../frameworks/apps/nest-express.js'
import { nestFastify } from '../frameworks/apps/nest-fastify.js'
import type { Framework, Routes } from '../frameworks/framework.js'
import { type Visitor, visitor } from './visitor.js'

let closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing) await close()
  closing = []
})

/** An application whose store then cannot be asked. */
const inAnOutage = async (framework: Framework): Promise<{ readonly url: string; readonly known: Visitor }> => {
  const [cache, backend] = [faultyCache(memoryCache()), faultyBackend(memoryBackend())]
  const sessions = createSessionStore({ cache, backend })
  sessions.on('fault', () => {})
  const routes: Routes = {
    set: (session) => {
      session.set('user', 'ada')
      return {}
    },
  }
  const app = await framework.start(routes, { sessions, secrets: ['a secret of a test, at least 32 characters long'] })
  closing = [async () => await app.close(), async () => await sessions.close()]
  const known = visitor()
  expect((await known.post(`${app.url}/set`)).status).toBe(200)
  cache.unreachable = true
  backend.unreachable = true
  closing.unshift(async () => {
    cache.unreachable = false
    backend.unreachable = false
  })
  return { url: `${app.url}/set`, known }
}

test.each([nestExpress, nestFastify])(
  '$name has an error of loading a session go through its filters',
  async (framework) => {
    const { url, known } = await inAnOutage(framework)
    expect(await known.post(url)).toMatchObject({ status: 500, body: { code: 'E_SESSION_UNAVAILABLE' } })
  },
)

test('on Fastify the answer of a filter is stored as well, and where that fails Fastify answers', async () => {
  const { url } = await inAnOutage(nestFastify)
  const body = { code: 'E_SESSION_UNAVAILABLE', statusCode: 500 }
  expect(await visitor().post(url)).toMatchObject({ status: 500, body })
})
