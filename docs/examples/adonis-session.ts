/** config/session.ts of an AdonisJS application whose sessions are in Memcached and PostgreSQL. */
import { defineConfig } from '@adonisjs/session'
import { sessionStoreFromEnv } from 'nonstick'
import { nonstickStore, userOfAdonisSession } from 'nonstick/adonis'

// NONSTICK_CACHE and DATABASE_URL say where Memcached and PostgreSQL are; "memory" will do to try this out.
export const sessions = await sessionStoreFromEnv({ identify: userOfAdonisSession })

export default defineConfig({
  cookieName: 'shop_session',
  age: '2h',
  clearWithBrowser: false,
  cookie: { path: '/', httpOnly: true, secure: process.env['NODE_ENV'] === 'production', sameSite: 'lax' },
  store: 'nonstick',
  stores: { nonstick: nonstickStore({ sessions }) },
})
