import type { Config } from './config.js'
import { type Disturbance, type Operation, type SessionHistory, writesOf } from './history.js'
import type { SimulatedProcess } from './process.js'
import type { World } from './world.js'

/*
 * The promises of docs/guarantees.md, asked of what was seen. The judge knows the history and what the world did;
 * of the protocol it knows nothing but that a copy which goes to the backend round the cache (a takeover) costs what
 * a loss of the entry costs. Where a check is weaker than the promise's one line, its comment says which part of the
 * promise's "as long as" it stands for.
 */

/** What the judge must know of a world, simulated or real. */
export interface Judged {
  readonly sessions: ReadonlyMap<string, SessionHistory>
  readonly config: Pick<
    Config,
    'maxStaleCount' | 'deadlineMs' | 'backendTimeoutMs' | 'idleTtlMs' | 'absoluteTtlMs' | 'skewMs' | 'unknownIdTtlMs'
  >
  /** In ms since the world began, as all moments of a history. */
  readonly clock: { readonly now: number }
  /** The moment the world began, by a clock that is right. @default the simulation's */
  readonly epochMs?: number
  /** How late a call may settle where the world has to share its processor. @default 5 */
  readonly toleranceMs?: number
  readonly processes: readonly {
    readonly name: string
    readonly alive: boolean
    /** By how much its clock is ahead of that of the backend. @default 0 */
    readonly skewMs?: number
  }[]
  /** Nothing goes wrong any more; from `writtenAt` on, what lives was written durably once more. */
  readonly endsAt: number
  readonly writtenAt: number
  /** From then on all is well for so long that work in the background has had its time. Without it: never. */
  readonly repairedAt?: number
  /**
   * Whether a process compares what it reads on a cache server with the backend, as it saw that server go, before
   * `now`, and come back, if at all, after `moment`. Without it: nobody does.
   */
  comparesSince?(process: string, server: string | undefined, moment: number, now: number): boolean
  /** Calls beside the session's own that may end it at some moment. Without it: there are none. */
  endsOf?(session: SessionHistory): readonly Operation[]
  /**
   * Whether the session was ended where the cache alone had it, so that only the cache knows that its id is not to be used
   * again. Without it: none was.
   */
  isKnownToTheCacheAlone?(session: SessionHistory): boolean
  violated(promise: string, session: string, what: string): void
  /** Told of acknowledged writes that are gone in the end, and how many the losses may have cost. */
  lost?(session: string, writes: readonly Operation[], allowed: number): void
}

/** Everything that can only be judged when it is over. */
export const judge = (world: Judged): void => {
  for (const session of world.sessions.values()) {
    const view = viewOf(session, world.endsOf?.(session) ?? [])
    isolation(world, view)
    honestAnswers(world, view)
    noResurrection(world, view)
    oneHeir(world, view)
    nothingLostOnRead(world, view)
    neverBack(world, view)
    takenBack(world, view)
    loginsUnderTheOldId(world, view)
    nobodyWaitsForAnother(world, view)
    neverNothing(world, view)
    neverPastItsDeadline(world, view)
    settlesInTime(world, view)
    endsWell(world, view)
  }
}

interface View {
  readonly session: SessionHistory
  readonly operations: readonly Operation[]
  /** Loads that gave the session. */
  readonly reads: readonly Operation[]
  /** Acknowledged writes that left a token in a list. */
  readonly acknowledged: readonly Operation[]
  readonly puts: readonly Operation[]
  /** Calls that end the session, however they came out. */
  readonly ends: readonly Operation[]
  /** When the session's creation was acknowledged; `undefined` if it never was. */
  readonly bornAt: number | undefined
}

/** What a handle's later save took back, or may have: nobody misses that. */
export const withdrawnIn = ({ operations }: SessionHistory): ReadonlySet<string> =>
  new Set(operations.flatMap((operation) => (saysNotApplied(operation) ? [] : (operation.withdraws ?? []))))

const viewOf = (session: SessionHistory, otherEnds: readonly Operation[]): View => {
  const { operations } = session
  const withdrawn = withdrawnIn(session)
  return {
    session,
    operations,
    reads: operations.filter(({ kind, sight }) => kind === 'load' && sight !== undefined),
    acknowledged: operations
      .flatMap(writesOf)
      .filter(
        ({ kind, outcome, token = '' }) => outcome.is === 'ok' && kind !== 'save shared' && !withdrawn.has(token),
      ),
    puts: operations.filter(({ kind }) => kind === 'put'),
    ends: [...operations.filter(mayEnd), ...otherEnds],
    bornAt: operations.find(({ kind, outcome }) => kind === 'create' && outcome.is === 'ok')?.completed,
  }
}

