import type { Seat, StoredSession } from '../../../src/contract/backend.js'
import type { LiveEnvelope } from '../../../src/session/envelope.js'
import { lineageNumber } from '../data.js'

/*
 * One user, few sessions, one cache and one backend, and what each process is doing. A step is one command that a tier
 * carries out at once, with its answer. A process that dies does nothing more; so each state is also one in which any of
 * them has died.
 */

export type Entry = LiveEnvelope | 'lease' | 'tombstone' | undefined

export type Row = StoredSession | 'destroyed' | undefined

/** What each process is to do, by a letter. */
export type Op = 'login' | 'create' | 'read' | 'logout' | 'logout but one' | 'new id'

export type At =
  /** Has not begun. */
  | 'start'
  /** Looks at the session: at the entry; where none stands, takes a lease, reads the row, and puts the copy. */
  | 'get'
  | 'lease'
  | 'row'
  | 'fill'
  /** Brings a copy to the backend, reads the epoch again, and marks the copy as durable. */
  | 'flush'
  | 'insert'
  | 'prove'
  | 'end the row'
  | 'end the entry'
  | 'confirm'
  /** Reads the user's record, and takes a seat. */
  | 'become'
  | 'look'
  | 'end the logged out in the cache'
  | 'end the logged out'
  | 'read again'
  | 'make room in the row'
  | 'make room in the cache'
  | 'take the seat'
  | 'take the seat late'
  | 'write'
  | 'place'
  | 'put'
  /** Gives the session a new id. */
  | 'insert the new'
  | 'prove the new'
  | 'replace the old'
  | 'tell the cache of the old'
  | 'end the new'
  /** Logs the user out everywhere. */
  | 'read the record'
  | 'raise'
  | 'list'
  | 'tell the cache first'
  | 'destroy the row'
  | 'tell the cache'
  | 'over'

export interface Actor {
  readonly name: string
  readonly op: Op
  /** Its session: the one that it makes the user's, reads, leaves, or gives a new id. */
  readonly session: number
  /** What the session becomes under its new id. */
  readonly becomes: number
  readonly at: At
  /** Whether what it saw in the cache, and in the user's record, stands there still. */
  readonly entryFits: boolean
  readonly recordFits: boolean
  /** The copy that it is at work on: read, to be written, or to be marked. */
  readonly copy: LiveEnvelope | undefined
  /** The epoch that it has read. */
  readonly epoch: number
  /** How often the epoch had been raised when it read it. */
  readonly raises: number
  /** The seats that it wants to be written. After a look: the sessions that live, each with its epoch. */
  readonly seats: readonly (Seat & { readonly userEpoch?: number })[] | undefined
  /** The sessions that are to end, the next one first. */
  readonly ending: readonly number[]
  /** The sessions that had ended when it looked. */
  readonly ended: readonly number[]
  /** How many logouts had resolved when it began, as a sum of the raises that they had made. */
  readonly floor: number
}

export interface World {
  readonly entries: readonly Entry[]
  readonly rows: readonly Row[]
  readonly epoch: number
  /** `undefined` where nobody has counted. */
  readonly seats: readonly Seat[] | undefined
  readonly actors: readonly Actor[]
  /** How often the record was raised. */
  readonly raises: number
  /** For each session: how often the record had been raised when the epoch was read by which it became the user's. */
  readonly madeAt: readonly number[]
  /** The sessions whose logins were acknowledged. */
  readonly acked: readonly boolean[]
  /** Of the logouts that resolved, the last raise. */
  readonly loggedOut: number
  readonly lineages: number
  /** How often an entry may still be lost. */
  readonly losses: number
  readonly wrong: string | undefined
}

const OPS: readonly Op[] = ['login', 'create', 'read', 'logout', 'logout but one', 'new id']
const ATS: readonly At[] = [
  ...(['start', 'get', 'lease', 'row', 'fill', 'flush', 'insert', 'prove', 'end the row', 'end the entry'] as const),
  ...(['confirm', 'become', 'look', 'read again', 'make room in the row', 'make room in the cache'] as const),
  ...(['take the seat', 'take the seat late', 'write', 'place', 'put', 'read the record', 'raise', 'list'] as const),
  ...(['tell the cache first', 'destroy the row', 'tell the cache', 'over', 'insert the new'] as const),
  ...(['prove the new', 'replace the old', 'tell the cache of the old', 'end the new'] as const),
  ...(['end the logged out in the cache', 'end the logged out'] as const),
]

/** The numbers that tell worlds apart. What no step goes by is left out, such as the moments and the ring of writes. */
export const encoder = (): { readonly encode: (world: World) => number; readonly numbers: Int32Array } => {
  const numbers = new Int32Array(1_024)
  let length = 0
  const put = (...items: readonly number[]): void => {
    for (const item of items) {
      numbers[length] = item
      length += 1
    }
  }
  const putEnvelope = (envelope: LiveEnvelope | undefined): void => {
    if (envelope === undefined) {
      put(-1)
      return
    }
    const { lineage, version, durableLineage, durableVersion, userEpoch, identifiedVersion, data } = envelope
    put(lineageNumber(lineage), version, lineageNumber(durableLineage), durableVersion)
    put(userEpoch, identifiedVersion, data[0] ?? 0)
  }
  const putSeats = (seats: Actor['seats']): void => {
    put(seats === undefined ? -1 : seats.length)
    for (const { locator, takenAt, userEpoch = 0 } of seats ?? [])
      put(Number(locator.key.slice(-1)), takenAt, userEpoch)
  }
  const encode = (world: World): number => {
    length = 0
    for (const entry of world.entries) {
      if (typeof entry === 'object') putEnvelope(entry)
      else put(entry === undefined ? -1 : entry === 'lease' ? -2 : -3)
    }
    for (const row of world.rows) {
      if (typeof row === 'object')
        put(lineageNumber(row.lineage), row.version, row.userEpoch, row.identifiedAt, row.userId === undefined ? 0 : 1)
      else put(row === undefined ? -1 : -2)
    }
    for (const { op, at, entryFits, recordFits, copy, epoch, raises, seats, ending, ended, floor } of world.actors) {
      put(OPS.indexOf(op), ATS.indexOf(at), Number(entryFits) + 2 * Number(recordFits), epoch, raises, floor)
      putEnvelope(copy)
      putSeats(seats)
      put(ending.length, ...ending, ended.length, ...ended)
    }
    putSeats(world.seats)
    put(world.epoch, world.raises, world.loggedOut, world.lineages, world.losses, ...world.madeAt)
    put(...world.acked.map(Number), world.wrong === undefined ? 0 : 1)
    return length
  }
  return { encode, numbers }
}
