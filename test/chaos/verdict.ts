import { type RowState, rowJudge } from '../concurrency/row-journal.js'
import type { Operation, Violation } from '../simulation/history.js'
import { judge, writesAmong } from '../simulation/judge.js'
import { PLACES, WIRES, type WireName } from './faults.js'
import { type ProcessRecord, type RunRecord, type SessionRecord, type Span, sumWithin, within } from './record.js'
import { ABSOLUTE_TTL_MS, CACHES, CLOCK_SKEW_MS, IDLE_TTL_MS, STORE } from './store-options.js'

/** What a run came to, as the last line of `scripts/chaos` tells it. */
export interface Verdict {
  readonly seconds: number
  readonly requests: number
  readonly acknowledged: number
  readonly destroys: number
  readonly succeededWithOneTierUp: number
  /** The requests that this share is of. */
  readonly judgedForSuccess: number
  /** Those that are left out of it as the machine did not let their tiers, or their process, answer in time. */
  readonly hinderedByMachine: number
  readonly faults: Readonly<Record<string, number>>
  readonly violations: number
  readonly lostWithinBound: number
  readonly lostBeyondBound: number
  readonly resurrected: number
  readonly unsettled: number
  readonly errors: number
  readonly p99Ms: number
  readonly cutOff: CutOff
}

/** What was done or seen while one process could not reach a cache server that another reached. */
export interface CutOff {
  readonly requests: number
  /** Loads that were given a session after its destroy had resolved with `{ cache: 'unreachable' }`. */
  readonly servedAfterDestroy: number
  /** Loads that missed a write which was acknowledged as durable without a look at the cache. */
  readonly durableNotYetSeen: number
}

export interface Judgement {
  readonly verdict: Verdict
  readonly violations: readonly Violation[]
}

/** How late a call may settle on a machine that has other things to do, its process's own stalls not counted. */
const TOLERANCE_MS = 250

export const judgementOf = (
  record: RunRecord,
  rows: readonly RowState[],
  seconds: number,
  faults: Readonly<Record<string, number>>,
  epochMs: number,
): Judgement => {
  const violations: Violation[] = []
  let lostWithinBound = 0
  let lostBeyondBound = 0
  const violated = (promise: string, session: string, what: string): void => {
    violations.push({ promise, session, what, at: 0 })
  }
  judge({
    sessions: record.sessions,
    config: {
      maxStaleCount: STORE.maxStaleCount,
      deadlineMs: STORE.deadlineMs,
      backendTimeoutMs: STORE.backendTimeoutMs,
      idleTtlMs: IDLE_TTL_MS,
      absoluteTtlMs: ABSOLUTE_TTL_MS,
      unknownIdTtlMs: STORE.unknownIdTtlMs,
      skewMs: CLOCK_SKEW_MS,
    },
    clock: { now: record.overAt },
    epochMs,
    toleranceMs: TOLERANCE_MS,
    // What one that has closed left unsettled is asked of its closing.
    processes: record.processes.map(({ name, alive, closing }) => ({ name, alive: alive && closing === undefined })),
    endsAt: record.endsAt,
    writtenAt: record.writtenAt,
    violated,
    lost: (name, writes, allowed) => {
      for (const write of writes) notDrained(record, record.sessions.get(name), write, violated)
      const beyond = Math.max(writesAmong(writes) - allowed, beyondOneLife(record.sessions.get(name), writes, violated))
      lostBeyondBound += Math.max(0, beyond)
      lostWithinBound += writesAmong(writes) - Math.max(0, beyond)
    },
  })
  for (const complaint of rowJudge()(rows)) violated('I7', '', complaint)
  for (const process of record.processes) judgeProcess(process, record, violated)

  const load = [...record.sessions.values()].flatMap((session) =>
    session.operations
      .filter(({ client, invoked }) => client !== '' && invoked >= record.loadAt && invoked <= record.loadEndsAt)
      .map((operation) => ({ operation, session })),
  )
  const took = load
    .flatMap(({ operation: { invoked, completed, pausedMs } }) =>
      completed === undefined ? [] : [completed - invoked - pausedMs],
    )
    .sort((a, b) => a - b)
  const { judged, succeeded, hindered } = successesOf(load, record)
  const verdict: Verdict = {
    seconds,
    requests: load.length,
    acknowledged: load.filter(({ operation: { token, outcome } }) => token !== undefined && outcome.is === 'ok').length,
    destroys: load.filter(({ operation: { kind, outcome } }) => kind === 'destroy' && outcome.is === 'ok').length,
    succeededWithOneTierUp: Number((judged === 0 ? 1 : succeeded / judged).toFixed(4)),
    judgedForSuccess: judged,
    hinderedByMachine: hindered,
    faults,
    violations: violations.length,
    lostWithinBound,
    lostBeyondBound,
    resurrected: violations.filter(({ promise }) => promise === 'I2').length,
    unsettled: violations.filter(({ promise, what }) => promise === 'I12' && / never settled| took /.test(what)).length,
    errors: load.filter(({ operation }) => isFailure(operation)).length,
    p99Ms: Math.round(took[Math.floor(took.length * 0.99)] ?? 0),
    cutOff: cutOffOf(load, record),
  }
  return { verdict, violations }
}

