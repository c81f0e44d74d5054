import { contextStore, NonstickStore } from '../../../src/adapters/koa.js'
import type { Framework } from '../framework.js'
import { koa, startKoa } from './koa.js'

/** koa-session makes one of these for each request, and it is told which store has the session. */
export const koaContextStore: Framework = {
  ...koa,
  name: 'koa, ContextStore',
  start: async (routes, options) => {
    const store = new NonstickStore({ sessions: options.sessions })
    return await startKoa(routes, options, { ContextStore: contextStore(() => store) })
  },
}
