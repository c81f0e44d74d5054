import { guardAdmits, replacing, type StoredSession } from '../../../src/contract/backend.js'
import { confirmVerdict, copyVerdict, flushVerdict } from '../../../src/session/decisions.js'
import { isUserUnproved, type LiveEnvelope } from '../../../src/session/envelope.js'
import { type SeatLimit, seatFor } from '../../../src/session/seats.js'
import {
  born,
  confirmed,
  filled,
  flushGuard,
  type Identification,
  storedSession,
  written,
} from '../../../src/session/transitions.js'
import { lineageName, masked, TIMINGS, writeIdOf } from '../data.js'
import type { Actor, Entry, Row, World } from './world.js'

/* What can happen next, as `src/store/protocol/users.ts` and those who call it have it. */

/** The rules that a control may weaken. */
export interface Rules {
  readonly isReadAgain: boolean
  readonly isProvedByReaders: boolean
  readonly fillAsksForTheEpoch: boolean
  readonly isRaisedFirst: boolean
  readonly stayingIsRewritten: boolean
  readonly raiseIsCompared: boolean
  readonly seatIsTakenFirst: boolean
  readonly seatIsCompared: boolean
  readonly leavingIsEnded: boolean
  readonly endedIsLookedAt: boolean
  readonly lookIsOfOneEpoch: boolean
  readonly loggedOutAreEnded: boolean
  readonly cacheIsToldFirst: boolean
  readonly limit: SeatLimit | undefined
}

export const LOGGED_OUT = 'SERVED AFTER THE LOGOUT'
export const STAYED = 'THE SESSION THAT STAYS HAS ENDED'
export const TOO_MANY = 'MORE SESSIONS THAN THE USER MAY HAVE'

type Emit = (next: World, what: () => string) => void

const NOW = 1
const NO_TOKEN = new Uint8Array(0)
const OF_NOBODY = 0
const OF_THE_USER = 1

const isOfUser = ({ data }: Pick<LiveEnvelope, 'data'>): boolean => data[0] === OF_THE_USER

const rowOf = (envelope: LiveEnvelope): StoredSession =>
  storedSession(envelope, isOfUser(envelope) ? 'user' : undefined, TIMINGS)

export const locatorOf = (session: number): { readonly key: string } => ({ key: `session ${session}` })

const sessionAt = ({ key }: { readonly key: string }): number => Number(key.slice('session '.length))

export const successors = (world: World, rules: Rules, emit: Emit): void => {
  world.actors.forEach((actor, index) => {
    const taken = take({ world, rules, actor, index })
    if (taken !== undefined) emit(judged(taken.world, rules), () => `${actor.name} ${taken.what}`)
  })
  if (world.losses > 0)
    world.entries.forEach((entry, session) => {
      if (entry !== undefined)
        emit(
          { ...withEntry(world, session, undefined, -1), losses: world.losses - 1 },
          () => `the entry of session ${session} is lost`,
        )
    })
}

interface Turn {
  readonly world: World
  readonly rules: Rules
  readonly actor: Actor
  readonly index: number
}

/** What happened. `undefined`: it has to wait. */
type Step = { readonly world: World; readonly what: string } | undefined

const step = (world: World, what: string): Step => ({ world, what })

const go = (world: World, index: number, changed: Partial<Actor>): World => ({
  ...world,
  actors: world.actors.map((each, at) => (at === index ? { ...each, ...changed } : each)),
})

/** An entry changes: whoever has seen the one before has a token that fits no more, but for who changed it. */
const withEntry = (world: World, session: number, entry: Entry, by: number): World => ({
  ...world,
  entries: world.entries.map((each, at) => (at === session ? entry : each)),
  actors: world.actors.map((each, at) =>
    each.session === session && at !== by && each.entryFits ? { ...each, entryFits: false } : each,
  ),
})

const withRow = (world: World, session: number, row: Row): World => ({
  ...world,
  rows: world.rows.map((each, at) => (at === session ? row : each)),
})

const withRecord = (world: World, changed: Partial<Pick<World, 'epoch' | 'seats' | 'raises'>>): World => ({
  ...world,
  ...changed,
  actors: world.actors.map((each) => (each.recordFits ? { ...each, recordFits: false } : each)),
})

