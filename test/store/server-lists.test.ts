import { expect, test } from 'vitest'
import type { FrontCache } from '../../src/contract/front-cache.js'
import { change, loaded, settled, world } from './world.js'

/** Processes whose caches are one, and that call their lists of servers by these numbers. */
const processesWith = (...lists: readonly (number | undefined)[]) => {
  const here = world()
  const numbered = (list: number | undefined): FrontCache =>
    new Proxy(here.cache, {
      get: (target, name) => (name === 'serverList' ? list : Reflect.get(target, name)),
    })
  const stores = lists.map((list) => here.process({ cache: numbered(list) }))
  return { ...here, stores }
}

test('entries of a process with another list of servers are counted, and told of once for each list', async () => {
  const { stores } = processesWith(1, 2, 3)
  const [one, two, three] = stores as [(typeof stores)[0], (typeof stores)[0], (typeof stores)[0]]
  const told: unknown[] = []
  three?.on('serversDiffer', (event) => told.push(event))
  const { id } = await one.create({ n: 0 })
  await settled()
  await loaded(three, id)
  await loaded(three, id)
  await change(two, id, (data) => {
    data['n'] = 1
  })
  await loaded(three, id)
  expect(told).toEqual([
    { tier: 'memory', own: 3, others: 1 },
    { tier: 'memory', own: 3, others: 2 },
  ])
  expect(three.stats().serversDiffer).toBe(3)
})

test('one list, and caches that say nothing of a list, are nothing to tell of', async () => {
  const { stores } = processesWith(7, 7, undefined)
  const [first] = stores
  if (first === undefined) throw new Error('no store')
  const { id } = await first.create({ n: 0 })
  await settled()
  for (const store of stores) {
    await change(store, id, (data) => {
      data['n'] = Number(data['n']) + 1
    })
    await loaded(store, id)
  }
  for (const store of stores) expect(store.stats().serversDiffer).toBe(0)
})
