import { randomBytes } from 'node:crypto'
import { type IncomingHttpHeaders, request } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Program, startProgram } from '../shutdown/programs.js'

const PASSWORD = randomBytes(12).toString('base64')
const BROWSER = 'Mozilla/5.0 (the browser of Ada)'
const FILE = 'docs/examples/security.ts'

const running: Program[] = []
afterAll(() => Promise.all(running.map((program) => program.stop())))

const start = async (env: Readonly<Record<string, string>> = {}): Promise<number> => {
  const SESSION_SECRET = randomBytes(32).toString('base64')
  const program = startProgram(FILE, { PORT: '0', SESSION_SECRET, ADA_PASSWORD: PASSWORD, ...env })
  running.push(program)
  const [listening] = await program.prints(/listening on .*port: (\d+)/)
  return Number(listening?.[1])
}

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: unknown
  /** What the browser would send with its next request. */
  readonly cookie: string
}

/** A browser behind a proxy that ends TLS: it keeps the cookie, and says what it is. */
const browser = (port: number, userAgent = BROWSER, given = '') => {
  let cookie = given
  return (method: string, path: string, body: unknown = {}): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const headers = {
        'x-forwarded-proto': 'https',
        'user-agent': userAgent,
        'content-type': 'application/json',
        ...(cookie === '' ? {} : { cookie }),
      }
      const asked = request({ host: '127.0.0.1', port, method, path, headers, agent: false }, (answer) => {
        let text = ''
        answer.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk
        })
        answer.once('end', () => {
          const [set] = answer.headers['set-cookie'] ?? []
          if (set !== undefined) cookie = set.split(';')[0] ?? ''
          const isJson = answer.headers['content-type']?.startsWith('application/json') === true
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            body: isJson ? JSON.parse(text) : undefined,
            cookie,
          })
        })
      })
      asked.once('error', reject)
      asked.end(method === 'GET' ? undefined : JSON.stringify(body))
    })
}

const ada = { user: 'ada', password: PASSWORD }

describe('the program of the page about security', () => {
  let port = 0
  beforeAll(async () => {
    port = await start()
  }, 300_000)

  test('sets a cookie that only this host over HTTPS gets back, that no script reads, and that no cache keeps', async () => {
    const { status, headers } = await browser(port)('POST', '/login', ada)
    expect(status).toBe(204)
    const [cookie = ''] = headers['set-cookie'] ?? []
    expect(cookie).toMatch(/^__Host-id=[^;]+; Path=\/; HttpOnly; Secure; SameSite=Strict$/)
    expect(headers['cache-control']).toBe('no-store')
  })

  test('lets nobody in with a wrong password, or without one, and makes no session for him', async () => {
    for (const wrong of [{ ...ada, password: 'other' }, { user: 'eve', password: PASSWORD }, { user: 'ada' }, {}]) {
      const { status, headers } = await browser(port)('POST', '/login', wrong)
      expect(status).toBe(403)
      expect(headers['set-cookie']).toBeUndefined()
    }
    expect((await browser(port)('GET', '/')).status).toBe(401)
  })

  test('gives a new id at a login, and the one from before is worth nothing, though somebody planted it', async () => {
    const visitor = browser(port)
    const { cookie: planted } = await visitor('POST', '/login', ada)
    const victim = browser(port, BROWSER, planted)
    const { cookie } = await victim('POST', '/login', ada)
    expect(cookie).not.toBe(planted)
    expect((await victim('GET', '/')).status).toBe(200)
    expect((await browser(port, BROWSER, planted)('GET', '/')).status).toBe(401)
  })

  test('ends a session that comes from another browser than it was made in, for both', async () => {
    const own = browser(port)
    const { cookie } = await own('POST', '/login', ada)
    expect((await own('GET', '/')).status).toBe(200)
    expect((await browser(port, 'curl/8', cookie)('GET', '/')).status).toBe(401)
    expect((await own('GET', '/')).status).toBe(401)
  })

  test('notes when the password was shown once more, under a new id, and keeps the rest of the session', async () => {
    const own = browser(port)
    const { cookie: before } = await own('POST', '/login', ada)
    const { body: first } = await own('GET', '/')
    const { authenticatedAt } = first as { authenticatedAt: number }
    expect((await own('POST', '/again', { password: 'other' })).status).toBe(403)
    // A step of the clock at least lies between the two.
    while ((await own('GET', '/')).headers['date'] === new Date(authenticatedAt).toUTCString());
    const { status, cookie } = await own('POST', '/again', { password: PASSWORD })
    expect(status).toBe(204)
    expect(cookie).not.toBe(before)
    const { body: second } = await own('GET', '/')
    expect(second).toMatchObject({ user: 'ada' })
    expect((second as { authenticatedAt: number }).authenticatedAt).toBeGreaterThan(authenticatedAt)
    expect((await browser(port, BROWSER, before)('GET', '/')).status).toBe(401)
  })

  test('ends the user’s other sessions when he changes what leads to his account, and keeps his own', async () => {
    const [here, there] = [browser(port), browser(port)]
    await here('POST', '/login', ada)
    await there('POST', '/login', ada)
    expect((await here('POST', '/mail-address')).status).toBe(204)
    expect((await here('GET', '/')).status).toBe(200)
    expect((await there('GET', '/')).status).toBe(401)
  })

  test('asks for the password before such a change where it was shown too long ago', async () => {
    const strict = browser(await start({ FRESH_MINUTES: '0' }))
    await strict('POST', '/login', ada)
    expect(await strict('POST', '/mail-address')).toMatchObject({ status: 401, body: { need: 'password' } })
    expect((await strict('GET', '/')).status).toBe(200)
  }, 300_000)

  test('leaves nothing behind at a logout: the session is gone, and the browser is told to clear what it has', async () => {
    const own = browser(port)
    const { cookie } = await own('POST', '/login', ada)
    const { status, headers } = await own('POST', '/logout')
    expect(status).toBe(204)
    expect(headers['set-cookie']?.[0]).toMatch(/^__Host-id=; Path=\/; Expires=Thu, 01 Jan 1970 .*; Secure/)
    expect(headers['clear-site-data']).toBe('"cache", "cookies", "storage"')
    expect((await browser(port, BROWSER, cookie)('GET', '/')).status).toBe(401)
  })
})

test('the program of the page about security does not start without the password of its user', async () => {
  const program = startProgram(FILE, { SESSION_SECRET: randomBytes(32).toString('base64'), ADA_PASSWORD: '' })
  expect(await program.ended).toBe(1)
  expect(program.output()).toMatch(/Set ADA_PASSWORD/)
}, 300_000)
