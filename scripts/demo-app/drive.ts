import { type Exchange, History, nextList } from './history.js'
import { Refused, type Seen, Visitor } from './visitor.js'
import { Outcome } from './words.js'

export const USERS = 20
/** Requests that each tab of each user makes; every second one changes the session. */
const STEPS_PER_TAB = 36
const TABS = ['left', 'right']
/** The cache stays dead until so many requests were answered without it. */
const ANSWERS_WITHOUT_CACHE = 80
/** Or until this long has passed. */
const LONGEST_WITHOUT_CACHE_MS = 3_000
/** An error this long after the return of the cache is still its absence's. */
const AFTERMATH_MS = 2_000
/** A tab that was refused waits before it goes on, and in the end gives up. */
const PAUSE_AFTER_ERROR_MS = 25
const MOST_ERRORS_PER_TAB = 200

export interface DriveOptions {
  readonly url: string
  readonly processes: readonly string[]
  readonly maxStaleCount: number
  /** Resolves when the cache is dead. */
  readonly kill: () => Promise<void>
  /** Resolves when it answers again. */
  readonly restart: () => Promise<void>
}

export interface DriveReport {
  /** All that were sent. */
  readonly requests: number
  readonly answeredBy: ReadonlyMap<string, number>
  /** Changes that were acknowledged, creations not counted. */
  readonly writesSeen: number
  readonly sessions: number
  readonly lostToTheKill: number
  readonly lostBeyondBound: number
  /** The most that one session lost. */
  readonly worstLoss: number
  readonly sessionsWithLoss: number
  /** Answers that showed what the user's history does not allow. */
  readonly wrong: number
  /** What was wrong, each thing once, and not all of a great many. */
  readonly complaints: readonly string[]
  /** Errors while the cache was away, by what they said. */
  readonly errorsDuringOutage: ReadonlyMap<string, number>
  /** Errors while nothing was broken. */
  readonly errorsOtherwise: ReadonlyMap<string, number>
  /** Sessions that could not be read from every process at the end, and so were not judged to the end. */
  readonly unjudged: number
  readonly killedAfter: number
  readonly outageMs: number
  readonly answeredWithoutCache: number
  readonly durationMs: number
}

interface User {
  readonly visitor: Visitor
  readonly history: History
  readonly name: string
}

/**
 * Twenty users with two tabs each, over the entry and with real cookies; in the middle the cache is killed under
 * them and comes back empty. Every answer is judged by its user's own history.
 */
