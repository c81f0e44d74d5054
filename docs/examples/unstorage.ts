/** unstorage on Memcached and PostgreSQL, with the tiers that the environment names. */
import nonstickDriver from 'nonstick/unstorage'
import { createStorage } from 'unstorage'

// NONSTICK_CACHE and DATABASE_URL say where Memcached and PostgreSQL are; "memory" will do to try this out.
const storage = createStorage({ driver: nonstickDriver({ ttl: 3_600 }) })

await storage.setItem('pages:home', { title: 'Home' })
await storage.setItem('pages:news', { title: 'News' }, { ttl: 60 })
await storage.setItemRaw('pictures:logo', new Uint8Array([1, 2, 3]))
console.log(await storage.getItem('pages:home')) // { title: 'Home' }
console.log((await storage.getKeys('pages')).sort()) // [ 'pages:home', 'pages:news' ]

await storage.removeItem('pages:home')
console.log(await storage.hasItem('pages:home')) // false

await storage.dispose()
