import type { RowState } from '../concurrency/row-journal.js'
import type { Disturbance, Operation, SessionHistory } from '../simulation/history.js'
import type { Place, WireName } from './faults.js'
import type { Line, Seen } from './lines.js'
import type { Note } from './notes.js'

/** What is known of one process. */
export interface ProcessRecord {
  readonly name: string
  /** Lived until the end, or was closed in good order. */
  readonly alive: boolean
  /** When a tier did not answer it, by the tier's name. */
  readonly troubles: ReadonlyMap<string, readonly Span[]>
  readonly stalls: readonly Span[]
  readonly closing:
    | { readonly from: number; readonly to: number | undefined; readonly deadlineMs: number; readonly left: number }
    | undefined
  readonly uncaught: readonly string[]
}

export interface Span {
  readonly from: number
  readonly to: number
}

export interface SessionRecord extends SessionHistory {
  /** The cache server that keeps it. */
  readonly server: string
  /** When its entry in the cache may have come to life anew, in order: whenever somebody took a lease for it. */
  readonly lives: number[]
  /** What was written with the wish to be durable. */
  readonly durableTokens: Set<string>
}

/** A run, as it can be judged. All moments are in ms since the run began. */
export interface RunRecord {
  readonly sessions: ReadonlyMap<string, SessionRecord>
  readonly processes: readonly ProcessRecord[]
  readonly loadAt: number
  readonly loadEndsAt: number
  readonly endsAt: number
  readonly writtenAt: number
  readonly overAt: number
  readonly downs: readonly (Span & { readonly place: Place; readonly wire: WireName })[]
  /** When a process was stopped on purpose. */
  readonly stops: readonly (Span & { readonly process: string })[]
  /** When the machine was too busy for a server to answer in time, as a control saw it. */
  readonly lates: readonly (Span & { readonly wire: WireName })[]
}

/** A tier that has just answered again may still be gone round by who decided so a moment before. */
const SLACK_MS = 30
/** A tier that does not answer for long disturbs all the while. */
const AGAIN_MS = 1_000

export const within = ({ from, to }: Span, start: number, end: number): boolean => from <= end && to >= start

/** How much of the time between two moments the spans take. */
export const sumWithin = (spans: readonly Span[], start: number, end: number): number =>
  spans.reduce((sum, { from, to }) => sum + Math.max(0, Math.min(to, end) - Math.max(from, start)), 0)

/**
 * Puts together what each process wrote down, what was done to the world, and the states of the rows.
 *
 * @param began when the run began, by the machine's monotonic clock
 */
export const recordOf = (
  histories: ReadonlyMap<string, readonly Line[]>,
  notes: readonly Note[],
  rows: readonly RowState[],
  began: number,
): RunRecord => {
  const moment = (what: string, fallback: number): number => {
    const note = notes.find((each) => each.is === 'moment' && each.what === what)
    return note === undefined ? fallback : note.at - began
  }
  const overAt = moment('over', Number.POSITIVE_INFINITY)
  const processes = [...histories].map(([name, lines]) => processOf(name, lines, notes, began, overAt))
  const sessions = sessionsOf(histories, began)
  const byKey = new Map([...sessions.values()].map((session) => [session.key, session]))
  for (const [name, lines] of histories) addOperations(sessions, name, lines, began)
  let order = 0
  const operations = [...sessions.values()].flatMap((session) => session.operations)
  for (const operation of operations.sort((a, b) => a.invoked - b.invoked)) {
    ;(operation as { order: number }).order = order
    order += 1
  }
  for (const session of sessions.values()) session.operations.sort((a, b) => a.order - b.order)
  const byName = new Map(processes.map((each) => [each.name, each]))
  for (const session of sessions.values())
    for (const operation of session.operations) judgeTroubles(operation, session, byName.get(operation.process))
  addDisturbances(sessions, byKey, processes, histories, notes, rows, began)
  return {
    sessions,
    processes,
    loadAt: moment('load', 0),
    loadEndsAt: moment('end of load', overAt),
    endsAt: moment('end', overAt),
    writtenAt: moment('written', overAt),
    overAt,
    downs: notes
      .filter((note) => note.is === 'down')
      .map(({ at, until, place, wire }) => ({ from: at - began, to: until - began, place, wire })),
    stops: notes
      .filter((note) => note.is === 'stopped')
      .map(({ at, until, app }) => ({ from: at - began, to: until - began, process: app })),
    lates: notes
      .filter((note) => note.is === 'late')
      .map(({ at, until, wire }) => ({ from: at - began, to: until - began, wire })),
  }
}