/**
 * I4, life by life: what an entry held alone was never more than so many writes, however it ended. A write during which
 * another life may have begun belongs to neither.
 */
const beyondOneLife = (
  session: SessionRecord | undefined,
  lost: readonly Operation[],
  violated: (promise: string, session: string, what: string) => void,
): number => {
  if (session === undefined) return 0
  const ofLife = new Map<number, Operation[]>()
  for (const write of lost) {
    const { invoked, completed = Number.POSITIVE_INFINITY } = write
    const life = session.lives.filter((at) => at < invoked).length
    if (session.lives.filter((at) => at < completed).length === life)
      ofLife.set(life, [...(ofLife.get(life) ?? []), write])
  }
  let sum = 0
  for (const [life, writes] of ofLife) {
    const beyond = writesAmong(writes) - (STORE.maxStaleCount - 1)
    if (beyond <= 0) continue
    sum += beyond
    const tokens = writes.map(({ token }) => token).join(' ')
    violated(
      'I4',
      session.name,
      `the end of one life of its entry (${life}) cost ${writesAmong(writes)} writes: ${tokens}`,
    )
  }
  return sum
}

/**
 * I8: what was lost after its process had closed and left nothing. What befell the entry before that is no drain's, also
 * where it had been left behind by a takeover before the write.
 */
const notDrained = (
  { processes }: RunRecord,
  session: SessionRecord | undefined,
  { process, token, invoked, completed = Number.POSITIVE_INFINITY }: Operation,
  violated: (promise: string, session: string, what: string) => void,
): void => {
  const closing = processes.find(({ name }) => name === process)?.closing
  if (session === undefined || closing?.to === undefined || closing.left > 0 || completed > closing.from) return
  const { to } = closing
  const lifeAt = session.lives.findLast((at) => at <= invoked) ?? Number.NEGATIVE_INFINITY
  const isLeftBehind = session.disturbances.some(
    (each) => each.what === 'loss' && each.why === 'takeover' && each.at >= lifeAt && each.at <= invoked,
  )
  const isUntouched =
    !isLeftBehind &&
    !session.lives.some((at) => at >= invoked && at <= to) &&
    !session.disturbances.some(({ what, at }) => what !== 'cache failure' && at >= invoked && at <= to)
  if (isUntouched) violated('I8', session.name, `${token} is gone, though ${process} had closed and left nothing`)
}