const take = (turn: Turn): Step => {
  const { world, rules, actor, index } = turn
  const { session, copy, op } = actor
  const entry = world.entries[session]
  const row = world.rows[session]
  const next = (after: World, changed: Partial<Actor>, what: string): Step => step(go(after, index, changed), what)
  const over = (after: World, what: string): Step => next(after, { ...IDLE, at: 'over' }, what)

  switch (actor.at) {
    case 'start': {
      const floor = world.loggedOut
      if (op === 'create') return next(world, { at: 'become', floor }, 'begins to create')
      if (op === 'new id') return freeze(turn, next)
      if (op === 'logout' || op === 'logout but one')
        return next(world, { at: 'read the record', floor }, 'begins to log out')
      return take({ ...turn, actor: { ...actor, at: 'get', floor } })
    }

    case 'get': {
      const found = { floor: actor.floor, entryFits: true }
      if (entry === undefined) return next(world, { ...found, at: 'lease', entryFits: false }, 'finds no entry')
      if (entry === 'tombstone') return ended(turn, world, 'finds a tombstone')
      if (entry === 'lease') return op === 'read' ? byRow(turn) : undefined
      const isToBeProved = isUserUnproved(entry) && rules.isProvedByReaders
      if (isToBeProved) return next(world, { ...found, at: 'flush', copy: entry }, 'finds a login without proof')
      return observed(go(world, index, found), turn, entry, 'finds the entry')
    }
    case 'lease':
      if (entry !== undefined) return next(world, { at: 'get' }, 'comes too late with its lease')
      return next(withEntry(world, session, 'lease', index), { at: 'row', entryFits: true }, 'takes the lease')
    case 'row': {
      const verdict = verdictOn(world, row, rules)
      if (verdict === 'live' && typeof row === 'object') {
        const lineage = lineageName(world.lineages)
        const fresh = filled(row, NO_TOKEN, lineage, NOW)
        return next({ ...world, lineages: world.lineages + 1 }, { at: 'fill', copy: fresh }, 'reads the row')
      }
      const after = actor.entryFits
        ? withEntry(world, session, verdict === 'absent' ? undefined : 'tombstone', index)
        : world
      return ended(turn, after, `reads the row: ${verdict}`)
    }
    case 'fill':
      if (!actor.entryFits || copy === undefined)
        return next(world, { at: 'get', copy: undefined }, 'has lost its lease')
      return observed(withEntry(world, session, copy, index), turn, copy, 'fills the cache')

    case 'flush': {
      if (copy === undefined) return
      if (row === undefined || row === 'destroyed')
        return ended(turn, withEntry(world, session, 'tombstone', index), 'flushes, and finds it ended')
      const isAdmitted = guardAdmits(flushGuard(copy), row)
      const outcome = isAdmitted
        ? ({ outcome: 'applied' } as const)
        : ({ outcome: 'refused', row: { ...row, state: 'live', token: NO_TOKEN } } as const)
      const verdict = flushVerdict(copy, outcome)
      if (verdict === 'conflict') {
        const isDead = typeof entry === 'object' && entry.lineage === copy.lineage
        return next(
          isDead ? withEntry(world, session, undefined, index) : world,
          { at: 'get', copy: undefined },
          'flushes in vain',
        )
      }
      const after = isAdmitted ? withRow(world, session, replacing(row, rowOf(copy))) : world
      const isUnproved = isUserUnproved(copy) && rules.isReadAgain
      return next(after, { at: isUnproved ? 'prove' : 'confirm' }, 'flushes')
    }
    case 'insert': {
      if (copy === undefined) return
      if (row !== undefined) return over(world, 'inserts in vain')
      const after = withRow(world, session, rowOf(copy))
      return next(after, { at: rules.isReadAgain ? 'prove' : 'put' }, 'inserts')
    }
    case 'prove':
      if (world.epoch > (copy?.userEpoch ?? 0))
        return next(world, { at: rules.cacheIsToldFirst ? 'end the entry' : 'end the row' }, 'reads a higher epoch')
      return next(world, { at: op === 'create' ? 'put' : 'confirm' }, 'reads the epoch again')
    case 'end the row': {
      const after = withRow(world, session, 'destroyed')
      return rules.cacheIsToldFirst
        ? ended(turn, after, 'ends the session in the backend')
        : next(after, { at: 'end the entry' }, 'ends the session in the backend')
    }
    case 'end the entry': {
      const after = withEntry(world, session, 'tombstone', index)
      return rules.cacheIsToldFirst
        ? next(after, { at: 'end the row' }, 'ends it in the cache')
        : ended(turn, after, 'ends it in the cache')
    }
    case 'confirm':
      return copy === undefined ? undefined : confirm(turn, copy)

    case 'become':
    case 'read again': {
      const read = { epoch: world.epoch, raises: world.raises, recordFits: true }
      const written = op === 'create' ? 'place' : 'write'
      if (rules.limit === undefined) return next(world, { ...read, at: written }, 'reads the epoch')
      const isOld = rules.lookIsOfOneEpoch && actor.epoch !== world.epoch
      const isLookedAt = actor.at === 'read again' && !isOld
      const seating = seatFor({
        seats: world.seats?.filter(({ locator }) => !actor.ended.includes(sessionAt(locator))),
        living: isLookedAt ? actor.seats?.filter(({ userEpoch = 0 }) => userEpoch >= world.epoch) : undefined,
        me: locatorOf(session),
        now: NOW,
        graceMs: NOW + 1,
        limit: rules.limit,
      })
      const { seats, leaving } = seating.seating === 'take' ? seating : { seats: undefined, leaving: [] }
      const ending = leaving.map(sessionAt)
      if (seating.seating === 'seated') return next(world, { ...read, at: written }, 'has a seat')
      if (seating.seating === 'look') return next(world, { ...read, at: 'look' }, 'finds all seats taken')
      if (seating.seating === 'refuse') return over(world, 'is refused')
      const takes = rules.seatIsTakenFirst ? 'take the seat' : written
      const at = ending.length > 0 && rules.leavingIsEnded ? 'make room in the row' : takes
      return next(world, { ...read, at, seats, ending }, 'finds a seat')
    }
    case 'look': {
      const living = world.rows.flatMap((each, of) =>
        typeof each === 'object' && each.userId !== undefined
          ? [{ locator: locatorOf(of), takenAt: each.identifiedAt, userEpoch: each.userEpoch }]
          : [],
      )
      const loggedOut = living
        .filter(({ userEpoch }) => userEpoch < actor.epoch)
        .map(({ locator }) => sessionAt(locator))
      const ending = rules.loggedOutAreEnded ? loggedOut : []
      const ended = world.rows.flatMap((each, of) => (each === 'destroyed' ? [of] : []))
      const at = ending.length > 0 ? 'end the logged out in the cache' : 'read again'
      return next(world, { at, seats: living, ending, ended }, 'looks up what lives')
    }
    case 'end the logged out in the cache':
    case 'end the logged out': {
      const [ending = 0, ...rest] = actor.ending
      if (actor.at === 'end the logged out in the cache')
        return next(
          withEntry(world, ending, 'tombstone', index),
          { at: 'end the logged out' },
          `ends session ${ending} in the cache, as the user was logged out`,
        )
      const at = rest.length > 0 ? 'end the logged out in the cache' : 'read again'
      return next(withRow(world, ending, 'destroyed'), { at, ending: rest }, `ends session ${ending} in the backend`)
    }
    case 'make room in the row':
    case 'make room in the cache': {
      const [leaving = 0, ...rest] = actor.ending
      if (actor.at === 'make room in the row') {
        const isLookedAt = world.rows[leaving] === 'destroyed' && rules.endedIsLookedAt
        return next(
          withRow(world, leaving, 'destroyed'),
          { at: 'make room in the cache', seats: isLookedAt ? undefined : actor.seats },
          `ends session ${leaving} in the backend`,
        )
      }
      const then = actor.seats === undefined ? 'look' : 'take the seat'
      const at = rest.length > 0 ? 'make room in the row' : then
      return next(
        withEntry(world, leaving, 'tombstone', index),
        { at, ending: rest },
        `ends session ${leaving} in the cache`,
      )
    }
    case 'take the seat':
      if (rules.seatIsCompared && !actor.recordFits) return next(world, { at: 'become' }, 'finds the record changed')
      return next(
        withRecord(world, { seats: actor.seats }),
        { at: op === 'create' ? 'place' : 'write', recordFits: false, seats: undefined },
        'takes a seat',
      )
    case 'take the seat late':
      if (!actor.recordFits) return acknowledged(turn, world, 'finds the record changed')
      return acknowledged(turn, withRecord(world, { seats: actor.seats }), 'takes a seat at last')

    case 'write': {
      if (copy === undefined) return
      if (!actor.entryFits) return next(world, { at: 'get', copy: undefined }, 'finds the entry changed')
      const becomes: Identification = { userEpoch: actor.epoch, identifiedAt: NOW, isProved: false }
      const after = written(copy, {
        ...{ now: NOW, writeId: writeIdOf(index), codecId: 1, data: masked(OF_THE_USER), idleTtlMs: copy.idleTtlMs },
        ...{ timings: TIMINGS, becomes, hasOwnIdleTtl: copy.hasOwnIdleTtl },
      })
      const made = op === 'login' ? madeAt(world, session, actor.raises) : world
      return next(withEntry(made, session, after, index), { at: 'flush', copy: after }, 'writes the entry')
    }
    case 'place': {
      const lineage = lineageName(world.lineages)
      const copyNow = born({
        ...{ now: NOW, lineage, writeId: writeIdOf(index), codecId: 1, data: masked(OF_THE_USER) },
        ...{ idleTtlMs: 1e9, absoluteTtlMs: 1e9, app: '', client: { address: undefined, userAgent: undefined } },
        ...{ timings: TIMINGS, hasOwnIdleTtl: false },
        becomes: { userEpoch: actor.epoch, identifiedAt: NOW, isProved: false },
      })
      const isFree = entry === undefined
      const leased = isFree ? withEntry(world, session, 'lease', index) : world
      const after = madeAt({ ...leased, lineages: world.lineages + 1 }, session, actor.raises)
      return next(after, { at: 'insert', copy: copyNow, entryFits: isFree }, 'takes the lease of a new session')
    }
    case 'put': {
      if (copy === undefined) return
      const durable = confirmed(copy, copy, NOW, NO_TOKEN)
      const after = actor.entryFits ? withEntry(world, session, durable, index) : world
      if (!rules.seatIsTakenFirst && rules.limit !== undefined)
        return next(after, { at: 'take the seat late' }, 'puts the session into the cache')
      return acknowledged(turn, after, 'puts the session into the cache')
    }

    default:
      return op === 'new id' ? giveNewId(turn, next) : logOut(turn, next)
  }
}

