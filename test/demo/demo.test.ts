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

/** An answer about a user's devices. */
interface Devices {
  readonly user: string | null
  readonly devices?: readonly { readonly handle: string; readonly isThis: boolean; readonly userAgent?: string }[]
  readonly ended?: number
}

/** A browser, as far as cookies go. */
const visitor = (url: () => string, userAgent = 'a visitor of a test') => {
  let cookie = ''
  return async <Body>(method: string, path: string, body?: object, expected = 200): Promise<Body> => {
    const headers = { 'User-Agent': userAgent, 'X-Nonstick-Demo': '1', 'Content-Type': 'application/json' }
    const response = await fetch(url() + path, {
      method,
      headers: { ...headers, ...(cookie === '' ? {} : { cookie }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    cookie = response.headers.getSetCookie()[0]?.split(';')[0] ?? cookie
    expect(response.status, path).toBe(expected)
    return (await response.json()) as Body
  }
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
    const ask = visitor(() => url)
    await ask('POST', '/api/login', { user: 'Ada' })
    const before = await ask<Answer>('POST', '/api/items', { list: 'cart', token: '1' })
    const killed = await ask<{ pid: number }>('POST', `/demo/kill-app/${before.process}`)
    expect(killed.pid).toBe(before.pid)
    expect(() => process.kill(killed.pid, 0)).toThrow('ESRCH')

    // Round robin: it answers again as soon as it runs.
    const answeredBy = new Set<string>()
    for (let returned = false; !returned; await pauseMs(20)) {
      const answer = await ask<Answer>('GET', '/api/session')
      expect(answer.session).toMatchObject({ user: 'Ada', lists: { cart: ['1'] } })
      answeredBy.add(answer.process)
      returned = answer.process === before.process
      if (returned) expect(answer.pid).not.toBe(killed.pid)
    }
    expect(answeredBy.size).toBe(3)
  })

  test('a user sees his devices and ends them, each of them in every process, and nobody else’s', async () => {
    const [phone, laptop, desk, eve] = ['phone', 'laptop', 'desk', 'eve'].map((name) => visitor(() => url, name))
    if (phone === undefined || laptop === undefined || desk === undefined || eve === undefined) expect.fail()
    for (const ask of [phone, laptop, desk]) await ask('POST', '/api/login', { user: 'Grace' })
    await eve('POST', '/api/login', { user: 'Eve' })
    const devicesOf = async (ask: ReturnType<typeof visitor>) => await ask<Devices>('GET', '/api/devices')
    const isLoggedIn = async (ask: ReturnType<typeof visitor>): Promise<boolean> => {
      const looks = [1, 2, 3].map(() => ask<Answer>('GET', '/api/session'))
      const sessions = (await Promise.all(looks)).map(({ session }) => session !== null)
      expect(new Set(sessions).size, 'three processes agree').toBe(1)
      return sessions[0] === true
    }

    const { devices = [] } = await devicesOf(phone)
    expect(devices.map(({ userAgent }) => userAgent).toSorted()).toEqual(['desk', 'laptop', 'phone'])
    expect(devices.filter(({ isThis }) => isThis).map(({ userAgent }) => userAgent)).toEqual(['phone'])
    const handle = devices.find(({ userAgent }) => userAgent === 'laptop')?.handle

    for (const nonsense of [{ handle: 'h.none' }, {}]) await phone('POST', '/api/devices/end', nonsense, 404)
    await eve('POST', '/api/devices/end', { handle }, 404)
    expect(await isLoggedIn(laptop)).toBe(true)
    await phone('POST', '/api/devices/end', { handle })
    expect(await isLoggedIn(laptop)).toBe(false)
    expect(await devicesOf(laptop)).toMatchObject({ user: null })

    expect(await phone('POST', '/api/devices/end-others', {})).toMatchObject({ ended: 1 })
    expect([await isLoggedIn(phone), await isLoggedIn(desk)]).toEqual([true, false])
    expect(await phone('POST', '/api/devices/end-all', {})).toMatchObject({ ended: 1 })
    expect([await isLoggedIn(phone), await isLoggedIn(eve)]).toEqual([false, true])
  })

  const SIZES = [
    { width: 380, height: 740 },
    { width: 1280, height: 800 },
  ] as const

  skipUnless('in a browser', findChromium(), (chromium) => {
    test.each(SIZES)(
      'shows the devices of a user, and ends one, all others, and all, in a window of $width pixels',
      { timeout: 600_000 },
      async (size) => {
        await using page = await openPage(chromium, url, size)
        await page.until(`document.readyState === 'complete' && state.live !== undefined`)
        await page.evaluate(`$('name').value = 'Hedy-${size.width}'`)
        await page.evaluate(`document.querySelector('#login button').click()`)
        await page.until(`state.session !== null && state.busy === 0`)
        await page.evaluate(`document.querySelector('a[href="/account"]').click()`)
        await page.until(`location.pathname === '/account' && document.readyState === 'complete' && state.busy === 0`)

        /** What is on the page: a line for each device. */
        const shown = async (): Promise<readonly string[]> =>
          await page.evaluate(`[...document.querySelectorAll('#devices li')].map((item) => item.innerText)`)
        const press = async (button: string): Promise<string> => {
          await page.evaluate(`say('')`)
          await page.evaluate(`${button}.scrollIntoView({ block: 'center' })`)
          await page.evaluate(`${button}.click()`)
          await page.until(`$('note').textContent !== '' && state.busy === 0`)
          const [note, isInView, isTooWide] = await page.evaluate<[string, boolean, boolean]>(`(() => {
            const { top, bottom } = $('note').getBoundingClientRect()
            const { scrollWidth, clientWidth } = document.documentElement
            return [$('note').textContent, top >= 0 && bottom <= innerHeight, scrollWidth > clientWidth]
          })()`)
          expect({ button, isInView, isTooWide }).toEqual({ button, isInView: true, isTooWide: false })
          return note
        }
        const [only, ...others] = await shown()
        expect(others).toEqual([])
        expect(only).toMatch(/Chrome \d+ on \w+\s+this one\s.*logged in\s+just now\s.*127\.0\.0\.1.*Log out/s)
        expect(await page.evaluate(`$('end-others').disabled`)).toBe(true)
        for (let n = 2; n <= 4; n += 1) {
          expect(await press(`$('more')`)).toMatch(/logged you in once more/)
          expect(await shown()).toHaveLength(n)
        }
        expect(await press(`document.querySelector('#devices li:not(:has(.mark)) button')`)).toMatch(/ended it/)
        expect(await shown()).toHaveLength(3)
        expect(await press(`$('end-others')`)).toMatch(/ended 2 other sessions\. This one stays\.$/)
        expect(await shown()).toEqual([expect.stringContaining('this one')])
        expect(await press(`$('more')`)).toMatch(/logged you in once more/)
        expect(await press(`$('end-all')`)).toMatch(/ended 2 sessions: .* not logged in here any more\.$/)
        expect(await shown()).toEqual([])
        expect(await page.evaluate(`$('nobody').checkVisibility()`)).toBe(true)
        expect(page.complaints).toEqual([])
      },
    )

    test.each(SIZES)(
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
