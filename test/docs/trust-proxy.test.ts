import { randomBytes } from 'node:crypto'
import { createServer, type IncomingHttpHeaders, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Program, startProgram } from '../shutdown/programs.js'

const running: Program[] = []
const proxies: Server[] = []
afterAll(async () => {
  await Promise.all(running.map((program) => program.stop()))
  for (const proxy of proxies) proxy.close()
})

/** The program of docs/trust-proxy.md; resolves with its port. */
const startExample = async (hops: number): Promise<number> => {
  const program = startProgram('docs/examples/trust-proxy.ts', {
    PORT: '0',
    PROXY_HOPS: String(hops),
    SESSION_SECRET: randomBytes(32).toString('base64'),
  })
  running.push(program)
  const [listening] = await program.prints(/listening on .*port: (\d+)/)
  return Number(listening?.[1])
}

/** What a proxy that ends TLS does to a request: it says that HTTPS was spoken with it, and with whom. */
const startProxy = (port: number): Promise<number> =>
  new Promise((resolve) => {
    const proxy = createServer((req, res) => {
      const before = req.headers['x-forwarded-for']
      const headers = {
        ...req.headers,
        'x-forwarded-proto': 'https',
        'x-forwarded-for': [...(before === undefined ? [] : [before]), VISITOR].join(', '),
      }
      const onward = request({ host: '127.0.0.1', port, method: req.method, path: req.url, headers }, (answer) => {
        res.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(res)
      })
      onward.once('error', () => res.destroy())
      req.pipe(onward)
    })
    proxies.push(proxy)
    proxy.listen(0, '127.0.0.1', () => resolve((proxy.address() as AddressInfo).port))
  })

/** The visitor as the proxy sees him. */
const VISITOR = '203.0.113.7'

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

const ask = (port: number, method: string, path: string, headers: Record<string, string> = {}): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, method, path, headers, agent: false }, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      answer.once('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text }))
    })
    asked.once('error', reject)
    asked.end()
  })

describe('the program of the page about trust proxy, behind a proxy that ends TLS', () => {
  let trusting = 0
  let blind = 0
  let tooTrusting = 0
  beforeAll(async () => {
    const ports = await Promise.all([1, 0, 2].map(startExample))
    const [one = 0, none = 0, two = 0] = await Promise.all(ports.map(startProxy))
    trusting = one
    blind = none
    tooTrusting = two
  }, 300_000)

  test('sets the cookie, secure, and knows the visitor at the next request', async () => {
    const login = await ask(trusting, 'POST', '/login/ada')
    expect(login).toMatchObject({ status: 303, headers: { location: '/' } })
    const [cookie = ''] = login.headers['set-cookie'] ?? []
    expect(cookie).toMatch(/; Secure/)
    const home = await ask(trusting, 'GET', '/', { cookie: cookie.split(';')[0] ?? '' })
    expect(JSON.parse(home.text)).toEqual({ user: 'ada' })
    expect(JSON.parse((await ask(trusting, 'GET', '/proxy')).text)).toEqual({
      secure: true,
      ip: VISITOR,
      'x-forwarded-proto': 'https',
      'x-forwarded-for': VISITOR,
    })
  })

  test('does what the page warns of where it does not trust the proxy: no cookie, no error, and the login again', async () => {
    const login = await ask(blind, 'POST', '/login/ada')
    expect(login).toMatchObject({ status: 303, headers: { location: '/' } })
    expect(login.headers['set-cookie']).toBeUndefined()
    expect(await ask(blind, 'GET', '/')).toMatchObject({ status: 303, headers: { location: '/login' } })
    expect(JSON.parse((await ask(blind, 'GET', '/proxy')).text)).toMatchObject({ secure: false, ip: '127.0.0.1' })
  })

  test('lets a visitor forge the address where it trusts a proxy more than there are, and not otherwise', async () => {
    const forged = { 'x-forwarded-for': '198.51.100.1' }
    const ipOf = async (port: number) => JSON.parse((await ask(port, 'GET', '/proxy', forged)).text).ip as unknown
    expect(await ipOf(trusting)).toBe(VISITOR)
    expect(await ipOf(tooTrusting)).toBe('198.51.100.1')
  })
})