const judgeProcess = (
  { name, closing, stalls, uncaught }: ProcessRecord,
  { overAt, sessions }: RunRecord,
  violated: (promise: string, session: string, what: string) => void,
): void => {
  for (const error of uncaught) violated('uncaught', '', `${name}: ${error}`)
  if (closing === undefined) return
  const to = closing.to ?? overAt
  const tookMs = to - closing.from - sumWithin(stalls, closing.from, to)
  if (tookMs > closing.deadlineMs + TOLERANCE_MS)
    violated('I12', '', `close of ${name} took ${tookMs.toFixed(0)} ms, at a deadline of ${closing.deadlineMs} ms`)
  for (const session of sessions.values())
    for (const { process, kind, order, invoked, completed, pausedMs } of session.operations)
      if (process === name && completed === undefined && to - invoked - pausedMs > STORE.deadlineMs + TOLERANCE_MS)
        violated('I12', session.name, `${kind} ${order} never settled, and ${name} has closed`)
}

type Done = { readonly operation: Operation; readonly session: SessionRecord }

/** Answers that are no fault's: there is no such session any more, or somebody else changed its user. */
const HONEST: ReadonlySet<string> = new Set(['no session', 'E_SESSION_DESTROYED', 'E_SESSION_CONFLICT', 'E_CLOSED'])

const isFailure = ({ outcome }: Operation): boolean => outcome.is === 'failed' && !HONEST.has(outcome.code)

/** What must be in the backend before it is acknowledged is rejected, by contract, while that is down. */
const needsBackend = ({ kind, outcome }: Operation): boolean =>
  ['create', 'destroy', 'regenerate', 'save user'].includes(kind) ||
  (outcome.is === 'ok' && outcome.durability === 'backend')

/** The share of requests that must succeed while one tier is up. */
export const LEAST_SUCCESS = 0.95

/** For about so long after an answer that did not come in time a store goes on without asking that tier. */
const AFTERMATH_MS = 1_000

/**
 * How many succeeded of those requests that could: at no moment of theirs were both of their tiers in a fault, nor was
 * the one that they must have by contract. A tier is in a fault from a place's view while one is done to it or to the
 * wire there.
 *
 * A machine that is too busy lets answers come too late as a fault does. When it did so, a control has seen, or the
 * process itself, which did not run; a request for which only that makes the difference is hindered, and not judged. What
 * was done to a server or to a process on purpose is no such reason, nor is what follows from it.
 */
const successesOf = (
  load: readonly Done[],
  { downs, lates, stops, processes }: RunRecord,
): { readonly judged: number; readonly succeeded: number; readonly hindered: number } => {
  const faults = spansBy(downs.map(({ place, wire, ...span }) => [`${place} ${wire}`, span]))
  const withAftermath = ({ from, to }: Span): Span => ({ from, to: to + AFTERMATH_MS })
  const isOnPurpose = ({ wire, from, to }: RunRecord['lates'][number]): boolean =>
    PLACES.every((place) => (faults.get(`${place} ${wire}`) ?? []).some((span) => within(span, from, to)))
  const late = spansBy(lates.filter((each) => !isOnPurpose(each)).map((each) => [each.wire, withAftermath(each)]))
  const stopped = spansBy(stops.map((stop) => [stop.process, stop]))
  const stalls = spansBy(
    processes.flatMap(({ name, stalls }) =>
      stalls
        .filter(({ from, to }) => !(stopped.get(name) ?? []).some((span) => within(span, from, to)))
        .map((stall) => [name, withAftermath(stall)]),
    ),
  )
  let [judged, succeeded, hindered] = [0, 0, 0]
  for (const { operation, session } of load) {
    if (operation.completed === undefined && operation.outcome.is === 'unknown') continue
    const { process, invoked, completed = Number.POSITIVE_INFINITY } = operation
    const cache = WIRES[(CACHES as readonly string[]).indexOf(session.server)] ?? 'cache-1'
    const meets = (spans: readonly Span[] | undefined): boolean =>
      (spans ?? []).some((span) => within(span, invoked, completed))
    const inFault = (wire: WireName): boolean => meets(faults.get(`${process[0]} ${wire}`))
    const isHindered = (wire: WireName): boolean => inFault(wire) || meets(late.get(wire)) || meets(stalls.get(process))
    const needsIt = needsBackend(operation) || session.durableTokens.has(operation.token ?? '')
    const couldNot = (isDown: (wire: WireName) => boolean): boolean => isDown('backend') && (isDown(cache) || needsIt)
    if (couldNot(inFault)) continue
    if (couldNot(isHindered)) hindered += 1
    else {
      judged += 1
      if (!isFailure(operation)) succeeded += 1
    }
  }
  return { judged, succeeded, hindered }
}

