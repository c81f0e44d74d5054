import type { Framework } from '../framework.js'
import { adonis } from './adonis.js'
import { betterAuthApp } from './better-auth.js'
import { express4 } from './express4.js'
import { express5 } from './express5.js'
import { fastify5 } from './fastify.js'
import { honoSession } from './hono-session.js'
import { honoSessions } from './hono-sessions.js'
import { keyv5, keyv6 } from './keyv.js'
import { koa } from './koa.js'
import { koaContextStore } from './koa-context-store.js'
import { nestExpress } from './nest-express.js'
import { nestFastify } from './nest-fastify.js'
import { reactRouter } from './react-router.js'
import { unstorage } from './unstorage.js'
import { web } from './web.js'

/** Every adapter, in the order of the table of the frameworks. */
export const FRAMEWORKS: readonly Framework[] = [
  express5,
  express4,
  fastify5,
  nestExpress,
  nestFastify,
  koa,
  koaContextStore,
  honoSessions,
  honoSession,
  reactRouter,
  web,
  adonis,
  betterAuthApp,
  unstorage,
  keyv5,
  keyv6,
]
