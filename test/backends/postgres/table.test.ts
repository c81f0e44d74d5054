import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { type PostgresOptions, postgres } from '../../../src/backends/postgres/index.js'
import type { Backend, GuardedUpdate, StoredSession } from '../../../src/contract/backend.js'
import type { Locator } from '../../../src/contract/locator.js'
import { sampleLineage, sampleLocator, sampleWriteId, storedSession } from '../../../src/testing/stored-session.js'
import { chance } from '../../concurrency/chance.js'
import { QUIET_DAY } from '../../support/calendar.js'
import { seed } from '../../support/seed.js'
import { clusterForThisFile } from './cluster.js'
import { notingPool } from './noting-pool.js'

const cluster = clusterForThisFile()

const open = (options: PostgresOptions = {}) => {
  const { url, schema, table } = cluster()
  // A busy machine takes long for a new connection.
  return postgres({ connectionString: url, schema, table, connectTimeoutMs: 20_000, ...options })
}

const next = (locator: Locator, session: StoredSession, change: Partial<StoredSession> = {}): GuardedUpdate => {
  const { lineage, version } = session
  return {
    locator,
    session: { ...session, version: version + 1, ...change },
    guard: { lineage, belowVersion: version + 1, parentLineage: lineage, parentVersion: version },
    token: new Uint8Array(0),
  }
}

const insertMany = async (backend: Backend, count: number, overrides: Partial<StoredSession> = {}) => {
  const stored = Array.from({ length: count }, () => ({ locator: sampleLocator(), session: storedSession(overrides) }))
  await Promise.all(stored.map(({ locator, session }) => backend.insert(locator, session)))
  return stored
}

describe('how many statements', () => {
  const counted = async (work: (backend: Backend, forget: () => void) => Promise<unknown>): Promise<number> => {
    const { url, schema, table } = cluster()
    const { pool, statements, end } = notingPool(url)
    const backend = postgres({ pool, schema, table, queryTimeoutMs: 20_000 })
    await work(backend, () => statements.splice(0))
    await backend.close()
    await end()
    return statements.length
  }

  test('a read, an insert and a destroy are one each, and two more before the first of a process', async () => {
    expect(await counted((backend) => backend.read(sampleLocator()))).toBe(3)
    const statements = await counted(async (backend, forget) => {
      const locator = sampleLocator()
      await backend.read(locator)
      forget()
      await backend.read(locator)
      await backend.insert(locator, storedSession())
      await backend.destroy(locator, { writeId: sampleWriteId(), at: 1, keepUntil: 2 })
      await backend.destroy(locator, {
        writeId: sampleWriteId(),
        at: 1,
        keepUntil: 2,
        only: { lineage: sampleLineage(), version: 1 },
      })
    })
    expect(statements).toBe(4)
  })

  test('a batch of fifty is one, and one more where some were refused', async () => {
    const statements = await counted(async (backend, forget) => {
      const stored = await insertMany(backend, 50)
      forget()
      const updates = stored.map(({ locator, session }) => next(locator, session))
      await backend.update(updates)
    })
    expect(statements).toBe(1)
    const again = await counted(async (backend, forget) => {
      const stored = await insertMany(backend, 50)
      forget()
      await backend.update(stored.map(({ locator, session }) => next(locator, { ...session, version: 9 }, {})))
      await backend.extend(stored.map(({ locator, session }) => ({ locator, ...session })))
    })
    expect(again).toBe(2)
  })

  test('an empty batch is none', async () => {
    expect(await counted(async (backend) => [await backend.update([]), await backend.extend([])])).toBe(0)
  })
})

