import type { PersistOn } from '../../src/session/decisions.js'
import type { LiveEnvelope } from '../../src/session/envelope.js'
import { filled, trusted } from '../../src/session/transitions.js'
import { FIRST_ROW, lineageName, MOST_WRITES, TIMINGS } from './data.js'
import type { Settings } from './rules.js'
import type { Op } from './task.js'
import { type Actor, type Budget, tokenOf, type World } from './world.js'

/* What is searched: who acts, what may go wrong, and what must hold. */

/**
 * `W` a process that saves once, `WW` twice, `D` saves durably, `U` updates, `R` reads, `F` flushes by time, `G` reads
 * and flushes what is overdue, `T` touches, `X` destroys, `C` creates under an id that nobody knows before, `K` under
 * one that others may know, `N` moves the session to a new id, `Z` drains, `P` purges.
 * Small letters go on with the handle of the letter before, of `W`, `D`, `R` or a small one: `w` saves another change,
 * `d` durably, `s` saves the handle as it is, `e` durably.
 * A process does the letters of its word one after the other. A word that begins with `+` is another request of the
 * process of the word before, at the same time.
 */
export type Word = string

export interface Configuration {
  readonly name: string
  readonly processes: readonly Word[]
  /** What stands at first: a row and a cached copy, a row only, or nothing. */
  readonly starts: 'warm' | 'cold' | 'new'
  readonly maxStaleCount: number
  readonly faults?: Partial<Budget>
  readonly persistOn?: PersistOn
  readonly maxAttempts?: number
  /** Writes too large for the cache, by number. */
  readonly tooLarge?: readonly number[]
  /**
   * Some process may see the cache while another does not: then every takeover counts as a loss, and what was
   * acknowledged as durable is visible at the latest when the cached lineage is next compared with the row.
   */
  readonly isAsymmetric?: boolean
  /** Who knows of the outages of the cache: everybody, unless said otherwise. */
  readonly view?: World['view']
  /** Judges I6 as if no fault excused it. */
  readonly readsNeverGoBack?: boolean
  /** Attempts suffice for everyone: none may give up. */
  readonly nobodyGivesUp?: boolean
  /** How many write ids are remembered, where fewer than the store's. */
  readonly ring?: number
  readonly isDeep?: boolean
}

/** The cache is not new: a restart begins to count again what was counted before. */
const CHANGES_BEFORE = 4

/** Far from any that the first cache comes to, so that no token of one fits the other. */
const OTHER_GENERATION = 50

/** How many write ids an update may use, where its tries do not keep one: as many as there are tries. */
const UPDATE_IDS = 3

const NO_FAULTS: Budget = {
  losses: 0,
  restarts: 0,
  leaseExpiries: 0,
  lostInCache: 0,
  lostLooks: 0,
  lateInCache: 0,
  lostInBackend: 0,
  lateInBackend: 0,
  outages: 0,
  backendOutages: 0,
  cuts: 0,
  crashes: 0,
  expiries: 0,
  rebirths: 0,
  moves: 0,
}

const FAULT_NAMES: Readonly<Record<keyof Budget, string>> = {
  losses: 'cache loss',
  restarts: 'restart',
  leaseExpiries: 'lease expiry',
  lostInCache: 'lost reply (cache)',
  lostLooks: 'look at the cache without an answer',
  lateInCache: 'late command (cache)',
  lostInBackend: 'lost reply (backend)',
  lateInBackend: 'late command (backend)',
  outages: 'cache outage',
  backendOutages: 'backend outage',
  cuts: 'process cut off from the cache',
  crashes: 'crash',
  expiries: 'expiry',
  rebirths: 'process started again',
  moves: 'process started again with another list of servers',
}

export const settingsOf = ({ maxStaleCount, persistOn, maxAttempts, tooLarge }: Configuration): Settings => ({
  policy: { maxStaleCount, persistOn: persistOn ?? 'create', timings: TIMINGS },
  maxAttempts: maxAttempts ?? 3,
  tooLarge: (tooLarge ?? []).reduce((mask, write) => mask | (1 << write), 0),
})