/** A regenerate that says that it did nothing leaves the session as it was; a destroy hides it all the same. */
const mayEnd = ({ kind, outcome }: Operation): boolean =>
  kind === 'destroy' ||
  (kind === 'regenerate' && !(outcome.is === 'failed' && (outcome.applied === 'no' || outcome.applied === 'none')))

const completedBefore = (operation: Operation, moment: number): boolean =>
  operation.completed !== undefined && operation.completed < moment

const has = (operation: Operation, token: string | undefined): boolean =>
  token !== undefined && operation.sight?.tokens.has(token) === true

/** I1: whatever is read was written for this session, or for the one it was regenerated from. */
const isolation = (world: Judged, { session, operations }: View): void => {
  const names = new Set([session.name, ...session.ancestors])
  for (const { sight, order } of operations) {
    if (sight === undefined) continue
    for (const token of [...sight.log, ...(sight.shared === undefined ? [] : [sight.shared])])
      if (!names.has(token.slice(0, token.indexOf('.'))))
        world.violated('I1', session.name, `operation ${order} read ${token}, which was written for another session`)
  }
}

const repeatedIn = (log: readonly string[]): readonly string[] => {
  if (new Set(log).size === log.length) return []
  return log.filter((each, at) => log.indexOf(each) < at)
}

/** The store says that it changed nothing. */
const saysNotApplied = ({ outcome }: Operation): boolean => outcome.is === 'failed' && outcome.applied === 'no'

/** No token stands twice, and none that the store said was not applied stands at all. */
const honestAnswers = (world: Judged, { session, operations }: View): void => {
  const refused = new Map<string, Operation>()
  for (const operation of operations)
    if (operation.token !== undefined && saysNotApplied(operation)) refused.set(operation.token, operation)
  // The same handle's next save stores it all the same.
  for (const operation of operations)
    if (!saysNotApplied(operation)) for (const token of operation.carries ?? []) refused.delete(token)
  // A shared key or a user is not noted as carried, though the handle has it still when its client saves again.
  for (const { kind, client, invoked } of operations)
    if (kind === 'save' || kind === 'save shared' || kind === 'save user')
      for (const [token, writer] of refused)
        if (writer.kind !== 'save' && writer.kind.startsWith('save') && writer.client === client)
          if (writer.invoked < invoked) refused.delete(token)
  // And so does a regeneration of what the handle holds.
  for (const { kind, outcome, client, invoked } of operations)
    if (kind === 'regenerate' && outcome.is === 'ok')
      for (const [token, writer] of refused)
        if (writer.client === client && writer.invoked < invoked) refused.delete(token)
  for (const { sight, order, kind, completed } of operations) {
    if (sight === undefined) continue
    for (const token of repeatedIn(sight.log))
      world.violated('applied once', session.name, `${kind} ${order} saw ${token} twice`)
    for (const token of [...sight.tokens, sight.shared]) {
      const writer = token === undefined ? undefined : refused.get(token)
      if (writer === undefined || writer.outcome.is !== 'failed') continue
      // Read before the line of copies that had it was lost, it is gone all the same.
      const until = Math.max(writer.completed ?? 0, completed ?? 0)
      if (isDisturbed(session.disturbances, writer.invoked - lingersMs(world), until)) continue
      world.violated(
        'honest answers',
        session.name,
        `${kind} ${order} saw ${token}, whose ${writer.kind} failed with ${writer.outcome.code}, applied: ${writer.outcome.applied}`,
      )
      refused.delete(token as string)
    }
  }
}

/** What a cache server was not told at once it was told since, if the process that had to lives. */
const isRepaired = (
  { repairedAt, processes }: Judged,
  { process }: Pick<Operation, 'process'>,
  moment: number,
): boolean =>
  repairedAt !== undefined && moment >= repairedAt && processes.find(({ name }) => name === process)?.alive === true

/**
 * Whether who begins this must see a change that was acknowledged before. Both look at one cache server, and it was
 * told; or who looks saw its server go and come back since, and compares; or all is over, and written once more. Else
 * there is no one view of the cache.
 */
export const mustSee = (
  world: Judged,
  change: Pick<Operation, 'process' | 'server' | 'completed'>,
  wasTold: boolean,
  { process, server, invoked }: Operation,
): boolean =>
  (wasTold && server === change.server) ||
  invoked > world.writtenAt ||
  (server === change.server && isRepaired(world, change, invoked)) ||
  world.comparesSince?.(process, server, change.completed ?? 0, invoked) === true