/**
 * Whoever gives a session a new id brings it to the backend first, as it stands. That nobody can write to it then is left
 * out here: nobody else does.
 */
const freeze = ({ world, rules, actor }: Turn, next: NextOf): Step => {
  const row = world.rows[actor.session]
  if (verdictOn(world, row, rules) !== 'live' || typeof row !== 'object')
    return next(world, { ...IDLE, at: 'over' }, 'finds no session')
  const copy = filled(row, NO_TOKEN, row.lineage, NOW)
  return next(world, { at: 'insert the new', copy, epoch: row.userEpoch }, 'freezes the session')
}

const giveNewId = ({ world, actor, index }: Turn, next: NextOf): Step => {
  const { session, becomes, epoch, copy } = actor
  const over = (after: World, what: string): Step => next(after, { ...IDLE, at: 'over' }, what)
  switch (actor.at) {
    case 'insert the new': {
      if (copy === undefined) return
      const row = { ...rowOf(copy), lineage: lineageName(world.lineages) }
      const after = madeAt({ ...world, lineages: world.lineages + 1 }, becomes, world.madeAt[session] ?? 0)
      return next(withRow(after, becomes, row), { at: 'prove the new' }, 'inserts the session under its new id')
    }
    case 'prove the new':
      if (world.epoch > epoch) return next(world, { at: 'end the new' }, 'reads a higher epoch')
      return next(world, { at: 'replace the old' }, 'reads the epoch again')
    case 'replace the old': {
      if (world.rows[session] === 'destroyed') return next(world, { at: 'end the new' }, 'finds that it has ended')
      return next(withRow(world, session, 'destroyed'), { at: 'tell the cache of the old' }, 'ends the old id')
    }
    case 'tell the cache of the old': {
      const acked = world.acked.map((each, at) => each || at === becomes)
      return over(withEntry({ ...world, acked }, session, 'tombstone', index), 'tells the cache, and has a new id')
    }
    case 'end the new':
      return over(withRow(world, becomes, 'destroyed'), 'ends the session under its new id')
    default:
      return
  }
}

