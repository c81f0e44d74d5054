import { expect, test } from 'vitest'
import { memoryBackend } from '../../src/backends/memory/index.js'
import { memoryCache } from '../../src/caches/memory/index.js'
import { faultyBackend, faultyCache } from '../../src/testing/faulty-tier.js'
import { frontCacheContract } from '../../src/testing/front-cache-contract.js'
import { REFUSING } from '../../src/testing/front-cache-rules/refusing.js'
import { QUIET_DAY } from '../support/calendar.js'

const rejection = { code: 'E_SESSION_UNAVAILABLE', applied: 'no', answered: true }

const about = new Set(REFUSING.map(({ title }) => `a cache that refuses: ${title}`))
frontCacheContract((title, run) => about.has(title) && test(title, run), {
  name: 'a cache that refuses',
  open: () => Promise.reject(new Error('only the rules about refusals are run here')),
  openRefusing: async () => {
    const cache = faultyCache(memoryCache())
    return { cache, refuseValues: () => Object.assign(cache, { refusing: true }) }
  },
  expiryResolutionMs: 1,
})

test('a backend that refuses rejects changes as answers, and is read meanwhile, until it takes them again', async () => {
  const backend = faultyBackend(memoryBackend())
  backend.refusing = true
  await expect(backend.purge({ now: QUIET_DAY, limit: 1 })).rejects.toMatchObject(rejection)
  expect(await backend.health()).toMatchObject({ state: 'up' })
  backend.refusing = false
  expect(backend.calls).toEqual(['purge', 'health'])
})
