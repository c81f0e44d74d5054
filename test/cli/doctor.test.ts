import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { postgres } from '../../src/backends/postgres/index.js'
import { quoteIdentifier } from '../../src/backends/postgres/setup-names.js'
import { memcached } from '../../src/caches/memcached/index.js'
import type { Finding } from '../../src/cli/doctor/finding.js'
import { judgeMemcached } from '../../src/cli/doctor/judge-memcached.js'
import { createSessionStore } from '../../src/create-session-store.js'
import { couchForThisFile } from '../backends/couchdb/server.js'
import { clusterForThisFile } from '../backends/postgres/cluster.js'
import { tlsMemcached } from '../support/certificates.js'
import { type MemcachedServer, ownMemcached, skipUnless } from '../support/servers.js'
import { jsonOf, nonstick } from './command.js'

// A server that does not wait for the disk would be found fault with.
const cluster = clusterForThisFile({ fsync: true })

interface Said {
  readonly healthy: boolean
  readonly findings: readonly Finding[]
}

/** Nobody listens on port 1. */
const NOBODY = '127.0.0.1:1'

const open = async (port: number): Promise<Socket> => {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** A memcached's statistics in its words, over a connection that is open. */
const statsOver = async (socket: Socket): Promise<string> => {
  let text = ''
  socket.write('stats\r\n')
  while (!text.includes('END\r\n')) text += String((await once(socket, 'data'))[0])
  return text
}

/** Moves the wall clock of the command. */
const movedBy = (shiftMs: number): string =>
  `--import ${new URL(`../support/moved-calendar.mjs?shiftMs=${shiftMs}`, import.meta.url).href}`

skipUnless('nonstick doctor', await ownMemcached(), (startMemcached) => {
  let server: MemcachedServer
  let role: string

  /** An environment in which all is well. */
  const env = (): Record<string, string> => ({
    NONSTICK_CACHE: server.address,
    NONSTICK_BACKEND: url(),
    NONSTICK_SCHEMA: cluster().schema,
    NONSTICK_NAMESPACE: role,
  })
  const url = (): string => {
    const target = new URL(cluster().url)
    target.username = role
    target.password = 'doctor'
    return target.href
  }

  const doctor = async (
    changed: Readonly<Record<string, string>> = {},
  ): Promise<Said & { readonly code: number | null }> => {
    const ended = await nonstick(['doctor', '--json'], { env: { ...env(), ...changed } })
    expect(ended.stderr).toBe('')
    return { ...jsonOf<Said>(ended), code: ended.code }
  }
  /** The names of what is to be mended; the notes are left out. */
  const checks = async (changed: Readonly<Record<string, string>> = {}): Promise<readonly string[]> => {
    const { findings, code, healthy } = await doctor(changed)
    const mend = findings.filter(({ severity }) => severity !== 'note')
    expect({ code, healthy }).toEqual(mend.length === 0 ? { code: 0, healthy: true } : { code: 1, healthy: false })
    for (const { finding, cure } of mend) {
      expect(finding).toMatch(/^[A-Z`0-9].*\.$/s)
      expect(cure).toMatch(/^[A-Z].*\.$/s)
    }
    return mend.map(({ check }) => check)
  }

  beforeAll(async () => {
    server = await startMemcached()
    const { query, schema } = cluster()
    role = `doctor_${randomBytes(4).toString('hex')}`
    await query(`create role ${role} login password 'doctor'`)
    await query(`grant usage on schema ${schema} to ${role}`)
    await query(`grant select, insert, update, delete on all tables in schema ${schema} to ${role}`)
    await query(`alter role ${role} set statement_timeout = '10s'`)
    await query(`alter role ${role} set idle_in_transaction_session_timeout = '10s'`)
  })
  afterAll(() => server.stop())

  /** A store as a process of the application would have it. */
  const sessionsOf = (servers: string, options: { readonly absoluteTtlMs?: number } = {}) =>
    createSessionStore({
      cache: memcached({ servers }),
      backend: postgres({ connectionString: url(), schema: cluster().schema }),
      namespace: role,
      ...options,
    })

  test('finds nothing where all is well, and ends with 0', async () => {
    const sessions = sessionsOf(server.address)
    await sessions.create({ a: 1 })
    await sessions.close()
    expect(await doctor()).toMatchObject({ code: 0, healthy: true })
    const ended = await nonstick(['doctor'], { env: env() })
    expect(ended).toMatchObject({ code: 0, stderr: '' })
    expect(ended.stdout).toMatch(/All is well\.|Nothing has to be mended\./)
    // There is no terminal here.
    expect(ended.stdout).not.toContain('\u001b')
  })

  describe('finds a fault that was planted:', () => {
    /** Plants something in the database, and takes it away again. */
    const during = async (plant: string, undo: string, work: () => Promise<void>): Promise<void> => {
      await cluster().query(plant)
      try {
        await work()
      } finally {
        await cluster().query(undo)
      }
    }
    const table = (): string => `${quoteIdentifier(cluster().schema)}.session`

    test('a cache server that does not answer', async () => {
      const said = await doctor({ NONSTICK_CACHE: `${server.address},${NOBODY}` })
      expect(said.code).toBe(1)
      expect(said.findings[0]).toMatchObject({ check: 'cache-down', severity: 'fault', tier: `memcached ${NOBODY}` })
    })

    test('a backend that does not answer, without its password', async () => {
      const ended = await nonstick(['doctor', '--json'], {
        env: { ...env(), NONSTICK_BACKEND: `postgres://ann:hunter2@${NOBODY}/app` },
      })
      expect(ended.code).toBe(1)
      expect(jsonOf<Said>(ended).findings[0]).toMatchObject({
        check: 'backend-down',
        finding: expect.stringContaining('ECONNREFUSED'),
      })
      expect(ended.stdout + ended.stderr).not.toContain('hunter2')
    })

    test('a table that is missing, with the command that makes it', async () => {
      const { findings, code } = await doctor({ NONSTICK_TABLE: 'nowhere' })
      expect(code).toBe(1)
      expect(findings.map(({ finding }) => finding).join('\n')).toContain('npx nonstick setup')
    })

    test('an index that somebody dropped', async () => {
      const { schema } = cluster()
      await during(
        `drop index ${schema}.session_user_id`,
        `create index session_user_id on ${table()} (live_namespace, user_hash, id_hash) where live_namespace is not null and user_hash is not null`,
        async () => {
          const { findings } = await doctor()
          expect(findings).toContainEqual(
            expect.objectContaining({ check: 'backend-schema', finding: expect.stringContaining('session_user_id') }),
          )
        },
      )
      expect(await checks()).toEqual([])
    })

    test('a role without time-outs', async () => {
      await during(
        `alter role ${role} reset statement_timeout`,
        `alter role ${role} set statement_timeout = '10s'`,
        async () => expect(await checks()).toEqual(['backend-timeouts']),
      )
    })

    test('a time-out of a tier that outlasts the patience of the store', async () => {
      expect(await checks({ NONSTICK_POSTGRES_QUERY_TIMEOUT_MS: '5s' })).toEqual(['timeouts'])
    })

    test('commits that do not wait for the disk', async () => {
      await during(
        `alter role ${role} set synchronous_commit = off`,
        `alter role ${role} reset synchronous_commit`,
        async () => expect(await checks()).toEqual(['backend-durability']),
      )
    })

    test('a clock that is a minute slow', async () => {
      expect(await checks({ NODE_OPTIONS: movedBy(-60_000) })).toEqual(['cache-clock', 'backend-clock'])
    })

    test('sessions that are to live for longer than the options say', async () => {
      expect(await checks({ NONSTICK_ABSOLUTE_TTL_MS: '2d' })).toEqual(['backend-lives'])
    })

    test('rows that nobody purges', async () => {
      await cluster().query(
        `insert into ${table()} (namespace, id_hash, lineage, version, data, created_at, seen_at, expires_at, absolute_expires_at, purge_hour)
         values ('other', '\\x01', '\\x0102030405060708', 1, '\\x00', now(), now(), now(), now(), 1)`,
      )
      expect(await checks()).toEqual(['backend-overdue'])
      await cluster().query(`delete from ${table()} where namespace = 'other'`)
    })

    test('a connection in the clear to what is not known to be this machine', async () => {
      const target = new URL(url())
      // Every machine reaches itself by it, and it is not among the names of this machine.
      target.hostname = '0.0.0.0'
      expect(await checks({ NONSTICK_BACKEND: target.href })).toEqual(['backend-tls'])
    })

    test('a process with another list of cache servers', async () => {
      const second = await startMemcached()
      try {
        const others = sessionsOf(`${server.address},${second.address}`)
        for (let n = 0; n < 8; n += 1) await others.create({ n })
        await others.close()
        const { findings } = await doctor({
          NONSTICK_CACHE: `${server.address},${second.address},${server.address.replace('127.0.0.1', 'localhost')}`,
        })
        expect(findings.map(({ check }) => check)).toContain('cache-server-lists')
      } finally {
        await second.stop()
      }
    })

    test('a cache that forgets sessions for want of room', async () => {
      const small = await startMemcached({ memoryMb: 2 })
      try {
        const cache = memcached({ servers: small.address })
        const far = cluster().now() + 3_600_000
        for (let n = 0; n < 200; n += 1) await cache.set(`full:${n}`, new Uint8Array(100_000), far)
        await cache.close()
        expect(await checks({ NONSTICK_CACHE: small.address })).toContain('cache-evictions')
      } finally {
        await small.stop()
      }
    })

    test('a cache that has turned connections away, and takes smaller values than are sent', async () => {
      const narrow = await startMemcached({ extraArgs: ['-c', '30', '-I', '512k'] })
      const first = await open(narrow.port)
      const sockets = await Promise.all(Array.from({ length: 60 }, () => open(narrow.port)))
      try {
        // Nobody else gets in at this moment, so that the one who was first has to say when it has come to that.
        while (!/STAT rejected_connections [1-9]/.test(await statsOver(first)));
      } finally {
        for (const socket of [first, ...sockets]) socket.destroy()
      }
      try {
        expect(await checks({ NONSTICK_CACHE: narrow.address })).toEqual(['cache-connections', 'cache-item-size'])
      } finally {
        await narrow.stop()
      }
    })
  })
})