type NextOf = (after: World, changed: Partial<Actor>, what: string) => Step

const logOut = ({ world, rules, actor, index }: Turn, next: NextOf): Step => {
  const [ending, ...rest] = actor.ending
  switch (actor.at) {
    case 'read the record': {
      const read = { epoch: world.epoch + 1, recordFits: true }
      if (!rules.isRaisedFirst) return next(world, { ...read, at: 'list' }, 'reads the record')
      const isToStay = actor.op === 'logout but one' && rules.stayingIsRewritten
      return next(world, { ...read, at: isToStay ? 'get' : 'raise' }, 'reads the record')
    }
    case 'raise': {
      if (rules.raiseIsCompared && !actor.recordFits)
        return next(world, { at: 'read the record', copy: undefined }, 'finds the record changed')
      const raised = withRecord(world, { epoch: actor.epoch, raises: world.raises + 1, seats: undefined })
      const isListed = !rules.isRaisedFirst
      const at = isListed ? firstOf(actor.ending, rules) : 'list'
      return next(raised, { at, raises: world.raises + 1, recordFits: false, copy: undefined }, 'raises the epoch')
    }
    case 'list': {
      const found = world.rows.flatMap((row, session) =>
        typeof row === 'object' &&
        row.userId !== undefined &&
        !(actor.op === 'logout but one' && session === actor.session)
          ? [session]
          : [],
      )
      const at = rules.isRaisedFirst ? firstOf(found, rules) : 'raise'
      return next(world, { at, ending: found }, `lists ${found.length}`)
    }
    case 'tell the cache first':
      if (ending === undefined) return
      return next(
        withEntry(world, ending, 'tombstone', index),
        { at: 'destroy the row' },
        `tells the cache that session ${ending} ends`,
      )
    case 'destroy the row':
      if (ending === undefined) {
        const resolved = { ...world, loggedOut: Math.max(world.loggedOut, actor.raises) }
        return next(resolved, { ...IDLE, at: 'over' }, 'has logged the user out')
      }
      return next(
        withRow(world, ending, 'destroyed'),
        { at: 'tell the cache' },
        `ends session ${ending} in the backend`,
      )
    case 'tell the cache':
      if (ending === undefined) return
      return next(
        withEntry(world, ending, 'tombstone', index),
        { at: firstOf(rest, rules), ending: rest },
        `ends session ${ending} in the cache`,
      )
    default:
      return
  }
}