describe('flushes within an hour', () => {
  /** 200 updates of 100 sessions in batches of ten, as a busy process sends them; how many touched no index. */
  const hotUpdates = async (table: string, prepare: (quoted: string) => Promise<unknown>): Promise<number> => {
    const { schema, query } = cluster()
    const backend = open({ table, migrate: true, queryTimeoutMs: 20_000 })
    const start = QUIET_DAY + 1_000
    const stored = await insertMany(backend, 100, { createdAt: start, data: randomBytes(1_000), userId: 'somebody' })
    await prepare(`"${schema}"."${table}"`)
    for (let batch = 0; batch < 20; batch++) {
      const updates = stored.flatMap(({ locator, session }, index) =>
        index % 10 === batch % 10
          ? next(
              locator,
              { ...session, version: batch < 10 ? 1 : 2 },
              {
                data: randomBytes(1_000),
                seenAt: session.seenAt + batch * 60_000,
                expiresAt: session.expiresAt + batch * 60_000,
              },
            )
          : [],
      )
      const outcomes = await backend.update(updates)
      expect(outcomes.map(({ outcome }) => outcome)).toEqual(Array(10).fill('applied'))
    }
    // A connection reports what it did when it ends, if not before.
    await backend.close()
    const counted = 'select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where schemaname = $1 and relname = $2'
    for (const givenUpAt = performance.now() + 10_000; performance.now() < givenUpAt; ) {
      const { rows } = await query(counted, [schema, table])
      if (Number(rows[0].n_tup_upd) >= 200) return Number(rows[0].n_tup_hot_upd)
    }
    throw new Error('the statistics did not arrive')
  }

  test('nineteen of twenty touch no index', async () => {
    // On a server that others use, their open transactions keep dead rows on the pages that these updates need.
    const least = cluster().server.source === 'environment' ? 100 : 190
    // And so does a worker of the server's own that cleans up at the same moment: then it is measured once more.
    let hot = 0
    for (let tries = 0; tries < 3 && hot < least; tries++) hot = await hotUpdates(`hot_${tries}`, async () => {})
    expect(hot).toBeGreaterThanOrEqual(least)
  })

  test('an index on a moment would make all of them touch it, and that is why there is none', async () => {
    const { query } = cluster()
    const hot = await hotUpdates('cold', (quoted) => query(`create index on ${quoted} (expires_at)`))
    expect(hot).toBeLessThan(20)
  })
})

test('names mean themselves: case, blanks, quotes and all', async () => {
  const { query } = cluster()
  const schema = `Te"st ${randomBytes(4).toString('hex')} "; --`
  const backend = open({ schema, table: 'SELECT "Sessions"', migrate: true, queryTimeoutMs: 20_000 })
  const [{ locator, session } = { locator: sampleLocator(), session: storedSession() }] = await insertMany(backend, 1)
  expect((await backend.read(locator)).state).toBe('live')
  expect((await backend.update([next(locator, session)]))[0]?.outcome).toBe('applied')
  expect(await backend.count({ namespace: 'contract', now: 0 })).toBe(1)
  expect((await backend.purge({ now: session.expiresAt + 3 * 86_400_000, limit: 9 })).removed).toBe(1)
  await backend.close()
  await query(`drop schema ${pg.escapeIdentifier(schema)} cascade`)
})

test('a session that has ended whether it was used or not, and a tombstone, are purged without a grace', async () => {
  const backend = open()
  const hours = (count: number): number => Date.UTC(2026, 0, 1) + count * 3_600_000
  const [ended, extended, used, tombstone] = [sampleLocator(), sampleLocator(), sampleLocator(), sampleLocator()]
  const moments = { createdAt: hours(0), expiresAt: hours(2), absoluteExpiresAt: hours(5) }
  await backend.insert(ended, storedSession({ ...moments, absoluteExpiresAt: hours(2) }))
  await backend.insert(extended, storedSession(moments))
  await backend.extend([{ locator: extended, seenAt: hours(1), expiresAt: hours(5) }])
  await backend.insert(used, storedSession({ ...moments, absoluteExpiresAt: hours(99) }))
  await backend.destroy(tombstone, { writeId: sampleWriteId(), at: hours(0), keepUntil: hours(2) })
  const states = async (): Promise<string[]> =>
    Promise.all([ended, extended, used, tombstone].map(async (locator) => (await backend.read(locator)).state))
  await backend.purge({ now: hours(2), limit: 99 })
  expect(await states()).toEqual(['absent', 'live', 'live', 'absent'])
  await backend.purge({ now: hours(5), limit: 99 })
  expect(await states()).toEqual(['absent', 'absent', 'live', 'absent'])
  await backend.purge({ now: hours(26), limit: 99 })
  expect(await states()).toEqual(['absent', 'absent', 'absent', 'absent'])
  await backend.close()
})

