import { filled } from '../../../src/session/transitions.js'
import { FIRST_ROW, lineageName } from '../data.js'
import { type Result, search } from '../search.js'
import type { Visited } from '../visited.js'
import { LOGGED_OUT, NOBODYS_DATA, type Rules, STAYED, successors, THE_USERS_DATA, TOO_MANY } from './steps.js'
import { type Actor, encoder, type Op, type World } from './world.js'

/* What holds of a user's sessions, and what does not where one step is left out or comes at another time. */

export interface Configuration {
  readonly name: string
  /** How each session begins; a session of nobody stands in both tiers, as does the user's. */
  readonly sessions: readonly ('of nobody' | 'of the user' | 'not there')[]
  /**
   * Who acts, each with the number of its session: `L` logs in, `C` creates a session of the user, `R` reads, `X` logs
   * the user out everywhere, `E` does so but for its session, `N` gives the first session the id of the second.
   */
  readonly actors: readonly string[]
  /** How often an entry is lost. */
  readonly losses?: number
  readonly limit?: number
  /** Searched to its end with `--deep` only. */
  readonly isDeep?: boolean
}

const OPS: Readonly<Record<string, Op>> = {
  L: 'login',
  C: 'create',
  R: 'read',
  X: 'logout',
  E: 'logout but one',
  N: 'new id',
}

const RULES: Rules = {
  isReadAgain: true,
  isProvedByReaders: true,
  fillAsksForTheEpoch: true,
  isRaisedFirst: true,
  stayingIsRewritten: true,
  raiseIsCompared: true,
  seatIsTakenFirst: true,
  seatIsCompared: true,
  leavingIsEnded: true,
  endedIsLookedAt: true,
  lookIsOfOneEpoch: true,
  loggedOutAreEnded: true,
  cacheIsToldFirst: true,
  limit: undefined,
}

export const CONFIGURATIONS: readonly Configuration[] = [
  { name: 'users.login', sessions: ['of nobody'], actors: ['L0', 'X0', 'R0', 'R0'], losses: 1 },
  { name: 'users.create', sessions: ['not there'], actors: ['C0', 'X0', 'R0', 'R0'], losses: 1 },
  { name: 'users.two-logouts', sessions: ['of the user'], actors: ['X0', 'X0', 'R0', 'R0'], losses: 1 },
  { name: 'users.login.two-logouts', sessions: ['of nobody'], actors: ['L0', 'X0', 'X0', 'R0'] },
  { name: 'users.stays', sessions: ['of the user', 'of the user'], actors: ['E0', 'R0', 'R1', 'R0'], losses: 1 },
  { name: 'users.seats', sessions: ['not there', 'not there'], actors: ['C0', 'C1', 'X0'], limit: 1 },
  { name: 'users.seats.stays', sessions: ['of the user', 'not there'], actors: ['E0', 'C1', 'X0'], limit: 1 },
  {
    name: 'users.seats.stays.two-logins',
    sessions: ['of the user', 'not there', 'not there'],
    actors: ['E0', 'C1', 'C2', 'X0'],
    limit: 1,
    isDeep: true,
  },
  {
    name: 'users.seats.new-id',
    sessions: ['of the user', 'not there', 'not there'],
    actors: ['N01', 'C2', 'X0'],
    limit: 1,
  },
  {
    name: 'users.seats.new-id.two-logins',
    sessions: ['of the user', 'not there', 'not there', 'not there'],
    actors: ['N01', 'C2', 'C3', 'X0'],
    limit: 1,
    isDeep: true,
  },
  {
    name: 'users.seats.two-logouts',
    sessions: ['not there', 'not there'],
    actors: ['C0', 'C1', 'X0', 'X1'],
    limit: 1,
    isDeep: true,
  },
]

export interface Control {
  readonly name: string
  readonly what: string
  readonly weaker: Partial<Rules>
  readonly caughtAs: string
  readonly configuration: string
}

