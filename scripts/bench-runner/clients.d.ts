/** The part of the clients and stores of others that is measured; these packages bring no types. */
declare module 'memcached' {
  export default class Memcached {
    constructor(servers: string, options?: object)
    get(key: string, callback: (error: unknown, value: unknown) => void): void
    set(key: string, value: unknown, seconds: number, callback: (error: unknown) => void): void
    touch(key: string, seconds: number, callback: (error: unknown) => void): void
    del(key: string, callback: (error: unknown) => void): void
    end(): void
  }
}

declare module 'connect-memcached' {
  import type session from 'express-session'

  const connect: (of: typeof session) => new (options: { hosts: string[] }) => session.Store
  export default connect
}

declare module 'connect-pg-simple' {
  import type session from 'express-session'
  import type pg from 'pg'

  const connect: (
    of: typeof session,
  ) => new (options: {
    pool: pg.Pool
    tableName?: string
    pruneSessionInterval?: number | false
  }) => session.Store
  export default connect
}
