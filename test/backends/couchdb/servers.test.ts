import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { startCouchdb } from '../../../scripts/servers/couchdb.js'
import { freePort } from '../../../scripts/servers/index.js'
import { contentOf, idOf } from '../../../src/backends/couchdb/document.js'
import { monthAt } from '../../../src/backends/couchdb/months.js'
import { systemRuntime } from '../../../src/runtime.js'
import { monthOf } from '../../../src/session/id.js'
import { sampleLocator, storedSession } from '../../../src/testing/stored-session.js'
import { quietRuntime, standingRuntime } from '../../support/calendar.js'
import { absent, type Found, skipUnless } from '../../support/skip.js'
import { bornThen, sceneForThisFile } from './scene.js'
import { type Asked, html, json, type Script, type Scripted, scripted } from './scripted.js'

const { now } = quietRuntime

const { closing, serverThat, backendOf } = sceneForThisFile({ requestTimeoutMs: 4_000, runtime: quietRuntime })

const locator = () => sampleLocator({ bornMonth: monthOf(now()) })
const missing = (_: Asked, response: ServerResponse): void =>
  json(response, 404, { error: 'not_found', reason: 'missing' })
const created = (_: Asked, response: ServerResponse): void => json(response, 201, { ok: true, rev: '1-a' })

describe('several servers of one cluster', () => {
  test.each<[string, Script]>([
    ['breaks its connections', (_, response) => void response.destroy()],
    ['is silent', () => {}],
    ['is not reached by its proxy', (_, response) => html(response, 502)],
    ['is in maintenance', (_, response) => json(response, 503, { error: 'maintenance_mode' })],
    ['is none', (_, response) => html(response, 200)],
  ])(
    'a read is answered by the second when the first one %s, and the second is asked first from then on',
    async (_, script) => {
      const first = await serverThat(script, { hasDatabases: false })
      const second = await serverThat(missing)
      const backend = backendOf([first.url, second.url])
      for (let round = 0; round < 3; round++) expect(await backend.read(locator())).toEqual({ state: 'absent' })
      expect(first.asked).toHaveLength(1)
      expect(second.asked).toHaveLength(3)
      const health = await backend.health()
      expect(health.servers?.map(({ tier, state }) => [tier, state])).toEqual([
        [`couchdb 127.0.0.1:${first.port}`, 'down'],
        [`couchdb 127.0.0.1:${second.port}`, 'up'],
      ])
      expect(health).toMatchObject({ tier: 'couchdb', state: 'degraded' })
    },
  )

  test('a change goes to the second when the first does not listen', async () => {
    const second = await serverThat(created)
    const backend = backendOf([`http://127.0.0.1:${await freePort()}`, second.url])
    expect((await backend.insert(locator(), storedSession())).outcome).toBe('inserted')
  })

  test('a change that may have been done is not sent to another; the next one goes there', async () => {
    const first = await serverThat((_, response) => void response.destroy())
    const second = await serverThat(created)
    const backend = backendOf([first.url, second.url])
    await expect(backend.insert(locator(), storedSession())).rejects.toMatchObject({ applied: 'unknown' })
    expect(second.asked).toHaveLength(0)
    expect((await backend.insert(locator(), storedSession())).outcome).toBe('inserted')
    expect(first.asked).toHaveLength(1)
  })

  test('a refusal is an answer, and no reason to ask another', async () => {
    const first = await serverThat((_, response) => json(response, 401, { error: 'unauthorized' }))
    const second = await serverThat(missing)
    await expect(backendOf([first.url, second.url]).read(locator())).rejects.toThrow(/credentials/)
    expect(second.asked).toHaveLength(0)
  })

  test('as many as there are are tried', async () => {
    const first = await serverThat(missing)
    const dead = `http://127.0.0.1:${await freePort()}`
    const backend = backendOf([dead, `http://127.0.0.1:${await freePort()}`, first.url])
    expect(await backend.read(locator())).toEqual({ state: 'absent' })
    expect((await backend.health()).state).toBe('degraded')
  })
})