const firstOf = (ending: readonly number[], { cacheIsToldFirst }: Rules): Actor['at'] =>
  ending.length > 0 && cacheIsToldFirst ? 'tell the cache first' : 'destroy the row'

const IDLE = {
  ...{
    entryFits: false,
    recordFits: false,
    copy: undefined,
    epoch: 0,
    raises: 0,
    seats: undefined,
    ending: [],
    ended: [],
    floor: 0,
  },
} as const satisfies Partial<Actor>

const madeAt = (world: World, session: number, raises: number): World => ({
  ...world,
  madeAt: world.madeAt.map((each, at) => (at === session ? raises : each)),
})

const verdictOn = (world: World, row: Row, rules: Rules): ReturnType<typeof copyVerdict> => {
  if (typeof row !== 'object') return row ?? 'absent'
  const current = row.userId === undefined || !rules.fillAsksForTheEpoch ? {} : { currentEpoch: world.epoch }
  return copyVerdict({ state: 'live', session: row, token: NO_TOKEN, ...current }, NOW)
}

/** Whoever waits too long for another's lease reads the row for himself. */
const byRow = (turn: Turn): Step => {
  const { world, rules, actor } = turn
  const row = world.rows[actor.session]
  if (verdictOn(world, row, rules) !== 'live' || typeof row !== 'object')
    return ended(turn, world, 'reads the row round the cache')
  return observed(world, turn, filled(row, NO_TOKEN, row.lineage, NOW), 'reads the row round the cache')
}

