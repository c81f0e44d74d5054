import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { faultOf } from '../../../src/backends/postgres/faults.js'
import { postgres } from '../../../src/backends/postgres/index.js'
import { sampleLineage, sampleLocator, sampleWriteId, storedSession } from '../../../src/testing/stored-session.js'
import { DeadlinePassed } from '../../../src/tools/deadline.js'
import { clusterForThisFile } from './cluster.js'

const cluster = clusterForThisFile()

const context = { tier: 'postgres h:1', operation: 'update', relation: '"a"."b"', isChange: true }
const answer = (code: string) => Object.assign(new Error('as the server says'), { code, severity: 'ERROR' })

// What is known of a change that was sent, and of one that was not, when the server says this.
test.each([
  ['25006 read only', 'refused', true, 'no'],
  ['25P02 in a failed transaction', 'refused', true, 'no'],
  ['26000 no such prepared statement', 'refused', true, 'no'],
  ['42501 no right', 'refused', true, 'no'],
  ['42601 a syntax error', 'refused', true, 'no'],
  ['53100 disk full', 'refused', true, 'no'],
  ['53200 out of memory', 'refused', true, 'no'],
  ['53300 too many connections', 'refused', true, 'no'],
  ['53400 a limit of the configuration', 'refused', true, 'no'],
  ['55P03 lock_timeout', 'refused', true, 'no'],
  ['57014 cancelled', 'refused', true, 'no'],
  ['58030 an error of the disk', 'refused', true, 'no'],
  ['XX000 an error of the server itself', 'refused', true, 'no'],
  ['XX001 damaged data', 'refused', true, 'no'],
  ['0A000 not supported', 'refused', true, 'no'],
  ['40001 not to be serialized', 'conflict', true, 'no'],
  ['40P01 a deadlock', 'conflict', true, 'no'],
  ['40003 the outcome is lost', 'lost', false, 'unknown'],
  ['08006 the connection failed', 'lost', false, 'unknown'],
  ['08P01 what a pooler says', 'lost', false, 'unknown'],
  ['57P01 shut down', 'lost', false, 'unknown'],
  ['57P02 crashed', 'lost', false, 'unknown'],
  ['57P03 starting', 'lost', false, 'unknown'],
  ['57P05 idle for too long', 'lost', false, 'unknown'],
  ['25P03 idle in a transaction for too long', 'lost', false, 'unknown'],
  ['25P04 a transaction took too long', 'lost', false, 'unknown'],
  ['28P01 a wrong password', 'unreachable', false, 'no'],
  ['28000 not let in', 'unreachable', false, 'no'],
])('%s', (said, kind, answered, applied) => {
  const raised = answer(said.slice(0, 5))
  const sent = faultOf(raised, { ...context, wasSent: true })
  expect(sent).toMatchObject({ kind, error: { code: 'E_SESSION_UNAVAILABLE', answered, applied } })
  expect(faultOf(raised, { ...context, wasSent: false }).error).toMatchObject({ answered, applied: 'no' })
})

test('what is no answer is none: silence, and a connection that breaks', () => {
  const broken = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
  for (const raised of [new DeadlinePassed(), broken])
    for (const wasSent of [true, false])
      expect(faultOf(raised, { ...context, wasSent }).error).toMatchObject({
        answered: false,
        applied: wasSent ? 'unknown' : 'no',
      })
})

