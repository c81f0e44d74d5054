import memjs, { type MemjsOptions } from 'memjs'
import type { CacheEntry, CasToken, FrontCache } from '../../src/contract/front-cache.js'
import { SessionStoreError, tierUnavailable } from '../../src/errors.js'

export interface PlainMemjsOptions {
  /** As memjs takes them, or a list of such: `host:port,host:port`. */
  readonly servers: string | readonly string[]
  /** memjs's own options; nothing is changed in them. */
  readonly memjs?: MemjsOptions
  /** The clock by which an expiry becomes a number of seconds. @default Date.now */
  readonly now?: () => number
}

export interface PlainMemjsCache extends FrontCache {
  readonly client: InstanceType<typeof memjs.Client>
}

/**
 * The negative control: the front cache that one would write on memjs 1.3.2 as it is, with its own sockets,
 * time-outs, retries, parser and spreading of keys. In fair weather it keeps the contract; what it does in foul
 * weather, `memjs-defects.test.ts` shows. For tests only.
 *
 * memjs knows no compare-and-set, so every command goes through its client's `perform`, made by its own `Utils`.
 */
export const plainMemjsCache = (options: PlainMemjsOptions): PlainMemjsCache => {
  const { servers, now = Date.now } = options
  const client = memjs.Client.create(typeof servers === 'string' ? servers : servers.join(','), {
    logger: { log: () => {} },
    ...options.memjs,
  })
  let closed = false

  const ask = async (operation: string, opcode: number, key: string, more: More = {}): Promise<Response> => {
    if (closed) throw new SessionStoreError('E_CLOSED', 'The plain cache is closed', { tier: 'memcached', operation })
    try {
      return await new Promise<Response>((resolve, reject) => {
        client.incrSeq()
        const { extras = '', value = '', cas } = more
        const request = memjs.Utils.makeRequestBuffer(opcode, key, extras, asBuffer(value), client.seq)
        if (cas !== undefined) request.set(cas, 16)
        client.perform(key, request, client.seq, (error, response) =>
          error === null ? resolve(response as Response) : reject(error),
        )
      })
    } catch (cause) {
      throw unavailable(operation, cause)
    }
  }
  const extras = (expiresAt: number): Buffer => {
    const bytes = Buffer.alloc(8)
    const seconds = expiresAt > now() ? Math.ceil((expiresAt - now()) / 1000) + 1 : 1
    bytes.writeUInt32BE(seconds <= 30 * 24 * 3600 ? seconds : Math.min(Math.ceil(expiresAt / 1000) + 1, 2 ** 32 - 1), 4)
    return bytes
  }

  return {
    name: 'plain-memjs',
    client,

    async get(key): Promise<CacheEntry | undefined> {
      const { header, val } = await ask('get', 0x00, key)
      if (header.status === NOT_FOUND) return undefined
      if (header.status !== OK) throw refused('get', header.status)
      return { value: new Uint8Array(val), token: tokenOf(header) }
    },

    async add(key, value, expiresAt) {
      const { header } = await ask('add', 0x02, key, { value, extras: extras(expiresAt) })
      if (header.status === OK) return { outcome: 'stored', token: tokenOf(header) }
      if (header.status === EXISTS) return { outcome: 'exists' }
      throw refused('add', header.status)
    },

    async cas(key, value, token, expiresAt) {
      const cas = casOf(token)
      if (cas === undefined) return { outcome: 'conflict' }
      const { header } = await ask('cas', 0x03, key, { value, extras: extras(expiresAt), cas })
      if (header.status === OK) return { outcome: 'stored', token: tokenOf(header) }
      if (header.status === EXISTS) return { outcome: 'conflict' }
      if (header.status === NOT_FOUND) return { outcome: 'missing' }
      if (header.status === TOO_LARGE) return { outcome: 'too-large' }
      throw refused('cas', header.status)
    },

    async set(key, value, expiresAt) {
      const { header } = await ask('set', 0x01, key, { value, extras: extras(expiresAt) })
      if (header.status !== OK) throw refused('set', header.status)
    },

    async delete(key, token) {
      const cas = casOf(token)
      if (cas === undefined) return 'conflict'
      const { header } = await ask('delete', 0x04, key, { cas })
      if (header.status === OK) return 'deleted'
      if (header.status === EXISTS) return 'conflict'
      if (header.status === NOT_FOUND) return 'missing'
      throw refused('delete', header.status)
    },

    async health() {
      const startedAtMs = performance.now()
      const state = await ask('health', 0x0a, '').then(
        () => 'up' as const,
        (error: SessionStoreError) => {
          if (error.code === 'E_CLOSED') throw error
          return 'down' as const
        },
      )
      return { tier: 'plain-memjs', state, latencyMs: performance.now() - startedAtMs }
    },

    async close() {
      closed = true
      client.close()
    },
  }
}

interface More {
  readonly extras?: Uint8Array
  readonly value?: Uint8Array
  readonly cas?: Uint8Array
}

interface Response {
  readonly header: { readonly status: number; readonly cas: Uint8Array }
  readonly val: Uint8Array
}

const OK = 0
const NOT_FOUND = 1
const EXISTS = 2
const TOO_LARGE = 3

const asBuffer = (value: Uint8Array | string): Buffer | string =>
  typeof value === 'string' ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength)

/** Copied: memjs's is a view of what it received. */
const tokenOf = ({ cas }: { readonly cas: Uint8Array }): CasToken => {
  const token = {}
  TOKENS.set(token, new Uint8Array(cas))
  return token
}

const casOf = (token: CasToken): Uint8Array | undefined => TOKENS.get(token)

const TOKENS = new WeakMap<CasToken, Uint8Array>()

const change = (operation: string): { readonly applied?: 'unknown' } =>
  operation === 'get' || operation === 'health' ? {} : { applied: 'unknown' }

const unavailable = (operation: string, cause: unknown): SessionStoreError =>
  tierUnavailable('plain-memjs', operation, { cause, ...change(operation) })

const refused = (operation: string, status: number): SessionStoreError =>
  status === TOO_LARGE
    ? new SessionStoreError('E_SESSION_TOO_LARGE', 'plain memjs: the value is too large', { operation, applied: 'no' })
    : unavailable(operation, new Error(`status 0x${status.toString(16)}`))
