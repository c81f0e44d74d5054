import { spawnSync } from 'node:child_process'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { listenOn } from '../../scripts/demo-app/port.mjs'
import { pauseMs } from '../../scripts/servers/process.js'
import { type Program, startProgram } from '../shutdown/programs.js'
import { findChromium, openPage } from '../support/browser.js'
import { sharedPostgres, skipUnless } from '../support/servers.js'

const script = fileURLToPath(new URL('../../scripts/demo', import.meta.url))
const PROGRAM = 'scripts/demo-app/main.ts'

describe('scripts/demo', () => {
  test('answers an unknown option at once, with those that there are', () => {
    const { status, stderr } = spawnSync(script, ['--once', '--nonsense'], { encoding: 'utf8' })
    expect(stderr).toContain('Unknown option "--nonsense"')
    for (const option of ['--once', '--port', '--backend', '--max-stale-count', '--keep-open', '--help'])
      expect(stderr).toContain(`  ${option}`)
    expect(stderr).not.toContain('Building')
    expect(status).toBe(2)
  })

  test('refuses a value before anything is built', () => {
    const { status, stderr } = spawnSync(script, ['--port', 'eighty'], { encoding: 'utf8' })
    expect(stderr).toBe('scripts/demo: Expected `--port` to be a whole number from 0 to 65535, got "eighty"\n')
    expect(status).toBe(2)
  })

  test('says in one line that another program has the port, before a build and before a server', async () => {
    const other = createServer()
    await listenOn(other, 0)
    const address = other.address()
    const port = typeof address === 'object' ? String(address?.port) : ''
    const sentence = `Port ${port} cannot be had: another program uses it. Choose another, or leave out --port.\n`
    const { status, stderr } = spawnSync(script, ['--port', port], { encoding: 'utf8' })
    expect(stderr).toBe(`scripts/demo: ${sentence}`)
    expect(status).toBe(1)
    // The same where the other program came only after that look.
    const late = startProgram(PROGRAM, {}, ['--port', port])
    expect(await late.ended).toBe(1)
    expect(late.output()).toBe(`scripts/demo failed: ${sentence}`)
    other.close()
  })

  test('tells a database that cannot be reached in one line', async () => {
    const nobody = createServer()
    await listenOn(nobody, 0)
    const address = nobody.address()
    const port = typeof address === 'object' ? address?.port : 0
    await new Promise((resolve) => nobody.close(resolve))
    const program = startProgram(PROGRAM, { DATABASE_URL: `postgres://someone@127.0.0.1:${port}/postgres` })
    expect(await program.ended).toBe(1)
    expect(program.output()).toMatch(/^scripts\/demo failed: .*ECONNREFUSED/m)
    expect(program.output()).not.toMatch(/^ {4}at /m)
  })
})

interface Answer {
  readonly process: string
  readonly pid: number
  readonly session: { readonly user: string; readonly lists: Record<string, string[]> } | null
}

skipUnless('the demo', await sharedPostgres(), (postgres) => {
  let demo: Program
  let url = ''
  beforeAll(async () => {
    demo = startProgram(PROGRAM, { DATABASE_URL: postgres.adminUrl })
    const [found] = await demo.prints(/Open (http:\S+) in a browser/)
    url = found?.[1] ?? ''
  }, 300_000)
  afterAll(() => demo.stop())

  test('kills an app process, starts it again, and the session is there all the while', async () => {
    let cookie = ''
    const ask = async (method: string, path: string, body?: object): Promise<Answer> => {
      const response = await fetch(url + path, {
        method,
        headers: { 'X-Nonstick-Demo': '1', 'Content-Type': 'application/json', ...(cookie === '' ? {} : { cookie }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      cookie = response.headers.getSetCookie()[0]?.split(';')[0] ?? cookie
      expect(response.status, path).toBe(200)
      return (await response.json()) as Answer
    }
    await ask('POST', '/api/login', { user: 'Ada' })
    const before = await ask('POST', '/api/items', { list: 'cart', token: '1' })
    const killed = (await ask('POST', `/demo/kill-app/${before.process}`)) as unknown as { pid: number }
    expect(killed.pid).toBe(before.pid)
    expect(() => process.kill(killed.pid, 0)).toThrow('ESRCH')

    // Round robin: it answers again as soon as it runs.
    const answeredBy = new Set<string>()
    for (let returned = false; !returned; await pauseMs(20)) {
      const answer = await ask('GET', '/api/session')
      expect(answer.session).toMatchObject({ user: 'Ada', lists: { cart: ['1'] } })
      answeredBy.add(answer.process)
      returned = answer.process === before.process
      if (returned) expect(answer.pid).not.toBe(killed.pid)
    }
    expect(answeredBy.size).toBe(3)
  })

  skipUnless('in a browser', findChromium(), (chromium) => {
    test.each([
      { width: 380, height: 740 },
      { width: 1280, height: 800 },
    ])(
      'shows what each button did without scrolling, in a window of $width pixels',
      { timeout: 600_000 },
      async (size) => {
        await using page = await openPage(chromium, url, size)
        await page.until(`document.readyState === 'complete' && state.live !== undefined`)
        const press = async (id: string): Promise<string> => {
          await page.evaluate(`$('${id}').scrollIntoView({ block: 'center' })`)
          await page.until(`!$('${id}').disabled`)
          await page.evaluate(`say('')`)
          await page.evaluate(`$('${id}').click()`)
          await page.until(`$('note').textContent !== '' && state.busy === 0`)
          const [note, isInView, isTooWide] = await page.evaluate<[string, boolean, boolean]>(`(() => {
          const { top, bottom } = $('note').getBoundingClientRect()
          const { scrollWidth, clientWidth } = document.documentElement
          return [$('note').textContent, top >= 0 && bottom <= innerHeight, scrollWidth > clientWidth]
        })()`)
          expect({ id, isInView, isTooWide }).toEqual({ id, isInView: true, isTooWide: false })
          return note
        }
        await page.evaluate(`document.querySelector('#login button').click()`)
        await page.until(`state.session !== null && state.busy === 0`)
        expect(await press('add')).toMatch(/changed the session/)
        expect(await press('look')).toMatch(/read the session/)
        expect(await press('kill-app')).toMatch(/was killed.*still logged in as Ada.*Its one thing is there\./)
        await page.until(`state.killed === undefined && state.busy === 0`)
        expect(await page.evaluate(`$('note').textContent`)).toMatch(/is back, as pid \d+, and has just answered/)
        expect(await press('ten')).toMatch(/PostgreSQL was written (not once|once|twice|\d+ times)/)
        expect(await press('hundred')).toMatch(/all are there/)
        expect(await press('flush')).toMatch(/Memcached was emptied/)
        expect(await press('kill')).toMatch(/Memcached was killed/)
        await page.until(`!state.down`)
        expect(await press('logout')).toMatch(/Logged out/)
        expect(page.complaints).toEqual([])
      },
    )
  })

  test('has said nothing that a user would take for a fault', () => {
    expect(demo.output()).not.toMatch(/deprecat|warning|^ {4}at /im)
  })
})
