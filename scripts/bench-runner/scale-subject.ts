/** Runs in a process of its own: a store with many sessions, and the memory that it takes. */
import { createSessionStore, type SessionStore } from 'nonstick'
import { NonstickStore } from 'nonstick/express'
import { memcached } from 'nonstick/memcached'
import { postgres } from 'nonstick/postgres'
import { type Load, measured, type Operation } from './measuring.js'
import { PATIENT, patientMemcached, patientPostgres } from './patient.js'
import { sessionOf } from './sessions.js'
import { answerAll } from './subject.js'

export interface ScalePlaces {
  readonly memcached: string
  readonly database: string
}

export type ScaleQuestion =
  /**
   * A store with so many sessions. With `isPutOff` the database has none of them yet, so that many are made soon; without,
   * all options are as they are by default.
   */
  | { readonly open: ScalePlaces; readonly sessions: number; readonly isPutOff: boolean }
  | { readonly measure: 'load' | 'save'; readonly load: Load }
  /** Memory of this kind of thing, in bytes for one. */
  | { readonly memoryOf: 'unusedStore' | 'idleSession' | 'unflushedSession'; readonly places: ScalePlaces }
  /** Loads and saves for so long, of which each is told with what became of it. */
  | { readonly live: { readonly seconds: number; readonly atOnce: number } }

/** A call, by when it began and ended after the beginning, in ms. */
export interface Lived {
  readonly beganMs: number
  readonly endedMs: number
  readonly failed: boolean
}

type Data = Record<string, unknown>

const HOUR_MS = 3_600_000

const tiersAt = (places: ScalePlaces) => ({
  cache: patientMemcached(places.memcached),
  backend: patientPostgres(places.database),
})

/** A change is flushed neither by count nor by time, so that the number of sessions is all in which two stores differ. */
const storeOn = (places: ScalePlaces, isPutOff: boolean): SessionStore<Data> =>
  createSessionStore<Data>({
    ...tiersAt(places),
    ...PATIENT,
    ...(isPutOff ? { persistOn: 'due' } : {}),
    maxStaleCount: 1_000_000,
    maxStaleMs: HOUR_MS,
  })

/** As an application has it that leaves the options as they are: so long it waits for a server that is away. */
const usualStoreOn = (places: ScalePlaces): SessionStore<Data> =>
  createSessionStore<Data>({
    cache: memcached({ servers: places.memcached }),
    backend: postgres({ connectionString: places.database, migrate: true }),
  })

const dataOf = (user: number): Data => ({ ...sessionOf(250, user) })

/** What this process holds, after everything is collected that can be. */
const heldBytes = async (): Promise<number> => {
  for (let turn = 0; turn < 3; turn += 1) {
    globalThis.gc?.()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

const LANES = 32

/** Does something with each number below that, so many at once. */
const each = async (numbers: number, work: (number: number) => Promise<unknown>): Promise<void> => {
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < numbers) {
      next += 1
      await work(next - 1)
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
}

let store: SessionStore<Data> | undefined
let ids: string[] = []
let random = 1

/** Any of the sessions, so that no two calls after each other have the same. */
const anId = (): string => {
  random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0
  return ids[random % ids.length] ?? ''
}

const WARM = 10_000

const fill = async (places: ScalePlaces, sessions: number, isPutOff: boolean): Promise<void> => {
  const made = isPutOff ? storeOn(places, true) : usualStoreOn(places)
  await made.ready({ deadlineMs: 60_000 })
  ids = []
  await each(sessions, async (number) => {
    ids.push((await made.create(dataOf(number))).id)
  })
  store = made
  // Whoever has made many sessions has run much of the code already, and whoever made few has not.
  await each(WARM, () => made.load(anId()))
}

const theStore = (): SessionStore<Data> => {
  if (store === undefined) throw new Error('there is no store yet')
  return store
}

let changes = 0
const change = async (): Promise<void> => {
  const session = await theStore().load(anId())
  if (session === undefined) return
  changes += 1
  session.data['count'] = 10_000 + (changes % 50_000)
  await theStore().save(session)
}

const OPERATIONS: Readonly<Record<'load' | 'save', Operation>> = {
  load: { run: () => theStore().load(anId()) },
  save: { run: change },
}

const UNUSED = 8
/** Memory is counted for so many sessions, so many times. */
const COUNTED = 1_500
const TIMES = 5

/** How much more the process holds after something was done with one more session, each time that it is counted. */
const heldBy = async (work: (number: number) => Promise<void>): Promise<readonly number[]> => {
  await each(COUNTED, work)
  const held: number[] = []
  for (let time = 0; time < TIMES; time += 1) {
    const before = await heldBytes()
    await each(COUNTED, work)
    held.push(((await heldBytes()) - before) / COUNTED)
  }
  return held
}

const readyOn = async (places: ScalePlaces): Promise<SessionStore<Data>> => {
  const own = storeOn(places, false)
  await own.ready({ deadlineMs: 60_000 })
  return own
}

const memoryOf = {
  unusedStore: async (places: ScalePlaces): Promise<number> => {
    // The first one loads what all share.
    const stores = [new NonstickStore(tiersAt(places))]
    const before = await heldBytes()
    for (let number = 0; number < UNUSED; number += 1) stores.push(new NonstickStore(tiersAt(places)))
    const bytes = ((await heldBytes()) - before) / UNUSED
    await Promise.all(stores.map((one) => one.close()))
    return bytes
  },

  /** Made and loaded, so that nothing is owed for it. */
  idleSession: async (places: ScalePlaces): Promise<number> => {
    const own = await readyOn(places)
    const held = await heldBy(async (number) => {
      const { id } = await own.create(dataOf(number))
      await own.load(id)
    })
    // What is kept of each session is kept each time; more than that is what happened to be made besides.
    return Math.min(...held)
  },

  unflushedSession: async (places: ScalePlaces): Promise<number> => {
    const own = await readyOn(places)
    const held = await heldBy(async (number) => {
      const session = await own.create(dataOf(number))
      // The first change of a session may be flushed for a reason of its own.
      for (const count of [1, 2]) {
        session.data['count'] = count
        const { durability } = await own.save(session)
        if (durability === 'cache') return
      }
      throw new Error('the change was flushed')
    })
    // The mean: what grows by doubling grows rarely, and by much.
    return held.reduce((sum, bytes) => sum + bytes, 0) / held.length
  },
}

const live = async ({ seconds, atOnce }: { readonly seconds: number; readonly atOnce: number }) => {
  const lived: Lived[] = []
  const startedMs = performance.now()
  let turn = 0
  const lane = async (): Promise<void> => {
    for (;;) {
      const beganMs = performance.now() - startedMs
      if (beganMs > seconds * 1_000) return
      turn += 1
      const failed = await (turn % 5 === 0 ? change() : theStore().load(anId())).then(
        () => false,
        () => true,
      )
      lived.push({ beganMs, endedMs: performance.now() - startedMs, failed })
    }
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
  return lived
}

answerAll(async (question: ScaleQuestion): Promise<unknown> => {
  if ('open' in question) return await fill(question.open, question.sessions, question.isPutOff)
  if ('measure' in question) return await measured(OPERATIONS[question.measure], question.load)
  if ('memoryOf' in question) return await memoryOf[question.memoryOf](question.places)
  return await live(question.live)
})
