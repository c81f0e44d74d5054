import { expect, test } from 'vitest'
import type { SharedName } from '../../src/contract/front-cache.js'
import { createSessionStore } from '../../src/index.js'
import { memoryBackend, memoryCache } from '../../src/memory.js'

/** A cache that finds what a test says, and tells whoever listens. */
const watchingCache = () => {
  const listeners = new Set<(found: SharedName) => void>()
  const cache = Object.assign(memoryCache(), {
    onSharedName: (listener: (found: SharedName) => void) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  })
  const find = (server: string, servers: number): void => {
    for (const listener of listeners) listener({ server, servers })
  }
  return { cache, find, listeners }
}

test('several servers behind one address are counted each time, and told of once for each address', async () => {
  const { cache, find, listeners } = watchingCache()
  const store = createSessionStore({ cache, backend: memoryBackend() })
  const told: unknown[] = []
  store.on('sharedName', (event) => told.push(event))
  find('cache1:11211', 2)
  find('cache1:11211', 3)
  find('cache2:11211', 2)
  expect(told).toEqual([
    { tier: 'memory', server: 'cache1:11211', servers: 2 },
    { tier: 'memory', server: 'cache2:11211', servers: 2 },
  ])
  expect(store.stats().sharedNames).toBe(3)
  await store.close()
  expect(listeners.size).toBe(0)
})

test('each of several stores over one cache hears of it, until it is closed', async () => {
  const { cache, find } = watchingCache()
  const stores = [1, 2].map(() => createSessionStore({ cache, backend: memoryBackend() }))
  find('cache1:11211', 2)
  await stores[0]?.close()
  find('cache1:11211', 2)
  expect(stores.map((store) => store.stats().sharedNames)).toEqual([1, 2])
  await stores[1]?.close()
})
