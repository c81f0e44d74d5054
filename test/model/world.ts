import type { BackendState, StoredSession } from '../../src/contract/backend.js'
import type { LiveEnvelope } from '../../src/session/envelope.js'
import { lineageName, writesIn } from './data.js'
import type { Rules } from './rules.js'
import type { Answer, Around, Command, Held, Op, Task, Token } from './task.js'

/*
 * One session's world: its entry in the cache, its row in the backend, the commands under way, and what each
 * actor is doing. A command is one atomic step of its tier (rule 0 says which ones there are).
 */

export type Entry =
  | LiveEnvelope
  | { readonly kind: 'lease' | 'tombstone' | 'large'; readonly isAlone?: true }
  | { readonly kind: 'nothing'; readonly trustedAt: number }
  | undefined

export interface Cache {
  readonly entry: Entry
  readonly token: Token
  /** A process restarted: its counts begin again. */
  readonly generation: number
  /** Changes since then; the next one's token. */
  readonly changes: number
  readonly isDown: boolean
}

export type Row =
  | { readonly state: 'absent' }
  /** `by`: the write of the regeneration whose tombstone it is. `isEmpty`: no session stood there. */
  | { readonly state: 'destroyed'; readonly by: number | undefined; readonly isEmpty: boolean }
  | { readonly state: 'live'; readonly session: StoredSession }

export type NewRow = { readonly writes: number } | 'destroyed' | undefined

export interface Actor {
  readonly name: string
  /** Actors of one kind with the same operations are interchangeable; -1 for one that is like no other. */
  readonly kind: number
  /** The writes of its operations, lowest first. */
  readonly writes: readonly number[]
  /** What is still to be done; the first of them is under way where there is a task. */
  readonly ops: readonly Op[]
  readonly task: Extract<Task, { at: 'asking' }> | undefined
  /** What the operation before left to the one that begins. */
  readonly held: Held | undefined
  /**
   * Of which process it is a request, by the place of its first; -1 where nobody asks, since it never drains. A process
   * of several requests has one ledger.
   */
  readonly process: number
  /** The ledger of its process, kept with the first request: the newest version that is noted, or 0. */
  readonly noted: number
  /** What its read must not be older than: what others had read or had acknowledged when it began. */
  readonly floor: number
  readonly isCutOff: boolean
  /** Its list of servers maps the session to the other cache. */
  readonly isElsewhere: boolean
  /** It has had no answer from the cache since a call failed; kept where each has a view of its own. */
  readonly isAway: boolean
  /** How many looks at the cache got no answer since one did. */
  readonly failedLooks: number
  /** When the last outage ended that it knows of; 0 if it knows of none. */
  readonly noticed: number
}

/** How often each fault may still happen. */
export interface Budget {
  /** The cache forgets the entry. */
  readonly losses: number
  /** The cache restarts, and counts its changes from one again. */
  readonly restarts: number
  /** The holder of a lease is taken for dead. */
  readonly leaseExpiries: number
  /** The answer to a change of the cache is lost; the change was made, or was not. */
  readonly lostInCache: number
  /** The same for a look at the cache, which is not away. */
  readonly lostLooks: number
  /** The answer to a change of the cache is lost, and the change is made later, or never. */
  readonly lateInCache: number
  readonly lostInBackend: number
  readonly lateInBackend: number
  /** Nobody reaches the cache for a while; it returns empty or as it was. */
  readonly outages: number
  readonly backendOutages: number
  /** One process does not reach the cache for a while. */
  readonly cuts: number
  readonly crashes: number
  /** Nobody used the session for so long that it has expired. */
  readonly expiries: number
  /** A process is started again, without what it knew and owed. */
  readonly rebirths: number
  /** A process is started again with the other list of servers. */
  readonly moves: number
}

