import type { Framework } from '../framework.js'
import { express4 } from './express4.js'
import { express5 } from './express5.js'
import { fastify5 } from './fastify.js'
import { honoSession } from './hono-session.js'
import { honoSessions } from './hono-sessions.js'
import { koa } from './koa.js'
import { koaContextStore } from './koa-context-store.js'
import { reactRouter } from './react-router.js'
import { web } from './web.js'

/** Every adapter, in the order of the table of the frameworks. */
export const FRAMEWORKS: readonly Framework[] = [
  express5,
  express4,
  fastify5,
  koa,
  koaContextStore,
  honoSessions,
  honoSession,
  reactRouter,
  web,
]
