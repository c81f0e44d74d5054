import v8 from 'node:v8'
import vm from 'node:vm'
import { expect, test } from 'vitest'
import { memcached } from '../../src/caches/memcached/index.js'
import { createSessionStore } from '../../src/index.js'
import { memoryBackend, memoryCache } from '../../src/memory.js'
import { couchdb } from '../backends/couchdb/backend.js'
import { quietRuntime } from '../support/calendar.js'

v8.setFlagsFromString('--expose-gc')
const collect = vm.runInNewContext('gc') as () => void

const usedBytes = (): number => {
  collect()
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** Heap and buffers that each of twenty takes, in bytes; what is made only once is not counted. */
const bytesOfEach = (make: () => unknown): number => {
  const made = [make()]
  const before = usedBytes()
  for (let index = 0; index < 20; index += 1) made.push(make())
  return (usedBytes() - before) / (made.length - 1)
}

test('two megabytes are measured as such', () => {
  expect(bytesOfEach(() => Buffer.alloc(2_000_000)) / 2_000_000).toBeCloseTo(1, 1)
})

test.each([
  [
    'store on tiers that others use',
    () => {
      const tiers = { cache: memoryCache(), backend: memoryBackend() }
      return () => createSessionStore(tiers)
    },
  ],
  [
    'store on tiers of its own',
    () => () =>
      createSessionStore({
        cache: memcached({ servers: '127.0.0.1:1' }),
        backend: couchdb({ url: 'http://127.0.0.1:1', absoluteTtlMs: 86_400_000 * 30, runtime: quietRuntime }),
      }),
  ],
])('an unused %s takes less than 200 kB', (_what, prepare) => {
  expect(bytesOfEach(prepare())).toBeLessThan(200_000)
})
