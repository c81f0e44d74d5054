import { monitorEventLoopDelay } from 'node:perf_hooks'
import { msgpackCodec } from '../../src/codecs/index.js'
import { createSessionStore, isSessionStoreError, type SessionStore } from '../../src/index.js'
import type { StoreOptions } from '../../src/store/options.js'

type Data = Record<string, unknown>

/** For how long one kind of call kept the event loop at a time, at most. */
export interface Stall {
  readonly shape: string
  readonly call: string
  /** As `monitorEventLoopDelay` has it: time in which the machine did other things counts too. */
  readonly wallMs: number
  /** The processor time of the longest turn, as far as a timer of one millisecond sees the turns. */
  readonly cpuMs: number
}

/** What became of data that is more than a session may hold. */
export interface Refused extends Stall {
  readonly code: string
  readonly path: string | undefined
  readonly message: string
}

export interface Stalls {
  readonly stalls: readonly Stall[]
  readonly refused: readonly Refused[]
}

/** A session of 4 MB, or with as many values as it may hold, but for room for its writers. */
const SHAPES: Readonly<Record<string, () => Data>> = {
  '4 MB in one text': () => ({ text: 'x'.repeat(4_000_000) }),
  '4 MB of bytes': () => ({ bytes: Buffer.alloc(4_000_000, 7) }),
  '4 MB in texts of 1 KB': () => ({ list: Array.from({ length: 4_000 }, (_, at) => `${at}`.padEnd(995, 'y')) }),
  'the most values as keys': () => keys(9_800),
  'the most values as nested keys': () => ({ map: keys(9_800) }),
  'the most values as objects': () => ({ list: Array.from({ length: 4_900 }, (_, at) => ({ at })) }),
}

const REFUSED: Readonly<Record<string, () => Data>> = {
  '100,000 keys': () => keys(100_000),
  '100,000 nested keys': () => ({ map: keys(100_000) }),
  '100,000 objects': () => ({ list: Array.from({ length: 100_000 }, (_, at) => ({ at })) }),
  '40 MB in one text': () => ({ text: 'x'.repeat(40_000_000) }),
}

const WRITERS = 100

/** What the other figures of a shape are compared with, as both go by how fast and how busy the machine is. */
export const ONCE = 'one encoding and decoding'

const keys = (count: number): Data => Object.fromEntries(Array.from({ length: count }, (_, at) => [`key${at}`, at]))

/** Runs `work`, and tells for how long the event loop was kept at a time while it ran. */
const during = async (work: () => Promise<unknown>): Promise<Pick<Stall, 'wallMs' | 'cpuMs'>> => {
  const cpuUs = (): number => {
    const { user, system } = process.cpuUsage()
    return user + system
  }
  const delays = monitorEventLoopDelay({ resolution: 1 })
  delays.enable()
  let longestUs = 0
  let last = cpuUs()
  const look = (): void => {
    const now = cpuUs()
    longestUs = Math.max(longestUs, now - last)
    last = now
  }
  const looking = setInterval(look, 1)
  try {
    delays.reset()
    // A delay is known only from the second tick of its timer on.
    await new Promise((resolve) => setTimeout(resolve, 5))
    look()
    longestUs = 0
    await work()
    await new Promise((resolve) => setTimeout(resolve, 5))
  } finally {
    clearInterval(looking)
    delays.disable()
  }
  return { wallMs: Math.round(delays.max / 1e6), cpuMs: Math.round(longestUs / 1_000) }
}

/**
 * Lets two processes' stores, which are both in this process, create, load, save, merge and regenerate large sessions, and
 * a hundred writers change each of them, and measures for how long the event loop was kept at a time.
 *
 * @param open gives the options of one more store on the same tiers
 * @param tell is called with each figure as it comes
 */
export const measureStalls = async (
  open: () => StoreOptions<Data>,
  tell: (stall: Stall) => void = () => {},
): Promise<Stalls> => {
  const stores = [createSessionStore<Data>(open()), createSessionStore<Data>(open())] as const
  const stalls: Stall[] = []
  const refused: Refused[] = []
  // The timers of a store hold no process, and neither do the embedded tiers.
  const holding = setInterval(() => {}, 1_000)
  try {
    for (const [shape, data] of Object.entries(SHAPES)) {
      for (const [call, work] of await callsOn(stores, data)) {
        const stall = { shape, call, ...(await during(work)) }
        stalls.push(stall)
        tell(stall)
      }
    }
    for (const [shape, data] of Object.entries(REFUSED)) {
      const tooMuch = data()
      let error: unknown
      const figures = await during(() => stores[0].create(tooMuch).catch((raised: unknown) => (error = raised)))
      if (!isSessionStoreError(error, 'E_SESSION_TOO_LARGE'))
        throw new Error(`A session of ${shape} was not refused as too large`, { cause: error })
      const { code, path, message } = error
      const one: Refused = { shape, call: 'create', ...figures, code, path, message }
      refused.push(one)
      tell(one)
    }
  } finally {
    await Promise.all(stores.map((store) => store.close()))
    clearInterval(holding)
  }
  return { stalls, refused }
}

/** The calls that are measured, in their order, on one session. */
const callsOn = async (
  [one, other]: readonly [SessionStore<Data>, SessionStore<Data>],
  data: () => Data,
): Promise<readonly (readonly [call: string, work: () => Promise<unknown>])[]> => {
  const made = [data(), data()] as const
  const { id } = await one.create(made[0])
  const held = async (store: SessionStore<Data>) => {
    const session = await store.load(id)
    if (session === undefined) throw new Error('The session is not there')
    return session
  }
  const [mine, theirs] = [await held(one), await held(other)]
  mine.data['mine'] = 1
  theirs.data['theirs'] = 1
  const isWhole = async (writers: string): Promise<void> => {
    const found = Object.keys((await held(one)).data).filter((key) => key.startsWith(writers)).length
    if (found !== WRITERS) throw new Error(`Of ${WRITERS} changes ${found} are in the session`)
  }
  const writers = (write: (store: SessionStore<Data>, at: number) => Promise<unknown>): Promise<unknown> =>
    Promise.all(Array.from({ length: WRITERS }, (_, at) => write(at % 2 === 0 ? one : other, at)))
  return [
    [ONCE, async () => msgpackCodec.decode(msgpackCodec.encode(made[1]))],
    ['create', () => one.create(made[1])],
    ['load', () => held(other)],
    ['save', () => one.save(mine)],
    ['merge', () => other.save(theirs)],
    [
      `${WRITERS} updates`,
      async () => {
        await writers((store, at) =>
          store.update(id, (current) => {
            current[`u${at}`] = at
          }),
        )
        await isWhole('u')
      },
    ],
    [
      'regenerate',
      async () => {
        await one.regenerate(await held(one))
      },
    ],
  ]
}