/** What happened, as far as a property needs to know. */
export interface Past {
  readonly acked: number
  readonly durable: number
  /** Said not to be applied. */
  readonly refused: number
  /** What a process had acknowledged when its drain left nothing. */
  readonly drained: number
  /** What any finished read has shown. */
  readonly seen: number
  /** How many losses the bound of I4 allows for. */
  readonly losses: number
  /** The cache was away, and that has not counted as a loss yet. */
  readonly outageWasFree: boolean
  readonly destroy: 'no' | 'begun' | 'acked'
  /** The era in which that was acknowledged: sessions of later ones are others. */
  readonly destroyedIn: number
  readonly backendWasDown: boolean
  /** The writes in the session under its new id, once the regeneration was acknowledged. */
  readonly movedWith: number | undefined
  /** What a single step did wrong. */
  readonly wrong: string | undefined
}

export interface World {
  readonly cache: Cache
  /** The cache of those whose list of servers says so, where lists differ. */
  readonly other: Cache | undefined
  /**
   * `one`: all know of every outage of the cache. `own`: each knows of those in which a call of its own failed, as
   * `src/store/tiers/outages.ts` keeps them; who starts afterwards, or slept, knows of none.
   */
  readonly view: 'one' | 'own'
  readonly row: Row
  /** What regenerations put under new ids, by the write of each; sparse. */
  readonly newRows: readonly NewRow[]
  readonly backendIsDown: boolean
  readonly actors: readonly Actor[]
  /** Sent, not answered, and perhaps still to be carried out. */
  readonly late: readonly Command[]
  readonly budget: Budget
  readonly past: Past
  readonly lineages: number
  readonly outagesEnded: number
  /**
   * Counts the moments by which sessions are told apart from those before: one expired, or was destroyed, or the time of a
   * tombstone was up.
   */
  readonly era: number
  /** Sessions of this era and older ones have expired. */
  readonly ended: number
  /** Inserts for sessions of this era and older ones come too late, by their bound. */
  readonly closed: { readonly call: number; readonly life: number }
  /** Somebody else than its creator can know the session's id. */
  readonly idIsOut: boolean
}

/** As those see it who use the other cache. */
export const elsewhere = (world: World): World =>
  world.other === undefined ? world : { ...world, cache: world.other, other: world.cache }

const NO_TOKEN = new Uint8Array(0)
const TOKENS_PER_GENERATION = 1_000

export const tokenOf = (generation: number, change: number): Token => generation * TOKENS_PER_GENERATION + change

/** Whether the server takes this token for that of its entry. */
export const fits = (token: Token, { entry, token: current }: Cache, { steps }: Rules): boolean => {
  if (entry === undefined) return false
  if (steps.tokens === 'survive' || steps.commands === 'survive')
    return token % TOKENS_PER_GENERATION === current % TOKENS_PER_GENERATION
  return token === current
}

const put = (cache: Cache, entry: Entry): Cache => {
  const changes = cache.changes + 1
  return { ...cache, entry, changes, token: tokenOf(cache.generation, changes) }
}

const changed = (world: World, entry: Entry): World => ({ ...world, cache: put(world.cache, entry) })

/** A command carried out: what it changes, and its answer. */
export const perform = (world: World, command: Command, rules: Rules): { world: World; answer: Answer } =>
  command.to === 'cache' ? inCache(world, command, rules) : inBackend(world, command, rules)