const spansBy = (entries: readonly (readonly [string, Span])[]): ReadonlyMap<string, readonly Span[]> => {
  const spans = new Map<string, Span[]>()
  for (const [name, span] of entries) spans.set(name, [...(spans.get(name) ?? []), span])
  return spans
}

/** Why a run is not good, in words; nothing where it is. */
export const complaintsAbout = (verdict: Verdict): readonly string[] => {
  const { violations, lostBeyondBound, unsettled, succeededWithOneTierUp, judgedForSuccess } = verdict
  const percent = (share: number): string => `${Number((share * 100).toFixed(2))} %`
  return [
    ...(violations > 0 ? [`promises were broken: ${violations} calls or states show it`] : []),
    ...(lostBeyondBound > 0
      ? [`${lostBeyondBound} acknowledged changes were lost beyond what the losses may cost`]
      : []),
    ...(unsettled > 0 ? [`${unsettled} calls settled after their deadline or never`] : []),
    ...(succeededWithOneTierUp < LEAST_SUCCESS && isJudgeable(verdict)
      ? [
          `only ${percent(succeededWithOneTierUp)} of the ${judgedForSuccess} requests succeeded that could, where at least ${percent(LEAST_SUCCESS)} must`,
        ]
      : []),
  ]
}

/** What a run could not show, in words; nothing where it shows all that it is for. */
export const reservationsAbout = (verdict: Verdict): readonly string[] =>
  isJudgeable(verdict)
    ? []
    : [
        `how many requests succeed, since the machine was too busy for ${verdict.hinderedByMachine} of the ${verdict.hinderedByMachine + verdict.judgedForSuccess} that could`,
      ]

/** Where the machine hindered most requests, the few others are no fair sample: they came close to what hindered those. */
const isJudgeable = ({ judgedForSuccess, hinderedByMachine }: Verdict): boolean => judgedForSuccess >= hinderedByMachine

const cutOffOf = (load: readonly Done[], { processes, writtenAt }: RunRecord): CutOff => {
  const troubled = (name: string, server: string, from: number, to: number): boolean =>
    (processes.find((each) => each.name === name)?.troubles.get(server) ?? []).some((span) => within(span, from, to))
  let requests = 0
  let servedAfterDestroy = 0
  let durableNotYetSeen = 0
  for (const { operation, session } of load) {
    const { invoked, completed = invoked, process } = operation
    const { server, operations } = session
    const others = processes.filter(({ name }) => name !== process && name !== 'Z1')
    if (troubled(process, server, invoked, completed))
      requests += others.some(({ name }) => !troubled(name, server, invoked, completed)) ? 1 : 0
    if (operation.kind !== 'load' || operation.sight === undefined || invoked > writtenAt) continue
    const before = operations.filter((each) => each.completed !== undefined && each.completed < invoked)
    if (before.some(({ outcome }) => outcome.is === 'ok' && outcome.cacheToldOfEnd === false)) servedAfterDestroy += 1
    // The key that all share may hold another's token by now, and a put leaves nothing of what stood there.
    const isMissed = ({ kind, token, outcome, cacheFailures }: Operation): boolean =>
      token !== undefined &&
      (kind === 'save' || kind === 'update') &&
      outcome.is === 'ok' &&
      outcome.durability === 'backend' &&
      cacheFailures > 0 &&
      operation.sight?.tokens.has(token) === false
    const isPutOver = before.some(({ kind }) => kind === 'put')
    if (!isPutOver && before.some(isMissed)) durableNotYetSeen += 1
  }
  return { requests, servedAfterDestroy, durableNotYetSeen }
}