test('nothing of a destroyed session is left in its row but that it was, and by which call', async () => {
  const { schema, table, query } = cluster()
  const backend = open()
  const locator = sampleLocator({ namespace: 'erased' })
  await backend.insert(
    locator,
    storedSession({
      ...{
        app: 'shop',
        userId: 'somebody',
        userEpoch: 4,
        identifiedAt: 7,
        address: '10.0.0.1',
        userAgent: 'Browser/1.0',
      },
      ...{ reads: 5, writes: 6 },
    }),
  )
  const writeId = sampleWriteId()
  await backend.destroy(locator, { writeId, at: 5_000, keepUntil: 9_000 })
  const { rows } = await query(`select * from "${schema}"."${table}" where namespace = 'erased'`)
  expect(rows).toMatchObject([
    {
      ...{
        app: '',
        user_id: null,
        user_hash: null,
        user_epoch: 0,
        identified_at: null,
        address: null,
        user_agent: null,
      },
      ...{ data: null, reads: '0', writes: '0', write_ids: Buffer.from(writeId, 'hex') },
    },
  ])
  await backend.close()
})

test('a later destroy lengthens a tombstone’s time and never shortens it, in the moment as in the hour', async () => {
  const { schema, table, query } = cluster()
  const backend = open()
  const locator = sampleLocator({ namespace: 'kept' })
  const hours = (count: number): number => count * 3_600_000
  for (const [keepUntil, kept] of [
    [hours(5), 5],
    [hours(9), 9],
    [hours(2), 9],
  ] as const) {
    await backend.destroy(locator, { writeId: sampleWriteId(), at: 1_000, keepUntil })
    const { rows } = await query(
      `select extract(epoch from keep_until)::int / 3600 as hours, purge_hour from "${schema}"."${table}" where namespace = 'kept'`,
    )
    expect(rows).toEqual([{ hours: kept, purge_hour: kept }])
  }
  await backend.close()
})

test('a value that only the server refuses fails alone, wherever in the batch it stands', async () => {
  const { schema, query } = cluster()
  const table = 'choosy'
  const backend = open({ table, migrate: true, queryTimeoutMs: 20_000 })
  const stored = await insertMany(backend, 70)
  await query(`alter table "${schema}"."${table}" add check (user_id not like 'refused%')`)
  const bad = new Set([0, 17, 63, 64, 69])
  const updates = stored.map(({ locator, session }, index) =>
    next(locator, session, bad.has(index) ? { userId: `refused ${index}` } : {}),
  )
  const outcomes = await backend.update(updates)
  for (const [index, outcome] of outcomes.entries())
    if (!bad.has(index)) expect(outcome.outcome).toBe('applied')
    else expect(outcome).toMatchObject({ outcome: 'failed', error: { code: 'E_SESSION_DATA', applied: 'no' } })
  await backend.close()
})

test('a deadlock is nobody’s failure: the statement that lost is sent again', async () => {
  const { url, schema, table } = cluster()
  const backend = open({ queryTimeoutMs: 10_000, applicationName: 'deadlocked' })
  const stored = (await insertMany(backend, 2)).sort((one, other) => (one.locator.key < other.locator.key ? -1 : 1))
  const hashes = stored
    .map(({ locator }) => Buffer.from(locator.key.split(':')[1] ?? '', 'base64url'))
    .sort(Buffer.compare)
  const rival = new pg.Client({ connectionString: url })
  await rival.connect()
  const lock = (hash: Buffer | undefined) =>
    rival.query(`select 1 from "${schema}"."${table}" where id_hash = $1 for update`, [hash])
  // The rival would not give up for ten seconds; the backend's server looks for deadlocks after one.
  await rival.query(`set deadlock_timeout = '10s'`)
  await rival.query('begin')
  await lock(hashes[1])
  const pending = backend.update(stored.map(({ locator, session }) => next(locator, session)))
  const waiting = `select count(*) as n from pg_stat_activity where application_name = 'deadlocked' and wait_event_type = 'Lock'`
  while (Number((await cluster().query(waiting)).rows[0].n) === 0);
  await lock(hashes[0])
  await rival.query('rollback')
  expect((await pending).map(({ outcome }) => outcome)).toEqual(['applied', 'applied'])
  await rival.end()
  await backend.close()
})