const inCache = (
  world: World,
  command: Extract<Command, { to: 'cache' }>,
  rules: Rules,
): { world: World; answer: Answer } => {
  const { cache } = world
  const { entry, token } = cache
  const stored = (next: World): { world: World; answer: Answer } => ({
    world: next,
    answer: { outcome: 'stored', token: next.cache.token },
  })
  const refused = { world, answer: { outcome: entry === undefined ? 'missing' : 'conflict' } } as const
  switch (command.op) {
    case 'get':
      if (entry === undefined) return { world, answer: { state: 'missing' } }
      if (entry.kind === 'live') return { world, answer: { state: 'live', envelope: entry, token } }
      if (entry.kind === 'nothing') return { world, answer: { state: 'nothing', token, trustedAt: entry.trustedAt } }
      return { world, answer: { state: entry.kind, token, ...(entry.isAlone === true ? { isAlone: true } : {}) } }
    case 'lease': {
      const { over } = command
      const isFree = over === undefined ? entry === undefined : fits(over, cache, rules)
      return isFree ? stored(changed(world, { kind: 'lease' })) : refused
    }
    case 'add':
      return entry === undefined ? stored(changed(world, command.value)) : refused
    case 'cas': {
      if (!fits(command.token, cache, rules)) return refused
      const { value, of } = command
      const isAnothers = of !== undefined && of !== value.createdAt
      return stored(changed(isAnothers ? wrong(world, 'A LATE SAVE IS IN A LATER SESSION') : world, value))
    }
    case 'put tombstone': {
      const isAlone = command.isAlone === true ? ({ isAlone: true } as const) : {}
      return fits(command.token, cache, rules) ? stored(changed(world, { kind: 'tombstone', ...isAlone })) : refused
    }
    case 'mark': {
      const isFree = command.token === undefined ? entry === undefined : fits(command.token, cache, rules)
      return isFree ? stored(changed(world, { kind: 'large' })) : refused
    }
    case 'put nothing': {
      const isMine = rules.steps.marks === 'whatever stands there' || fits(command.token, cache, rules)
      return isMine ? stored(changed(world, { kind: 'nothing', trustedAt: command.trustedAt })) : refused
    }
    case 'remove':
      return fits(command.token, cache, rules)
        ? { world: changed(world, undefined), answer: 'removed' }
        : { world, answer: entry === undefined ? 'removed' : 'conflict' }
    case 'set':
      return stored(changed(world, command.value))
    case 'set tombstone':
      return { world: changed(world, { kind: 'tombstone' }), answer: 'told' }
    case 'delete':
      return stored(changed(world, undefined))
  }
}

export const stateOf = (row: Row): BackendState =>
  row.state === 'live'
    ? {
        state: 'live',
        lineage: row.session.lineage,
        version: row.session.version,
        writeIds: row.session.writeIds,
        token: NO_TOKEN,
      }
    : { state: row.state }

const inBackend = (
  world: World,
  command: Extract<Command, { to: 'backend' }>,
  rules: Rules,
): { world: World; answer: Answer } => {
  const { row } = world
  switch (command.op) {
    case 'read':
      if (row.state !== 'live') return { world, answer: { state: row.state } }
      return { world, answer: { state: 'live', session: row.session, token: NO_TOKEN } }
    case 'insert':
      return inserted(world, command, rules)
    case 'update': {
      const { guard, session } = command
      const admitted =
        row.state === 'live'
          ? rules.guardAdmits(guard, row.session)
          : row.state === 'destroyed' && rules.steps.onTombstoneRow === 'replace'
      if (!admitted) return { world, answer: { outcome: 'refused', row: stateOf(row) } }
      const next: World = { ...world, row: { state: 'live', session } }
      return {
        world: row.state === 'live' ? judged(next, row.session, session) : next,
        answer: { outcome: 'applied', token: NO_TOKEN },
      }
    }
    case 'extend':
      return { world, answer: row.state === 'live' ? 'extended' : row.state }
    case 'destroy': {
      const { only, write: by, leavesNothing } = command
      if (row.state === 'destroyed')
        return { world, answer: by !== undefined && row.by === by ? 'destroyed' : 'already-destroyed' }
      if (
        only !== undefined &&
        !(row.state === 'live' && row.session.lineage === only.lineage && row.session.version === only.version)
      )
        return { world, answer: 'refused' }
      const isEmpty = row.state === 'absent'
      // The world does not know whose id is new: nobody destroys under one that is.
      if (isEmpty && (leavesNothing === true || rules.steps.onNothing === 'leave nothing'))
        return { world, answer: 'absent' }
      const tombstone = { state: 'destroyed', by, isEmpty } as const
      return { world: { ...world, row: tombstone, past: begunToDestroy(world.past) }, answer: 'destroyed' }
    }
    case 'purge':
      return { world: purged(world, command.isDeferred, rules), answer: 'told' }
    case 'put new':
      return { world: withNewRow(world, command.write, { writes: writesIn(command.session) }), answer: 'told' }
    case 'destroy new':
      return { world: withNewRow(world, command.write, 'destroyed'), answer: 'told' }
  }
}

