import { sessionStoreFromEnv } from 'nonstick'
import { createWebSessions } from 'nonstick/web'

export interface Visit {
  user?: string
  visits?: number
}

const open = async () => {
  const keys = process.env['SESSION_KEYS']?.split(',')
  if (!keys) throw new Error('Set SESSION_KEYS to a long random text: openssl rand -base64 32')
  // The tiers are those of NONSTICK_CACHE and NONSTICK_BACKEND.
  const sessions = await sessionStoreFromEnv<Visit>({ identify: ({ user }) => user })
  const web = createWebSessions({ sessions, cookie: { keys, secure: process.env['NODE_ENV'] === 'production' } })
  process.once('SIGTERM', async () => {
    await sessions.close()
    process.exit()
  })
  return { sessions, web }
}

/** One for the process: Next loads this file more than once. A build does not open it, and needs no keys. */
const here = globalThis as typeof globalThis & { opened?: ReturnType<typeof open> }

export const openSessions = () => {
  here.opened ??= open()
  return here.opened
}
