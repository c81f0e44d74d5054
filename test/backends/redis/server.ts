import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll } from 'vitest'
import { findRedis, type RedisServer, type RedisServerOptions, startRedis } from '../../../scripts/servers/index.js'
import type { RedisOptions } from '../../../src/backends/redis/index.js'
import { absent, type Found } from '../../support/skip.js'

/** Where the tests find redis-server, or why there is none. */
export const redisHere = (): Found<string> => findRedis() ?? absent('no redis-server here')

/** A server for the tests of one file, started before them and ended after them. */
export const redisForThisFile = (options: RedisServerOptions = {}): (() => RedisServer) => {
  let server: RedisServer | undefined
  beforeAll(async () => {
    server = await startRedis(options)
  }, 60_000)
  afterAll(async () => {
    await server?.stop()
  })
  return () => {
    if (server === undefined) throw new Error('The server is started before the tests, not before the file is read')
    return server
  }
}

/** The rules are about what is done, and not about how fast. */
export const PATIENCE = { queryTimeoutMs: 60_000, connectTimeoutMs: 60_000 } as const

/** Options of a backend on the server that has a place of its own there. */
export const optionsFor = (server: RedisServer, prefix = freshPrefix()): RedisOptions => ({
  url: server.url,
  prefix,
  ...PATIENCE,
})

/** What nobody else's keys begin with. */
export const freshPrefix = (): string => `test-${randomBytes(6).toString('hex')}:`