/**
 * When somebody began to make another session under the id of one that had ended, as the cache server that alone knew of that
 * had lost it, could not be asked, or is none of his.
 */
export const usedAgainAt = (
  world: Pick<Judged, 'clock' | 'isKnownToTheCacheAlone'>,
  session: SessionHistory,
  { invoked: from, server: endedOn }: Operation,
): number => {
  if (world.isKnownToTheCacheAlone?.(session) !== true) return Number.POSITIVE_INFINITY
  const again = session.operations.find(({ kind, invoked, completed = world.clock.now, cacheFailures, server }) => {
    if (kind !== 'put' || completed <= from) return false
    if (server !== endedOn) return true
    return invoked > from ? isDisturbed(session.disturbances, from, completed) : cacheFailures > 0
  })
  return again === undefined ? Number.POSITIVE_INFINITY : Math.max(again.invoked, from)
}

/**
 * I2: once `destroy` (or `regenerate`, of the old id) resolved, no read gives the session and no write is
 * acknowledged. Without one view of the cache, no write is acknowledged as durable, and nothing is given by who
 * compares, or at the end.
 */
const noResurrection = (world: Judged, { session, operations, ends }: View): void => {
  for (const end of ends) {
    if (end.outcome.is !== 'ok' || end.completed === undefined) continue
    const isAnotherFrom = usedAgainAt(world, session, end)
    for (const operation of operations) {
      if (operation.invoked <= end.completed || operation.invoked >= isAnotherFrom) continue
      const isSeen = mustSee(world, end, end.outcome.cacheToldOfEnd !== false, operation)
      if (operation.sight !== undefined && operation.kind === 'load' && isSeen)
        world.violated(
          'I2',
          session.name,
          `load ${operation.order} gave it, after ${end.kind} ${end.order} had resolved`,
        )
      else if (
        operation.token !== undefined &&
        operation.outcome.is === 'ok' &&
        (isSeen || operation.outcome.durability === 'backend')
      )
        world.violated(
          'I2',
          session.name,
          `${operation.kind} ${operation.order} was acknowledged after ${end.kind} ${end.order} had resolved`,
        )
    }
  }
}

/** A session that lives on under a new id does so once: the data of one login does not fork. */
const oneHeir = (world: Judged, { session, ends }: View): void => {
  const heirs = ends.filter(({ kind, outcome }) => kind === 'regenerate' && outcome.is === 'ok')
  if (heirs.length > 1)
    world.violated(
      'one heir',
      session.name,
      `regenerate ${heirs.map(({ order }) => order).join(' and ')} both resolved`,
    )
}

/** A put writes everything anew: it may take along what was not begun after it was over. */
export const mayBePutOver = (operations: readonly Operation[], write: Operation): boolean =>
  operations.some(
    (put) =>
      put.kind === 'put' &&
      put !== write &&
      (put.completed === undefined || put.outcome.is !== 'ok' || put.completed > write.invoked) &&
      !saysNotApplied(put),
  )

const mayHaveEnded = ({ ends }: View, moment: number): boolean => ends.some(({ invoked }) => invoked <= moment)

/**
 * Acknowledged as durable, and seen to be in both tiers. A write whose process could not look at the cache in the
 * end is seen by those who read the cache only once its entry is checked: no one view of the cache.
 */
const isDurable = ({ outcome, cacheFailures }: Operation): 'at once' | 'in the end' | 'no' => {
  if (outcome.is !== 'ok' || outcome.durability !== 'backend') return 'no'
  return cacheFailures === 0 ? 'at once' : 'in the end'
}

const isDisturbed = (disturbances: readonly Disturbance[], from: number, to: number): boolean =>
  disturbances.some((each) => each.at >= from && each.at <= to && !(each.what === 'takeover' && each.costs === false))

/** What lingers of a disturbance: every call that was under way has settled after the deadline. */
const lingersMs = (world: Judged): number => world.config.deadlineMs + 4 * world.config.backendTimeoutMs

