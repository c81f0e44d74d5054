import { createSessionStore } from 'nonstick'
import { memcached } from 'nonstick/memcached'
import { postgres } from 'nonstick/postgres'

interface ShopSession {
  userId?: string
  cart: string[]
}

export const sessions = createSessionStore<ShopSession>({
  cache: memcached({ servers: process.env['MEMCACHED_SERVERS'] ?? 'localhost:11211' }),
  backend: postgres({ connectionString: process.env['DATABASE_URL'] ?? 'postgres://localhost/nonstick' }),
  maxStaleCount: 10, // write PostgreSQL on every tenth change of a session
  identify: (data) => data.userId, // a login is written through at once
})
