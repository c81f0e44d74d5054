/*
 * How the stores of a run are set up: deadlines so short that a minute holds many outages, a backend that may fall
 * four writes behind.
 */
export const STORE = {
  maxStaleCount: 5,
  maxStaleMs: 1_500,
  deadlineMs: 4_000,
  cacheTimeoutMs: 400,
  backendTimeoutMs: 1_200,
  leaseMs: 2_000,
  leaseWaitMs: 300,
  unknownIdTtlMs: 3_000,
} as const

/** The tiers' own deadlines, a little shorter than the store's. */
export const CACHE_TIMEOUTS = { operationTimeoutMs: 300, connectTimeoutMs: 300 } as const
/** The same, in memjs's seconds. */
export const MEMJS_TIMEOUTS = { timeout: 0.3, conntimeout: 0.3 } as const
export const BACKEND_TIMEOUTS = { connectTimeoutMs: 1_000, answerTimeoutMs: 1_000 } as const

/** The stores' defaults, which the judge has to know. */
export const IDLE_TTL_MS = 86_400_000
export const ABSOLUTE_TTL_MS: number = 30 * IDLE_TTL_MS
export const CLOCK_SKEW_MS = 2_000

export const CACHES = ['cache-1:11211', 'cache-2:11211'] as const

/** What is larger memcached refuses, and drops what stood there. */
export const MAX_ITEM_BYTES: number = 64 * 1024