/** I3: what a later save of the same handle took back does not stand any more. */
const takenBack = (world: Judged, view: View): void => {
  const { session, operations, reads } = view
  for (const later of operations) {
    const token = later.withdraws
    if (token === undefined || later.outcome.is !== 'ok') continue
    const earlier = operations.find((each) => each.token === token)
    for (const read of reads) {
      if (!completedBefore(later, read.invoked) || !has(read, token) || mayHaveEnded(view, read.completed ?? 0))
        continue
      if (later.server !== read.server) continue
      if (isDisturbed(session.disturbances, (earlier ?? later).invoked - lingersMs(world), read.completed ?? 0))
        continue
      world.violated('I3', session.name, `load ${read.order} shows ${token}, which save ${later.order} had taken back`)
    }
  }
}

/**
 * Who changes its data before it asks for a new id does not want it under the old one, which others may know: it is
 * never seen there, while the call is under way, when it has failed, or ever.
 */
const loginsUnderTheOldId = (world: Judged, { session, operations }: View): void => {
  for (const { login, order } of operations)
    for (const { sight, kind, order: seenBy } of login === undefined ? [] : operations)
      if (kind !== 'regenerate' && sight?.tokens.has(login ?? '') === true)
        world.violated('old id', session.name, `${kind} ${seenBy} saw ${login}, which regenerate ${order} was to store`)
}

/** I12: a change of the application's that never settles is given up, and stands in nobody's way after that. */
const nobodyWaitsForAnother = (world: Judged, { session, operations, ends }: View): void => {
  const hung = operations.filter(({ hangs }) => hangs === true)
  for (const operation of operations) {
    const { kind, process, invoked, completed = invoked, outcome } = operation
    if (kind !== 'update' || operation.hangs === true || outcome.is !== 'failed') continue
    if (completed - invoked < world.config.deadlineMs || operation.pausedMs > 0) continue
    if (operation.cacheFailures + operation.backendFailures > 0 || ends.some((end) => end.invoked < completed)) continue
    const before = hung.filter((each) => each.process === process && each.invoked < completed)
    if (before.length === 0 || !before.every((each) => completedBefore(each, invoked))) continue
    world.violated(
      'I12',
      session.name,
      `update ${operation.order} waited for update ${before[0]?.order}, whose change had never settled`,
    )
  }
}

/** I3, I5 and "everybody's writes" of I6: a read sees what was acknowledged before it began. */
const nothingLostOnRead = (world: Judged, view: View): void => {
  const { session, reads, acknowledged } = view
  for (const read of reads)
    for (const write of acknowledged) {
      // An end that was begun hides the session in the cache; one that failed in the backend gives back an older copy.
      if (mayHaveEnded(view, read.completed ?? 0) && isDurable(write) === 'no') continue
      if (!completedBefore(write, read.invoked) || has(read, write.token) || mayBePutOver(view.operations, write))
        continue
      if (isDurable(write) !== 'no' && mustSee(world, write, isDurable(write) === 'at once', read))
        world.violated(
          'I5',
          session.name,
          `load ${read.order} missed ${write.token}, acknowledged as durable by ${write.kind} ${write.order}`,
        )
      else if (
        write.server === read.server &&
        !isDisturbed(session.disturbances, write.invoked - lingersMs(world), read.completed ?? 0)
      )
        world.violated(
          'I3',
          session.name,
          `load ${read.order} missed ${write.token}, acknowledged by ${write.kind} ${write.order}`,
        )
    }
}

/** I6, and the one key of I3 that everybody writes. */
const neverBack = (world: Judged, view: View): void => {
  const { session, reads, operations } = view
  const withdrawn = withdrawnIn(session)
  const inOrder = [...reads].sort((a, b) => (a.completed ?? 0) - (b.completed ?? 0))
  const sharedWrites = operations.filter(({ kind, token }) => kind === 'save shared' && token !== undefined)
  const byToken = new Map(sharedWrites.map((write) => [write.token, write]))
  for (const [index, later] of inOrder.entries()) {
    if (mayHaveEnded(view, later.completed ?? 0)) continue
    for (const earlier of inOrder.slice(0, index)) {
      if (!completedBefore(earlier, later.invoked) || earlier.server !== later.server) continue
      if (isDisturbed(session.disturbances, earlier.invoked - lingersMs(world), later.completed ?? 0)) continue
      for (const token of earlier.sight?.tokens ?? []) {
        if (has(later, token)) continue
        if (withdrawn.has(token)) continue
        const write = operations.find((each) => each.token === token)
        if (write !== undefined ? mayBePutOver(view.operations, write) : view.puts.length > 0) continue
        world.violated('I6', session.name, `load ${later.order} misses ${token}, which load ${earlier.order} had seen`)
      }
    }
    // Of two changes of one key, the later stands.
    const shown = byToken.get(later.sight?.shared)
    if (shown === undefined) continue
    for (const newer of sharedWrites) {
      if (newer.outcome.is !== 'ok' || !completedBefore(shown, newer.invoked) || !completedBefore(newer, later.invoked))
        continue
      if (shown.outcome.is !== 'ok' || shown.server !== later.server || newer.server !== later.server) continue
      if (isDisturbed(session.disturbances, shown.invoked - lingersMs(world), later.completed ?? 0)) continue
      world.violated('I3', session.name, `load ${later.order} shows ${shown.token}, which ${newer.token} had replaced`)
    }
  }
}

