import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { clusterForThisFile } from '../backends/postgres/cluster.js'
import { cleanEnvironment } from '../backends/postgres/reload-support.js'
import { type MemcachedServer, ownMemcached, skipUnless } from '../support/servers.js'
import { COMMAND, jsonOf, nonstick } from './command.js'

const cluster = clusterForThisFile()

skipUnless('nonstick purge', await ownMemcached(), (startMemcached) => {
  let server: MemcachedServer
  beforeAll(async () => {
    server = await startMemcached()
  })
  afterAll(() => server.stop())

  const env = (): Record<string, string> => ({
    NONSTICK_CACHE: server.address,
    NONSTICK_BACKEND: cluster().url,
    NONSTICK_SCHEMA: cluster().schema,
  })

  const table = (): string => `${cluster().schema}.session`
  /** Sessions that nobody has used, and that ended so long ago by the clock of the server. */
  const ended = (count: number, interval: string): Promise<unknown> =>
    cluster().query(
      `insert into ${table()} (namespace, id_hash, lineage, version, data, created_at, seen_at, expires_at, absolute_expires_at, purge_hour)
       select 'nonstick', sha256(('${interval}' || n)::bytea), '\\x0102030405060708', 1, '\\x00', t, t, t, now() + interval '1 day',
         floor(extract(epoch from t) / 3600)::integer + 1
       from generate_series(1, ${count}) as n, (select now() - interval '${interval}') as moment (t)`,
    )
  const left = async (): Promise<number> =>
    Number((await cluster().query(`select count(*) from ${table()}`)).rows[0].count)

  beforeEach(async () => {
    await cluster().query(`truncate ${table()}`)
  })

  test('removes what ended more than a day ago, in batches, and tells how much', async () => {
    await ended(1_200, '5 days')
    await cluster().query(
      `insert into ${table()} (namespace, id_hash, lineage, version, data, created_at, seen_at, expires_at, absolute_expires_at, purge_hour)
       values ('nonstick', '\\x01', '\\x0102030405060708', 1, '\\x00', now(), now(), now() + interval '1 day', now() + interval '1 day', 2147483647)`,
    )
    const said = await nonstick(['purge', '--json'], { env: env() })
    expect(said).toMatchObject({ code: 0, stderr: '' })
    expect(jsonOf(said)).toMatchObject({ removed: 1_200, more: false })
    expect(await left()).toBe(1)
    const again = await nonstick(['purge'], { env: env() })
    // No bar and no colour, as there is no terminal.
    expect(again).toMatchObject({ code: 0, stderr: '' })
    expect(again.stdout).toMatch(/^0 sessions and tombstones removed in \d+ s\.\n$/)
  })

  test('--dry-run tells how much it would be, and removes nothing', async () => {
    await ended(7, '5 days')
    const said = await nonstick(['purge', '--dry-run', '--json'], { env: env() })
    expect(said).toMatchObject({ code: 0, stderr: '' })
    expect(jsonOf(said)).toEqual({ dryRun: true, removable: 7 })
    expect(await left()).toBe(7)
  })

  test('--older-than removes what ended longer ago alone', async () => {
    await ended(3, '5 days')
    await ended(4, '30 days')
    expect(jsonOf(await nonstick(['purge', '--older-than', '10d', '--dry-run', '--json'], { env: env() }))).toEqual({
      dryRun: true,
      removable: 4,
    })
  })

  describe('by Ctrl-C', () => {
    test.each([
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const)('(%s) ends after a batch with %i, and goes on when it is run again', async (signal, code) => {
      await ended(20_000, '5 days')
      const child = spawn(process.execPath, [COMMAND, 'purge'], {
        env: { ...cleanEnvironment(), ...env() },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      const closed = once(child, 'close')
      let stderr = ''
      child.stderr.on('data', (text) => {
        stderr += String(text)
      })
      while (child.exitCode === null && (await left()) === 20_000);
      child.kill(signal)
      expect((await closed)[0]).toBe(code)
      expect(stderr).toContain('Running it again goes on')
      const rest = await left()
      expect(rest).toBeGreaterThan(0)
      expect(rest % 500).toBe(0)
      expect(jsonOf(await nonstick(['purge', '--json'], { env: env() }))).toMatchObject({
        removed: rest,
        more: false,
      })
    })
  })

  test('the grace is a day where none is given', async () => {
    await ended(3, '20 hours')
    await ended(4, '28 hours')
    expect(jsonOf(await nonstick(['purge', '--dry-run', '--json'], { env: env() }))).toMatchObject({ removable: 4 })
    expect(jsonOf(await nonstick(['purge', '--older-than', '0', '--json'], { env: env() }))).toMatchObject({
      removed: 7,
    })
  })

  test.each([
    ['--older-than', 'yesterday'],
    ['--older-than', '-1d'],
    ['--older-than', '7'],
  ])('%s %s is wrong use', async (flag, value) => {
    const said = await nonstick(['purge', flag, value], { env: env() })
    expect(said).toMatchObject({ code: 2, stdout: '' })
    expect(said.stderr).toContain(flag)
  })
})
