import type { Operation, Outcome, SessionHistory } from './history.js'
import { mustSee } from './judge.js'
import type { World } from './world.js'

/*
 * Whose sessions: what the users of a schedule did, and what must hold of it. Nobody is served as a user's a session that
 * was his when he was logged out everywhere; and no user has more sessions than he may have.
 */

/** A call of `destroyByUser`, as it was seen from outside. */
export interface Logout {
  readonly order: number
  readonly user: string
  readonly process: string
  /** The session that was to stay. */
  readonly except: SessionHistory | undefined
  readonly invoked: number
  completed: number | undefined
  outcome: Outcome
}

/** A copy of a session that some call sent to a tier, by which the session becomes a user's. */
interface Identifying {
  readonly user: string
  readonly sentAt: number
  /** When its process had last read the record of the user by then, as the backend saw it. */
  readonly readAt: number
}

/** A call that makes a session a user's, or nobody's. */
interface Change {
  readonly session: SessionHistory
  readonly operation: Operation
}

type Copy = {
  readonly lineage: string
  readonly version: number
  readonly writeIds: readonly string[]
  readonly userEpoch: number
}

const NEVER = Number.NEGATIVE_INFINITY

/** The book of a schedule's users. In a world without users nothing is written in it. */
export class Users {
  readonly logouts: Logout[] = []
  readonly #world: World
  /** By process and user: when the backend carried out the last reading of his record. */
  readonly #reads = new Map<string, number>()
  /** By process and user: when it wrote his record, and whether that raised his epoch. */
  readonly #written = new Map<string, { readonly at: number; readonly isRaised: boolean }[]>()
  /** By the token that such a call writes: the user, and the key that it is written under, unless that is a new one. */
  readonly #logins = new Map<string, { readonly user: string; readonly key: string | undefined }>()
  readonly #identifying = new Map<string, Identifying[]>()
  readonly #sent = new Set<string>()
  readonly #gone = new Set<string>()
  /** Which process failed to reach which cache server, or was refused there, at some time. */
  readonly #cacheFailures = new Set<string>()
  /** All calls that changed a user, once all is over. */
  #changes: readonly Change[] | undefined
  #orders = 0

  constructor(world: World) {
    this.#world = world
  }

  // What is written down

  /** A call begins that is to make the session a user's. */
  onLogin(user: string, token: string, session: SessionHistory, isUnderNewId: boolean): void {
    this.#logins.set(token, { user, key: isUnderNewId ? undefined : session.key })
  }

  onRead(process: string, user: string): void {
    this.#reads.set(`${process} ${user}`, this.#world.clock.now)
  }

  onCacheFailure(process: string, server: string): void {
    this.#cacheFailures.add(`${process} ${server}`)
  }

  /** A call about a user failed. Whatever its process does with a session of his may have waited for it. */
  onFailure(process: string, user: string): void {
    const named = new Set(this.sessionsOf(user))
    for (const session of this.#world.sessions.values()) {
      // A session may be made for a user whose name is the token of its creation.
      if (!named.has(session) && !session.operations.some(({ token }) => token === user)) continue
      for (const operation of session.operations)
        if (operation.completed === undefined && operation.process === process)
          operation.userFailures = (operation.userFailures ?? 0) + 1
    }
  }

