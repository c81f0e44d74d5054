import { describe, expect, test } from 'vitest'
import { copyOf, type Row, recordOf, stateOf } from '../../../src/backends/postgres/row.js'

const name = Buffer.from('a1a2a3a4a5a6a7a8', 'hex')

/** A row as pg gives it. */
const row = (changes: Row = {}): Row => ({
  found: true,
  destroyed: false,
  lineage: name,
  version: 7,
  write_ids: Buffer.concat([name, name]),
  codec: 1,
  data: Buffer.of(1, 2, 3),
  app: '',
  user_id: null,
  user_epoch: 0,
  identified_ms: null,
  address: null,
  user_agent: null,
  reads: 0,
  writes: 1,
  created_ms: 1,
  seen_ms: 2,
  expires_ms: 3,
  absolute_expires_ms: 4,
  idle_ttl_ms: 5,
  has_own_idle_ttl: false,
  epoch: 3,
  revision: 9,
  seats: '[{"key":"shop:k","takenAt":5}]',
  ...changes,
})

const FORMAT = { code: 'E_SESSION_FORMAT', message: expect.not.stringContaining('secret') }

test('a row that is one is read', () => {
  expect(copyOf(row()).state).toBe('live')
  expect(recordOf(row()).record.seats).toHaveLength(1)
})

describe('a row that is none of ours is refused by its code, and nothing of it is shown', () => {
  test.each<[string, Row]>([
    ['a lineage that is cut short', { lineage: name.subarray(1) }],
    ['a lineage that is a text', { lineage: 'secret' }],
    ['a write id that is cut short', { write_ids: name.subarray(1) }],
    ['a version that is none', { version: Number.NaN }],
    ['a version below zero', { version: -1 }],
    ['no data', { data: null }],
    ['a moment that is none', { expires_ms: 'secret' }],
    ['a codec that no byte can name', { codec: 256 }],
    ['an epoch that is none', { user_id: 'secret', current_epoch: 'secret' }],
  ])('%s', (_what, changes) => {
    expect(() => {
      stateOf(row(changes))
      copyOf(row(changes))
    }).toThrow(expect.objectContaining(FORMAT))
  })

  test.each<[string, Row]>([
    ['seats that are no JSON', { seats: '{secret' }],
    ['seats that are no list', { seats: '{"secret":1}' }],
    ['a seat that is nothing', { seats: '[null]' }],
    ['a seat that was taken at no moment', { seats: '[{"key":"secret"}]' }],
    ['an epoch that is none', { epoch: null }],
    ['a revision that is none', { revision: {} }],
  ])('of a user: %s', (_what, changes) => {
    expect(() => recordOf(row(changes))).toThrow(expect.objectContaining(FORMAT))
  })
})
