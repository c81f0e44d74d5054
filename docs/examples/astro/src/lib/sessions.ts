import { sessionStoreFromEnv } from 'nonstick'
import { createWebSessions } from 'nonstick/web'

export interface Visit {
  user?: string
  visits?: number
}

const keys = process.env['SESSION_KEYS']?.split(',')
if (!keys) throw new Error('Set SESSION_KEYS to a long random text: openssl rand -base64 32')

// The tiers are those of NONSTICK_CACHE and NONSTICK_BACKEND.
export const sessions = await sessionStoreFromEnv<Visit>({ identify: ({ user }) => user })

export const web = createWebSessions({
  sessions,
  cookie: { keys, secure: process.env['NODE_ENV'] === 'production' },
})

process.once('SIGTERM', async () => {
  await sessions.close()
  process.exit()
})
