/** Stores that wait: a machine that has much else to do may be slow, and what is measured is how much is done. */
import { memcached } from 'nonstick/memcached'
import { postgres } from 'nonstick/postgres'

const LONG_MS = 60_000

/** For `createSessionStore`. No purge comes in between either. */
export const PATIENT = {
  cacheTimeoutMs: LONG_MS,
  backendTimeoutMs: LONG_MS,
  deadlineMs: 5 * LONG_MS,
  purgeEveryMs: 0,
} as const

export const patientMemcached = (address: string) =>
  memcached({ servers: address, operationTimeoutMs: LONG_MS, connectTimeoutMs: LONG_MS })

export const patientPostgres = (connectionString: string) =>
  postgres({ connectionString, migrate: true, queryTimeoutMs: LONG_MS, connectTimeoutMs: LONG_MS })