describe('the first server of the list', () => {
  /** A first server that can be silent, a second one, and a clock for how long things take. */
  const twoServers = async (answer?: (response: ServerResponse) => void) => {
    let isAway = true
    const first = await serverThat(
      ({ path }, response) => {
        if (isAway) return response.destroy()
        if (answer !== undefined) return answer(response)
        if (path.includes('s%3A')) return json(response, 404, { error: 'not_found', reason: 'missing' })
        json(response, 200, { db_name: path.slice(1) })
      },
      { hasDatabases: false },
    )
    const second = await serverThat(missing)
    let elapsed = 0
    const monotonicMs = () => systemRuntime.monotonicMs() + elapsed
    const runtime = { ...standingRuntime, monotonicMs, random: () => 0.5 }
    const backend = backendOf([first.url, second.url], { runtime })
    const read = async () => expect(await backend.read(bornThen())).toEqual({ state: 'absent' })
    await read()
    return {
      first,
      second,
      read,
      pass: (ms: number) => {
        elapsed += ms
      },
      comeBack: () => {
        isAway = false
      },
    }
  }

  test('is asked first again some time after it answers again, so that processes do not scatter', async () => {
    const { first, second, read, pass, comeBack } = await twoServers()
    comeBack()
    await read()
    expect(first.asked).toHaveLength(1)
    pass(30_000)
    await read()
    // It was looked for beside that call, by asking for this month’s database and that of the users.
    const lookedFor = ['/nonstick-2026-06', '/nonstick-users']
    await expect.poll(() => first.asked.map(({ path }) => path).slice(1)).toEqual(lookedFor)
    const before = second.asked.length
    await expect
      .poll(async () => {
        await read()
        return first.asked.length
      })
      .toBeGreaterThan(3)
    const after = second.asked.length
    await read()
    expect(second.asked.length).toBe(after)
    expect(after).toBeGreaterThanOrEqual(before)
  })

  test('is looked for once in a while as long as it is away, and no call waits for it', async () => {
    const { first, second, read, pass } = await twoServers()
    for (let round = 1; round <= 3; round++) {
      pass(30_000)
      await Promise.all([read(), read(), read()])
      await expect.poll(() => first.asked.length).toBe(1 + round)
    }
    expect(second.asked).toHaveLength(10)
  })

  test('is not gone back to while it lacks the database that the second one has', async () => {
    const lacks = { error: 'not_found', reason: 'Database does not exist.' }
    const { first, read, pass, comeBack } = await twoServers((response) => json(response, 404, lacks))
    comeBack()
    pass(30_000)
    await read()
    await expect.poll(() => first.asked.length).toBe(2)
    for (let round = 0; round < 3; round++) await read()
    expect(first.asked).toHaveLength(2)
  })
})

test('a real stand-in that is frozen is said so, and works again when it is not', async () => {
  const server = await startCouchdb()
  closing.push(() => server.stop())
  const backend = backendOf(server.url, { requestTimeoutMs: 3_000 })
  const [one, other] = [locator(), locator()]
  expect((await backend.insert(one, storedSession())).outcome).toBe('inserted')
  server.pause()
  await expect(backend.read(one)).rejects.toThrow(/no answer came in time/)
  await expect(backend.insert(other, storedSession())).rejects.toMatchObject({ applied: 'unknown' })
  expect((await backend.health()).state).toBe('down')
  server.resume()
  await expect.poll(async () => (await backend.health()).state).toBe('up')
  expect((await backend.read(one)).state).toBe('live')
})

test('one that is ended, and back without what was in it, is said so, until somebody sets it up anew', async () => {
  const server = await startCouchdb()
  closing.push(() => server.stop())
  const backend = backendOf(server.url, { runtime: standingRuntime, requestTimeoutMs: 10_000 })
  const one = bornThen()
  expect((await backend.insert(one, storedSession())).outcome).toBe('inserted')
  await server.kill9()
  await expect(backend.read(one)).rejects.toThrow(/ECONNREFUSED|UND_ERR_SOCKET|ECONNRESET/)
  await server.restart()
  // It forgot everything, the month's database too: what was in it is not absent, and nobody makes it anew unasked.
  await expect(backend.read(one)).rejects.toThrow(/was there and is gone/)
  await expect(backend.insert(one, storedSession())).rejects.toMatchObject({ applied: 'no', answered: true })
  expect(await backend.health()).toMatchObject({ state: 'down', reason: expect.stringMatching(/is gone/) })
  await backend.setUp()
  expect((await backend.read(one)).state).toBe('absent')
  expect((await backend.insert(one, storedSession())).outcome).toBe('inserted')
})

