import { isError } from '../../tools/is-error.js'
import { within } from '../../tools/waiting.js'
import {
  type DatabaseThere,
  type NoDatabase,
  ofCopies,
  ofDatabase,
  ofDocument,
  ofMaking,
  ofPutting,
  ofSecurity,
  ofSession,
  type Reader,
} from './answers.js'
import { DESIGN, DESIGN_ID } from './design.js'
import { contractError, gone, missing, RequestFailed, unfit, unproven } from './faults.js'
import { birthMonths, candidateMonths, type Month, monthAhead, monthAt, type Shelf, USERS } from './months.js'
import type { ResolvedCouchdbOptions } from './options.js'
import { type Call, type Manner, type Requests, WHO } from './requests.js'
import type { Request } from './transport.js'

/** Making a database takes several requests, and a cluster its time. */
const MAKING_TIMEOUT_MS = 30_000

/** After how long a failed making ahead is tried again: there are days for it. */
const AHEAD_AGAIN_MS = 600_000

/** How long it is believed of a database that programs make by themselves that it is not there. */
const LACKING_MS = 60_000

/** Of so many of its last revisions a document remembers the names; every flush makes one. */
const REVISIONS = 50

const MAKING = { isChange: true, isRepeatable: true } as const

/** Our databases: their names, their making, and what may be believed of one that is not there. */
export class Databases {
  readonly #requests: Requests
  readonly #options: ResolvedCouchdbOptions
  readonly #making = new Map<Shelf, Promise<void>>()
  /** Those that something was heard of. One of them that is missing is no absence of what is in it. */
  readonly #seen = new Set<Shelf>()
  /** Those that said how many copies they keep, and keep no more than they may. */
  readonly #copies = new Map<Shelf, number>()
  /** Those that were shown to be missing, and until when that is believed, by the monotonic clock. */
  readonly #lacking = new Map<Shelf, number>()
  /** Not to be tried ahead before this, by the monotonic clock. */
  #aheadAt = 0

  constructor(requests: Requests, options: ResolvedCouchdbOptions) {
    this.#requests = requests
    this.#options = options
    requests.onLookingBack((at, call) => this.assertServes(at, call))
  }

  nameOf(shelf: Shelf): string {
    return this.#options.names.of(shelf)
  }

  /** How many copies of a document are kept; 1 for a database of which nothing is known. */
  copiesOf(shelf: Shelf): number {
    return this.#copies.get(shelf) ?? 1
  }

