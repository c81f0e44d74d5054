import { createConnection, type Socket } from 'node:net'
import type { Runtime } from '../../../contract/time.js'
import { within } from '../../../tools/waiting.js'
import { UsageError } from '../../exits.js'
import { expressItem, fromJson } from '../express-session.js'
import type { Item, Source, SourceKind, SourceOptions } from '../source.js'
import { unreachable } from '../unreachable.js'

const KEYS_AT_ONCE = 100
const PATIENCE_MS = 10_000
/** The client of connect-memcached says by this flag that a value is JSON. */
const IS_JSON = 2

interface Listed {
  readonly key: string
  /** When it ends; `undefined`: never. */
  readonly expiresAt: number | undefined
}

/**
 * connect-memcached: the session as JSON under its id. Memcached lists what its crawler finds, which is what stands there
 * now; what it has forgotten nobody can carry.
 */
export const connectMemcached: SourceKind = {
  summary: 'express-session on connect-memcached, of one server at a time: what that server can list',
  at: 'memcached',
  open: async ({ at, prefix = '', idleTtlMs, runtime }: SourceOptions): Promise<Source> => {
    const server = await connected(at, runtime)
    let listed: readonly Listed[] | undefined
    const all = async (): Promise<readonly Listed[]> => {
      listed ??= (await server.list()).filter(({ key }) => key.startsWith(prefix))
      return listed
    }
    return {
      count: async () => (await all()).length,
      page: async (after) => {
        const keys = await all()
        const from = Number(after ?? 0)
        const chosen = keys.slice(from, from + KEYS_AT_ONCE)
        const values = await server.get(chosen.map(({ key }) => key))
        const now = runtime.now()
        const items = chosen.flatMap(({ key: ref, expiresAt }): readonly Item[] => {
          const value = values.get(ref)
          if (value === undefined) return [] // it has ended meanwhile
          if (value.flags !== IS_JSON)
            return [{ ref, unreadable: 'it is no object as connect-memcached stores one; it may be encrypted' }]
          const read = fromJson(value.bytes.toString())
          if (!('value' in read)) return [{ ref, ...read }]
          return [expressItem(read.value, { ref, id: ref.slice(prefix.length), expiresAt, idleTtlMs, now })]
        })
        const next = from + chosen.length < keys.length ? String(from + chosen.length) : undefined
        // Another run lists anew, in another order: it begins from the start, which does no harm.
        return { items, next, resumeAt: next === undefined ? undefined : '0' }
      },
      remove: async (refs) => await server.remove(refs),
      close: async () => server.close(),
    }
  },
}

interface Value {
  readonly flags: number
  readonly bytes: Buffer
}

interface Server {
  list(): Promise<readonly Listed[]>
  get(keys: readonly string[]): Promise<ReadonlyMap<string, Value>>
  remove(keys: readonly string[]): Promise<void>
  close(): void
}

/** A connection that asks one thing after the other. */
const connected = async (at: string, runtime: Runtime): Promise<Server> => {
  const [, host, port] = /^(?:memcached:\/\/)?(.+):(\d{1,5})$/.exec(at) ?? []
  if (host === undefined || port === undefined || Number(port) > 65_535)
    throw new UsageError('Expected --at to be the address of one Memcached server: host:11211')
  const socket = createConnection({ host, port: Number(port) })
  try {
    const connecting = new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    await within(runtime, PATIENCE_MS, connecting, noAnswer)
  } catch (cause) {
    socket.destroy()
    throw unreachable('Memcached', cause)
  }
  socket.on('error', () => {}) // whoever waits for an answer is told
  const { line, bytes } = readerOf(socket, runtime)
  const ask = (words: string): void => void socket.write(`${words}\r\n`)
  return {
    list: async () => {
      ask('lru_crawler metadump all')
      const listed: Listed[] = []
      for (;;) {
        const answer = await line()
        if (answer === 'END') return listed
        if (answer.startsWith('BUSY'))
          throw new Error('The Memcached is listing its keys for somebody else just now. Run the command again later')
        const [, word, ends] = /^key=(\S+) exp=(-?\d+) /.exec(answer) ?? []
        if (word === undefined)
          throw new UsageError('Expected a Memcached that can list its keys: 1.5 or newer, with its crawler')
        const key = keyIn(word)
        if (key !== undefined) listed.push({ key, expiresAt: Number(ends) > 0 ? Number(ends) * 1_000 : undefined })
      }
    },
    get: async (keys) => {
      const values = new Map<string, Value>()
      if (keys.length === 0) return values
      ask(`get ${keys.join(' ')}`)
      for (;;) {
        const answer = await line()
        if (answer === 'END') return values
        const [, key, flags, length] = /^VALUE (\S+) (\d+) (\d+)/.exec(answer) ?? []
        if (key === undefined) throw new Error('The Memcached has refused to give what stands under some of its keys')
        values.set(key, { flags: Number(flags), bytes: await bytes(Number(length)) })
        await line() // the end of the value
      }
    },
    remove: async (keys) => {
      for (const key of keys) {
        ask(`delete ${key}`)
        const answer = await line()
        if (answer !== 'DELETED' && answer !== 'NOT_FOUND')
          throw new Error('The Memcached has refused to remove what stands under one of its keys')
      }
    },
    close: () => void socket.destroy(),
  }
}

const noAnswer = (): Error => new Error('The Memcached gave no answer in time')

/**
 * A key as the list of a Memcached writes it. `undefined` for one that no client of connect-memcached could have given, such as
 * one with a blank, which would be two keys in a question.
 */
const keyIn = (word: string): string | undefined => {
  try {
    const key = decodeURIComponent(word)
    return /^[^\s\p{Cc}]+$/u.test(key) ? key : undefined
  } catch {
    return undefined
  }
}

interface Reader {
  /** The next line, without its end. */
  line(): Promise<string>
  /** The next so many bytes. */
  bytes(length: number): Promise<Buffer>
}

/** Reads what a server sends, however large that is: it may take its time, as long as something comes. */
const readerOf = (socket: Socket, runtime: Runtime): Reader => {
  const chunks: AsyncIterator<Buffer> = socket[Symbol.asyncIterator]()
  let rest: Buffer = Buffer.alloc(0)
  const more = async (): Promise<Buffer> => {
    const { done, value } = await within(runtime, PATIENCE_MS, chunks.next(), noAnswer)
    if (done === true) throw new Error('The Memcached has ended the connection')
    return value
  }
  return {
    line: async () => {
      for (;;) {
        const end = rest.indexOf('\n')
        if (end === -1) rest = Buffer.concat([rest, await more()])
        else {
          const line = rest.toString('utf8', 0, end)
          rest = rest.subarray(end + 1)
          return line.endsWith('\r') ? line.slice(0, -1) : line
        }
      }
    },
    bytes: async (length) => {
      const parts = [rest]
      for (let size = rest.length; size < length; ) {
        const chunk = await more()
        parts.push(chunk)
        size += chunk.length
      }
      const all = Buffer.concat(parts)
      rest = all.subarray(length)
      return all.subarray(0, length)
    },
  }
}