describe('connections', () => {
  test('are bounded, and kept', async () => {
    let busy = 0
    let most = 0
    const server = await serverThat((asked, response) => {
      most = Math.max(most, ++busy)
      setTimeout(() => {
        busy--
        missing(asked, response)
      }, 5)
    })
    const backend = backendOf(server.url, { maxConnections: 3, requestTimeoutMs: 15_000 })
    await Promise.all(Array.from({ length: 60 }, () => backend.read(locator())))
    for (let index = 0; index < 20; index++) await backend.read(locator())
    expect(most).toBe(3)
    expect(server.connections()).toBe(3)
  })

  test('a close waits for what is under way, and not for a server that is silent', async () => {
    const slow = await serverThat((asked, response) => void setTimeout(() => missing(asked, response), 50))
    const backend = backendOf(slow.url)
    const read = backend.read(locator())
    await backend.close()
    expect(await read).toEqual({ state: 'absent' })
    const silent = await serverThat(() => {})
    const stuck = backendOf(silent.url, { requestTimeoutMs: 200 })
    const lost = stuck.read(locator())
    await Promise.all([stuck.close(), expect(lost).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE' })])
  })
})

describe('who asks', () => {
  test.each([
    ['in the options', '', { username: 'ann', password: 'p@ss:wörd/' }],
    ['in the URL', 'ann:p%40ss%3Aw%C3%B6rd%2F@', {}],
  ])('basic: the user and the password %s', async (_, inUrl, options) => {
    const server = await serverThat(missing)
    const backend = backendOf(server.url.replace('http://', `http://${inUrl}`), options)
    await backend.read(locator())
    const expected = `Basic ${Buffer.from('ann:p@ss:wörd/').toString('base64')}`
    expect(server.asked.map(({ headers }) => headers.authorization)).toEqual([expected])
    expect(server.asked[0]?.path).not.toContain('ann')
  })

  /** Gives cookies, each good for so many requests. */
  const cookieServer = (goodFor: number) => {
    let given = 0
    let left = 0
    return serverThat((asked, response) => {
      if (asked.path === '/_session') {
        if (asked.body !== 'name=ann&password=secret') return json(response, 401, { error: 'unauthorized' })
        left = goodFor
        const cookie = `AuthSession=cookie${++given}; Version=1; Path=/; HttpOnly`
        return json(response, 200, { ok: true }, { 'set-cookie': cookie })
      }
      const isGood = asked.headers.cookie === `AuthSession=cookie${given}` && left-- > 0
      if (!isGood) return json(response, 401, { error: 'unauthorized' })
      missing(asked, response)
    })
  }
  const cookie = { username: 'ann', password: 'secret', auth: 'cookie' } as const
  const logins = ({ asked }: Scripted): number => asked.filter(({ path }) => path === '/_session').length

  test('cookie: one login serves many requests, also those that come at once', async () => {
    const server = await cookieServer(1_000)
    const backend = backendOf(server.url, cookie)
    await Promise.all(Array.from({ length: 8 }, () => backend.read(locator())))
    await backend.read(locator())
    expect(logins(server)).toBe(1)
    expect(server.asked.every(({ headers }) => headers.authorization === undefined)).toBe(true)
  })

  test('cookie: one that has run out is replaced, and nobody notices', async () => {
    const server = await cookieServer(2)
    const backend = backendOf(server.url, cookie)
    for (let index = 0; index < 5; index++) expect(await backend.read(locator())).toEqual({ state: 'absent' })
    expect(logins(server)).toBe(3)
  })

  test('cookie: a wrong password is said so, once per call, and changes nothing', async () => {
    const server = await cookieServer(2)
    const backend = backendOf(server.url, { ...cookie, password: 'wrong' })
    await expect(backend.insert(locator(), storedSession())).rejects.toMatchObject({
      message: expect.stringMatching(/credentials.*401/),
      applied: 'no',
    })
    expect(server.asked).toHaveLength(1)
  })

  test('cookie: a fresh one that the server sends is used', async () => {
    const server = await serverThat((asked, response) => {
      const fresh = { 'set-cookie': `AuthSession=${asked.path === '/_session' ? 'one' : 'two'}; Path=/` }
      if (asked.path === '/_session') json(response, 200, { ok: true }, fresh)
      else json(response, 404, { error: 'not_found', reason: 'missing' }, fresh)
    })
    const backend = backendOf(server.url, cookie)
    for (let index = 0; index < 2; index++) await backend.read(locator())
    expect(server.asked.map(({ headers }) => headers.cookie)).toEqual([undefined, 'AuthSession=one', 'AuthSession=two'])
  })
})

test('a path of the URL is kept, for a server behind a proxy', async () => {
  const server = await serverThat(missing)
  await backendOf(`${server.url}/couch/`).read({ key: 'a:b', bornMonth: monthOf(now()) })
  expect(server.asked[0]?.path).toBe(`/couch/nonstick-${monthAt(now())}/s%3Aa%3Ab?conflicts=true`)
})

/** For 127.0.0.1, signed by itself. */
const certificate = (): Found<{ readonly key: Buffer; readonly cert: Buffer }> => {
  const folder = mkdtempSync(join(tmpdir(), 'nonstick-tls-'))
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1']
  try {
    execFileSync('openssl', ['req', '-x509', '-days', '2', ...kind, '-keyout', key, '-out', cert, ...subject], {
      stdio: 'ignore',
    })
    return { key: readFileSync(key), cert: readFileSync(cert) }
  } catch {
    return absent('no openssl here to make a certificate')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

skipUnless('CouchDB through HTTPS', certificate(), ({ key, cert }) => {
  test('verifies the server, against an authority of one’s own where one is given', async () => {
    const session = storedSession()
    const where = locator()
    const document = { _id: idOf(where.key), _rev: '1-a', ...contentOf(session) }
    const server = await scripted((_, response) => json(response, 200, document), { tls: { key, cert } })
    closing.push(() => server.close())
    expect(await backendOf(server.url, { tls: { ca: cert } }).read(where)).toMatchObject({ state: 'live', session })
    await expect(backendOf(server.url).insert(where, session)).rejects.toMatchObject({
      message: expect.stringContaining('DEPTH_ZERO_SELF_SIGNED_CERT'),
      applied: 'no',
    })
    expect(server.asked).toHaveLength(1)
  })
})
