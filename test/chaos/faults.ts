import type { Lots } from '../simulation/random.js'

export type BackendKind = 'postgres' | 'couchdb' | 'redis'

const OF_WIRES_AND_CACHES = [
  // On the wire, of one process or of all, to one cache server or to the backend.
  'cut',
  'drop reply',
  'black hole',
  'delay',
  'half-close',
  'reset',
  // The cache servers.
  'kill',
  'stop',
  'flush',
  'evict',
] as const
const OF_POSTGRES = ['backend restart', 'backend crash', 'terminate'] as const
/** What is killed here has lost what it committed: the stand-in keeps it in memory. */
const OF_COUCHDB = ['backend stop'] as const
/** Killed and started again it has what it acknowledged; stopped, it does not answer; and all its connections end. */
const OF_REDIS = ['backend crash', 'backend stop', 'terminate'] as const
const OF_PROCESSES = ['app kill', 'app stop', 'app drain'] as const

/** What is done to the backend itself. */
export type BackendFault = (typeof OF_POSTGRES | typeof OF_COUCHDB | typeof OF_REDIS)[number]
export type FaultKind = (typeof OF_WIRES_AND_CACHES | typeof OF_PROCESSES)[number] | BackendFault

/** Which faults there are: by the backend, and whether it is ours to stop. */
export type Weather = BackendKind | 'given couchdb'

/** Everything that goes wrong in a run. */
export const FAULT_KINDS: Readonly<Record<Weather, readonly FaultKind[]>> = {
  postgres: [...OF_WIRES_AND_CACHES, ...OF_POSTGRES, ...OF_PROCESSES],
  couchdb: [...OF_WIRES_AND_CACHES, ...OF_COUCHDB, ...OF_PROCESSES],
  redis: [...OF_WIRES_AND_CACHES, ...OF_REDIS, ...OF_PROCESSES],
  // Somebody else's server is not stopped; the wires to it are ours.
  'given couchdb': [...OF_WIRES_AND_CACHES, ...OF_PROCESSES],
}

export const PLACES = ['A', 'B', 'C'] as const
export type Place = (typeof PLACES)[number]

export const WIRES = ['cache-1', 'cache-2', 'backend'] as const
export type WireName = (typeof WIRES)[number]

/** One fault, as it was drawn from the seed before the run began. */
export interface Fault {
  readonly kind: FaultKind
  /** In ms since the load began. */
  readonly at: number
  /** How long it lasts, where it lasts. */
  readonly forMs: number
  /** Whose wires, or which process; several for a wire that fails for all. */
  readonly places: readonly Place[]
  readonly wire: WireName
  /** 0 or 1. */
  readonly cache: number
  /** After how many bytes, for a cut; into a frame's header, its middle, or well beyond it. */
  readonly bytes: number
  readonly byMs: number
}

/** The mean distance of two faults. A minute then has about forty. */
const EVERY_MS = 1_500
/** Nothing goes wrong at the very beginning, when the first sessions are made. */
const QUIET_MS = 1_000
/** Lasting faults last from a fraction of a tier's deadline to several of them. */
const SHORTEST_MS = 100
const LONGEST_MS = 2_500

/** As many as fit into so many seconds: every kind once before any comes twice. */
export const drawFaults = (lots: Lots, seconds: number, weather: Weather): readonly Fault[] => {
  const faults: Fault[] = []
  let deck: FaultKind[] = []
  const end = seconds * 1_000 - 500
  for (let at = QUIET_MS; at < end; at += EVERY_MS * lots.between(0.4, 1.6)) {
    if (deck.length === 0) deck = shuffled(FAULT_KINDS[weather], lots)
    const kind = deck.pop() ?? 'reset'
    const forMs = Math.round(SHORTEST_MS * (LONGEST_MS / SHORTEST_MS) ** lots.next())
    faults.push({
      kind,
      at: Math.round(at),
      // Not beyond the end of the load: what heals it then is the end.
      forMs: Math.min(forMs, Math.round(end - at)),
      places: lots.happens(0.5) || kind.startsWith('app') ? [lots.pick(PLACES)] : PLACES,
      wire: lots.pick(WIRES),
      cache: lots.whole(2),
      bytes: lots.pick([0, 1, 10, 23, 24, 25, 60, 200, 1_000, 5_000]),
      byMs: lots.pick([5, 50, 200, 600]),
    })
  }
  return faults
}

const shuffled = <T>(from: readonly T[], lots: Lots): T[] => {
  const left = [...from]
  const drawn: T[] = []
  while (left.length > 0) drawn.push(...left.splice(lots.whole(left.length), 1))
  return drawn
}