skipUnless('nonstick doctor and TLS', await tlsMemcached(), ({ authority, start }) => {
  const folder = mkdtempSync(join(tmpdir(), 'nonstick-doctor-'))
  afterAll(() => {
    authority.remove()
    rmSync(folder, { recursive: true, force: true })
  })

  const findings = async (env: Readonly<Record<string, string>>): Promise<readonly Finding[]> => {
    const ended = await nonstick(['doctor', '--json'], { env: { NONSTICK_BACKEND: 'memory', ...env } })
    expect(ended.stderr).toBe('')
    return jsonOf<Said>(ended).findings.filter(({ check }) => check.startsWith('cache'))
  }

  test('looks through TLS, and warns of servers that are not verified and of certificates that end soon', async () => {
    const { certFile, keyFile } = authority.issue({ days: 60 })
    const server = await start({ tls: { cert: certFile, key: keyFile } })
    const soon = authority.issue({ days: 3 })
    const other = await start({ tls: { cert: soon.certFile, key: soon.keyFile } })
    try {
      const ca = { NONSTICK_MEMCACHED_TLS_CA: authority.caFile }
      expect(await findings({ ...ca, NONSTICK_CACHE: `memcacheds://${server.address}` })).toEqual([])
      expect(await findings({ ...ca, NONSTICK_CACHE: `memcacheds://${other.address}` })).toMatchObject([
        { check: 'cache-certificate', severity: 'warning', tier: `memcached ${other.address}` },
      ])
      const unverified = { NONSTICK_CACHE: server.address, NONSTICK_MEMCACHED_TLS_REJECT_UNAUTHORIZED: 'false' }
      expect(await findings(unverified)).toMatchObject([{ check: 'cache-tls-unverified', severity: 'warning' }])
      expect(await findings({ NONSTICK_CACHE: `memcacheds://${server.address}` })).toMatchObject([
        { check: 'cache-down', severity: 'fault', finding: expect.stringContaining('`tls.ca`') },
      ])
      const module = join(folder, 'sessions.mjs')
      const memcachedUrl = new URL('../../dist/caches/memcached/index.js', import.meta.url).href
      const options = { servers: server.address, tls: { rejectUnauthorized: false } }
      writeFileSync(
        module,
        `import { memcached } from '${memcachedUrl}'\nexport default { cache: memcached(${JSON.stringify(options)}) }\n`,
      )
      expect(await findings({ NONSTICK_CONFIG: module })).toMatchObject([{ check: 'cache-tls-unverified' }])
      const stats = await nonstick(['stats', '--json'], {
        env: { ...ca, NONSTICK_BACKEND: 'memory', NONSTICK_CACHE: `memcacheds://${server.address}` },
      })
      expect(stats).toMatchObject({ code: 0, stderr: '' })
      expect(stats.stdout).not.toContain('"error"')
    } finally {
      await Promise.all([server.stop(), other.stop()])
    }
  })
})

