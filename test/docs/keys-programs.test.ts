import { execFileSync } from 'node:child_process'
import { AppFactory } from '@adonisjs/core/factories/app'
import { describe, expect, test } from 'vitest'
import { serving } from './serving.js'

const root = new URL('../..', import.meta.url).pathname

/** What a program prints that keeps everything in its own memory. */
const printed = (file: string): string => {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('NONSTICK_')))
  return execFileSync(process.execPath, ['--import', 'tsx', file], {
    cwd: root,
    encoding: 'utf8',
    env: { ...env, NONSTICK_CACHE: 'memory', NONSTICK_BACKEND: 'memory' },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
}

describe('the programs of the pages on keys', () => {
  test('that on Keyv does what its comments say', () => {
    expect(printed('docs/examples/keyv.ts')).toBe('4.2 [ 4.2, 1.1, undefined ]\ntrue false\n4.5\nfalse\n')
  })

  test('that on unstorage does what its comments say', () => {
    expect(printed('docs/examples/unstorage.ts')).toBe("{ title: 'Home' }\n[ 'pages:home', 'pages:news' ]\nfalse\n")
  })

  test('that on better-auth signs up, knows who came back, signs out, and ends at SIGTERM', async () => {
    await using program = await serving('docs/examples/better-auth.ts')
    let cookie = ''
    const ask = async (path: string, body?: object): Promise<unknown> => {
      const response = await fetch(`${program.url}/api/auth${path}`, {
        method: body === undefined ? 'GET' : 'POST',
        headers: { 'content-type': 'application/json', origin: 'http://127.0.0.1:3000', cookie },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      expect(response.status, path).toBe(200)
      cookie ||= response.headers
        .getSetCookie()
        .map((set) => set.split(';')[0])
        .join('; ')
      return await response.json()
    }
    await ask('/sign-up/email', { name: 'Ada', email: 'ada@example.org', password: 'correct horse battery' })
    expect(await ask('/get-session')).toMatchObject({ user: { name: 'Ada' } })
    await ask('/sign-out', {})
    expect(await ask('/get-session')).toBeNull()
    program.program.signal('SIGTERM')
    expect(await program.program.ended).toBe(0)
  })

  test('the configuration for AdonisJS is one that AdonisJS takes', async () => {
    const env = { ...process.env }
    for (const name of Object.keys(env)) if (name.startsWith('NONSTICK_')) delete process.env[name]
    Object.assign(process.env, { NONSTICK_CACHE: 'memory', NONSTICK_BACKEND: 'memory' })
    try {
      const { default: provider, sessions } = await import('../../docs/examples/adonis-session.js')
      const config = await provider.resolver(new AppFactory().create(new URL('./', import.meta.url)) as never)
      const store = config.stores.nonstick(null as never, config)
      await store.write('an id', { user: 'ada' })
      expect(await store.read('an id')).toEqual({ user: 'ada' })
      const [session] = await sessions.list()
      expect(session?.idleTtlMs).toBe(7_200_000)
      await sessions.close()
    } finally {
      delete process.env['NONSTICK_CACHE']
      delete process.env['NONSTICK_BACKEND']
      Object.assign(process.env, env)
    }
  })
})
