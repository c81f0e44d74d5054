import { createConnection, type Socket } from 'node:net'
import type { Runtime } from '../../../contract/time.js'
import { codeIn } from '../../../errors.js'
import { within } from '../../../tools/waiting.js'
import { UsageError } from '../../exits.js'
import { expressItem, fromJson } from '../express-session.js'
import type { Item, Source, SourceKind, SourceOptions } from '../source.js'

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
  const [, host, port] = /^(?:memcached:\/\/)?(.+):(\d+)$/.exec(at) ?? []
  if (host === undefined || port === undefined)
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
    throw new UsageError(`Expected --at to be a Memcached that can be reached: ${codeIn(cause) ?? 'no answer'}`)
  }
  socket.on('error', () => {}) // whoever waits for an answer is told
  const ask = async (words: string, isWhole: (answer: Buffer) => boolean): Promise<Buffer> =>
    await within(runtime, PATIENCE_MS, answerTo(socket, `${words}\r\n`, isWhole), noAnswer)
  const endsWith =
    (...ends: readonly string[]) =>
    (answer: Buffer): boolean =>
      ends.some((end) => answer.subarray(-end.length).toString('latin1') === end)
  return {
    list: async () => {
      const answer = await ask('lru_crawler metadump all', endsWith('END\r\n', 'ERROR\r\n', 'disabled\r\n'))
      const text = answer.toString('latin1')
      if (!text.endsWith('END\r\n'))
        throw new UsageError('Expected a Memcached that can list its keys: 1.5 or newer, with its crawler')
      return text.split(/\r?\n/).flatMap((line) => {
        const [, key, ends] = /^key=(\S+) exp=(-?\d+) /.exec(line) ?? []
        if (key === undefined) return []
        return [{ key: decodeURIComponent(key), expiresAt: Number(ends) > 0 ? Number(ends) * 1_000 : undefined }]
      })
    },
    get: async (keys) => {
      const values = new Map<string, Value>()
      if (keys.length === 0) return values
      const answer = await ask(`get ${keys.join(' ')}`, isWholeGet)
      for (const { key, flags, bytes } of valuesIn(answer)) values.set(key, { flags, bytes })
      return values
    },
    remove: async (keys) => {
      for (const key of keys) await ask(`delete ${key}`, endsWith('DELETED\r\n', 'NOT_FOUND\r\n'))
    },
    close: () => void socket.destroy(),
  }
}

const noAnswer = (): Error => new Error('The Memcached gave no answer in time')

const answerTo = (socket: Socket, question: string, isWhole: (answer: Buffer) => boolean): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    let answer = Buffer.alloc(0)
    const settle = (): void => {
      socket.off('data', onData)
      socket.off('close', onClose)
    }
    const onData = (more: Buffer): void => {
      answer = Buffer.concat([answer, more])
      if (!isWhole(answer)) return
      settle()
      resolve(answer)
    }
    const onClose = (): void => {
      settle()
      reject(new Error('the Memcached has ended the connection'))
    }
    socket.on('data', onData)
    socket.once('close', onClose)
    socket.write(question)
  })

const LINE_END = Buffer.from('\r\n')

function* valuesIn(answer: Buffer): Generator<Value & { readonly key: string }, boolean> {
  for (let at = 0; ; ) {
    const end = answer.indexOf(LINE_END, at)
    if (end === -1) return false
    const [word, key, flags, length] = answer.subarray(at, end).toString('latin1').split(' ')
    if (word !== 'VALUE' || key === undefined) return true
    const from = end + LINE_END.length
    const to = from + Number(length)
    if (answer.length < to + LINE_END.length) return false
    yield { key, flags: Number(flags), bytes: answer.subarray(from, to) }
    at = to + LINE_END.length
  }
}

/** Data may hold what looks like the end of an answer, so it is passed over by its length. */
const isWholeGet = (answer: Buffer): boolean => {
  const values = valuesIn(answer)
  for (;;) {
    const { done, value } = values.next()
    if (done === true) return value
  }
}
