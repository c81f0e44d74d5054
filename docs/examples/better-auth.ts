/** better-auth whose sessions, verifications and rate limit are in Memcached and PostgreSQL. */
import { createServer } from 'node:http'
import { betterAuth } from 'better-auth'
import { memoryAdapter } from 'better-auth/adapters/memory'
import { toNodeHandler } from 'better-auth/node'
import { drainOnSignal, sessionStoreFromEnv } from 'nonstick'
import { nonstickStorage } from 'nonstick/better-auth'

const TEN_YEARS_MS = 3_650 * 86_400_000

const secret = process.env['SESSION_SECRET']
if (!secret) throw new Error('Set SESSION_SECRET to a long random text: openssl rand -base64 32')

// NONSTICK_CACHE and DATABASE_URL say where Memcached and PostgreSQL are; "memory" will do to try this out.
const sessions = await sessionStoreFromEnv<unknown>({ namespace: 'auth', absoluteTtlMs: TEN_YEARS_MS })

const auth = betterAuth({
  // The users; in earnest a database that stays.
  database: memoryAdapter({ user: [], account: [], session: [], verification: [] }),
  secondaryStorage: nonstickStorage({ sessions }),
  secret,
  baseURL: 'http://127.0.0.1:3000',
  emailAndPassword: { enabled: true },
  rateLimit: { enabled: true, storage: 'secondary-storage', window: 60, max: 100 },
})

const server = createServer(toNodeHandler(auth)).listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1', () => {
  console.log('listening on', server.address())
})

drainOnSignal({ server, sessions })