test('where row-level security applies, no row is taken for absent: it is said, and by health too', async () => {
  const { url, schema, query } = cluster()
  const table = `hidden_${randomBytes(4).toString('hex')}`
  const role = `limited_${randomBytes(4).toString('hex')}`
  for (const suffix of ['', '_user_record'])
    await query(`create table "${schema}"."${table}${suffix}" (like "${schema}"."session${suffix}" including all)`)
  await query(`create role "${role}" login password 'limited'`)
  await query(`grant usage on schema "${schema}" to "${role}"`)
  await query(`grant select, insert, update, delete on "${schema}"."${table}" to "${role}"`)
  await query(`grant select, insert, update on "${schema}"."${table}_user_record" to "${role}"`)
  const as = new URL(url)
  as.username = role
  as.password = 'limited'
  const backend = postgres({
    connectionString: as.href,
    schema,
    table,
    queryTimeoutMs: 20_000,
    connectTimeoutMs: 20_000,
  })
  const locator = sampleLocator()
  const session = storedSession()
  await backend.insert(locator, session)
  expect((await backend.health()).state).toBe('up')
  await query(`alter table "${schema}"."${table}" enable row level security`)

  const hidden = {
    code: 'E_SESSION_UNAVAILABLE',
    answered: true,
    message: expect.stringContaining('row-level security'),
  }
  const only = { lineage: sampleLineage(), version: 1 }
  const tombstone = { writeId: sampleWriteId(), at: 1, keepUntil: 2 }
  const guard = { lineage: session.lineage, belowVersion: 9, parentLineage: session.lineage, parentVersion: 1 }
  await expect(backend.read(locator)).rejects.toMatchObject(hidden)
  await expect(backend.destroy(locator, { ...tombstone, only })).rejects.toMatchObject(hidden)
  const page = { namespace: 'contract', now: 0, limit: 9 }
  await expect(backend.list({ ...page, withData: true, maxBytes: 1_000_000 })).rejects.toMatchObject(hidden)
  await expect(backend.listKeys(page)).rejects.toMatchObject(hidden)
  await expect(backend.count({ namespace: 'contract', now: 0 })).rejects.toMatchObject(hidden)
  await expect(backend.countUsers({ namespace: 'contract', now: 0 })).rejects.toMatchObject(hidden)
  await expect(backend.purge({ now: 1, limit: 9 })).rejects.toMatchObject(hidden)
  const [updated] = await backend.update([
    { locator, guard, session: { ...session, version: 2 }, token: new Uint8Array(0) },
  ])
  expect(updated).toMatchObject({ outcome: 'failed', error: { applied: 'no' } })
  await expect(backend.insert(sampleLocator(), session)).rejects.toMatchObject({ answered: true, applied: 'no' })
  expect(await backend.health()).toMatchObject({ state: 'down', reason: expect.stringContaining('row-level security') })

  await query(`alter table "${schema}"."${table}" disable row level security`)
  expect((await backend.read(locator)).state).toBe('live')
  // A record that is hidden would bring back sessions that were ended everywhere.
  await query(`alter table "${schema}"."${table}_user_record" enable row level security`)
  const user = { namespace: 'contract', userId: 'ada' }
  await expect(backend.read(locator)).rejects.toMatchObject(hidden)
  await expect(backend.readUser(user)).rejects.toMatchObject(hidden)
  await expect(backend.writeUser(user, { epoch: 1, seats: [] }, '1')).rejects.toMatchObject(hidden)
  await expect(backend.writeUser(user, { epoch: 1, seats: [] }, '')).rejects.toMatchObject({ applied: 'no' })
  expect(await backend.health()).toMatchObject({ state: 'down', reason: expect.stringContaining('row-level security') })
  await query(`alter table "${schema}"."${table}_user_record" disable row level security`)
  expect(await backend.readUser(user)).toEqual({ record: { epoch: 0, seats: undefined }, token: '' })

  await query(`revoke update on "${schema}"."${table}_user_record" from "${role}"`)
  expect(await backend.health()).toMatchObject({
    state: 'down',
    reason: expect.stringContaining('on the table of the records of users (update)'),
  })
  await query(`revoke delete on "${schema}"."${table}" from "${role}"`)
  expect(await backend.health()).toMatchObject({ state: 'down', reason: expect.stringContaining('(delete)') })
  await backend.close()
  await query(`drop table "${schema}"."${table}", "${schema}"."${table}_user_record"`)
  await query(`drop owned by "${role}"`)
  await query(`drop role "${role}"`)
})
