import { generateSessionId, isSessionStoreError, type SessionStore } from '../../src/index.js'
import { mulberry32 } from '../support/mulberry32.js'

/*
 * Visitors who never log in: robots, and people who only look. Each of them makes calls that a seed draws, from any of
 * several stores, as the requests of a cluster would. None of them may leave anything in the backend.
 */

export type VisitorData = Record<string, unknown>

/**
 * A cache or a backend that is late sends a creation round the other, and that would be counted. So no call is given up
 * before a busy machine has come to it.
 */
export const PATIENT = {
  store: {
    ...{ cacheTimeoutMs: 60_000, backendTimeoutMs: 60_000, leaseMs: 70_000, deadlineMs: 120_000 },
    breakerFailures: 1_000_000,
  },
  cache: { operationTimeoutMs: 55_000, connectTimeoutMs: 30_000 },
  postgres: { queryTimeoutMs: 55_000, connectTimeoutMs: 30_000, maxConnections: 4 },
} as const

export interface Visits {
  readonly stores: readonly SessionStore<VisitorData>[]
  readonly visitors: number
  /** Which calls are drawn. */
  readonly seed: number
  /** How many visitors come at once. @default 64 */
  readonly atOnce?: number
  /** Makes the ids that a program makes itself. @default the library's, by the system's clock */
  readonly newId?: () => string
  readonly onProgress?: (done: number) => void
  /** Asked before each visitor: whether the next one still comes. @default all come */
  readonly isOpen?: () => boolean
}

/** How often each call was made, refused ones included. */
export type Calls = Readonly<Record<CallName, number>>

/** As often as it was refused, by the code of the error. */
export interface VisitsReport {
  /** How many came. */
  readonly came: number
  readonly calls: Calls
  readonly refused: Readonly<Record<string, number>>
}

const CALLS = [
  ...['create', 'put', 'load', 'save', 'update', 'touch', 'regenerate', 'destroy'],
  ...[
    'destroy again',
    'destroy at once',
    'save what has ended',
    'put what has ended',
    'load unknown',
    'update unknown',
  ],
  ...['touch unknown', 'destroy new'],
] as const
export type CallName =
  | ('create' | 'put' | 'load' | 'save' | 'update' | 'touch' | 'regenerate' | 'destroy')
  | ('destroy again' | 'destroy at once' | 'save what has ended' | 'put what has ended' | 'load unknown')
  | ('update unknown' | 'touch unknown' | 'destroy new')

/** Draws numbers from 0 to below 1. */
const lots = (seed: number): (() => number) => {
  const draw = mulberry32(seed)
  return () => draw() / 2 ** 32
}

/** What becomes of a visitor who changes what others have ended or changed meanwhile. */
const EXPECTED: ReadonlySet<string> = new Set(['E_SESSION_DESTROYED', 'E_SESSION_CONFLICT'])

/** Lets visitors come, and resolves when the last of them has gone. Rejects where a call fails that must not. */
export const visit = async ({
  stores,
  visitors,
  seed,
  atOnce = 64,
  newId = generateSessionId,
  onProgress = () => {},
  isOpen = () => true,
}: Visits): Promise<VisitsReport> => {
  const calls = Object.fromEntries(CALLS.map((name) => [name, 0])) as Record<CallName, number>
  const refused: Record<string, number> = {}
  let next = 0

  const one = async (visitor: number): Promise<void> => {
    const lot = lots(seed + visitor * 7_919)
    const pick = <Item>(items: readonly Item[]): Item => {
      const item = items[Math.floor(lot() * items.length)]
      if (item === undefined) throw new RangeError('There is nothing to choose from')
      return item
    }
    const store = (): SessionStore<VisitorData> => pick(stores)
    const make = async (name: CallName, call: () => Promise<unknown>): Promise<void> => {
      calls[name] += 1
      try {
        await call()
      } catch (error) {
        if (!isSessionStoreError(error) || !EXPECTED.has(error.code)) throw error
        refused[error.code] = (refused[error.code] ?? 0) + 1
      }
    }

    let id = newId()
    const data = (): VisitorData => ({ page: Math.floor(lot() * 1_000), text: 'x'.repeat(Math.floor(lot() * 300)) })
    if (lot() < 0.5)
      await make('create', async () => {
        id = (await store().create(data())).id
      })
    else await make('put', () => store().put(id, data()))

    const steps: Readonly<Record<CallName, () => Promise<unknown>>> = {
      create: async () => void (await store().create(data())),
      put: () => store().put(id, data()),
      load: () => store().load(id),
      save: async () => {
        const mine = store()
        const session = await mine.load(id)
        if (session === undefined) return
        Object.assign(session.data, data())
        await mine.save(session)
      },
      update: () => store().update(id, (held) => void Object.assign(held, data())),
      touch: () => store().touch(id),
      regenerate: async () => {
        const mine = store()
        const session = await mine.load(id)
        if (session !== undefined) id = (await mine.regenerate(session)).id
      },
      destroy: () => store().destroy(id),
      'destroy again': async () => {
        await store().destroy(id)
        await store().destroy(id)
      },
      'destroy at once': () => Promise.all([store().destroy(id), store().load(id), store().destroy(id)]),
      'save what has ended': async () => {
        const mine = store()
        const session = await mine.load(id)
        if (session === undefined) return
        await store().destroy(id)
        Object.assign(session.data, data())
        await mine.save(session)
      },
      'put what has ended': async () => {
        const session = await store().load(id)
        if (session === undefined) return
        await store().destroy(id)
        await store().put(id, data())
      },
      'load unknown': () => store().load(newId()),
      'update unknown': () => store().update(newId(), () => {}),
      'touch unknown': () => store().touch(newId()),
      'destroy new': () => store().destroy(newId(), { isNew: true }),
    }
    const clicks = Math.floor(lot() * 6)
    for (let click = 0; click < clicks; click += 1) {
      const name = pick(CALLS)
      await make(name, steps[name])
    }
  }

  const worker = async (): Promise<void> => {
    while (next < visitors && isOpen()) {
      const visitor = next
      next += 1
      await one(visitor)
      if (visitor % 1_000 === 999) onProgress(visitor + 1)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  return { came: next, calls, refused }
}