const processOf = (
  name: string,
  lines: readonly Line[],
  notes: readonly Note[],
  began: number,
  overAt: number,
): ProcessRecord => {
  const gone = notes.find((note) => note.is === 'gone' && note.app === name)
  const end = gone === undefined ? overAt : gone.at - began
  const troubles = new Map<string, Span[]>()
  const open = new Map<string, number>()
  const stalls: Span[] = []
  const uncaught: string[] = []
  let closing: ProcessRecord['closing']
  const close = (tier: string, to: number): void => {
    const from = open.get(tier)
    if (from === undefined) return
    open.delete(tier)
    troubles.set(tier, [...(troubles.get(tier) ?? []), { from: from - SLACK_MS, to: to + SLACK_MS }])
  }
  for (const line of lines) {
    const at = line.at - began
    if (line.is === 'trouble') open.set(line.tier, line.from - began)
    else if (line.is === 'well') close(line.tier, at)
    else if (line.is === 'stalled') stalls.push({ from: line.from - began, to: at })
    else if (line.is === 'uncaught') uncaught.push(line.error)
    else if (line.is === 'close') closing = { from: at, to: undefined, deadlineMs: line.deadlineMs, left: -1 }
    else if (line.is === 'closed' && closing !== undefined)
      closing = { ...closing, to: at, left: line.left + line.destroysLeft }
  }
  for (const tier of [...open.keys()]) close(tier, end)
  return { name, alive: gone === undefined || (gone.is === 'gone' && gone.closed), troubles, stalls, closing, uncaught }
}

const sessionsOf = (histories: ReadonlyMap<string, readonly Line[]>, began: number): Map<string, SessionRecord> => {
  const lines = [...histories.values()].flatMap((each) => each.filter((line) => line.is === 'session'))
  lines.sort((a, b) => a.at - b.at)
  const sessions = new Map<string, SessionRecord>()
  for (const { name, id, key, server, from, at } of lines) {
    const parent = from === undefined ? undefined : sessions.get(from)
    const session: SessionRecord = {
      name,
      id,
      key,
      server,
      ancestors: from === undefined ? [] : [from, ...(parent?.ancestors ?? [])],
      lives: [],
      durableTokens: new Set(),
      operations: [],
      disturbances: [],
      backendFailures: [],
    }
    sessions.set(name, session)
    // Its creation is the regeneration's doing: known only once that was acknowledged.
    if (from !== undefined) {
      const born = begin('create', '', '', name, undefined, at - began)
      born.completed = at - began
      born.outcome = { is: 'ok', durability: 'backend' }
      session.operations.push(born)
    }
  }
  return sessions
}

const begin = (
  kind: Operation['kind'],
  process: string,
  client: string,
  session: string,
  token: string | undefined,
  invoked: number,
): Operation => ({
  order: 0,
  kind,
  process,
  client,
  session,
  token,
  invoked,
  completed: undefined,
  outcome: { is: 'unknown' },
  sight: undefined,
  pausedMs: 0,
  cacheFailures: 0,
  backendFailures: 0,
})

const addOperations = (
  sessions: ReadonlyMap<string, SessionRecord>,
  process: string,
  lines: readonly Line[],
  began: number,
): void => {
  const running = new Map<number, Operation>()
  const rounds = new Map<number, Operation[]>()
  for (const line of lines) {
    if (line.is === 'call') {
      const operation = begin(line.kind, process, line.client, line.session, line.token, line.at - began)
      running.set(line.n, operation)
      const session = sessions.get(line.session)
      session?.operations.push(operation)
      if (line.durable === true && line.token !== undefined) session?.durableTokens.add(line.token)
    } else if (line.is === 'return') {
      const operation = running.get(line.n)
      if (operation === undefined) continue
      running.delete(line.n)
      operation.completed = line.at - began
      operation.outcome = line.outcome
      if (line.seen !== undefined) operation.sight = sightOf(line.seen)
      if (line.round === undefined) continue
      const round = rounds.get(line.round) ?? []
      rounds.set(line.round, [...round, operation])
      // Acknowledged together: they all count from the last of them.
      for (const other of round) other.completed = operation.completed
    }
  }
}

const sightOf = ({ log, shared, expiresAt }: Seen): Operation['sight'] => ({
  tokens: new Set(log),
  log,
  shared,
  putBy: undefined,
  expiresAt,
})

