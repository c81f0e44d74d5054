import { expect, test } from 'vitest'
import { startRedis } from '../../scripts/servers/index.js'
import type { Finding } from '../../src/cli/doctor/finding.js'
import { redisInTheClear } from '../../src/cli/doctor/redis-facts.js'
import { readEnvironment } from '../../src/environment/read.js'
import { redisHere } from '../backends/redis/server.js'
import { ownMemcached, skipUnless } from '../support/servers.js'
import { jsonOf, nonstick } from './command.js'

interface Said {
  readonly findings: readonly Finding[]
}

const startMemcached = await ownMemcached()

skipUnless('nonstick with a Redis', redisHere(), () => {
  const withRedis = async (
    settings: Readonly<Record<string, string>>,
    work: (env: Record<string, string>, ask: (...words: string[]) => Promise<string>) => Promise<void>,
  ): Promise<void> => {
    const server = await startRedis({ settings: { appendfsync: 'everysec', ...settings } })
    const patience = { NONSTICK_REDIS_QUERY_TIMEOUT_MS: '60s', NONSTICK_REDIS_CONNECT_TIMEOUT_MS: '60s' }
    try {
      await work({ NONSTICK_BACKEND: server.url, ...patience }, server.ask)
    } finally {
      await server.stop()
    }
  }

  test('setup has nothing to make, tells what is weak, and may run twice', async () => {
    await withRedis({}, async (env) => {
      for (let time = 0; time < 2; time += 1) {
        const said = await nonstick(['setup', '--json'], { env })
        expect(said).toMatchObject({ code: 0, stderr: '' })
        const { findings } = jsonOf<Said>(said)
        expect(findings.map(({ check }) => check)).toEqual(['fsync', 'replicas'])
      }
      expect(await nonstick(['setup', '--print'], { env })).toMatchObject({ code: 2 })
      expect(await nonstick(['setup', '--role', 'ann'], { env })).toMatchObject({ code: 2 })
    })
  })

  test('setup refuses a replica', async () => {
    await withRedis({}, async (env, ask) => {
      await ask('REPLICAOF', '127.0.0.1', '1')
      const said = await nonstick(['setup'], { env })
      expect(said.code).toBe(1)
      expect(said.stderr).toContain('replica')
    })
  })

  skipUnless('beside a Memcached', startMemcached, (start) => {
    test('doctor finds what loses sessions, and nothing to mend where nothing does', async () => {
      const cache = await start()
      const faults = async (env: Record<string, string>): Promise<readonly string[]> => {
        const ended = await nonstick(['doctor', '--json'], { env: { ...env, NONSTICK_CACHE: cache.address } })
        expect(ended.stderr).toBe('')
        return jsonOf<Said>(ended)
          .findings.filter(({ check, severity }) => severity !== 'note' && check.startsWith('redis'))
          .map(({ check, severity }) => `${severity}: ${check}`)
      }
      try {
        await withRedis({ appendfsync: 'always' }, async (env) => expect(await faults(env)).toEqual([]))
        await withRedis({ appendonly: 'no', maxmemory: '50mb', 'maxmemory-policy': 'allkeys-lru' }, async (env) =>
          expect(await faults(env)).toEqual(['fault: redis-eviction', 'fault: redis-persistence']),
        )
        await withRedis({ appendfsync: 'no', 'maxmemory-policy': 'volatile-ttl' }, async (env) =>
          expect(await faults(env)).toEqual(['warning: redis-eviction', 'warning: redis-fsync']),
        )
        await withRedis({}, async (env) => {
          const waiting = { NONSTICK_REDIS_WAIT_REPLICAS: '1', NONSTICK_REDIS_WAIT_TIMEOUT_MS: '500' }
          expect(await faults({ ...env, ...waiting })).toEqual(['fault: redis-replicas'])
        })
      } finally {
        await cache.stop()
      }
    })
  })
})

test.each([
  ['redis://:secret@db.example.net:6379', 1],
  ['redis+cluster://127.0.0.1:1,db.example.net', 1],
  ['rediss://:secret@db.example.net:6379', 0],
  ['redis://localhost', 0],
  ['unix:///run/redis.sock', 0],
])('a Redis at %s is found fault with for want of TLS so many times: %i', (url, times) => {
  const read = readEnvironment({ NONSTICK_BACKEND: url })
  const findings = redisInTheClear('redis', read)
  expect(findings.map(({ check }) => check)).toEqual(Array.from({ length: times }, () => 'backend-tls'))
  expect(JSON.stringify(findings)).not.toContain('secret')
})