test('a batch takes its rows in the order of their keys, so that two batches never wait for each other', async () => {
  const { url, schema, table, query } = cluster()
  const backend = open({ queryTimeoutMs: 10_000, applicationName: 'in-order' })
  const stored = await insertMany(backend, 40)
  const hashes = stored
    .map(({ locator }) => Buffer.from(locator.key.split(':')[1] ?? '', 'base64url'))
    .sort(Buffer.compare)
  const rival = new pg.Client({ connectionString: url })
  await rival.connect()
  for (const change of [
    () => backend.update(stored.map(({ locator, session }) => next(locator, session))),
    () => backend.extend(stored.map(({ locator, session }) => ({ locator, ...session }))),
  ]) {
    await rival.query('begin')
    await rival.query(`select 1 from "${schema}"."${table}" where id_hash = $1 for update`, [hashes[0]])
    const pending = change()
    const waiting = `select count(*) as n from pg_stat_activity where application_name = 'in-order' and wait_event_type = 'Lock'`
    while (Number((await query(waiting)).rows[0].n) === 0);
    const free = await rival.query(
      `select 1 from "${schema}"."${table}" where id_hash = any ($1::bytea[]) for update skip locked`,
      [hashes],
    )
    expect(free.rowCount).toBe(40)
    await rival.query('rollback')
    await pending
  }
  await rival.end()
  await backend.close()
})

describe('migrate: true', () => {
  test('makes the table at the first call, once for all who ask at once', async () => {
    const { schema, query } = cluster()
    const backend = open({ table: 'made', migrate: true, queryTimeoutMs: 20_000 })
    await Promise.all(Array.from({ length: 20 }, () => backend.read(sampleLocator())))
    const { rows } = await query('select count(*)::int as n from pg_tables where schemaname = $1 and tablename = $2', [
      schema,
      'made',
    ])
    expect(rows).toEqual([{ n: 1 }])
    await backend.close()
  })

  test('a failed attempt is forgotten: the next call tries again', async () => {
    const { schema, query } = cluster()
    const role = `nobody_${randomBytes(4).toString('hex')}`
    await query(`create role ${role} login password 'x'`)
    await query(`grant usage on schema "${schema}" to ${role}`)
    const url = new URL(cluster().url)
    url.username = role
    url.password = 'x'
    const backend = open({ connectionString: url.href, table: 'later', migrate: true, queryTimeoutMs: 20_000 })
    try {
      await expect(backend.read(sampleLocator())).rejects.toMatchObject({ code: 'E_BACKEND_SCHEMA' })
      await query(`grant create on schema "${schema}" to ${role}`)
      await query(`grant all on all tables in schema "${schema}" to ${role}`)
      expect((await backend.read(sampleLocator())).state).toBe('absent')
    } finally {
      await backend.close()
      await query(`drop owned by ${role}`)
      await query(`drop role ${role}`)
    }
  })

  test('a table that is dropped under a running program is made again', async () => {
    const { schema, query } = cluster()
    const backend = open({ table: 'dropped', migrate: true, queryTimeoutMs: 20_000 })
    await backend.read(sampleLocator())
    await query(`drop table "${schema}"."dropped"`)
    await expect(backend.read(sampleLocator())).rejects.toMatchObject({ code: 'E_BACKEND_SCHEMA' })
    expect((await backend.read(sampleLocator())).state).toBe('absent')
    await backend.close()
  })
})

