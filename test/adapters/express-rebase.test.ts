import { expect, test } from 'vitest'
import { rebase, snapshotOf } from '../../src/adapters/express-rebase.js'

const then = { kept: 1, mine: 1, dropped: 1, cart: new Map([['tea', 1]]) }

test('what the request left as it was is as it is stored now', () => {
  const stored = { kept: 2, mine: 1, dropped: 1, cart: new Map([['tea', 2]]) }
  expect(rebase(stored, snapshotOf(then), then)).toEqual(stored)
})

test('what the request changed, added and deleted since is its own', () => {
  const { dropped: _, ...mine } = { ...then, mine: 2, added: 3 }
  expect(rebase({ ...then, mine: 9 }, snapshotOf(then), mine)).toEqual(mine)
})

test('what others added stays, and what others deleted stays deleted', () => {
  const { kept: _, ...stored } = { ...then, theirs: 5 }
  expect(rebase(stored, snapshotOf(then), then)).toEqual(stored)
})

test('a value changed in place is a change', () => {
  const mine = { cart: new Map([['tea', 1]]), bytes: Buffer.from('tea'), at: new Date(0) }
  const snapshot = snapshotOf(mine)
  mine.cart.set('tea', 2)
  mine.bytes.write('TEA')
  mine.at.setTime(5)
  expect(rebase({ cart: new Map(), bytes: Buffer.from('old'), at: new Date(9) }, snapshot, mine)).toEqual(mine)
})

test('where no copy could be taken, every value counts as changed, and what others added still stays', () => {
  const mine = { ...then, strange: () => 'of no codec' }
  const { dropped: _, ...later } = mine
  expect(rebase({ ...then, theirs: 5, kept: 2 }, snapshotOf(mine), later)).toEqual({ ...later, theirs: 5 })
})

test('a key named like the prototype is a key like any other', () => {
  const mine = JSON.parse('{"__proto__": {"admin": true}}') as Record<string, unknown>
  const rebased = rebase({}, snapshotOf({}), mine)
  expect(Object.keys(rebased)).toEqual(['__proto__'])
  expect((rebased as { admin?: boolean }).admin).toBeUndefined()
})
