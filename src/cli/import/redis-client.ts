import type { Runtime } from '../../contract/time.js'
import { isError } from '../../tools/is-error.js'
import { UsageError } from '../exits.js'
import { unreachable } from './unreachable.js'

/** A step of a scan. */
export interface Step {
  /** Keys, or members of a set. */
  readonly found: readonly string[]
  /**
   * Where the scan goes on: a number of Redis, which tells nothing of any key, and which process of a server gave it. To another
   * process, as after a restart or a failover, that number means another place, so that the scan begins anew there.
   * `undefined` at its end.
   */
  readonly next: string | undefined
}

/** What the sources ask a Redis. */
export interface RedisClient {
  /** Some keys that begin with the prefix, and where the scan goes on. */
  scan(after: string | undefined, prefix: string): Promise<Step>
  /** The values of string keys as bytes, with what is left of the life of each, in ms; -1: no end. In the order of the keys. */
  values(keys: readonly string[]): Promise<readonly { readonly value: Buffer | undefined; readonly leftMs: number }[]>
  hashes(keys: readonly string[]): Promise<readonly Readonly<Record<string, string>>[]>
  /** Some members of a sorted set, and where the scan goes on. */
  members(after: string | undefined, key: string): Promise<Step>
  sizeOfSet(key: string): Promise<number>
  /** Several commands as one step. */
  together(commands: readonly (readonly string[])[]): Promise<readonly unknown[]>
  size(): Promise<number>
  remove(keys: readonly string[]): Promise<void>
  close(): Promise<void>
}

/** How many keys one step of a scan is to look at. */
const SCAN_COUNT = 500

/**
 * Opens a Redis by its URL, with the package `redis` of the application.
 *
 * @throws UsageError where that is not installed, or the URL is none
 */
export const openRedis = async (url: string, runtime: Pick<Runtime, 'randomBytes'>): Promise<RedisClient> => {
  const { createClient, ErrorReply, RESP_TYPES } = await import('redis').catch((cause: unknown) => {
    throw new UsageError(
      'Expected the package `redis` (6 or newer) to be installed beside nonstick: npm install redis',
      {
        cause,
      },
    )
  })
  let isReached = false
  const open = () =>
    createClient({
      url,
      // A server that breaks away in the middle may come back; one that was never there is told at once.
      socket: { reconnectStrategy: (retries) => (isReached && retries < 20 ? 100 * retries : false) },
    })
  let client: ReturnType<typeof open>
  try {
    client = open()
  } catch {
    // What the package says of it quotes the URL.
    throw new UsageError('Expected --at to be the URL of a Redis: redis://user:password@host:6379/0')
  }
  client.on('error', () => {})
  let connection = ''
  client.on('ready', () => {
    connection = Buffer.from(runtime.randomBytes(8)).toString('hex')
  })
  try {
    await client.connect()
  } catch (cause) {
    throw unreachable('Redis', cause)
  }
  isReached = true
  /** The process that answers. Where a server does not tell it, each connection counts as one to another process. */
  const process = async (): Promise<string> => {
    try {
      return processIn(await client.info('server')) ?? connection
    } catch (error) {
      if (error instanceof ErrorReply) return connection
      throw error
    }
  }
  const stepOf = async (
    after: string | undefined,
    take: (cursor: string) => Promise<{ readonly next: string; readonly found: readonly string[] }>,
  ): Promise<Step> => {
    const [cursor = '0', of] = after?.split('@') ?? []
    // The server answers in turn: what the same process has said before and afterwards, it has said in between.
    const [before, { next, found }, afterwards] = await Promise.all([process(), take(cursor), process()])
    if (before !== afterwards || (after !== undefined && of !== before)) return await stepOf(undefined, take)
    return { found, next: next === '0' ? undefined : `${next}@${before}` }
  }
  const binary = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
  return {
    scan: async (after, prefix) =>
      await stepOf(after, async (cursor) => {
        const { cursor: next, keys } = await client.scan(cursor, { MATCH: `${escaped(prefix)}*`, COUNT: SCAN_COUNT })
        return { next, found: keys }
      }),
    values: async (keys) =>
      await Promise.all(
        keys.map(async (key) => {
          const [value, leftMs] = await Promise.all([
            // A key of another type is none of a session.
            binary.get(key).catch((error: unknown) => {
              if (isError(error) && error.message.startsWith('WRONGTYPE')) return null
              throw error
            }),
            client.pTTL(key),
          ])
          return { value: value === null ? undefined : (value as Buffer), leftMs: Number(leftMs) }
        }),
      ),
    hashes: async (keys) => await Promise.all(keys.map((key) => client.hGetAll(key))),
    members: async (after, key) =>
      await stepOf(after, async (cursor) => {
        const { cursor: next, members } = await client.zScan(key, cursor, { COUNT: SCAN_COUNT })
        return { next, found: members.map(({ value }) => value) }
      }),
    sizeOfSet: async (key) => Number(await client.zCard(key)),
    together: async (commands) => {
      const step = client.multi()
      for (const command of commands) step.addCommand([...command])
      return await step.exec()
    },
    size: async () => Number(await client.dbSize()),
    remove: async (keys) => {
      if (keys.length > 0) await client.unlink([...keys])
    },
    close: async () => client.destroy(),
  }
}

/** Each process of a Redis draws a name of its own when it starts. */
const processIn = (info: string): string | undefined => /^run_id:(\w+)/m.exec(info)?.[1]

/** What is no pattern for a scan. */
const escaped = (prefix: string): string => prefix.replace(/[\\*?[\]^-]/g, '\\$&')
