import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { DESIGN, orderOf } from '../../../src/backends/couchdb/design.js'
import { contentOf, idOf, tombstoneOf } from '../../../src/backends/couchdb/document.js'
import { sampleLocator, storedSession } from '../../../src/testing/stored-session.js'

/** What an index has of a document. */
const rowsOf = (view: string, document: object): unknown[] => {
  const rows: unknown[] = []
  const { map } = (DESIGN['views'] as Record<string, { map: string }>)[view] ?? {}
  runInNewContext(`(${map})`, { emit: (...row: unknown[]) => rows.push(row) })(document)
  return rows
}

test('the index of sessions has each at the place where this program looks for it, and no tombstone', () => {
  const { key } = sampleLocator({ namespace: 'sh-op_1' })
  const session = storedSession()
  expect(rowsOf('sessions', { _id: idOf(key), ...contentOf(session) })).toEqual([
    [orderOf(idOf(key)), session.expiresAt],
  ])
  expect(rowsOf('sessions', { _id: idOf(key), ...tombstoneOf('0011223344556677', 1, 2) })).toEqual([])
})

test('the places are in the order of the keys, by whichever order of letters', () => {
  const characters = ['-', '0', '9', ':', 'A', 'Z', '_', 'a', 'z', '~']
  const ids = characters.flatMap((one) => ['', ...characters].map((other) => `s:${one}${other}`)).sort()
  const collator = new Intl.Collator('en')
  const byLetters = ids.map(orderOf).sort(collator.compare)
  expect(byLetters).toEqual(ids.map(orderOf))
  expect([...ids].sort(collator.compare)).not.toEqual(ids)
})
