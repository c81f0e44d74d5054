import type { Locator } from '../../contract/locator.js'
import type { EpochMs } from '../../contract/time.js'

/** A month in UTC, `2026-11`; months compare as texts. Each is one database. */
export type Month = string

/** Stands where a month does for the one database that is of none: it keeps the records of users. */
export const USERS = 'users'

/** Which of our databases is meant. */
export type Shelf = Month | typeof USERS

/** What decides which months count. */
export interface Window {
  /** How long a session can live at most. */
  readonly absoluteTtlMs: number
  /** How far the clocks of two processes may be apart. */
  readonly maxClockSkewMs: number
  /** How long after the change of months a write that was sent before it may still arrive. */
  readonly requestTimeoutMs: number
}

/** What ids of our own say of a month: `2611` for November 2026. */
export const claimOf = (month: Month): string => month.slice(2, 4) + month.slice(5)

/** Where a session is, and where it would be made. */
export interface Place {
  /** The months in which it can be, newest first; none for an id that can be of no living session. */
  readonly candidates: readonly Month[]
  /** Where it is made if it is in none of them; nowhere for an id that can be of no living session. */
  readonly home: Month | undefined
  /**
   * The month that ended a moment ago, for an id that does not say its month: another process may be making the
   * same session there at this moment, so the place there must be taken before one in `home`.
   */
  readonly fence: Month | undefined
}

const DAY_MS = 86_400_000

/** A tombstone and a late creation are remembered and possible for a day longer than a session lives. */
const AFTERLIFE_MS = DAY_MS

/** A first save may follow its session's birth that long, and still make that month's database. */
const BIRTH_MS = DAY_MS

/** The next month's database is made that long before it begins. */
const AHEAD_MS = 7 * DAY_MS

export const monthAt = (moment: EpochMs): Month => {
  const date = new Date(moment)
  return `${String(date.getUTCFullYear()).padStart(4, '0')}-${String(date.getUTCMonth() + 1).padStart(2, '0')}`
}

export const startOf = (month: Month): EpochMs => Date.UTC(Number(month.slice(0, 4)), Number(month.slice(5)) - 1)

export const monthAfter = (month: Month): Month => monthAt(startOf(month) + 32 * DAY_MS)

export const monthBefore = (month: Month): Month => monthAt(startOf(month) - DAY_MS)

/** Newest first. */
const monthsBetween = (oldest: EpochMs, newest: EpochMs): readonly Month[] => {
  const months: Month[] = []
  for (let month = monthAt(newest); month >= monthAt(oldest); month = monthBefore(month)) months.push(month)
  return months
}

/** The months in which a session that can be alive at `now` can have been born, newest first. */
export const candidateMonths = (now: EpochMs, { absoluteTtlMs, maxClockSkewMs }: Window): readonly Month[] =>
  monthsBetween(Math.max(0, now - absoluteTtlMs - AFTERLIFE_MS - maxClockSkewMs), now + maxClockSkewMs)

/**
 * Where a session is kept. What an id claims only ever picks one of the candidate months, so an id from a cookie
 * names no database that the clock does not name.
 */
export const placeOf = ({ bornMonth }: Locator, now: EpochMs, window: Window): Place => {
  const candidates = candidateMonths(now, window)
  if (bornMonth === undefined) return { candidates, home: monthAt(now), fence: fenceAt(now, window) }
  const claimed = candidates.find((month) => claimOf(month) === bornMonth)
  return { candidates: claimed === undefined ? [] : [claimed], home: claimed, fence: undefined }
}

const fenceAt = (now: EpochMs, { maxClockSkewMs, requestTimeoutMs }: Window): Month | undefined => {
  const month = monthAt(now)
  return now - startOf(month) <= requestTimeoutMs + 2 * maxClockSkewMs ? monthBefore(month) : undefined
}

/** The months whose databases a program may make by itself at `now`: those in which a session can be born now. */
export const birthMonths = (now: EpochMs, { maxClockSkewMs }: Pick<Window, 'maxClockSkewMs'>): readonly Month[] =>
  monthsBetween(Math.max(0, now - BIRTH_MS), now + maxClockSkewMs)

/** The month that is to be made ahead at `now`, if it is time. */
export const monthAhead = (now: EpochMs): Month | undefined => {
  const next = monthAt(now + AHEAD_MS)
  return next === monthAt(now) ? undefined : next
}

/** Whether nothing born in `month` can be alive, or asked for, at `now` or within `graceMs` before it. */
export const isOver = (month: Month, now: EpochMs, window: Window, graceMs: number): boolean =>
  startOf(monthAfter(month)) + window.absoluteTtlMs + AFTERLIFE_MS + window.maxClockSkewMs + graceMs <= now

/** What our databases are called. */
export interface DatabaseNames {
  of(shelf: Shelf): string
  /** The month of one of our databases; `undefined` for any other name. */
  monthOf(database: string): Month | undefined
}

/** @param pattern with `{yyyy}` and `{mm}` in it, once each; the name of the users' database has `users` from the one to the other */
export const databaseNames = (pattern: string): DatabaseNames => {
  const escaped = pattern.replace(/[$()+]/g, '\\$&')
  const shape = new RegExp(
    `^${escaped.replace('{yyyy}', '(?<year>\\d{4})').replace('{mm}', '(?<month>0[1-9]|1[0-2])')}$`,
  )
  return {
    of: (shelf) =>
      shelf === USERS
        ? pattern.replace(/\{.*\}/, USERS)
        : pattern.replace('{yyyy}', shelf.slice(0, 4)).replace('{mm}', shelf.slice(5)),
    monthOf: (database) => {
      const { year, month } = shape.exec(database)?.groups ?? {}
      return year === undefined || month === undefined ? undefined : `${year}-${month}`
    },
  }
}
