import { connect } from 'node:net'
import { encode, type Frame, FrameReader } from '../../caches/memcached/frames.js'
import { type CacheRequest, OPCODE, STATUS } from '../../caches/memcached/protocol.js'
import type { ServerAddress } from '../../caches/memcached/servers.js'
import type { Runtime } from '../../contract/time.js'

/** The groups of statistics that are asked for: the general ones have no name. */
const GROUPS = ['', 'settings', 'items'] as const
const STAT = 0x10
const LONGEST_ANSWER_BYTES = 65_536

/** What a Memcached says of itself, as it says it: names and texts. */
export interface Statistics {
  readonly general: Readonly<Record<string, string>>
  readonly settings: Readonly<Record<string, string>>
  readonly items: Readonly<Record<string, string>>
}

export interface StatisticsOptions {
  readonly credentials: { readonly username: string; readonly password: string } | undefined
  /** Within how many ms it settles. */
  readonly timeoutMs: number
  readonly runtime: Runtime
}

/**
 * Asks one server for its statistics, over a connection of its own. The cache itself has no use for them, and its
 * connections await one answer for each question.
 *
 * Rejects where the server cannot be reached, does not answer in time, or refuses the login.
 */
export const statisticsOf = (
  server: ServerAddress,
  { credentials, timeoutMs, runtime }: StatisticsOptions,
): Promise<Statistics> =>
  new Promise((resolve, reject) => {
    const questions = [...(credentials === undefined ? [] : [signIn(credentials)]), ...GROUPS.map(statistic)]
    const answers = questions.map((): Record<string, string> => ({}))
    const socket = connect(server.target)
    const settle = (work: () => void): void => {
      cancel()
      socket.destroy()
      work()
    }
    const fail = (because: string): void => settle(() => reject(new Error(because)))
    const cancel = runtime.after(timeoutMs, () => fail('no answer came in time'))
    const take = ({ opaque, status, key, value }: Frame): void => {
      const answer = answers[opaque]
      if (status !== STATUS.ok || answer === undefined) fail(`it answered with status 0x${status.toString(16)}`)
      else if (key.length > 0) answer[Buffer.from(key).toString('latin1')] = Buffer.from(value).toString('latin1')
      else if (opaque === questions.length - 1) settle(() => resolve(inGroups(answers.slice(-GROUPS.length))))
    }
    const reader = new FrameReader({
      admit: () => LONGEST_ANSWER_BYTES,
      strange: () => new Error('it does not speak the binary protocol'),
      take,
    })
    socket.on('connect', () => {
      for (const [opaque, question] of questions.entries()) socket.write(encode(question, opaque))
    })
    socket.on('data', (bytes) => {
      try {
        reader.push(bytes)
      } catch {
        fail('it does not speak the binary protocol')
      }
    })
    socket.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? 'the connection failed'))
    socket.on('close', () => fail('it ended the connection'))
  })

const signIn = ({ username, password }: { readonly username: string; readonly password: string }): CacheRequest => ({
  opcode: OPCODE.saslAuthenticate,
  key: Buffer.from('PLAIN'),
  value: Buffer.from(`\0${username}\0${password}`),
})

const statistic = (group: string): CacheRequest => ({ opcode: STAT, key: Buffer.from(group) })

const inGroups = ([general = {}, settings = {}, items = {}]: readonly Record<string, string>[]): Statistics => ({
  general,
  settings,
  items,
})

/** A statistic as a number; `undefined` where the server does not have it. */
export const numberIn = (group: Readonly<Record<string, string>>, name: string): number | undefined => {
  const text = group[name]
  return text === undefined || !/^-?\d+(?:\.\d+)?$/.test(text) ? undefined : Number(text)
}
