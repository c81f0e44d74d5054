import type { EpochMs, Runtime } from '../../contract/time.js'
import { DESIGN, DESIGN_ID } from './design.js'
import { contractError, missing, RequestFailed } from './faults.js'
import { birthMonths, candidateMonths, type Month, monthAhead } from './months.js'
import type { ResolvedCouchdbOptions } from './options.js'
import type { Call, Requests } from './requests.js'

/** Making a database takes several requests, and a cluster its time. */
const MAKING_TIMEOUT_MS = 30_000

/** After how long a failed making ahead is tried again: there are days for it. */
const AHEAD_AGAIN_MS = 600_000

const MAKING = { isChange: true, isRepeatable: true } as const

/** The databases of the months: their names, and their making, once per process and month. */
export class Databases {
  readonly #requests: Requests
  readonly #options: ResolvedCouchdbOptions
  readonly #making = new Map<Month, Promise<void>>()
  /** Made, or seen to be there. */
  readonly #known = new Set<Month>()
  /** Not to be tried ahead before this moment. */
  #aheadAt: EpochMs = 0

  constructor(requests: Requests, options: ResolvedCouchdbOptions) {
    this.#requests = requests
    this.#options = options
  }

  nameOf(month: Month): string {
    return this.#options.names.of(month)
  }

  /**
   * Makes a database that a change needs and that is not there.
   *
   * @throws RequestFailed `E_BACKEND_SCHEMA` where that is not for this program to do: an id's month alone is no
   *   reason, only a month in which a session can be born now
   */
  async make(call: Call, month: Month): Promise<void> {
    const { createDatabases, runtime } = this.#options
    this.#known.delete(month)
    if (!createDatabases || !this.isBornIn(month)) throw this.missing(call, month)
    try {
      await within(runtime, call.deadline.remainingMs(), this.#makeOnce(month))
    } catch (cause) {
      if (isForbidden(cause)) throw this.missing(call, month, cause)
      throw this.#requests.untouched(call, 'the database of the month could not be made', contractError(cause))
    }
  }

  /** Whether a session can be born in the month now. */
  isBornIn(month: Month): boolean {
    return birthMonths(this.#options.runtime.now(), this.#options).includes(month)
  }

  /** What to reject with where a month's database is not there and will not be made. */
  missing(call: Call, month: Month, cause?: unknown, what = 'the database'): RequestFailed {
    const cure = 'call `setUp()` as a server administrator, once a month'
    return missing(`${what} ${this.nameOf(month)}`, cure, this.#requests.context(call), contractError(cause))
  }

  /** Whether the database is there, as far as it matters: one that programs make by themselves may be missing. */
  async assertThere(call: Call, month: Month): Promise<void> {
    if (this.#options.createDatabases || this.#known.has(month) || !this.isBornIn(month)) return
    const { status } = await this.#requests.send(call, { method: 'get', db: this.nameOf(month) }, { expect: [404] })
    if (status === 404) throw this.missing(call, month)
    this.#known.add(month)
  }

  /** Makes the next month's database some days before it is needed, beside the calls; once per process and month. */
  makeAhead(): void {
    const { createDatabases, runtime, log } = this.#options
    const now = runtime.now()
    const month = createDatabases ? monthAhead(now) : undefined
    if (month === undefined || this.#known.has(month) || now < this.#aheadAt) return
    this.#aheadAt = now + AHEAD_AGAIN_MS
    this.#makeOnce(month).catch((raised) => {
      log(`${this.nameOf(month)} could not be made ahead: ${reasonOf(contractError(raised))}`)
    })
  }

  /** Makes what can be needed now, and the next month's. @throws RequestFailed */
  async setUp(): Promise<void> {
    const now = this.#options.runtime.now()
    const months = new Set([
      ...candidateMonths(now, this.#options),
      monthAhead(now) ?? candidateMonths(now, this.#options)[0],
    ])
    for (const month of months) if (month !== undefined) await this.#makeOnce(month)
  }

  /** Puts the indexes where they are missing, as in a database that somebody made by hand. @throws RequestFailed */
  async putIndexes(call: Call, month: Month): Promise<void> {
    const at = { db: this.nameOf(month), path: DESIGN_ID }
    const { status } = await this.#requests.send(call, { method: 'get', ...at }, { expect: [404] })
    if (status !== 404) return
    const request = { method: 'put', ...at, body: DESIGN } as const
    try {
      await this.#requests.send(call, request, { ...MAKING, expect: [202, 404, 409] })
    } catch (raised) {
      if (isForbidden(raised)) throw this.missing(call, month, raised, 'the indexes of')
      throw raised
    }
  }

  #makeOnce(month: Month): Promise<void> {
    const underWay = this.#making.get(month)
    if (underWay !== undefined) return underWay
    const making = this.#make(month).finally(() => this.#making.delete(month))
    this.#making.set(month, making)
    return making
  }

  async #make(month: Month): Promise<void> {
    const call = this.#requests.call('set up', false, MAKING_TIMEOUT_MS)
    const db = this.nameOf(month)
    const { status } = await this.#requests.send(call, { method: 'get', db }, { expect: [404] })
    // 412: another process was faster.
    if (status === 404) await this.#requests.send(call, { method: 'put', db }, { ...MAKING, expect: [202, 412] })
    // Also for one that was there, since whoever made it may have died over the rest.
    await this.#secure(call, month, status === 404)
    await this.putIndexes(call, month)
    this.#known.add(month)
  }

  /** Lets the members in and all others not; names that somebody else put there stay. */
  async #secure(call: Call, month: Month, isOurs: boolean): Promise<void> {
    const { members } = this.#options
    if (members.length === 0) return
    const at = { db: this.nameOf(month), path: '_security' }
    const { body } = await this.#requests.send(call, { method: 'get', ...at })
    const standing = (body['members'] as { readonly names?: readonly unknown[] } | undefined)?.names ?? []
    if (standing.length > 0) return
    const security = { admins: { names: [], roles: ['_admin'] }, members: { names: members, roles: ['_admin'] } }
    try {
      await this.#requests.send(call, { method: 'put', ...at, body: security }, { ...MAKING, expect: [202] })
    } catch (raised) {
      // One that an administrator made for all who may connect is theirs to close.
      if (isOurs || !isForbidden(raised)) throw raised
    }
  }
}

const isForbidden = (raised: unknown): boolean =>
  raised instanceof RequestFailed && raised.fault.kind === 'refused' && /HTTP 40[13]/.test(raised.fault.error.message)

const reasonOf = (raised: unknown): string => (raised instanceof Error ? raised.message : String(raised))

const within = async <Result>(runtime: Runtime, ms: number, promise: Promise<Result>): Promise<Result> => {
  let cancel = (): void => {}
  const late = new Promise<never>((_, reject) => {
    cancel = runtime.after(ms, () => reject(new Error('it is still being made')))
  })
  return Promise.race([promise, late]).finally(() => cancel())
}