describe('options that change the way of sending', () => {
  test.each([
    ['a statement time-out of the server', { statementTimeoutMs: 5_000 }],
    ['named statements', { namedStatements: true }],
    ['one connection', { maxConnections: 1 }],
  ])('%s changes no answer', async (_, options) => {
    const backend = open(options)
    const stored = await insertMany(backend, 5)
    for (const round of [1, 2]) {
      const updates = stored.map(({ locator, session }) => next(locator, { ...session, version: round }))
      const outcomes = await backend.update(updates)
      expect(outcomes.map(({ outcome }) => outcome)).toEqual(Array(5).fill('applied'))
    }
    const [first = { locator: sampleLocator(), session: storedSession() }] = stored
    const refused = await backend.update([next(first.locator, first.session)])
    expect(refused).toMatchObject([{ outcome: 'refused', row: { state: 'live', version: 3 } }])
    expect(await backend.destroy(first.locator, { writeId: sampleWriteId(), at: 1, keepUntil: 2 })).toBe('destroyed')
    expect((await backend.read(first.locator)).state).toBe('destroyed')
    await backend.close()
  })

  test('a statement that takes longer than the server’s time-out is given up by the server, and not applied', async () => {
    const { url, schema, table } = cluster()
    const backend = open({ statementTimeoutMs: 100 })
    const [{ locator, session } = { locator: sampleLocator(), session: storedSession() }] = await insertMany(backend, 1)
    const rival = new pg.Client({ connectionString: url })
    await rival.connect()
    await rival.query('begin')
    await rival.query(`lock table "${schema}"."${table}"`)
    await expect(backend.update([next(locator, session)])).rejects.toMatchObject({
      code: 'E_SESSION_UNAVAILABLE',
      applied: 'no',
      message: expect.stringContaining('57014'),
    })
    await rival.query('rollback')
    await rival.end()
    expect((await backend.update([next(locator, session)]))[0]?.outcome).toBe('applied')
    await backend.close()
  })

  test('a program that reads big numbers and bytes in its own way does not disturb', async () => {
    const before = pg.types.getTypeParser(20)
    pg.types.setTypeParser(20, BigInt)
    try {
      const backend = open()
      const [{ locator, session } = { locator: sampleLocator(), session: storedSession() }] = await insertMany(
        backend,
        1,
        { version: Number.MAX_SAFE_INTEGER },
      )
      expect(await backend.read(locator)).toMatchObject({ state: 'live', session: { version: session.version } })
      await backend.close()
    } finally {
      pg.types.setTypeParser(20, before)
    }
  })
})

describe('what could not be read again', () => {
  test('is refused before it is sent, each entry by itself', async () => {
    const backend = open()
    const [locator, session] = [sampleLocator(), storedSession()]
    const data = Buffer.alloc(268_000_001)
    await expect(backend.insert(sampleLocator(), { ...session, data })).rejects.toMatchObject({
      code: 'E_SESSION_TOO_LARGE',
      applied: 'no',
    })
    await backend.insert(locator, session)
    const other = sampleLocator()
    await backend.insert(other, session)
    expect(await backend.update([next(locator, session, { data }), next(other, session)])).toMatchObject([
      { outcome: 'failed', error: { code: 'E_SESSION_TOO_LARGE', applied: 'no' } },
      { outcome: 'applied' },
    ])
    await backend.close()
  })
})

describe('a page of a listing', () => {
  const now = QUIET_DAY
  const expired = async (namespace: string, count: number): Promise<void> => {
    const { url, schema, table } = cluster()
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    await client.query(
      `insert into ${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}
         (namespace, id_hash, lineage, version, data, created_at, seen_at, expires_at, absolute_expires_at, purge_hour)
       select $1, decode(md5(i::text) || md5((-i)::text), 'hex'), decode('0000000000000000', 'hex'), 0, '', moment,
         moment, moment, moment, 2147483647
       from generate_series(1, $2) as i, (select $3::timestamptz as moment) as moments`,
      [namespace, count, new Date(now)],
    )
    await client.end()
  }

  test('passes over a bounded number of sessions that have expired, and says where it ended', async () => {
    const backend = open()
    const namespace = `rows${sampleLineage()}`
    await expired(namespace, 25_000)
    const locators = Array.from({ length: 3 }, () => sampleLocator({ namespace }))
    for (const locator of locators) await backend.insert(locator, storedSession({ createdAt: now }))
    const keys: string[] = []
    const listed: string[] = []
    let pages = 0
    for (let after: string | undefined; ; pages += 1) {
      const from = { namespace, now, limit: 100, ...(after === undefined ? {} : { after }) }
      const page = await backend.listKeys(from)
      const full = await backend.list({ ...from, withData: true, maxBytes: 1_000_000 })
      expect(full.next).toBe(page.next)
      keys.push(...page.entries.map(({ key }) => key))
      listed.push(...full.entries.map(({ locator }) => locator.key))
      after = page.next
      if (after === undefined) break
    }
    expect([...keys].sort()).toEqual(locators.map(({ key }) => key).sort())
    expect(listed).toEqual(keys)
    expect(pages).toBe(2)
    await backend.close()
  })
})

