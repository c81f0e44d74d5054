import { codeIn } from '../../errors.js'
import { isError } from '../../tools/is-error.js'
import { UsageError } from '../exits.js'

/** What the sources ask a Redis. */
export interface RedisClient {
  /** Some keys that begin with the prefix, and where the scan goes on: `'0'` at its end. */
  scan(cursor: string, prefix: string): Promise<{ readonly cursor: string; readonly keys: readonly string[] }>
  /** The values of string keys as bytes, with what is left of the life of each, in ms; -1: no end. In the order of the keys. */
  values(keys: readonly string[]): Promise<readonly { readonly value: Buffer | undefined; readonly leftMs: number }[]>
  hashes(keys: readonly string[]): Promise<readonly Readonly<Record<string, string>>[]>
  /** Some members of a sorted set, and where the scan goes on: `'0'` at its end. */
  members(key: string, cursor: string): Promise<{ readonly cursor: string; readonly members: readonly string[] }>
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
 * @throws UsageError where that is not installed, or the server cannot be reached
 */
export const openRedis = async (url: string): Promise<RedisClient> => {
  const { createClient, RESP_TYPES } = await import('redis').catch((cause: unknown) => {
    throw new UsageError(
      'Expected the package `redis` (6 or newer) to be installed beside nonstick: npm install redis',
      {
        cause,
      },
    )
  })
  let client: ReturnType<typeof createClient>
  try {
    let isReached = false
    client = createClient({
      url,
      // A server that breaks away in the middle may come back; one that was never there is told at once.
      socket: { reconnectStrategy: (retries) => (isReached && retries < 20 ? 100 * retries : false) },
    })
    client.on('error', () => {})
    await client.connect()
    isReached = true
  } catch (cause) {
    throw new UsageError(`Expected --at to be the URL of a Redis that can be reached: ${codeIn(cause) ?? 'it refused'}`)
  }
  const binary = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
  return {
    scan: async (cursor, prefix) => {
      const found = await client.scan(cursor, { MATCH: `${escaped(prefix)}*`, COUNT: SCAN_COUNT })
      return { cursor: String(found.cursor), keys: found.keys }
    },
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
    members: async (key, cursor) => {
      const found = await client.zScan(key, cursor, { COUNT: SCAN_COUNT })
      return { cursor: String(found.cursor), members: found.members.map(({ value }) => value) }
    },
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

/** What is no pattern for a scan. */
const escaped = (prefix: string): string => prefix.replace(/[\\*?[\]^-]/g, '\\$&')