/** I9, and "a session in use does not end" of I10. */
const neverNothing = (world: Judged, view: View): void => {
  const { session, operations, bornAt } = view
  if (bornAt === undefined) return
  for (const operation of operations) {
    if (operation.invoked <= bornAt || mayHaveEnded(view, operation.completed ?? Number.POSITIVE_INFINITY)) continue
    const isNone =
      (operation.kind === 'load' && operation.outcome.is === 'ok' && operation.sight === undefined) ||
      (operation.outcome.is === 'failed' &&
        (operation.outcome.code === 'no session' || operation.outcome.code === 'E_SESSION_DESTROYED'))
    if (!isNone || mayHaveExpired(world, view, operation) || mayBeLostWhole(view, operation)) continue
    if (mayBeReplaced(view, operation) || mayBeHidden(world, view, operation)) continue
    world.violated(
      'I9',
      session.name,
      `${operation.kind} ${operation.order} found no session, though it was never ended`,
    )
  }
}

const isUnderWay = (operation: Operation, at: number): boolean =>
  operation.invoked < at && !completedBefore(operation, at)

/**
 * Not in the backend yet, on purpose, a session is lost whole with its entry, and it is nowhere but on the server that it
 * was made on.
 */
const mayBeLostWhole = ({ session, operations }: View, { server, invoked }: Operation): boolean => {
  const { deferredUntil, lostWhole, persistedAt = Number.POSITIVE_INFINITY } = session
  if (deferredUntil === undefined) return false
  const wasLost = (lostWhole?.size ?? 0) > 0
  // What brings it back has it in the backend first, and takes the mark that nothing stands there away before it resolves.
  const isBroughtBack = operations.some(
    (write) =>
      isUnderWay(write, invoked) &&
      (write.kind === 'put' || (write.token !== undefined && write.invoked <= persistedAt)),
  )
  if (wasLost && isBroughtBack) return true
  return persistedAt >= invoked && (wasLost || operations.some((other) => other.server !== server))
}

/**
 * That there is no such session is remembered for a moment by a cache server that the creation of the session, or the put that
 * made it anew, did not reach, or did not go to: from the last look on that found nothing in the backend. Who saw that server go,
 * and come back since, does not believe it.
 */
const mayBeHidden = (world: Judged, { session, operations }: View, { process, server, invoked }: Operation): boolean =>
  operations.some(({ kind, outcome, completed, cacheFailures, server: madeOn }) => {
    if ((kind !== 'create' && kind !== 'put') || outcome.is !== 'ok' || completed === undefined) return false
    if (cacheFailures === 0 && (madeOn === undefined || madeOn === server)) return false
    const foundAt = Math.max(completed, session.persistedAt ?? 0)
    return (
      invoked < foundAt + world.config.unknownIdTtlMs &&
      world.comparesSince?.(process, server, foundAt, invoked) !== true
    )
  })

/**
 * Who could not see a session which was not in the backend yet, on purpose, has made another one in its place, by a put or from
 * the old store: he did not reach the cache, he asked another server, or the entry was lost before. Who holds the first is told
 * that it is gone.
 */
const mayBeReplaced = ({ session, operations }: View, { outcome, completed, server }: Operation): boolean => {
  const { deferredUntil, isInOldStore = false, lostWhole } = session
  const stoodInCacheAlone =
    deferredUntil !== undefined ||
    (isInOldStore &&
      operations.some((put) => put.kind === 'put' && 'durability' in put.outcome && put.outcome.durability === 'cache'))
  return (
    stoodInCacheAlone &&
    outcome.is === 'failed' &&
    outcome.code === 'E_SESSION_DESTROYED' &&
    operations.some(
      (other) =>
        (other.kind === 'put' || isInOldStore) &&
        other.invoked < (completed ?? Number.POSITIVE_INFINITY) &&
        (other.cacheFailures > 0 || other.server !== server || (lostWhole?.size ?? 0) > 0),
    )
  )
}