/** What its own process met while it went on. */
const judgeTroubles = (operation: Operation, { server }: SessionRecord, process: ProcessRecord | undefined): void => {
  if (process === undefined) return
  const from = operation.invoked
  const to = operation.completed ?? Number.POSITIVE_INFINITY
  const met = (tier: string): number =>
    (process.troubles.get(tier) ?? []).filter((span) => within(span, from, to)).length
  operation.cacheFailures = met(server)
  operation.backendFailures = met('backend')
  operation.pausedMs = sumWithin(process.stalls, from, to)
  const { outcome } = operation
  if (operation.kind === 'regenerate' && outcome.is === 'ok')
    operation.outcome = { ...outcome, cacheToldOfEnd: operation.cacheFailures === 0 }
}

type Event = { readonly at: number; readonly why: 'lease' | 'takeover' | string }

/**
 * What may have cost something. Each life of a session in the cache ends once, however much befalls it: of all losses
 * and takeovers between two leases one counts.
 */
const addDisturbances = (
  sessions: ReadonlyMap<string, SessionRecord>,
  byKey: ReadonlyMap<string, SessionRecord>,
  processes: readonly ProcessRecord[],
  histories: ReadonlyMap<string, readonly Line[]>,
  notes: readonly Note[],
  rows: readonly RowState[],
  began: number,
): void => {
  const events = new Map<string, Event[]>()
  const add = (session: string | undefined, event: Event): void => {
    if (session === undefined) return
    events.set(session, [...(events.get(session) ?? []), event])
  }
  const isFull = fullTimes(notes)
  const taken = new Set(rows.map(({ lineage }) => lineage))
  for (const lines of histories.values())
    for (const line of lines) {
      const at = line.at - began
      if (line.is === 'lease') {
        const session = byKey.get(line.key)
        // Not everything that a full memcached drops stands in its log; that nothing stood there tells as much.
        if (session !== undefined && isFull(session.server, line.at))
          add(session.name, { at: at - JUST_BEFORE_MS, why: 'gone from a full server' })
        add(session?.name, { at, why: 'lease' })
      }
      if (line.is === 'dropped') byKey.get(line.key)?.disturbances.push({ what: 'dropped', at })
      else if (line.is === 'too large') {
        const name = byKey.get(line.key)?.name
        for (const moment of [line.from - began, at]) add(name, { at: moment, why: 'too large' })
      } else if (line.is === 'takeover' && taken.has(line.lineage))
        add(byKey.get(line.key)?.name, { at, why: 'takeover' })
    }
  for (const note of notes) {
    const at = note.at - began
    if (note.is === 'evicted') add(byKey.get(note.key)?.name, { at, why: 'evicted' })
    else if (note.is === 'lost')
      for (const { name, server } of sessions.values()) if (server === note.server) add(name, { at, why: note.why })
  }
  const troubles = new Map<string, number[]>()
  const backendTroubles: number[] = []
  for (const process of processes)
    for (const [tier, spans] of process.troubles) {
      const moments = spans.flatMap((span) => momentsOf(span))
      if (tier === 'backend') backendTroubles.push(...moments)
      else troubles.set(tier, [...(troubles.get(tier) ?? []), ...moments])
    }
  for (const { name, server, disturbances, backendFailures, lives } of sessions.values()) {
    const ordered = (events.get(name) ?? []).sort((a, b) => a.at - b.at)
    let mayCost = true
    for (const { at, why } of ordered) {
      if (why === 'lease') {
        mayCost = true
        lives.push(at)
        continue
      }
      disturbances.push({ what: 'loss', at, why, tokens: new Set(), costs: mayCost })
      mayCost = false
    }
    for (const at of troubles.get(server) ?? []) disturbances.push({ what: 'cache failure', at } satisfies Disturbance)
    backendFailures.push(...backendTroubles)
  }
}

const JUST_BEFORE_MS = 0.01

const fullTimes = (notes: readonly Note[]): ((server: string, at: number) => boolean) => {
  const spans: { server: string; from: number; to: number }[] = []
  for (const note of notes) {
    if (note.is === 'full') spans.push({ server: note.server, from: note.at, to: Number.POSITIVE_INFINITY })
    else if (note.is === 'lost' && note.why === 'killed')
      for (const span of spans) if (span.server === note.server) span.to = Math.min(span.to, note.at)
  }
  return (server, at) => spans.some((span) => span.server === server && at >= span.from && at <= span.to)
}

const momentsOf = ({ from, to }: Span): readonly number[] => {
  const moments = [from]
  for (let at = from + AGAIN_MS; at < to; at += AGAIN_MS) moments.push(at)
  return [...moments, to]
}
