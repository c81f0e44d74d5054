import { expect, test } from 'vitest'
import { type RowState, rowJudge } from './row-journal.js'

const row = (lineage: string, version: number, content: string, isTombstone = false): RowState => ({
  idHash: 'one',
  lineage,
  version,
  content,
  isTombstone,
})

test('rows that advance, are touched, taken over and ended are as they should be', () => {
  const judge = rowJudge()
  const states = [row('a', 1, 'x'), row('a', 2, 'y'), row('a', 2, 'y'), row('b', 3, 'z')]
  expect(judge(states)).toEqual([])
  expect(judge([row('b', 3, '', true), row('b', 3, '', true), { ...row('c', 1, 'v'), idHash: 'two' }])).toEqual([])
})

test.each([
  ['an older version comes after a newer one', row('b', 4, 'w')],
  ['the version stays while the content changes', row('b', 5, 'w')],
  ['another lineage continues at the same version', row('c', 5, 'w')],
  ['the version changes and nothing else', row('b', 6, 'z')],
  ['a lineage returns that was replaced', row('a', 6, 'w')],
])('a row is complained about when %s', (_, state) => {
  const judge = rowJudge()
  expect(judge([row('a', 4, 'y'), row('b', 5, 'z')])).toEqual([])
  expect(judge([state])).toHaveLength(1)
})

test('a tombstone that comes back to life is complained about', () => {
  const judge = rowJudge()
  expect(judge([row('a', 4, 'y'), row('a', 4, '', true), row('a', 5, 'z')])).toHaveLength(1)
})