/**
 * A use counts where a tier was told of it, and the tier that was told is asked: the cache, whose entry was not lost
 * since; or the backend, by whoever compares with it what he reads, or cannot reach the cache.
 */
const mayHaveExpired = (world: Judged, { session, operations, bornAt }: View, operation: Operation): boolean => {
  const { idleTtlMs, absoluteTtlMs, skewMs } = world.config
  const { process, server, invoked } = operation
  const seenAt = operation.completed ?? world.clock.now
  if (seenAt >= (bornAt ?? 0) - skewMs + absoluteTtlMs - lingersMs(world)) return true
  const cacheFailures = session.disturbances.filter(({ what }) => what === 'cache failure').map(({ at }) => at)
  let lastUse = bornAt ?? 0
  for (const use of operations) {
    if (use.outcome.is !== 'ok' || !completedBefore(use, invoked) || use.kind === 'create') continue
    if ((use.kind === 'load' && use.sight === undefined) || use.server !== server) continue
    // Its touch goes out beside the answer; and what fails is retried by the next use.
    const from = use.invoked - 1
    const to = (use.completed ?? 0) + lingersMs(world)
    const [inCache, inBackend] = [cacheFailures, session.backendFailures].map(
      (failures) => !failures.some((at) => at >= from && at <= to),
    )
    const stands = !session.disturbances.some(({ what, at }) => what !== 'cache failure' && at >= from && at <= seenAt)
    const compares =
      operation.cacheFailures > 0 || world.comparesSince?.(process, server, use.completed ?? 0, invoked) === true
    if ((inCache && (inBackend || stands)) || (inBackend && compares)) lastUse = Math.max(lastUse, use.invoked)
  }
  return seenAt >= lastUse + idleTtlMs - 2 * skewMs - 1
}

/** I10: after its last use, whoever made it and however it came out, a session ends. */
const neverPastItsDeadline = (world: Judged, { session, reads, operations }: View): void => {
  const { idleTtlMs, absoluteTtlMs, skewMs } = world.config
  const created = operations.find(({ kind }) => kind === 'create')
  for (const read of reads) {
    const { sight } = read
    if (sight !== undefined && sight.expiresAt + skewMs < (world.epochMs ?? EPOCH_MS) + read.invoked)
      world.violated('I10', session.name, `load ${read.order} gave it after its own deadline`)
    if (created?.completed !== undefined && read.invoked > created.completed + absoluteTtlMs + skewMs + 1)
      world.violated('I10', session.name, `load ${read.order} gave it after its absolute deadline`)
    let lastUse = 0
    for (const use of operations)
      if (use !== read && use.invoked < read.invoked && use.kind !== 'destroy')
        lastUse = Math.max(lastUse, use.completed ?? use.invoked + 2 * lingersMs(world))
    // Touches are saved up by a hundredth of the idle time-out in the cache and a tenth in the backend.
    if (read.invoked > lastUse + idleTtlMs * 1.11 + skewMs + lingersMs(world))
      world.violated(
        'I10',
        session.name,
        `load ${read.order} gave it, ${(read.invoked - lastUse).toFixed(0)} ms after its last use`,
      )
  }
}

/** Kept here so that the judge imports nothing of the world but its type. */
const EPOCH_MS = Date.UTC(2026, 10, 21, 12)
/** So long after its creation began an insert still counts (`insertMs`). */
const INSERT_MS = 7_200_000
/** Two events of one moment are still two. */
const EPSILON_MS = 5