export const drive = async (options: DriveOptions): Promise<DriveReport> => {
  const startedAt = performance.now()
  const answeredBy = new Map<string, number>()
  const errorsDuringOutage = new Map<string, number>()
  const errorsOtherwise = new Map<string, number>()
  const complaints: string[] = []
  let requests = 0
  let answers = 0
  let writesSeen = 0
  let wrong = 0
  let killBeganAt = Number.POSITIVE_INFINITY
  let cacheIsBackAt = Number.POSITIVE_INFINITY

  const waiting: { readonly at: number; readonly wake: () => void }[] = []
  const answered = (count: number): Promise<void> =>
    new Promise((wake) => {
      waiting.push({ at: count, wake })
    })
  const countAnswer = (): void => {
    answers++
    for (const { at, wake } of waiting) if (answers >= at) wake()
  }

  const complain = (user: User, what: readonly string[]): void => {
    wrong++
    const complaint = `${user.name}: ${what.join('; ')}`
    if (complaints.length < 10 && !complaints.includes(complaint)) complaints.push(complaint)
  }

  const judge = (user: User, exchange: Exchange, seen: Seen): void => {
    const found = [...user.history.answered(exchange, seen.view)]
    if (user.visitor.newCookies > 1) found.push('got a new session although the old one is valid')
    if (found.length > 0) complain(user, found)
  }

  /** Sends one request; resolves with the process that answered, `undefined` if it was refused. */
  const exchange = async (
    user: User,
    write?: { readonly list: string; readonly token: string },
  ): Promise<string | undefined> => {
    const sentAt = performance.now()
    const exchange = user.history.begin(write)
    requests++
    try {
      const seen = await (write === undefined ? user.visitor.look() : user.visitor.add(write.list, write.token))
      answeredBy.set(seen.app, (answeredBy.get(seen.app) ?? 0) + 1)
      judge(user, exchange, seen)
      if (write !== undefined) writesSeen++
      countAnswer()
      return seen.app
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      user.history.failed(exchange)
      const inOutage = performance.now() >= killBeganAt && sentAt <= cacheIsBackAt + AFTERMATH_MS
      const errors = inOutage ? errorsDuringOutage : errorsOtherwise
      errors.set(whatOf(error), (errors.get(whatOf(error)) ?? 0) + 1)
      return undefined
    }
  }

  const tab = async (user: User, name: string, offset: number): Promise<void> => {
    let list = name
    let errors = 0
    let tokens = 0
    for (let step = 0; step < STEPS_PER_TAB; ) {
      const changes = (step + offset) % 2 === 0
      const write = changes ? { list, token: `${user.name}.${list}.${++tokens}` } : undefined
      if ((await exchange(user, write)) !== undefined) {
        step++
        continue
      }
      if (++errors >= MOST_ERRORS_PER_TAB) return
      if (changes) list = nextList(list)
      await new Promise((resolve) => setTimeout(resolve, PAUSE_AFTER_ERROR_MS))
    }
  }

  const users = Array.from({ length: USERS }, (_, at): User => {
    const name = `user-${at + 1}`
    return { name, visitor: new Visitor(options.url), history: new History(name) }
  })
  // One after the other: the processes have just started, and open their connections with the first requests.
  for (const user of users) {
    requests++
    const begun = user.history.begin()
    const seen = await user.visitor.login(user.name).catch((error: unknown) => {
      throw error instanceof Refused ? new Outcome(`${user.name} could not log in: ${whatOf(error)}`) : error
    })
    answeredBy.set(seen.app, (answeredBy.get(seen.app) ?? 0) + 1)
    judge(user, begun, seen)
    countAnswer()
  }

  const ended = new AbortController()
  const tabs = Promise.all(users.flatMap((user) => TABS.map((name, at) => tab(user, name, at)))).finally(() =>
    ended.abort(),
  )
  // If every tab gave up, nothing will be counted any more; then there is no point in waiting for it.
  const over = new Promise<void>((resolve) => ended.signal.addEventListener('abort', () => resolve()))

  await Promise.race([answered(USERS + Math.floor((USERS * TABS.length * STEPS_PER_TAB) / 2)), over])
  const killedAfter = answers
  killBeganAt = performance.now()
  for (const { history } of users) history.killBegins()
  await options.kill()
  for (const { history } of users) history.killEnded()
  const enough = answered(answers + ANSWERS_WITHOUT_CACHE)
  let patience: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    patience = setTimeout(resolve, LONGEST_WITHOUT_CACHE_MS)
  })
  await Promise.race([enough, late, over])
  clearTimeout(patience)
  const answeredWithoutCache = answers - killedAfter
  await options.restart()
  cacheIsBackAt = performance.now()
  await tabs

  // One after the other, so that the round-robin entry takes each user to every process.
  const reached = new Map(users.map((user) => [user, new Set<string>()]))
  for (let look = 0; look < options.processes.length * 4; look++)
    for (const user of users) {
      const apps = reached.get(user)
      if (apps === undefined || apps.size === options.processes.length) continue
      const app = await exchange(user)
      if (app !== undefined) apps.add(app)
    }

  const verdicts = users.map((user) => ({ user, verdict: user.history.verdict(options.maxStaleCount) }))
  for (const { user, verdict } of verdicts) if (verdict.complaints.length > 0) complain(user, verdict.complaints)
  const losses = verdicts.map(({ verdict }) => verdict.lost)
  return {
    requests,
    answeredBy,
    writesSeen,
    sessions: users.length,
    lostToTheKill: losses.reduce((sum, lost) => sum + lost, 0),
    lostBeyondBound: verdicts.reduce((sum, { verdict }) => sum + verdict.beyondBound, 0),
    worstLoss: Math.max(...losses),
    sessionsWithLoss: losses.filter((lost) => lost > 0).length,
    wrong,
    complaints,
    errorsDuringOutage,
    errorsOtherwise,
    unjudged: [...reached.values()].filter((apps) => apps.size < options.processes.length).length,
    killedAfter,
    outageMs: cacheIsBackAt - killBeganAt,
    answeredWithoutCache,
    durationMs: performance.now() - startedAt,
  }
}

/** `503 E_SESSION_UNAVAILABLE`, and without a status where there was no answer. */
const whatOf = ({ status, message }: Refused): string => (status === 0 ? message : `${status} ${message}`)