  /**
   * Asks about what is in a database. That something is not there is believed only of a database that has said
   * its name, and that there is no database only where most of the servers say so, and none that it is.
   *
   * @throws RequestFailed
   */
  async ask<Answer extends { readonly is: string }>(
    call: Call,
    shelf: Shelf,
    request: Request,
    read: Reader<Answer | NoDatabase>,
    manner: Manner = {},
  ): Promise<Answer | NoDatabase> {
    const db = this.nameOf(shelf)
    const answer = await this.#requests.send(call, { ...request, db }, read, { ...manner, ...this.#known(shelf) })
    if (answer.is === 'no-database') {
      const isElsewhere = await this.#isElsewhere(call, shelf)
      return isElsewhere ? this.ask(call, shelf, request, read, manner) : answer
    }
    if (answer.is === 'document' || answer.is === 'leaves') this.#seen.add(shelf)
    else if (!(await this.isThere(call, shelf)))
      throw unproven(`it told of what is in the database ${db}, and lacks it`, this.#requests.context(call))
    return answer
  }

  /**
   * Whether a database is there, and fit to be written to; asked once.
   *
   * @throws RequestFailed `E_BACKEND_SCHEMA` for one that keeps more copies than it may
   */
  async isThere(call: Call, shelf: Shelf): Promise<boolean> {
    if (this.#copies.has(shelf)) return true
    const db = this.nameOf(shelf)
    const answer = await this.#requests.send(call, { method: 'get', db }, ofDatabase(db), this.#known(shelf))
    if (answer.is === 'no-database') return false
    this.#note(call, shelf, answer)
    return true
  }

  /** It was dropped as one that is over. */
  forget(shelf: Shelf): void {
    this.#seen.delete(shelf)
    this.#copies.delete(shelf)
    this.#lacking.delete(shelf)
  }

  /**
   * Makes a database that a change needs and that is not there.
   *
   * @throws RequestFailed `E_BACKEND_SCHEMA` where that is not for this program to do: an id's month alone is no
   *   reason, only a month in which a session can be born now, or a record of a user
   */
  async make(call: Call, shelf: Shelf): Promise<void> {
    const { createDatabases, runtime } = this.#options
    if (!createDatabases || !this.#isOursToMake(shelf)) throw this.#missing(call, shelf)
    try {
      await within(runtime, call.deadline.leftMs(), this.#makeOnce(shelf), () => new Error('it is still being made'))
    } catch (cause) {
      if (isForbidden(cause)) throw this.#missing(call, shelf, cause)
      // It is asked once more, so that what is wrong is said in the words of this call.
      if (isFault(cause, 'unfit') && (await this.isThere(call, shelf))) return
      const because = `the database could not be made: ${reasonOf(contractError(cause))}`
      throw this.#requests.untouched(call, because, contractError(cause))
    }
  }

  /** Whether a session can be born in the month now. */
  isBornIn(month: Month): boolean {
    return birthMonths(this.#options.runtime.now(), this.#options).includes(month)
  }

  /** Whether programs make it by themselves when a change needs it. */
  #isOursToMake(shelf: Shelf): boolean {
    return shelf === USERS || this.isBornIn(shelf)
  }

  /** Makes the next month's database some days before it is needed, beside the calls; once per process and month. */
  makeAhead(): void {
    const { createDatabases, runtime, log } = this.#options
    const month = createDatabases ? monthAhead(runtime.now()) : undefined
    if (month === undefined || this.#copies.has(month) || runtime.monotonicMs() < this.#aheadAt) return
    this.#aheadAt = runtime.monotonicMs() + AHEAD_AGAIN_MS
    this.#makeOnce(month).catch((raised) => {
      log(`${this.nameOf(month)} could not be made ahead: ${reasonOf(contractError(raised))}`)
    })
  }

  /**
   * Makes what can be needed now, the users' among it, and the next month's; also what was there and is gone, since
   * whoever calls this has been told so. @throws RequestFailed
   */
  async setUp(): Promise<void> {
    const now = this.#options.runtime.now()
    const next = monthAhead(now)
    const shelves = [USERS, ...candidateMonths(now, this.#options), ...(next === undefined ? [] : [next])]
    for (const shelf of new Set<Shelf>(shelves)) {
      this.forget(shelf)
      await this.#makeOnce(shelf)
    }
  }

  /** Puts the indexes where they are missing, as in a database that somebody made by hand. @throws RequestFailed */
  async putIndexes(call: Call, month: Month): Promise<void> {
    const at = { db: this.nameOf(month), path: DESIGN_ID }
    const known = { mustExist: at.db }
    const { is } = await this.#requests.send(call, { method: 'get', ...at }, ofDocument(DESIGN_ID), known)
    if (is === 'document') return
    try {
      await this.#requests.send(call, { method: 'put', ...at, body: DESIGN }, ofPutting, { ...MAKING, ...known })
    } catch (raised) {
      if (isForbidden(raised)) throw this.missingIndexes(call, month, raised)
      throw raised
    }
  }

  /** What to reject with where a database has no indexes, and does not get any. */
  missingIndexes(call: Call, month: Month, cause?: unknown): RequestFailed {
    return this.#missing(call, month, cause, 'the indexes of')
  }

  /**
   * Whether one of the servers gives what the store needs at this moment: CouchDB, a user whom it lets in, and this
   * month's database and that of the users, or the right to make them.
   *
   * @returns what is to be known of it all the same
   * @throws RequestFailed
   */
  async assertServes(at: number, call: Call): Promise<string | undefined> {
    const known = await this.#assertGives(at, call, monthAt(this.#options.runtime.now()))
    return (await this.#assertGives(at, call, USERS)) ?? known
  }

  async #assertGives(at: number, call: Call, shelf: Shelf): Promise<string | undefined> {
    const db = this.nameOf(shelf)
    const answer = await this.#requests.sendTo(at, call, { method: 'get', db }, ofDatabase(db), this.#known(shelf))
    if (answer.is === 'database') return this.#note(call, shelf, answer)
    const { isAdministrator } = await this.#requests.sendTo(at, call, WHO, ofSession)
    if (!this.#options.createDatabases || !isAdministrator) throw this.#missing(call, shelf)
    // Another server that has it may have been asked at the same time.
    if (await this.#hasAnother(call, shelf)) throw gone(db, this.#requests.context(call))
    return undefined
  }

  /**
   * Keeps in mind what a database has said of itself.
   *
   * @returns what is to be known of it all the same
   * @throws RequestFailed `E_BACKEND_SCHEMA` for one that keeps more copies than it may
   */
  #note(call: Call, shelf: Shelf, { copies }: DatabaseThere): string | undefined {
    this.#seen.add(shelf)
    this.#lacking.delete(shelf)
    const { replicas } = this.#options
    const what = `${this.nameOf(shelf)} keeps ${copies} copies of each document (n = ${copies})`
    if (copies > replicas)
      throw unfit(
        what,
        'nothing can be promised of it: replace it by one that was made with `?n=1`, as docs/couchdb.md tells, or say ' +
          `\`replicas: ${copies}\` to do without the promises`,
        this.#requests.context(call),
      )
    this.#copies.set(shelf, copies)
    return copies > 1 ? `${what}: what is promised holds for n = 1 only` : undefined
  }

  #known(shelf: Shelf): Manner {
    return this.#seen.has(shelf) ? { mustExist: this.nameOf(shelf) } : {}
  }

  /**
   * Whether a database, which the server that was asked first lacks, is on another one.
   *
   * @throws RequestFailed where it cannot be said, or where it is missing and must not be
   */
  async #isElsewhere(call: Call, shelf: Shelf): Promise<boolean> {
    const { createDatabases, runtime } = this.#options
    if (runtime.monotonicMs() < (this.#lacking.get(shelf) ?? 0)) return false
    // A path of the URL that leads elsewhere can give the same words about databases, but not this answer.
    await this.#requests.send(call, WHO, ofSession)
    if (await this.#hasAnother(call, shelf)) return true
    // One that programs make by themselves may be missing, and one of a month that is past.
    if (!createDatabases && this.#isOursToMake(shelf)) throw this.#missing(call, shelf)
    const until = this.#isOursToMake(shelf) ? runtime.monotonicMs() + LACKING_MS : Number.POSITIVE_INFINITY
    // Of several servers one may not have heard yet of what was made on another. A session that was created there is
    // missed for a moment; a user who was logged out there must not be missed.
    if (shelf !== USERS || this.#requests.servers.length === 1) this.#lacking.set(shelf, until)
    return false
  }

  /**
   * Asks all servers of a list for a database that one of them lacks. That one may not have joined the cluster, and what
   * it makes by itself would be a second truth. A database that another has is missed by this one from now on.
   *
   * @throws RequestFailed if no more than half of them could be asked
   */
  async #hasAnother(call: Call, shelf: Shelf): Promise<boolean> {
    const { servers } = this.#requests
    // One that is alone has said it already.
    if (servers.length === 1) return false
    const db = this.nameOf(shelf)
    const ms = call.deadline.leftMs() / 2
    const answers = await Promise.allSettled(
      servers.map((_, at) => this.#requests.sendTo(at, call, { method: 'get', db }, ofDatabase(db), {}, ms)),
    )
    const said = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value.is] : []))
    if (said.includes('database')) {
      this.#seen.add(shelf)
      return true
    }
    if (said.length * 2 > servers.length) return false
    const because = `the database ${db} is lacking, and too few of the other servers could be asked for it`
    throw unproven(because, this.#requests.context(call))
  }

  /** What to reject with where a database is not there and will not be made. */
  #missing(call: Call, shelf: Shelf, cause?: unknown, what = 'the database'): RequestFailed {
    const cure = 'call `setUp()` as a server administrator, once a month'
    return missing(`${what} ${this.nameOf(shelf)}`, cure, this.#requests.context(call), contractError(cause))
  }

  #makeOnce(shelf: Shelf): Promise<void> {
    const underWay = this.#making.get(shelf)
    if (underWay !== undefined) return underWay
    const making = this.#make(shelf).finally(() => this.#making.delete(shelf))
    this.#making.set(shelf, making)
    return making
  }

  async #make(shelf: Shelf): Promise<void> {
    const call = this.#requests.call('set up', false, MAKING_TIMEOUT_MS)
    const db = this.nameOf(shelf)
    const isOurs = !(await this.isThere(call, shelf)) && (await this.#put(call, shelf))
    // Also for one that was there, since whoever made it may have died over the rest.
    await this.#secure(call, shelf, isOurs)
    if (isOurs) await this.#forgetRevisions(call, shelf)
    // Records of users need no indexes: they are asked for by name alone.
    if (shelf !== USERS && !isOurs) await this.putIndexes(call, shelf)
    else if (shelf !== USERS)
      await this.#requests.send(call, { method: 'put', db, path: DESIGN_ID, body: DESIGN }, ofPutting, MAKING)
    // A rule of the server's about placement overrides the number that was asked for.
    if (isOurs) this.#note(call, shelf, await this.#requests.send(call, { method: 'get', db }, ofCopies))
    else if (!(await this.isThere(call, shelf))) throw gone(db, this.#requests.context(call))
  }

  /** Whether it was made here, and not by another process that was faster. */
  async #put(call: Call, shelf: Shelf): Promise<boolean> {
    // With what is known now, the servers that lack it are passed over.
    if (await this.#hasAnother(call, shelf)) return !(await this.isThere(call, shelf))
    const request = { method: 'put', db: this.nameOf(shelf), qs: { n: this.#options.replicas } } as const
    const { is } = await this.#requests.send(call, request, ofMaking, MAKING)
    this.#seen.add(shelf)
    return is === 'made'
  }

  /** Lets the members in and all others not; names that somebody else put there stay. */
  async #secure(call: Call, shelf: Shelf, isOurs: boolean): Promise<void> {
    const { members } = this.#options
    if (members.length === 0) return
    const at = { db: this.nameOf(shelf), path: '_security' }
    if (!isOurs && (await this.#requests.send(call, { method: 'get', ...at }, ofSecurity)).members.length > 0) return
    const security = { admins: { names: [], roles: ['_admin'] }, members: { names: members, roles: ['_admin'] } }
    try {
      await this.#requests.send(call, { method: 'put', ...at, body: security }, ofPutting, MAKING)
    } catch (raised) {
      // One that an administrator made for all who may connect is theirs to close.
      if (isOurs || !isForbidden(raised)) throw raised
    }
  }

  /** Without it each busy session carries the names of a thousand revisions. A database works without it. */
  async #forgetRevisions(call: Call, shelf: Shelf): Promise<void> {
    const request = { method: 'put', db: this.nameOf(shelf), path: '_revs_limit', body: REVISIONS } as const
    try {
      await this.#requests.send(call, request, ofPutting, MAKING)
    } catch (raised) {
      if (!(raised instanceof RequestFailed)) throw raised
      this.#options.log(`${request.db} keeps the names of more than ${REVISIONS} revisions: ${raised.message}`)
    }
  }
}

const isFault = (raised: unknown, kind: RequestFailed['fault']['kind']): raised is RequestFailed =>
  raised instanceof RequestFailed && raised.fault.kind === kind

const isForbidden = (raised: unknown): boolean =>
  isFault(raised, 'refused') && /HTTP 40[13]/.test(raised.fault.error.message)

const reasonOf = (raised: unknown): string => (isError(raised) ? raised.message : String(raised))
