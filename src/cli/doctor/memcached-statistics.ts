import { encode, type Frame, FrameReader } from '../../caches/memcached/frames.js'
import { reasonOf } from '../../caches/memcached/link.js'
import { type CacheRequest, OPCODE, STATUS } from '../../caches/memcached/protocol.js'
import type { ServerAddress } from '../../caches/memcached/servers.js'
import type { MemcachedTls } from '../../caches/memcached/tls.js'
import { openWire } from '../../caches/memcached/wire.js'
import type { EpochMs, Runtime } from '../../contract/time.js'

/** The groups of statistics that are asked for: the general ones have no name. */
const GROUPS = ['', 'settings', 'items'] as const
const STAT = 0x10
const LONGEST_ANSWER_BYTES = 65_536

/** What a Memcached says of itself, as it says it: names and texts. */
export interface Statistics {
  readonly general: Readonly<Record<string, string>>
  readonly settings: Readonly<Record<string, string>>
  readonly items: Readonly<Record<string, string>>
  /** Until when its certificate is valid; `undefined` where the connection is not encrypted. */
  readonly certificateEndsAt: EpochMs | undefined
}

export interface StatisticsOptions {
  readonly credentials: { readonly username: string; readonly password: string } | undefined
  readonly tls: MemcachedTls | undefined
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
  { credentials, tls, timeoutMs, runtime }: StatisticsOptions,
): Promise<Statistics> =>
  new Promise((resolve, reject) => {
    const questions = [...(credentials === undefined ? [] : [signIn(credentials)]), ...GROUPS.map(statistic)]
    const answers = questions.map((): Record<string, string> => ({}))
    const settle = (work: () => void): void => {
      cancel()
      // First, as the end of the wire is told, too.
      work()
      wire.reset()
    }
    const fail = (because: string): void => settle(() => reject(new Error(because)))
    const cancel = runtime.after(timeoutMs, () => fail('no answer came in time'))
    const take = ({ opaque, status, key, value }: Frame): void => {
      const answer = answers[opaque]
      if (status !== STATUS.ok || answer === undefined) fail(`it answered with status 0x${status.toString(16)}`)
      else if (key.length > 0) answer[Buffer.from(key).toString('latin1')] = Buffer.from(value).toString('latin1')
      else if (opaque === questions.length - 1) {
        const groups = inGroups(answers.slice(-GROUPS.length))
        const { certificateEndsAt } = wire
        settle(() => resolve({ ...groups, certificateEndsAt }))
      }
    }
    const reader = new FrameReader({
      admit: () => LONGEST_ANSWER_BYTES,
      strange: () => new Error('it does not speak the binary protocol'),
      take,
    })
    const received = (bytes: Buffer): void => {
      try {
        reader.push(bytes)
      } catch {
        fail('it does not speak the binary protocol')
      }
    }
    const wire = openWire(server.target, tls, { received, ended: (cause) => fail(reasonOf(cause)) })
    wire.write(questions.map((question, opaque) => encode(question, opaque)))
  })

const signIn = ({ username, password }: { readonly username: string; readonly password: string }): CacheRequest => ({
  opcode: OPCODE.saslAuthenticate,
  key: Buffer.from('PLAIN'),
  value: Buffer.from(`\0${username}\0${password}`),
})

const statistic = (group: string): CacheRequest => ({ opcode: STAT, key: Buffer.from(group) })

const inGroups = ([general = {}, settings = {}, items = {}]: readonly Record<string, string>[]): Omit<
  Statistics,
  'certificateEndsAt'
> => ({
  general,
  settings,
  items,
})

/** A statistic as a number; `undefined` where the server does not have it. */
export const numberIn = (group: Readonly<Record<string, string>>, name: string): number | undefined => {
  const text = group[name]
  return text === undefined || !/^-?\d+(?:\.\d+)?$/.test(text) ? undefined : Number(text)
}
