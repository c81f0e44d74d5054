import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sign } from 'cookie-signature'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { postgres } from '../../src/backends/postgres/index.js'
import { memcached } from '../../src/caches/memcached/index.js'
import type { SessionInfo, SessionStore } from '../../src/contract/session-store.js'
import { createSessionStore } from '../../src/create-session-store.js'
import { clusterForThisFile } from '../backends/postgres/cluster.js'
import { keyNamed } from '../support/sealing.js'
import { type MemcachedServer, ownMemcached, skipUnless } from '../support/servers.js'
import { jsonOf, nonstick } from './command.js'

/** What `nonstick list --json` prints. */
interface Printed<Data = Record<string, unknown>> {
  readonly sessions: readonly SessionInfo<Data>[]
  readonly next?: string
}

interface Data {
  readonly user?: string
  readonly note?: string
}

const cluster = clusterForThisFile()

skipUnless('the sessions of an application that runs', await ownMemcached(), (startMemcached) => {
  let server: MemcachedServer
  let application: SessionStore<Data>
  let namespace: string
  let folder: string

  beforeAll(async () => {
    server = await startMemcached()
    folder = mkdtempSync(join(tmpdir(), 'nonstick-sessions-'))
  })
  afterAll(async () => {
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  })
  beforeEach(() => {
    namespace = `cli-${randomBytes(4).toString('hex')}`
    application = createSessionStore<Data>({
      cache: memcached({ servers: server.address, operationTimeoutMs: 30_000 }),
      backend: postgres({ connectionString: cluster().url, schema: cluster().schema }),
      namespace,
      identify: ({ user }) => user,
      // What is not flushed stays so for as long as a test takes, also on a machine that is slow to answer.
      maxStaleMs: 600_000,
      cacheTimeoutMs: 30_000,
      deadlineMs: 60_000,
    })
    return async () => void (await application.close())
  })

  const env = (): Record<string, string> => ({
    NONSTICK_CACHE: server.address,
    NONSTICK_BACKEND: cluster().url,
    NONSTICK_SCHEMA: cluster().schema,
    NONSTICK_NAMESPACE: namespace,
    // The application's own; no command gives a session to a user.
    NONSTICK_MAX_SESSIONS_PER_USER: '5',
  })
  const command = async (args: readonly string[], input?: string) =>
    await nonstick(args, { env: env(), ...(input === undefined ? {} : { input: `${input}\n` }) })
  const fine = async <Result>(args: readonly string[], input?: string): Promise<Result> => {
    const said = await command([...args, '--json'], input)
    expect(said).toMatchObject({ code: 0, stderr: '' })
    return jsonOf<Result>(said)
  }
  /** A user's session, which the cache has newer than the backend. */
  const changed = async (user: string, note = 'a secret') => {
    const session = await application.create({ user })
    session.data = { user, note }
    await application.save(session)
    session.data = { user, note: `${note}, changed` }
    await application.save(session)
    return session
  }

  test('list shows handles and no data, page by page, and leads to what follows', async () => {
    const handles = new Set<string>()
    for (let n = 0; n < 3; n += 1) handles.add(application.handleOf(await application.create({ note: 'a secret' })))
    const first = await fine<Printed>(['list', '--limit', '2'])
    expect(first.sessions).toHaveLength(2)
    const rest = await fine<Printed>(['list', '--limit', '2', '--after', String(first.next)])
    expect(new Set([...first.sessions, ...rest.sessions].map(({ handle }) => handle))).toEqual(handles)
    const shown = await command(['list'])
    expect(shown).toMatchObject({ code: 0, stderr: '' })
    for (const handle of handles) expect(shown.stdout).toContain(handle)
    expect(shown.stdout).not.toContain('secret')
    expect((await command(['list', '--data'])).stdout).toContain('a secret')
    expect((await command(['list', '--seen-within', '1h'])).stdout).toContain('last seen')
  })

  test('list --user shows the sessions of one user as they are now', async () => {
    const session = await changed('ann')
    await changed('bob')
    const { sessions } = await fine<Printed<Data>>(['list', '--user', 'ann', '--data'])
    expect(sessions).toMatchObject([
      { handle: application.handleOf(session), from: 'cache', userId: 'ann', data: { note: 'a secret, changed' } },
    ])
    // The user can be kept out of the list of processes as well.
    expect((await fine<Printed>(['list', '--user', '-'], 'bob')).sessions).toMatchObject([{ userId: 'bob' }])
  })

  test('sealed sessions are listed and inspected by who has the keys, and ended by anybody', async () => {
    const key = Buffer.from(keyNamed('current')).toString('base64')
    const sealed = createSessionStore<Data>({
      cache: memcached({ servers: server.address }),
      backend: postgres({ connectionString: cluster().url, schema: cluster().schema }),
      namespace,
      identify: ({ user }) => user,
      sealing: { keys: [key], hashUserIds: keyNamed('users') },
    })
    const handle = sealed.handleOf(await sealed.create({ user: 'gwendolyn', note: 'a secret' }))
    await sealed.close()
    const users = Buffer.from(keyNamed('users')).toString('hex')
    const keys = { ...env(), NONSTICK_SEALING_KEYS: key, NONSTICK_SEALING_HASH_USER_IDS: users }
    const listed = await nonstick(['list', '--user', 'gwendolyn', '--data', '--json'], { env: keys })
    expect(listed).toMatchObject({ code: 0, stderr: '' })
    expect(jsonOf<Printed>(listed).sessions).toMatchObject([
      { handle, userId: 'gwendolyn', data: { note: 'a secret' } },
    ])
    expect((await nonstick(['inspect', handle], { env: keys })).stdout).toContain('gwendolyn')

    const without = await command(['list'])
    expect(without.code).toBe(0)
    expect(without.stdout).toContain(handle)
    expect(without.stdout).not.toContain('gwendolyn')
    expect(await command(['inspect', handle])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is sealed, and this program was given no `sealing`'),
    })
    expect((await command(['destroy', handle])).code).toBe(0)
    expect((await nonstick(['inspect', handle], { env: keys })).code).toBe(3)
  })

  test('inspect tells by a handle, or by an id on standard input, what both tiers have', async () => {
    const session = await changed('ann')
    const handle = application.handleOf(session)
    const byHandle = await fine<object>(['inspect', handle])
    expect(byHandle).toMatchObject({
      tiers: { cache: 'live', backend: 'live' },
      unflushed: 2,
      session: { handle, userId: 'ann', from: 'cache' },
    })
    expect(JSON.stringify(byHandle)).not.toContain('secret')
    for (const line of [session.id, handle])
      expect(await fine(['inspect'], line)).toMatchObject({ session: { handle } })
    const shown = await command(['inspect', handle, '--data'])
    expect(shown.stdout).toContain('a secret, changed')
    expect(shown.stdout).toMatch(/^unflushed changes +2$/m)
    expect(shown.stdout + shown.stderr).not.toContain(session.id)
  })

  test('inspect and destroy take no id as an argument, and do not repeat it', async () => {
    const { id } = await application.create({})
    for (const name of ['inspect', 'destroy']) {
      const said = await command([name, id])
      expect(said).toMatchObject({ code: 2, stdout: '' })
      expect(said.stderr).toContain('standard input')
      expect(said.stderr).not.toContain(id)
      expect(await command([name], '')).toMatchObject({ code: 2 })
    }
    expect(await application.load(id)).toBeDefined()
  })

  test('inspect ends with 3 where there is no such session, or none any more', async () => {
    const nobody = application.handleOf('an id that nobody has')
    expect(await command(['inspect', nobody])).toMatchObject({ code: 3, stdout: '' })
    const unknown = await command(['inspect', nobody, '--json'])
    expect(unknown).toMatchObject({ code: 3, stderr: 'nonstick inspect: There is no such session\n' })
    expect(jsonOf(unknown)).toEqual({ error: { code: 'absent', message: 'There is no such session' } })
    const { id } = await application.create({})
    const handle = application.handleOf(id)
    await application.destroy(id)
    const said = await command(['inspect', handle, '--json'])
    expect(said.code).toBe(3)
    expect(jsonOf(said)).toMatchObject({ tiers: { cache: 'tombstone', backend: 'destroyed' } })
  })

  test('destroy ends a session for the application that runs, and succeeds again', async () => {
    const [one, other] = [await changed('ann'), await application.create({})]
    const ended = { cache: 'tombstone', session: 'ended' }
    expect(await fine(['destroy', application.handleOf(one)])).toEqual(ended)
    expect(await application.load(one.id)).toBeUndefined()
    expect(await fine(['destroy'], other.id)).toEqual(ended)
    expect(await application.load(other.id)).toBeUndefined()
    expect(await fine(['destroy'], other.id)).toEqual({ cache: 'tombstone', session: 'none' })
  })

  test('destroy says so where no session stood, and does not say that one has ended', async () => {
    const said = await command(['destroy'], 'an id that nobody has')
    expect(said).toMatchObject({
      code: 0,
      stderr: '',
      stdout: expect.stringMatching(/^No session stood under this id/),
    })
    expect(said.stdout).not.toContain('The session has ended')
    const { id } = await application.create({})
    expect((await command(['destroy'], id)).stdout).toBe('The session has ended.\n')
  })

  test('inspect, destroy and destroy-user --except take the value of a signed cookie for the id within', async () => {
    const plain = await application.create({ user: 'ann' }, { id: 'plain' })
    const cookie = encodeURIComponent(`s:${sign(plain.id, 'secret')}`)
    const handle = application.handleOf(plain)
    expect(await fine(['inspect'], cookie)).toMatchObject({ session: { handle } })
    const other = await application.create({ user: 'ann' })
    const config = join(folder, 'whose.mjs')
    writeFileSync(config, 'export default { identify: (data) => data.user }')
    const except = ['destroy-user', 'ann', '--except', '--config', config]
    expect(await fine(except, cookie)).toMatchObject({ destroyed: 1 })
    expect(await application.load(other.id)).toBeUndefined()
    expect(await fine(['destroy'], cookie)).toEqual({ cache: 'tombstone', session: 'ended' })
    expect(await application.load(plain.id)).toBeUndefined()
    const named = await command(['destroy'], `connect.sid=${cookie}`)
    expect(named).toMatchObject({ code: 2, stdout: '' })
    expect(named.stderr).not.toContain('plain')
  })

  test('destroy ends with 1 where the cache could not be told', async () => {
    const { id } = await application.create({})
    const said = await nonstick(['destroy'], { env: { ...env(), NONSTICK_CACHE: '127.0.0.1:1' }, input: `${id}\n` })
    expect(said.code).toBe(1)
    expect(said.stderr).toContain('the cache could not be told')
    expect(said.stderr).not.toContain(id)
  })

  test('where one tier cannot be asked and the other has nothing, nobody says that there is no session', async () => {
    const handle = application.handleOf('an id that nobody has')
    const without = { ...env(), NONSTICK_CACHE: '127.0.0.1:1' }
    const said = await nonstick(['inspect', handle], { env: without })
    expect(said).toMatchObject({ code: 1, stdout: expect.stringMatching(/^in the cache +unreachable$/m) })
    expect(said.stderr).toContain('could not be asked')
    const destroyed = await nonstick(['destroy', handle, '--json'], { env: without })
    expect(destroyed.code).toBe(1)
    expect(jsonOf(destroyed)).toEqual({ cache: 'unreachable', session: 'unknown' })
  })

  test('destroy-user logs a user out everywhere, and nobody else', async () => {
    const [first, second, other] = [
      await changed('ann'),
      await application.create({ user: 'ann' }),
      await changed('bob'),
    ]
    expect(await fine(['destroy-user', 'ann'])).toMatchObject({ destroyed: 2, cache: 'tombstone' })
    expect(await application.load(first.id)).toBeUndefined()
    expect(await application.load(second.id)).toBeUndefined()
    expect(await application.load(other.id)).toBeDefined()
    expect(await fine(['destroy-user', '-'], 'nobody at all')).toMatchObject({ destroyed: 0 })
  })

  test('destroy-user --except keeps one session, where a config module tells whose sessions are', async () => {
    const [kept, gone] = [await application.create({ user: 'ann' }), await application.create({ user: 'ann' })]
    const without = await command(['destroy-user', 'ann', '--except'], kept.id)
    expect(without).toMatchObject({ code: 2, stdout: '' })
    expect(without.stderr).toContain('identify')
    const config = join(folder, 'identify.mjs')
    writeFileSync(config, 'export default { identify: (data) => data.user }')
    expect(await fine(['destroy-user', 'ann', '--except', '--config', config], kept.id)).toMatchObject({ destroyed: 1 })
    expect(await application.load(kept.id)).toBeDefined()
    expect(await application.load(gone.id)).toBeUndefined()
  })

  test('activity counts sessions and users', async () => {
    for (const user of ['ann', 'ann', 'bob']) await application.create({ user })
    await application.create({})
    expect(await fine(['activity', '--within', '1h'])).toMatchObject({ sessions: 4, users: 2, all: 4 })
    expect((await command(['activity'])).stdout).toMatch(/4 active sessions, of 2 different users/)
  })

  test('stats counts the sessions of the namespace, and what the cache has', async () => {
    await application.create({})
    expect(await fine(['stats'])).toMatchObject({
      sessions: 1,
      health: { state: 'up' },
      servers: [{ server: server.address, entries: expect.any(Number), evictions: 0 }],
    })
    expect((await command(['stats'])).stdout).toContain(server.address)
  })

  test('every kind of value that a session can hold is shown by list and inspect, as docs/cli.md says', async () => {
    const kinds = createSessionStore({
      cache: memcached({ servers: server.address }),
      backend: postgres({ connectionString: cluster().url, schema: cluster().schema }),
      namespace,
      identify: ({ user }) => user as string | undefined,
    })
    const handle = kinds.handleOf(
      await kinds.create({ user: 'ann', visits: 123n, cart: new Map([['tea', 2]]), seen: new Set(['home']) }),
    )
    await kinds.close()
    const data = {
      user: 'ann',
      visits: { $BigInt: '123' },
      cart: { $Map: [['tea', 2]] },
      seen: { $Set: ['home'] },
    }
    for (const args of [
      ['list', '--data'],
      ['list', '--user', 'ann', '--data'],
    ]) {
      expect((await fine<Printed>(args)).sessions).toMatchObject([{ handle, data }])
      expect((await command(args)).stdout).toContain(`${handle}: ${JSON.stringify(data)}\n`)
    }
    expect(await fine(['inspect', handle, '--data'])).toMatchObject({ session: { data } })
    expect((await command(['inspect', handle, '--data'])).stdout).toContain(`${JSON.stringify(data)}\n`)
  })

  test('stats ends with 1 where a tier is down or refuses, and prints what it could learn', async () => {
    const away = await nonstick(['stats', '--json'], { env: { ...env(), NONSTICK_CACHE: '127.0.0.1:1' } })
    expect(away).toMatchObject({ code: 1, stderr: expect.stringContaining('nonstick doctor') })
    expect(jsonOf(away)).toMatchObject({
      sessions: 0,
      health: { cache: { state: 'down' }, backend: { state: 'up' } },
      servers: [{ server: '127.0.0.1:1', error: expect.any(String) }],
    })
    const url = new URL(cluster().url)
    const role = `powerless_${namespace.slice(4)}`
    await cluster().query(`create role ${role} login password 'hunter2'`)
    try {
      url.username = role
      url.password = 'hunter2'
      const powerless = await nonstick(['stats'], { env: { ...env(), NONSTICK_BACKEND: url.href } })
      expect(powerless).toMatchObject({ code: 1, stdout: expect.stringContaining(server.address) })
      expect(powerless.stdout).toMatch(/The sessions could not be counted: .*42501/)
    } finally {
      await cluster().query(`drop role ${role}`)
    }
    const nobody = await nonstick(['stats'], {
      env: { ...env(), NONSTICK_BACKEND: 'postgres://ann:hunter2@127.0.0.1:1/app' },
    })
    expect(nobody.code).toBe(1)
    expect(nobody.stdout).toMatch(/^backend +postgres is down \(\d+ ms\): .*ECONNREFUSED/m)
  })

  describe('where the backend cannot be reached', () => {
    test.each([[['list']], [['activity']], [['destroy-user', 'ann']]])(
      'nonstick %j ends with 1, and names it',
      async (args) => {
        const said = await nonstick(args, {
          env: { ...env(), NONSTICK_BACKEND: 'postgres://ann:hunter2@127.0.0.1:1/app' },
        })
        expect(said).toMatchObject({ code: 1, stdout: '' })
        expect(said.stderr).toContain('postgres')
        expect(said.stderr).not.toContain('hunter2')
      },
    )

    test('a command with --json prints the error as its one line', async () => {
      const said = await nonstick(['list', '--json'], {
        env: { ...env(), NONSTICK_BACKEND: 'postgres://ann:hunter2@127.0.0.1:1/app' },
      })
      expect(said.code).toBe(1)
      const { error } = jsonOf<{ readonly error: { readonly code: string; readonly message: string } }>(said)
      expect(error.code).toBe('E_SESSION_UNAVAILABLE')
      expect(said.stderr).toBe(`nonstick list: ${error.message}\n`)
      expect(said.stdout.trimEnd().split('\n')).toHaveLength(1)
    })
  })
})