const actorsOf = (processes: readonly Word[]): Actor[] => {
  let writes = 0
  const kinds = new Map<string, number>()
  const requestsOf = (index: number): number => {
    let last = index
    while (processes[last + 1]?.startsWith('+')) last += 1
    return last - index
  }
  let head = 0
  return processes.map((word, index) => {
    if (!word.startsWith('+')) head = index
    const isShared = requestsOf(head) > 0
    const drains = processes.slice(head, head + requestsOf(head) + 1).some((other) => other.includes('Z'))
    const mine: number[] = []
    const count = (): number => {
      mine.push(writes)
      writes += 1
      if (writes > MOST_WRITES) throw new RangeError(`At most ${MOST_WRITES} writes in one configuration`)
      return writes - 1
    }
    const ops = [...word.replace('+', '')].map((letter): Op => {
      switch (letter) {
        case 'W':
          return { do: 'save', write: count(), durable: false }
        case 'D':
          return { do: 'save', write: count(), durable: true }
        case 'w':
        case 'd':
          return { do: 'save again', write: count(), durable: letter === 'd', isChanged: true }
        case 's':
        case 'e':
          return { do: 'save again', write: count(), durable: letter === 'e', isChanged: false }
        case 'U': {
          const write = count()
          for (let others = 1; others < UPDATE_IDS; others += 1) count()
          return { do: 'update', write }
        }
        case 'C':
          return { do: 'create', write: count() }
        case 'K':
          return { do: 'put', write: count() }
        case 'N':
          return { do: 'regenerate', write: count() }
        case 'R':
          return { do: 'read' }
        case 'F':
          return { do: 'flush' }
        case 'G':
          return { do: 'read and flush' }
        case 'T':
          return { do: 'touch' }
        case 'X':
          return { do: 'destroy' }
        case 'P':
          return { do: 'purge' }
        case 'Z':
          return { do: 'drain' }
        default:
          throw new RangeError(`Nobody does ${letter}`)
      }
    })
    // Requests of one process are like no others.
    const name = isShared ? `${word}${index}` : word
    const kind = kinds.get(name) ?? kinds.size
    kinds.set(name, kind)
    return {
      name: `${word}${index}`,
      kind,
      writes: mine,
      ops,
      task: undefined,
      held: undefined,
      process: drains ? head : -1,
      noted: 0,
      floor: 0,
      isCutOff: false,
      isElsewhere: false,
      isAway: false,
      failedLooks: 0,
      noticed: 0,
    }
  })
}

export const firstWorld = (configuration: Configuration): World => {
  const { starts, processes, faults } = configuration
  const cached: LiveEnvelope = { ...filled(FIRST_ROW, new Uint8Array(0), lineageName(1), 1), seenDurableAt: 1 }
  return {
    cache: {
      entry: starts === 'warm' ? trusted(cached, 1) : undefined,
      token: tokenOf(1, CHANGES_BEFORE),
      generation: 1,
      changes: CHANGES_BEFORE,
      isDown: false,
    },
    other:
      (faults?.moves ?? 0) === 0
        ? undefined
        : { entry: undefined, token: 0, generation: OTHER_GENERATION, changes: CHANGES_BEFORE, isDown: false },
    view: configuration.view ?? 'one',
    row: starts === 'new' ? { state: 'absent' } : { state: 'live', session: FIRST_ROW },
    newRows: [],
    backendIsDown: false,
    actors: actorsOf(processes),
    late: [],
    budget: { ...NO_FAULTS, ...faults },
    past: {
      acked: 0,
      durable: 0,
      refused: 0,
      drained: 0,
      seen: 0,
      losses: 0,
      outageWasFree: false,
      destroy: 'no',
      destroyedIn: 0,
      backendWasDown: false,
      movedWith: undefined,
      wrong: undefined,
    },
    lineages: 1,
    outagesEnded: 0,
    era: 1,
    ended: 0,
    closed: { call: 0, life: 0 },
    idIsOut: !processes.some((word) => word.includes('C')),
  }
}

/** In words: who acts and what may happen to them. */
export const described = ({
  processes,
  starts,
  maxStaleCount,
  persistOn,
  ring,
  tooLarge,
  view,
  isAsymmetric,
  faults = {},
}: Configuration): string => {
  const happening = Object.entries(faults)
    .filter(([, times]) => times > 0)
    .map(([fault, times]) => `${times} ${FAULT_NAMES[fault as keyof Budget]}`)
  const deferred = persistOn === undefined || persistOn === 'create' ? '' : `, persistOn ${persistOn}`
  const short = ring === undefined ? '' : `, ring of ${ring}`
  const own = view === 'own' ? ', outages are known to who met them' : ''
  const views = isAsymmetric === true ? ', not one view of the cache' : ''
  const large = tooLarge === undefined ? '' : `, too large: ${tooLarge.map((write) => `w${write}`).join(' ')}`
  return `${processes.join(' ')} (${starts}, N=${maxStaleCount}${deferred}${short}${large}${views}${own}); ${happening.join(', ') || 'no faults'}`
}