const inserted = (
  world: World,
  { session, bound, over }: Extract<Command, { op: 'insert' }>,
  { steps }: Rules,
): { world: World; answer: Answer } => {
  const { row, closed } = world
  const isLate = bound !== undefined && steps.inserts[bound] === 'in time' && session.createdAt <= closed[bound]
  const next: World = { ...world, row: { state: 'live', session } }
  const done = { outcome: 'inserted', token: NO_TOKEN } as const
  if (row.state === 'absent') return isLate ? { world, answer: { outcome: 'too-late' } } : { world: next, answer: done }
  const isEnded =
    row.state === 'live' &&
    hasEnded(row.session, world) &&
    row.session.lineage === over?.lineage &&
    row.session.version === over.version
  if (!isEnded || isLate) return { world, answer: { outcome: 'exists', row: stateOf(row) } }
  const grows = session.version > row.session.version
  return { world: grows ? next : wrong(next, 'I7 VERSION DID NOT GROW'), answer: done }
}

export const hasEnded = (session: { readonly createdAt: number }, { ended }: { readonly ended: number }): boolean =>
  session.createdAt <= ended

/**
 * A tombstone whose time is up, or a session that has expired. Inserts that a call had under way when the tombstone was
 * put are too late then; those of sessions whose creation was put off are if it was kept as long as they may come.
 */
const purged = (world: World, isDeferred: boolean, { steps }: Rules): World => {
  const { row, era, closed } = world
  if (row.state === 'live' && hasEnded(row.session, world))
    return { ...world, row: { state: 'absent' }, closed: { ...closed, call: Math.max(closed.call, world.ended) } }
  if (row.state !== 'destroyed') return world
  const isLong = !row.isEmpty || (isDeferred && steps.emptyTombstones === 'as long as an insert')
  return { ...world, row: { state: 'absent' }, era: era + 1, closed: { call: era, life: isLong ? era : closed.life } }
}

/** A tombstone stays. */
const withNewRow = (world: World, write: number, row: NewRow): World => {
  if (world.newRows[write] === 'destroyed') return world
  const newRows = [...world.newRows]
  newRows[write] = row
  return { ...world, newRows }
}

export const begunToDestroy = (past: Past): Past => (past.destroy === 'no' ? { ...past, destroy: 'begun' } : past)

/** I7: what replaces a row has all that the row has, and a higher version; or is that very copy once more. */
const judged = (world: World, before: StoredSession, after: StoredSession): World => {
  if ((writesIn(before) & ~writesIn(after)) !== 0) return wrong(world, 'I7 BRANCH OVERWRITTEN')
  const isSame = after.lineage === before.lineage && writesIn(after) === writesIn(before)
  const grows = after.version > before.version || (isSame && after.version === before.version)
  return grows ? world : wrong(world, 'I7 VERSION DID NOT GROW')
}

export const wrong = (world: World, what: string): World => ({
  ...world,
  past: { ...world.past, wrong: world.past.wrong ?? what },
})

/** What a process knows when it takes an answer; counts the lineages it mints. */
export const aroundOf = (world: World, actor: Actor): Around & { readonly lineages: () => number } => {
  let { lineages } = world
  return {
    lineage: () => {
      lineages += 1
      return lineageName(lineages)
    },
    lineages: () => lineages,
    now: 1 + world.outagesEnded,
    era: world.era,
    ended: world.ended,
    trustFrom: actor.noticed === 0 ? 0 : 1 + actor.noticed,
  }
}

export const spend = (budget: Budget, fault: keyof Budget): Budget => ({ ...budget, [fault]: budget[fault] - 1 })

export const withActor = (world: World, index: number, actor: Actor): World => ({
  ...world,
  actors: world.actors.map((other, at) => (at === index ? actor : other)),
})