/** I12: every call settles within its deadline, pauses of its own process not counted; and works once all is well. */
const settlesInTime = (world: Judged, view: View): void => {
  const { session, operations } = view
  const { deadlineMs } = world.config
  const { toleranceMs = EPSILON_MS } = world
  for (const operation of operations) {
    const process = world.processes.find(({ name }) => name === operation.process)
    if (operation.completed === undefined) {
      if (
        process?.alive === true &&
        world.clock.now - operation.invoked - operation.pausedMs > deadlineMs + toleranceMs
      )
        world.violated('I12', session.name, `${operation.kind} ${operation.order} never settled`)
      continue
    }
    const tookMs = operation.completed - operation.invoked - operation.pausedMs
    if (tookMs > deadlineMs + toleranceMs)
      world.violated('I12', session.name, `${operation.kind} ${operation.order} took ${tookMs.toFixed(1)} ms`)
    if (operation.invoked < world.endsAt || operation.outcome.is !== 'failed') continue
    const isGone = operation.outcome.code === 'E_SESSION_DESTROYED' && mayHaveEnded(view, operation.invoked)
    // Takeovers count versions up by more than the ring remembers: the first write over a copy left behind cannot tell.
    const wasTakenOver = session.disturbances.some(({ what }) => what === 'takeover')
    const cannotTell = operation.outcome.code === 'E_SESSION_UNKNOWN_OUTCOME' && wasTakenOver
    // Whether the user had as many sessions as he may have is asked elsewhere.
    const isRefused = operation.outcome.code === 'E_SESSION_LIMIT'
    // The backend takes an insert only so long after its creation began, which a clock that is far behind is wrong about.
    const isTooLate =
      operation.kind === 'create' &&
      operation.outcome.code === 'E_SESSION_UNAVAILABLE' &&
      operation.outcome.applied === 'no' &&
      operation.completed - operation.invoked - (process?.skewMs ?? 0) >= INSERT_MS
    // On real servers a client asks again in the end, as their machine may have stood still; in the simulation it does not.
    const wasAskedAgain = operations.some((later) => isAskedAgain(operation, later) && later.outcome.is === 'ok')
    if (operation.outcome.code !== 'no session' && !isGone && !cannotTell && !isRefused && !isTooLate && !wasAskedAgain)
      world.violated(
        'I12',
        session.name,
        `${operation.kind} ${operation.order} failed with ${operation.outcome.code}, though nothing was wrong any more`,
      )
  }
}

const isAskedAgain = (failed: Operation, later: Operation): boolean =>
  later.kind === failed.kind &&
  later.process === failed.process &&
  later.client === failed.client &&
  later.order > failed.order

/**
 * Updates of one process that were acknowledged in one moment were one write; and what was acknowledged twice was
 * written once.
 */
export const writesAmong = (operations: readonly Operation[]): number => {
  const byToken = new Map<unknown, Operation>()
  for (const operation of operations)
    if (!byToken.has(operation.token)) byToken.set(operation.token ?? operation, operation)
  return new Set(
    [...byToken.values()].map(({ kind, process, completed, order }) =>
      kind === 'update' ? `${process} ${completed}` : order,
    ),
  ).size
}

/** A write of a session that was kept from the backend on purpose: no bound holds for it yet. */
const wasDeferred = ({ deferredUntil = 0 }: SessionHistory, { invoked }: Operation): boolean => invoked < deferredUntil

/**
 * The writes that were due while the backend could not be told: what they cost is charged to that outage, also where a
 * later save of the same handle has said once more that they stand in the cache.
 */
const chargedIn = ({ operations }: SessionHistory): ReadonlySet<string> =>
  new Set(
    operations
      .filter(({ backendFailures, outcome }) => backendFailures > 0 && outcome.is === 'ok')
      .flatMap(writesOf)
      .map(({ token = '' }) => token),
  )

/** I3, I4 and I5 by what is there in the end, or was there when the session passed into another. */
const endsWell = (world: Judged, view: View): void => {
  const { session, operations, acknowledged, bornAt } = view
  if (bornAt === undefined) return
  const { ends } = view
  const heir = ends.find(({ kind, outcome }) => kind === 'regenerate' && outcome.is === 'ok')
  // An end that was begun hides the session in the cache, also where it failed in the backend and it comes back.
  const hidden = ends.some(
    ({ kind, outcome, invoked, completed = Number.POSITIVE_INFINITY }) =>
      kind === 'destroy' &&
      (outcome.is !== 'ok' ||
        (heir?.completed !== undefined && invoked < heir.completed && completed > heir.completed)),
  )
  if (ends.length > 0 && (heir === undefined || hidden)) return
  const finals =
    heir !== undefined ? [heir] : operations.filter(({ kind, client }) => kind === 'load' && client.startsWith('end'))
  const last = heir ?? finals.findLast(({ sight }) => sight !== undefined)
  if (last?.sight === undefined) return

  const { maxStaleCount } = world.config
  const written = operations.find(
    ({ client, kind, outcome }) => client === 'end' && kind === 'update' && outcome.is === 'ok',
  )
  if (heir === undefined && written !== undefined)
    for (const read of finals)
      if (read.invoked > world.writtenAt && read.sight !== undefined && !has(read, written.token))
        world.violated(
          'I5',
          session.name,
          `load ${read.order}, at the end, missed ${written.token}, written durably when all was well`,
        )

  const lost = acknowledged.filter(
    (write) =>
      write !== last &&
      !(heir !== undefined && write.invoked > heir.invoked && !completedBefore(write, heir.completed ?? 0)) &&
      !has(last, write.token) &&
      !mayBePutOver(view.operations, write),
  )
  for (const write of lost)
    if (isDurable(write) !== 'no')
      world.violated(
        'I5',
        session.name,
        `${write.token}, acknowledged as durable by ${write.kind} ${write.order}, is not there in the end`,
      )
  // What is lost after the durable write of the end costs nothing.
  const losses = session.disturbances.filter(
    (each) =>
      each.at < world.writtenAt &&
      ((each.what === 'takeover' && each.costs !== false) || (each.what === 'loss' && each.costs)),
  ).length
  const charged = chargedIn(session)
  const isPromised = (write: Operation): boolean =>
    !charged.has(write.token ?? '') &&
    session.lostWhole?.has(write.token ?? '') !== true &&
    !(losses > 0 && wasDeferred(session, write))
  const costly = lost.filter((write) => isDurable(write) === 'no' && isPromised(write))
  const count = writesAmong(costly)
  world.lost?.(session.name, costly, losses * (maxStaleCount - 1))
  if (losses === 0 && count > 0)
    world.violated('I3', session.name, `lost without any loss: ${costly.map(({ token }) => token).join(' ')}`)
  else if (count > losses * (maxStaleCount - 1))
    world.violated(
      'I4',
      session.name,
      `${count} acknowledged writes are gone, at ${losses} losses of at most ${maxStaleCount - 1}: ${costly.map(({ token }) => token).join(' ')}`,
    )
}

