import { expect, test } from 'vitest'
import { livingRecord, newRecord, userOfRedisSession } from '../../../src/adapters/redis-sessions/record.js'
import { QUIET_DAY } from '../../support/calendar.js'

const record = newRecord({ app: 'shop', id: 'u', ip: '', ttl: 60, d: { a: 1 }, no_resave: true }, QUIET_DAY)

test('what another part of a program stored is no record, and no error', () => {
  expect(livingRecord(record, 'shop', QUIET_DAY)).toBe(record)
  for (const changes of [
    { endsAt: { toString: 0, valueOf: 0 } },
    { endsAt: 'never' },
    { d: [1] },
    { d: 'text' },
    { ttl: null },
  ]) {
    expect(livingRecord({ ...record, ...changes }, 'shop', QUIET_DAY)).toBeUndefined()
    expect(userOfRedisSession({ ...record, ...changes })).toBeUndefined()
  }
})