test('counts are exact to the millisecond, wherever in an hour the moments are', async () => {
  const backend = open({ queryTimeoutMs: 20_000 })
  const namespace = `hours${sampleLineage()}`
  const hour = 3_600_000
  const { below } = chance(11)
  // Many on an hour or beside it, and some anywhere between.
  const moment = (): number => QUIET_DAY + (below(7) - 3) * hour + (below(2) === 0 ? below(3) - 1 : below(hour))
  const stored = Array.from({ length: 400 }, () => ({
    locator: sampleLocator({ namespace }),
    session: storedSession({
      ...{ createdAt: QUIET_DAY - 9 * hour, seenAt: moment(), expiresAt: moment() },
      ...{ app: ['', 'shop'][below(2)] ?? '', userId: [undefined, 'ada', 'eve', 'fay'][below(4)] },
    }),
  }))
  await Promise.all(stored.map(({ locator, session }) => backend.insert(locator, session)))
  for (let round = 0; round < 60; round += 1) {
    const [now, since, app] = [moment(), moment(), ['', 'shop'][below(2)] ?? '']
    for (const which of [{}, { app }, { seenSince: since }, { app, seenSince: since }] as const) {
      const meant = stored.filter(
        ({ session }) =>
          session.expiresAt > now &&
          (!('app' in which) || session.app === app) &&
          (!('seenSince' in which) || session.seenAt >= since),
      )
      const users = new Set(meant.flatMap(({ session: { userId } }) => userId ?? []))
      const counted = [
        await backend.count({ namespace, now, ...which }),
        await backend.countUsers({ namespace, now, ...which }),
      ]
      expect(counted, `NONSTICK_SEED=${seed}, ${JSON.stringify({ now, ...which })}`).toEqual([meant.length, users.size])
    }
  }
  await backend.close()
})

test('a session that an administrator lets live for ever is read and listed among the others', async () => {
  const { url, schema, table } = cluster()
  const backend = open()
  const namespace = `forever-${randomBytes(4).toString('hex')}`
  const [locator, other] = [sampleLocator({ namespace }), sampleLocator({ namespace })]
  for (const { key } of [locator, other]) await backend.insert({ key }, storedSession())
  const administrator = new pg.Client(url)
  await administrator.connect()
  await administrator.query(
    `update "${schema}"."${table}" set expires_at = 'infinity', absolute_expires_at = 'infinity', seen_at = '-infinity'
     where namespace = $1 and id_hash = decode($2, 'hex')`,
    [namespace, Buffer.from(locator.key.slice(namespace.length + 1), 'base64url').toString('hex')],
  )
  await administrator.end()

  const forever = { expiresAt: 2 ** 48 - 1, absoluteExpiresAt: 2 ** 48 - 1, seenAt: 0 }
  expect(await backend.read(locator)).toMatchObject({ state: 'live', session: forever })
  const page = await backend.list({ namespace, now: QUIET_DAY, limit: 10, withData: true, maxBytes: 1_000_000 })
  expect(page.entries.map(({ locator: { key } }) => key).sort()).toEqual([locator.key, other.key].sort())
  expect(page.entries.find(({ locator: { key } }) => key === locator.key)).toMatchObject({ session: forever })
  expect(await backend.count({ namespace, now: QUIET_DAY })).toBe(2)
  await backend.close()
})