/**
 * I4 at every acknowledgement: were the entry lost now, it would cost at most `maxStaleCount - 1` acknowledged
 * writes.
 */
export const judgeDistance = (world: World, session: SessionHistory): void => {
  const inRow = world.tokensInRow(session.key)
  if (inRow === undefined) return
  for (const server of world.cacheServers) {
    const inCache = world.tokensInCache(server, session.key)
    if (inCache === undefined || world.isDeferred(server, session.key)) continue
    const withdrawn = withdrawnIn(session)
    const charged = chargedIn(session)
    const atRisk = session.operations.flatMap(writesOf).filter(
      (write) =>
        write.token !== undefined &&
        write.outcome.is === 'ok' &&
        write.completed !== undefined &&
        !charged.has(write.token) &&
        !wasDeferred(session, write) &&
        // What was put over may come back with a save that had it.
        isDurable(write) === 'no' &&
        !mayBePutOver(session.operations, write) &&
        !withdrawn.has(write.token) &&
        inCache.has(write.token) &&
        !inRow.has(write.token),
    )
    const count = writesAmong(atRisk)
    if (count > world.config.maxStaleCount - 1)
      world.violated(
        'I4',
        session.name,
        `the backend is ${count} acknowledged writes behind: ${atRisk.map(({ token }) => token).join(' ')}`,
      )
  }
}

/** I8: what this process acknowledged and the cache holds, the backend holds too. */
export const judgeDrain = (world: World, process: SimulatedProcess): void =>
  judgeFlushed(world, process, 'I8', 'has drained')

/** I4 by time: the same, of a process that lives and has had `maxStaleMs` and more while the backend was up. */
export const judgeStale = (world: World, process: SimulatedProcess): void =>
  judgeFlushed(world, process, 'I4', 'has had its time')

const judgeFlushed = (world: World, process: SimulatedProcess, promise: string, because: string): void => {
  for (const session of world.sessions.values()) {
    const server = process.cacheLink.place(session.key)
    const inCache = world.tokensInCache(server, session.key)
    const inRow = world.tokensInRow(session.key)
    // What stands only in an entry that a takeover has left behind was lost to that, before the drain.
    if (inCache === undefined || inRow === undefined || world.isLeftBehind(server, session.key)) continue
    const withdrawn = withdrawnIn(session)
    for (const write of session.operations.flatMap(writesOf)) {
      const { token, outcome } = write
      if (token === undefined || outcome.is !== 'ok' || write.process !== process.name) continue
      if (withdrawn.has(token)) continue
      if (wasDeferred(session, write) || world.isDeferred(server, session.key)) continue
      // Lost before the drain; whoever still had the copy put it back over the damaged bytes.
      const completed = write.completed ?? 0
      if (session.disturbances.some(({ what, at }) => what === 'loss' && at >= completed)) continue
      if (inCache.has(token) && !inRow.has(token) && !mayBePutOver(session.operations, write))
        world.violated(promise, session.name, `${process.name} ${because}, and ${token} is in the cache only`)
    }
  }
}
