import { createStorage } from 'unstorage'
import { nonstickDriver } from '../../../src/adapters/unstorage.js'
import type { Framework } from '../framework.js'
import { LIMITS_OF_KEYS, startKeyed } from './keyed.js'

export const unstorage: Framework = {
  name: 'unstorage',
  subpath: 'nonstick/unstorage',
  packages: ['unstorage'],
  limits: {
    ...LIMITS_OF_KEYS,
    binary:
      'unstorage writes an object as JSON, and bytes in it become numbers: `setItemRaw` keeps bytes under a key of their own.',
  },
  costs: { reading: { cache: 1, backend: 0 }, changing: { cache: 4, backend: 1 } },
  start: (routes, { sessions, ...options }) => {
    const storage = createStorage({ driver: nonstickDriver({ sessions }) })
    return startKeyed(routes, options, {
      get: (key) => storage.getItem<Record<string, unknown>>(key),
      set: (key, value, ttlMs) => storage.setItem(key, value, { ttl: ttlMs / 1_000 }),
      delete: (key) => storage.removeItem(key),
    })
  },
}