  onWritten(process: string, user: string, isRaised: boolean): void {
    const name = `${process} ${user}`
    const written = this.#written.get(name) ?? []
    this.#written.set(name, written)
    written.push({ at: this.#world.clock.now, isRaised })
  }

  /** A process ends a session. It counts where a login does so, to make room for another session. */
  onDestroyed(process: string, key: string): void {
    const { limit } = this.#world.config.users ?? {}
    const row = this.#world.backendServer.rows.get(key)
    const userId = row?.state === 'live' ? row.session.userId : undefined
    const underWay = [...this.#world.sessions.values()].flatMap(({ operations, key: of }) =>
      operations.filter((each) => each.completed === undefined && each.process === process && of !== key),
    )
    const isForLogin =
      limit?.onTooMany === 'end-oldest' && userId !== undefined && underWay.some(({ becomes }) => becomes === userId)
    const isForLogout = this.logouts.some((each) => each.completed === undefined && each.process === process)
    if (isForLogin && !isForLogout) this.#world.strikeFelt('oldest session ended')
  }

  /** A process sends a copy. `brought` tells which tokens its last write brought. */
  onSent(
    process: string,
    key: string,
    { lineage, version, writeIds, userEpoch }: Copy,
    brought: () => Iterable<string>,
  ): void {
    const name = `${key} ${lineage} ${version} ${writeIds.at(-1)} ${userEpoch}`
    if (this.#logins.size === 0 || this.#sent.has(name)) return
    this.#sent.add(name)
    for (const token of brought()) {
      const login = this.#logins.get(token)
      if (login === undefined || (login.key ?? key) !== key) continue
      const { user } = login
      const readAt = this.#reads.get(`${process} ${user}`) ?? NEVER
      const copies = this.#identifying.get(key) ?? []
      this.#identifying.set(key, copies)
      copies.push({ user, sentAt: this.#world.clock.now, readAt })
    }
  }

  beginLogout(process: string, user: string, except: SessionHistory | undefined): Logout {
    const logout: Logout = {
      ...{ order: this.#orders, user, process, except },
      ...{ invoked: this.#world.clock.now, completed: undefined, outcome: { is: 'unknown' } },
    }
    this.#orders += 1
    this.logouts.push(logout)
    return logout
  }

  /** A call has ended. Whoever found that a session is no more does not go on with it. */
  onCompleted({ kind, outcome, sight, client }: Operation, session: SessionHistory): void {
    if (this.#world.config.users === undefined) return
    if (kind === 'load' && outcome.is === 'ok' && sight === undefined) this.#gone.add(session.name)
    if (!client.startsWith('end')) this.judgeLimit()
  }

  isGone({ name }: SessionHistory): boolean {
    return this.#gone.has(name)
  }

  /** The sessions that may be a user's by now: some call was to make them his. */
  sessionsOf(user: string): readonly SessionHistory[] {
    const names = new Set<string>()
    return [...this.#world.sessions.values()].filter((session) => {
      const isMeant = session.operations.some(({ becomes }) => becomes === user)
      const isOf = isMeant || session.ancestors.some((name) => names.has(name))
      if (isOf) names.add(session.name)
      return isOf
    })
  }

  /** Whether the session is surely this user's, and nobody is about to change that. */
  isSurelyOf(session: SessionHistory, user: string, now: number): boolean {
    const mine = changesIn(session).at(-1)
    return (
      mine?.becomes === user &&
      mine.outcome.is === 'ok' &&
      (mine.completed ?? now) < now &&
      changesIn(session).every((each) => each === mine || (each.completed ?? now) < mine.invoked) &&
      !this.isGone(session)
    )
  }

  // What is judged

  /**
   * The calls about users that may end this session at some moment, though it is not the session that they name: a
   * logout everywhere, and a login that ends the oldest session.
   */
  endsOf(session: SessionHistory): readonly Operation[] {
    const { users } = this.#world.config
    if (users === undefined) return []
    const ends: Operation[] = []
    for (const user of users.names) {
      const mine = this.#changesOf(session, user)
      const since = Math.min(...mine.map(({ operation }) => operation.invoked))
      if (mine.length === 0) continue
      for (const logout of this.logouts)
        if (logout.user === user && since < endOf(logout) && !this.#stays(session, logout))
          ends.push(endBy(session, logout.invoked, logout.process))
      if (users.limit?.onTooMany !== 'end-oldest') continue
      for (const login of this.#changesBy(user))
        if (login.session !== session && takesASeat(login) && this.#mayLive(user, login) >= users.limit.most)
          ends.push(endBy(session, login.operation.invoked, login.operation.process))
    }
    return ends
  }

  /** Everything that can only be judged when it is over. */
  judge(): void {
    if (this.#world.config.users === undefined) return
    for (const session of this.#world.sessions.values()) {
      this.#loggedOut(session)
      this.#refused(session)
    }
  }

  /**
   * How many sessions of a user the backend has, and of how many somebody knows the id: a regeneration whose process died
   * leaves one that nobody knows, which has the seat of the old one.
   */
  countOf(user: string): { readonly all: number; readonly known: number } {
    const { epoch } = this.#world.backendServer.recordOf(user)
    const now = this.#world.epochNow()
    const keys = [...this.#world.backendServer.rows]
      .filter(
        ([, row]) =>
          row.state === 'live' &&
          row.session.userId === user &&
          row.session.userEpoch >= epoch &&
          row.session.expiresAt > now,
      )
      .map(([key]) => key)
    const known = new Set([...this.#world.sessions.values()].map(({ key }) => key))
    return { all: keys.length, known: keys.filter((key) => known.has(key)).length }
  }

  /** No user has more sessions than he may, of those that are acknowledged as his. */
  judgeLimit(): void {
    const { users, skewMs } = this.#world.config
    if (users?.limit === undefined || this.#world.clocksStepped) return
    const now = this.#world.epochNow() + 2 * skewMs
    for (const user of users.names) {
      const { epoch } = this.#world.backendServer.recordOf(user)
      const living = [...this.#world.sessions.values()].filter((session) => {
        const row = this.#world.backendServer.rows.get(session.key)
        if (row?.state !== 'live' || row.session.userId !== user || row.session.userEpoch < epoch) return false
        return row.session.expiresAt > now && this.isSurelyOf(session, user, Number.POSITIVE_INFINITY)
      })
      if (living.length > users.limit.most)
        this.#world.violated(
          'limit',
          living.at(-1)?.name ?? '-',
          `${user} has ${living.length} sessions: ${living.map(({ name }) => name).join(' ')}; he may have ${users.limit.most}`,
        )
    }
  }

  /**
   * After `destroyByUser` resolved, nobody is given a session as that user's, unless a call has made it his whose epoch
   * was read after the epoch was raised. Who looks has the same view of the cache as whoever logged him out.
   */
  #loggedOut(session: SessionHistory): void {
    const world = this.#world
    for (const logout of this.logouts) {
      const { user, process, completed, except, outcome } = logout
      if (outcome.is !== 'ok' || completed === undefined || isKin(session, except)) continue
      const raisedAt = this.#raisedAt(logout)
      const change = { process, completed, server: world.serverOf(process, session.key) }
      for (const operation of session.operations) {
        // What a regeneration gives may have been ended before its caller had the answer.
        if (operation.invoked <= completed || operation.kind === 'regenerate' || isBorn(operation)) continue
        if (operation.sight?.user !== user) continue
        if (this.#isLeftInCache(session, user, change.server, operation)) continue
        const copies = this.#copiesOf(session, user)
        const until = operation.completed ?? operation.invoked
        if (copies.some(({ sentAt, readAt }) => sentAt <= until && readAt >= raisedAt)) continue
        if (!mustSee(world, change, outcome.cacheToldOfEnd !== false, operation)) continue
        world.violated(
          'logged out',
          session.name,
          `${operation.kind} ${operation.order} gave it as ${user}'s, after logout ${logout.order} of ${user} had resolved`,
        )
      }
    }
  }

  /**
   * Whether another call may have ended the session and have told the backend, so that the session is in no listing any
   * more, but not the cache server on which the one who logs out keeps it: its process goes by another list of servers, or
   * could not reach the server.
   */
  #isLeftInCache(session: SessionHistory, user: string, server: string, { completed }: Operation): boolean {
    const isLeft = ({ process, invoked }: { readonly process: string; readonly invoked: number }): boolean => {
      const told = this.#world.serverOf(process, session.key)
      const isTold = told === server && !this.#cacheFailures.has(`${process} ${told}`)
      return invoked < (completed ?? Number.POSITIVE_INFINITY) && !isTold
    }
    const isEnd = ({ kind }: Operation): boolean => kind === 'destroy' || kind === 'regenerate'
    return (
      session.operations.some((each) => isEnd(each) && isLeft(each)) ||
      this.logouts.some((each) => each.user === user && isLeft(each)) ||
      (this.#world.config.users?.limit?.onTooMany === 'end-oldest' &&
        this.#changesBy(user).some((login) => takesASeat(login) && isLeft(login.operation)))
    )
  }

  /** How many other logins, which were refused in the end, may have had a seat before: they had no answer, and looked again. */
  #hadSeats(user: string, { operation: mine }: Change): number {
    const until = mine.completed ?? 0
    const hadOne = ({ becomes, outcome, process, invoked, completed = until }: Operation): boolean =>
      becomes === user &&
      isSurelyOut(outcome) &&
      (this.#written.get(`${process} ${user}`) ?? []).some(
        ({ at, isRaised }) => !isRaised && at >= invoked && at <= Math.min(completed, until),
      )
    const others = [...this.#world.sessions.values()].flatMap(({ operations }) => operations)
    return others.filter((each) => each !== mine && hadOne(each)).length
  }

  /** Nobody is refused for the sake of sessions that have ended. */
  #refused(session: SessionHistory): void {
    const { limit } = this.#world.config.users ?? {}
    for (const operation of session.operations) {
      const { becomes, outcome, kind, order } = operation
      if (outcome.is !== 'failed' || outcome.code !== 'E_SESSION_LIMIT') continue
      const change = { session, operation }
      const others =
        becomes === null || becomes === undefined ? 0 : this.#mayLive(becomes, change) + this.#hadSeats(becomes, change)
      if (limit?.onTooMany === 'refuse' && others >= limit.most) continue
      this.#world.violated(
        'limit',
        session.name,
        `${kind} ${order} was refused, though ${becomes} had ${others} sessions`,
      )
    }
  }

  /** How many sessions of the user may live, besides that of a login, at some moment of it. */
  #mayLive(user: string, { session: mine, operation }: Change): number {
    const until = operation.outcome.is === 'unknown' ? Number.POSITIVE_INFINITY : (operation.completed ?? 0)
    let count = 0
    for (const session of this.#world.sessions.values()) {
      // A regeneration that failed, or fails later, may have a session that nobody knows.
      count += session.operations.filter(
        (each) => each !== operation && each.kind === 'regenerate' && each.outcome.is !== 'ok' && each.invoked <= until,
      ).length
      if (session === mine || this.#changesOf(session, user).every((each) => each.operation.invoked > until)) continue
      const isOver = session.operations.some(
        ({ kind, outcome, completed = until }) =>
          (kind === 'destroy' || kind === 'regenerate') && outcome.is === 'ok' && completed < operation.invoked,
      )
      const isLoggedOut = this.logouts.some(
        (logout) =>
          logout.user === user &&
          logout.outcome.is === 'ok' &&
          !isKin(session, logout.except) &&
          endOf(logout) < operation.invoked &&
          this.#changesOf(session, user).every((each) => (each.operation.completed ?? until) < logout.invoked),
      )
      // A login that failed may keep the seat that it took for some seconds.
      const { deadlineMs, backendTimeoutMs, skewMs } = this.#world.config
      const seatMs = deadlineMs + 2 * backendTimeoutMs + 4 * skewMs
      const keepsASeat = this.#changesOf(session, user).some(
        ({ operation: { outcome, completed = until } }) =>
          outcome.is !== 'ok' && operation.invoked < completed + seatMs,
      )
      if (keepsASeat || (!isOver && !isLoggedOut)) count += 1
    }
    return count
  }

  /** It was to stay, and nothing else was going on with it. */
  #stays(session: SessionHistory, { except, user, invoked, completed }: Logout): boolean {
    if (session !== except) return false
    const mine = changesIn(session).filter((each) => each.invoked < (completed ?? Number.POSITIVE_INFINITY))
    const last = mine.at(-1)
    return (
      last?.becomes === user &&
      last.outcome.is === 'ok' &&
      (last.completed ?? invoked) < invoked &&
      mine.every((each) => each === last || (each.completed ?? invoked) < last.invoked)
    )
  }

  /** When the epoch was raised for it; of several logouts of one process at once, the first that may be meant. */
  #raisedAt({ process, user, invoked, completed = NEVER }: Logout): number {
    const within = (this.#written.get(`${process} ${user}`) ?? []).filter(({ at }) => at >= invoked && at <= completed)
    return (within.find(({ isRaised }) => isRaised) ?? within.at(-1))?.at ?? completed
  }

  #copiesOf({ key, ancestors }: SessionHistory, user: string): readonly Identifying[] {
    const keys = [key, ...ancestors.map((name) => this.#world.sessions.get(name)?.key ?? '')]
    return keys.flatMap((each) => this.#identifying.get(each) ?? []).filter((copy) => copy.user === user)
  }

  /** The calls that were to make a session this user's, or the session that it was regenerated from. */
  #changesOf({ name, ancestors }: SessionHistory, user: string): readonly Change[] {
    return this.#changesBy(user).filter(({ session }) => session.name === name || ancestors.includes(session.name))
  }

  #changesBy(user: string): readonly Change[] {
    this.#changes ??= [...this.#world.sessions.values()].flatMap((session) =>
      changesIn(session).map((operation) => ({ session, operation })),
    )
    return this.#changes.filter(({ operation }) => operation.becomes === user)
  }
}

const changesIn = ({ operations }: SessionHistory): readonly Operation[] =>
  operations.filter(({ becomes, outcome }) => becomes !== undefined && !isSurelyOut(outcome))

/** The new session of a regeneration has the seat of the one before. */
const takesASeat = ({ operation: { token, login } }: Change): boolean => token !== undefined || login !== undefined

/** The first entry in the books of a session that a regeneration gave. */
const isBorn = ({ kind, token }: Operation): boolean => kind === 'create' && token === undefined

const isSurelyOut = (outcome: Outcome): boolean =>
  outcome.is === 'failed' && outcome.applied === 'no' && outcome.code === 'E_SESSION_LIMIT'

/** Where it did not resolve, what it has sent may be carried out at any time. */
const endOf = ({ outcome, completed }: Logout): number =>
  outcome.is === 'ok' && completed !== undefined ? completed : Number.POSITIVE_INFINITY

/** One of them is the other, or was regenerated from it. */
const isKin = (one: SessionHistory, other: SessionHistory | undefined): boolean =>
  other !== undefined && (one === other || one.ancestors.includes(other.name) || other.ancestors.includes(one.name))

/** As the judge reads the end of a session: nobody knows how it came out. */
const endBy = ({ name }: SessionHistory, invoked: number, process: string): Operation => ({
  ...{ order: -1, kind: 'log out', process, client: '', session: name, token: undefined },
  ...{ invoked, completed: undefined, outcome: { is: 'unknown' }, sight: undefined },
  ...{ pausedMs: 0, cacheFailures: 0, backendFailures: 0 },
})