export const CONTROLS: readonly Control[] = [
  {
    name: 'M88',
    what: 'a login does not read the epoch again once it is in the backend',
    weaker: { isReadAgain: false },
    caughtAs: LOGGED_OUT,
    configuration: 'users.login',
  },
  {
    name: 'M88b',
    what: 'a creation does not read the epoch again after its insert',
    weaker: { isReadAgain: false },
    caughtAs: LOGGED_OUT,
    configuration: 'users.create',
  },
  {
    name: 'M89',
    what: 'a reader serves a login that nobody has proved',
    weaker: { isProvedByReaders: false },
    caughtAs: LOGGED_OUT,
    configuration: 'users.login',
  },
  {
    name: 'M90',
    what: 'a fill does not ask for the epoch of now',
    weaker: { fillAsksForTheEpoch: false },
    caughtAs: LOGGED_OUT,
    configuration: 'users.create',
  },
  {
    name: 'M91',
    what: 'what is to end is listed before the epoch is raised',
    weaker: { isRaisedFirst: false },
    caughtAs: LOGGED_OUT,
    configuration: 'users.login',
  },
  {
    name: 'M92',
    what: 'the session that stays is not written under the epoch that is to come',
    weaker: { stayingIsRewritten: false },
    caughtAs: STAYED,
    configuration: 'users.stays',
  },
  {
    name: 'M93',
    what: 'the epoch is raised over whatever stands in the record',
    weaker: { raiseIsCompared: false },
    caughtAs: TOO_MANY,
    configuration: 'users.seats.two-logouts',
  },
  {
    name: 'M94',
    what: 'a seat is taken once the session is written',
    weaker: { seatIsTakenFirst: false },
    caughtAs: TOO_MANY,
    configuration: 'users.seats',
  },
  {
    name: 'M95',
    what: 'a seat is taken over whatever stands in the record',
    weaker: { seatIsCompared: false },
    caughtAs: TOO_MANY,
    configuration: 'users.seats',
  },
  {
    name: 'M96',
    what: 'the session that is to make room is not ended',
    weaker: { leavingIsEnded: false },
    caughtAs: TOO_MANY,
    configuration: 'users.seats',
  },
  {
    name: 'M96b',
    what: 'whoever makes room goes on where the session had ended already, as it may have got a new id',
    weaker: { endedIsLookedAt: false },
    caughtAs: TOO_MANY,
    configuration: 'users.seats.new-id',
  },
  {
    name: 'M96c',
    what: 'a login goes by a look from before the epoch was raised',
    weaker: { lookIsOfOneEpoch: false },
    caughtAs: TOO_MANY,
    configuration: 'users.seats.stays',
  },
  {
    name: 'M96d',
    what: 'a login leaves what another logout has not ended yet, as it does not count',
    weaker: { loggedOutAreEnded: false },
    caughtAs: TOO_MANY,
    configuration: 'users.seats.stays',
  },
  {
    name: 'M97',
    what: 'whoever logs a user out destroys a row before the cache is told',
    weaker: { cacheIsToldFirst: false },
    caughtAs: LOGGED_OUT,
    configuration: 'users.two-logouts',
  },
  {
    name: 'M97b',
    what: 'whoever finds that a user was logged out meanwhile destroys a row before the cache is told',
    weaker: { cacheIsToldFirst: false },
    caughtAs: LOGGED_OUT,
    configuration: 'users.login',
  },
]

const firstWorld = ({ sessions, actors, losses = 0 }: Configuration): World => {
  const rows = sessions.map((how) => {
    if (how === 'not there') return undefined
    const isOfNobody = how === 'of nobody'
    return {
      ...FIRST_ROW,
      data: isOfNobody ? NOBODYS_DATA : THE_USERS_DATA,
      userId: isOfNobody ? undefined : 'user',
      identifiedAt: isOfNobody ? 0 : 1,
    }
  })
  return {
    rows,
    entries: rows.map((row, index) =>
      row === undefined ? undefined : filled(row, new Uint8Array(0), lineageName(2 + index), 1),
    ),
    epoch: 0,
    seats: undefined,
    actors: actors.map((word, index): Actor => {
      const op = OPS[word[0] ?? '']
      if (op === undefined) throw new RangeError(`Nobody does ${word}`)
      return {
        ...{ name: `${word}:${index}`, op, session: Number(word[1]), becomes: Number(word[2] ?? 0) },
        ...{ at: 'start', entryFits: false },
        ...{
          recordFits: false,
          copy: undefined,
          epoch: 0,
          raises: 0,
          seats: undefined,
          ending: [],
          ended: [],
          floor: 0,
        },
      }
    }),
    ...{ raises: 0, madeAt: sessions.map(() => 0), acked: sessions.map((how) => how === 'of the user'), loggedOut: 0 },
    ...{ lineages: 2 + sessions.length, losses, wrong: undefined },
  }
}

/** Searches to the end, to the first thing that is wrong, or to the cap. */
export const searchUsers = (
  configuration: Configuration,
  weaker: Partial<Rules>,
  cap: number,
  watching: { readonly seen?: Visited; readonly meanwhile?: () => void } = {},
): Result<World> => {
  const { limit } = configuration
  const rules: Rules = {
    ...RULES,
    ...(limit === undefined ? {} : { limit: { maxSessionsPerUser: limit, onTooManySessions: 'end-oldest' } }),
    ...weaker,
  }
  return search(
    {
      first: firstWorld(configuration),
      successors: (world, emit) => successors(world, rules, emit),
      ...encoder(),
      violation: ({ wrong }) => wrong,
    },
    cap,
    watching,
  )
}