test('a cache on another machine is to be reached through TLS, and one on this machine need not be', () => {
  const judged = (host: string, tls: object | undefined): readonly string[] =>
    judgeMemcached({
      tier: `memcached ${host}:11211`,
      host,
      tls,
      statistics: { general: {}, settings: {}, items: {}, certificateEndsAt: undefined },
      askedAtMs: 0,
      maxClockSkewMs: 0,
      maxValueBytes: 1_000_000,
      idleTtlMs: 1_000,
    }).map(({ check, severity }) => `${check} ${severity}`)
  expect(judged('cache1', undefined)).toEqual(['cache-in-the-clear warning'])
  expect(judged('cache1', {})).toEqual([])
  expect(judged('127.0.0.1', undefined)).toEqual([])
  expect(judged('127.0.0.1', { rejectUnauthorized: false })).toEqual(['cache-tls-unverified warning'])
})

const couch = couchForThisFile()

test('nonstick doctor looks at a CouchDB, and finds a clock that is a minute fast', async () => {
  const env = {
    NONSTICK_CACHE: 'memory',
    NONSTICK_BACKEND: `couchdb+${couch().url}`,
    NONSTICK_COUCHDB_DATABASE: couch().pattern(),
    NONSTICK_COUCHDB_CONNECT_TIMEOUT_MS: '60s',
    NONSTICK_COUCHDB_REQUEST_TIMEOUT_MS: '60s',
    NONSTICK_BACKEND_TIMEOUT_MS: '60s',
    NONSTICK_DEADLINE_MS: '60s',
    NONSTICK_LEASE_MS: '61s',
  }
  expect(await nonstick(['setup'], { env })).toMatchObject({ code: 0, stderr: '' })
  expect(jsonOf(await nonstick(['doctor', '--json'], { env }))).toMatchObject({ healthy: true })
  const said = await nonstick(['doctor', '--json'], { env: { ...env, NODE_OPTIONS: movedBy(60_000) } })
  expect(said.code).toBe(1)
  expect(jsonOf<Said>(said).findings).toContainEqual(
    expect.objectContaining({ check: 'backend-clock', finding: expect.stringContaining('behind') }),
  )
})

test('what nonstick doctor says of a value that is not there is that it is missing', async () => {
  const ended = await nonstick(['doctor'])
  expect(ended).toMatchObject({ code: 2, stdout: '' })
  expect(ended.stderr).toContain('NONSTICK_CACHE')
})
