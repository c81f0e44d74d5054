/** Keyv on Memcached and PostgreSQL: what one process sets, the others read. */
import { Keyv } from 'keyv'
import { sessionStoreFromEnv } from 'nonstick'
import { NonstickKeyv5 } from 'nonstick/keyv'

const TEN_YEARS_MS = 3_650 * 86_400_000

// NONSTICK_CACHE and DATABASE_URL say where Memcached and PostgreSQL are; "memory" will do to try this out.
const sessions = await sessionStoreFromEnv<unknown>({ namespace: 'keys', absoluteTtlMs: TEN_YEARS_MS })

// Keyv 5 keeps errors back unless it is told not to. With Keyv 6 it is `new Keyv({ store: new NonstickKeyv({ sessions }) })`.
const prices = new Keyv<number>({ store: new NonstickKeyv5({ sessions }), namespace: 'prices', throwOnErrors: true })

await prices.set('tea', 4.2, 60_000)
await prices.set('milk', 1.1)
console.log(await prices.get('tea'), await prices.get(['tea', 'milk', 'salt'])) // 4.2 [ 4.2, 1.1, undefined ]

console.log(await prices.delete('tea'), await prices.delete('tea')) // true false
await prices.set('tea', 4.5)
console.log(await prices.get('tea')) // 4.5

await prices.clear()
console.log(await prices.has('milk')) // false

// A store that was given is closed by whoever made it.
await sessions.close()