/** Marks what was flushed, or sees what stands in its place. */
const confirm = (turn: Turn, copy: LiveEnvelope): Step => {
  const { world, actor, index } = turn
  const { session } = actor
  const entry = world.entries[session]
  const mark = confirmed(copy, copy, NOW, NO_TOKEN)
  if (actor.entryFits) return observed(withEntry(world, session, mark, index), turn, mark, 'marks it as durable')
  if (entry === 'tombstone') return ended(turn, world, 'finds a tombstone')
  if (entry === 'lease') return
  if (entry === undefined) return observed(world, turn, mark, 'finds no entry to mark')
  if (confirmVerdict(entry, copy) === 'again') {
    const row = world.rows[session]
    const isDead = typeof row !== 'object' || (row.lineage !== entry.lineage && row.lineage !== entry.durableLineage)
    const after = isDead ? withEntry(world, session, undefined, index) : world
    return step(go(after, index, { at: 'get', copy: undefined }), 'finds another line')
  }
  return observed(world, turn, mark, 'finds a later copy')
}

/** It has seen the session, or has brought its own copy to the end. */
const observed = (world: World, turn: Turn, envelope: LiveEnvelope, what: string): Step => {
  const { actor, index } = turn
  const { op, session } = actor
  const copy = { copy: envelope } as const
  switch (op) {
    case 'read': {
      const isLate = isOfUser(envelope) && (world.madeAt[session] ?? 0) < actor.floor
      const wrong = isLate && !isStaying(world, session) ? LOGGED_OUT : world.wrong
      return step(go({ ...world, wrong }, index, { ...IDLE, at: 'over' }), `${what}, and is served`)
    }
    case 'login': {
      if (!isOfUser(envelope)) return step(go(world, index, { ...copy, at: 'become' }), what)
      return acknowledged(turn, world, what)
    }
    default: {
      const isDone = !isOfUser(envelope) || envelope.userEpoch >= actor.epoch
      return step(go(world, index, { ...copy, at: isDone ? 'raise' : 'write' }), what)
    }
  }
}

const isStaying = ({ actors }: World, session: number): boolean =>
  actors.some((each) => each.op === 'logout but one' && each.session === session)

/** It has found that the session has ended. */
const ended = ({ actor, index, world: before }: Turn, world: World, what: string): Step => {
  const isGone = actor.op === 'read' && isStaying(before, actor.session)
  const after = isGone ? { ...world, wrong: STAYED } : world
  if (actor.op === 'logout but one') return step(go(after, index, { at: 'raise' }), what)
  return step(go(after, index, { ...IDLE, at: 'over' }), `${what}: there is no session`)
}

const acknowledged = ({ actor, index }: Turn, world: World, what: string): Step => {
  const acked = world.acked.map((each, at) => each || at === actor.session)
  return step(go({ ...world, acked }, index, { ...IDLE, at: 'over' }), `${what}: it is logged in`)
}

/** No more sessions live that were acknowledged than the user may have. */
const judged = (world: World, { limit }: Rules): World => {
  if (limit === undefined || world.wrong !== undefined) return world
  const living = world.rows.filter(
    (row, session) =>
      world.acked[session] === true &&
      typeof row === 'object' &&
      row.userId !== undefined &&
      row.userEpoch >= world.epoch,
  )
  return living.length > limit.maxSessionsPerUser ? { ...world, wrong: TOO_MANY } : world
}

export const NOBODYS_DATA: Uint8Array = masked(OF_NOBODY)
export const THE_USERS_DATA: Uint8Array = masked(OF_THE_USER)
