import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { freePort, pauseMs } from '../../scripts/servers/process.js'
import { postgres } from '../../src/backends/postgres/index.js'
import { memcached } from '../../src/caches/memcached/index.js'
import { createSessionStore } from '../../src/create-session-store.js'
import { systemRuntime as clock } from '../../src/runtime.js'
import { clusterForThisFile } from '../backends/postgres/cluster.js'
import { cleanEnvironment } from '../backends/postgres/reload-support.js'
import { type MemcachedServer, ownMemcached, skipUnless } from '../support/servers.js'
import { COMMAND, jsonOf, nonstick } from './command.js'

const cluster = clusterForThisFile()
const HOUR_MS = 3_600_000

skipUnless('nonstick import', await ownMemcached(), (startMemcached) => {
  let server: MemcachedServer
  let folder: string
  beforeAll(async () => {
    server = await startMemcached()
  })
  afterAll(() => server.stop())
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nonstick-import-'))
    await mkdir(join(folder, 'sessions'))
    await cluster().query(`truncate ${cluster().schema}.session`)
    await server.restart()
    return () => rm(folder, { recursive: true, force: true })
  })

  const env = (more: Readonly<Record<string, string>> = {}): Record<string, string> => ({
    NONSTICK_CACHE: server.address,
    NONSTICK_BACKEND: cluster().url,
    NONSTICK_SCHEMA: cluster().schema,
    NONSTICK_IMPORT_FROM: 'session-file-store',
    NONSTICK_IMPORT_AT: join(folder, 'sessions'),
    ...more,
  })
  /** Files as session-file-store writes them. */
  const files = async (count: number): Promise<void> => {
    for (let n = 0; n < count; n += 1) {
      const session = { cookie: { originalMaxAge: HOUR_MS }, n, __lastAccess: clock.now() }
      await writeFile(join(folder, 'sessions', `an-id-of-some-length-${n}.json`), JSON.stringify(session))
    }
  }
  const rows = async (): Promise<number> =>
    Number((await cluster().query(`select count(*) as n from ${cluster().schema}.session`)).rows[0].n)
  const left = async (): Promise<number> => (await readdir(join(folder, 'sessions'))).length

  test('copies, compares and removes, and tells each in words or in JSON', async () => {
    await files(5)
    const tried = await nonstick(['import', '--dry-run', '--json'], { env: env() })
    expect(tried).toMatchObject({ code: 0, stderr: '' })
    expect(jsonOf(tried)).toMatchObject({ dryRun: true, found: 5, carried: 5, isDone: true })
    expect(await rows()).toBe(0)

    const missing = await nonstick(['import', '--verify', '--json'], { env: env() })
    expect(missing.code).toBe(1)
    expect(jsonOf(missing)).toMatchObject({ missing: 5, same: 0 })
    expect((await nonstick(['purge-source'], { env: env() })).code).toBe(1)
    expect(await left()).toBe(5)

    const copied = await nonstick(['import'], { env: env() })
    expect(copied.code).toBe(0)
    expect(copied.stdout).toMatch(/^5 sessions copied in \d+ s\.\n$/)
    expect(copied.stderr).toMatch(/no `identify`/)
    expect(await rows()).toBe(5)
    const verified = await nonstick(['import', '--verify', '--json'], { env: env() })
    expect(verified).toMatchObject({ code: 0, stderr: '' })
    expect(jsonOf(verified)).toMatchObject({ found: 5, same: 5, reasons: [] })
    expect(jsonOf(await nonstick(['purge-source', '--dry-run', '--json'], { env: env() }))).toMatchObject({
      dryRun: true,
      removed: 5,
    })
    expect(await left()).toBe(5)
    expect(await nonstick(['purge-source'], { env: env() })).toMatchObject({
      code: 0,
      stdout: '5 sessions removed there.\n',
      stderr: '',
    })
    expect(await left()).toBe(0)
  })

  test('that was killed in the middle goes on where it was, and comes to the same', async () => {
    await files(500)
    const resume = join(folder, 'import.json')
    const child = spawn(process.execPath, [COMMAND, 'import', '--rate', '400', '--resume', resume], {
      env: { ...cleanEnvironment(), ...env() },
      stdio: 'ignore',
    })
    const ended = once(child, 'exit')
    while ((await stat(resume).catch(() => undefined)) === undefined) await pauseMs(10)
    child.kill('SIGKILL')
    await ended
    const kept = JSON.parse(await readFile(resume, 'utf8')) as {
      readonly isDone: boolean
      readonly counts: { found: number }
    }
    expect(kept).toMatchObject({ isDone: false })
    expect(kept.counts.found).toBeLessThan(500)
    expect(JSON.stringify(kept)).not.toContain('an-id-of-some-length')

    const rest = jsonOf(await nonstick(['import', '--json', '--resume', resume], { env: env() }))
    expect(rest).toMatchObject({ isDone: true, refused: 0, ended: 0 })
    expect(await rows()).toBe(500)
    expect(jsonOf(await nonstick(['import', '--verify', '--json'], { env: env() }))).toMatchObject({ same: 500 })
    // After an import that was done the next one begins anew, and finds what has come since.
    await writeFile(
      join(folder, 'sessions', 'later.json'),
      JSON.stringify({ cookie: { originalMaxAge: HOUR_MS }, __lastAccess: clock.now() }),
    )
    expect(jsonOf(await nonstick(['import', '--json', '--resume', resume], { env: env() }))).toMatchObject({
      ...{ found: 501, carried: 1, here: 500, isDone: true },
    })
  })

  test('with a config module gives each session its user, and tells what cannot be copied without its content', async () => {
    await files(1)
    await writeFile(
      join(folder, 'sessions', 'with-a-user.json'),
      JSON.stringify({ cookie: {}, user: 'ada', __lastAccess: clock.now() }),
    )
    await writeFile(join(folder, 'sessions', 'spoilt.json'), 'a secret')
    const config = join(folder, 'nonstick.config.mjs')
    await writeFile(config, 'export default { identify: (data) => data.user }')
    const said = await nonstick(['import', '--config', config], { env: env() })
    expect(said.code).toBe(1)
    expect(said.stdout).toContain('1 session could not be copied:\n  1: it is no JSON')
    expect(said.stdout + said.stderr).not.toMatch(/a secret|spoilt|identify/)
    const { rows: users } = await cluster().query(
      `select user_id from ${cluster().schema}.session where user_id is not null`,
    )
    expect(users).toHaveLength(1)
  })

  test('copies also the session that a process has just looked for in vain, and keeps there what changes later', async () => {
    const application = createSessionStore({
      cache: memcached({ servers: server.address }),
      backend: postgres({ connectionString: cluster().url, schema: cluster().schema }),
      namespace: 'nonstick',
      // What it says of an unknown id outlasts this test.
      unknownIdTtlMs: 60_000,
    })
    try {
      await files(2)
      expect(await application.load('an-id-of-some-length-0')).toBeUndefined()
      const copied = await nonstick(['import', '--json'], { env: env() })
      expect(copied.code).toBe(0)
      expect(jsonOf(copied)).toMatchObject({ carried: 2, ended: 0, refused: 0 })
      expect((await application.load('an-id-of-some-length-0'))?.data).toMatchObject({ n: 0 })
    } finally {
      await application.close()
    }
    const changed = { cookie: { originalMaxAge: HOUR_MS }, n: 7, __lastAccess: clock.now() }
    await writeFile(join(folder, 'sessions', 'an-id-of-some-length-1.json'), JSON.stringify(changed))
    expect((await nonstick(['import', '--verify'], { env: env() })).code).toBe(1)
    const purged = await nonstick(['purge-source'], { env: env() })
    expect(purged.code).toBe(1)
    expect(purged.stdout).toContain('kept, as they were changed there since they were copied.')
    expect(await left()).toBe(1)
  })

  test.each([
    [{ NONSTICK_IMPORT_FROM: 'conect-redis' }, /Expected --from to be one of connect-redis, /],
    [{ NONSTICK_IMPORT_AT: '/there is no such folder' }, /Expected --at to be a folder that can be read: ENOENT/],
    [
      { NONSTICK_IMPORT_FROM: 'connect-redis', NONSTICK_IMPORT_AT: 'http://:a-password@127.0.0.1' },
      /Expected --at to be the URL of a Redis: redis:/,
    ],
    [
      { NONSTICK_IMPORT_FROM: 'connect-pg-simple', NONSTICK_IMPORT_AT: 'postgres://a:a-password@127.0.0.1:port/x' },
      /Expected --at to be the URL of a PostgreSQL: postgres:/,
    ],
    [
      { NONSTICK_IMPORT_FROM: 'chula-couchdb', NONSTICK_IMPORT_AT: 'couchdb://a:a-password@127.0.0.1' },
      /Expected --at to be the URL of a CouchDB: http:/,
    ],
    [
      { NONSTICK_IMPORT_FROM: 'connect-memcached', NONSTICK_IMPORT_AT: '127.0.0.1:70000' },
      /Expected --at to be the address of one Memcached server/,
    ],
  ])('says what is wrong with %j, and shows no password', async (more, complaint) => {
    const said = await nonstick(['import'], { env: env(more) })
    expect(said.code).toBe(2)
    expect(said.stderr).toMatch(complaint)
    expect(said.stderr).not.toContain('a-password')
  })

  test.each([
    ['connect-redis', 'Redis', 'redis://:a-password@127.0.0.1:'],
    ['connect-pg-simple', 'PostgreSQL', 'postgres://a:a-password@127.0.0.1:'],
    ['chula-couchdb', 'CouchDB', 'http://a:a-password@127.0.0.1:'],
    ['connect-memcached', 'Memcached', '127.0.0.1:'],
  ])(
    'where the server of %s is away, says so and ends with 1, as another time it may be there',
    async (from, kind, at) => {
      const away = { NONSTICK_IMPORT_FROM: from, NONSTICK_IMPORT_AT: `${at}${await freePort()}` }
      for (const command of ['import', 'purge-source']) {
        const said = await nonstick([command], { env: env(away) })
        expect(said.code).toBe(1)
        expect(said.stderr).toContain(
          `The ${kind} that --at names could not be reached: ECONNREFUSED. See whether it runs`,
        )
        expect(said.stderr).not.toContain('a-password')
      }
    },
  )
})
