import {
  type PurgeForecast,
  type PurgeForecastOptions,
  type PurgeOptions,
  type PurgeOutcome,
  purgeGraceOf,
} from '../../contract/backend.js'
import type { EpochMs } from '../../contract/time.js'
import { SessionStoreError } from '../../errors.js'
import { ofDatabaseNames, ofDropping, ofSession } from './answers.js'
import type { Databases } from './databases.js'
import type { Documents } from './documents.js'
import type { Indexes } from './indexes.js'
import { candidateMonths, isOver, type Month } from './months.js'
import type { ResolvedCouchdbOptions } from './options.js'
import { type Call, type Requests, WHO } from './requests.js'

/** What `purge` would do with a month's database. */
export interface PurgePlan extends PurgeForecast {
  readonly database: string
  /**
   * `drop`: it is over, and everything in it. `purge`: what has ended in it is removed. `refuse`: it is over by
   * `absoluteTtlMs`, and there are sessions in it that live on; what has ended in it is removed.
   */
  readonly action: 'drop' | 'purge' | 'refuse'
  /** Sessions and tombstones that would be removed. */
  readonly removable: number
  /** Sessions that are kept; where there are more than a thousand, that many. */
  readonly living: number
}

/** How many are counted by their kind before it no longer matters how many there are. */
const COUNTED = 1_000

/** The names of a hundred thousand databases, which may all be others'. */
const LARGEST_LIST = 32_000_000

/** A request removes at most this many documents. */
const LARGEST_REMOVAL = 1_000

interface Doomed {
  readonly month: Month
  readonly id: string
  readonly revision: string
  readonly endsAt: EpochMs
}

/** Drops months that are over, and removes what has ended in the others. */
export class Purge {
  readonly #requests: Requests
  readonly #databases: Databases
  readonly #documents: Documents
  readonly #indexes: Indexes
  readonly #options: ResolvedCouchdbOptions

  constructor(
    requests: Requests,
    databases: Databases,
    documents: Documents,
    indexes: Indexes,
    options: ResolvedCouchdbOptions,
  ) {
    this.#requests = requests
    this.#databases = databases
    this.#documents = documents
    this.#indexes = indexes
    this.#options = options
  }

  async plan(call: Call, { now, graceMs }: PurgeForecastOptions): Promise<readonly PurgePlan[]> {
    const plans: PurgePlan[] = []
    const grace = purgeGraceOf(graceMs)
    for (const month of await this.#months(call, now)) plans.push(await this.#planOf(call, month, now, grace))
    return plans
  }

  /** Months are dropped whole, whatever `limit` says: that costs no more for a full one than for an empty one. */
  async run(call: Call, { now, limit, graceMs }: PurgeOptions): Promise<PurgeOutcome> {
    const grace = purgeGraceOf(graceMs)
    let removed = 0
    const kept: Month[] = []
    const refused: PurgePlan[] = []
    for (const month of await this.#months(call, now)) {
      const plan = isOver(month, now, this.#options, this.#options.purgeGraceMs)
        ? await this.#planOf(call, month, now, grace)
        : undefined
      if (plan?.action === 'drop') removed += await this.#drop(call, month, plan)
      else kept.push(month)
      if (plan?.action === 'refuse') refused.push(plan)
    }
    // Tombstones wait for the grace too: the index that finds them holds the sessions as well.
    const doomed = await this.#doomed(call, kept, now - grace, limit)
    for (const month of kept) removed += await this.#remove(call, month, doomed)
    const more = doomed.length === limit
    // Said last, and only once there is nothing else to do, so that it keeps nobody from doing it.
    if (refused.length > 0 && !more) throw this.#refusal(call, refused)
    return { removed, more }
  }

  /** Oldest first. Whoever may not list databases may not drop any either, and is left the months that count now. */
  async #months(call: Call, now: EpochMs): Promise<readonly Month[]> {
    const answer = await this.#requests.send(
      call,
      { method: 'get', path: '_all_dbs', maxBytes: LARGEST_LIST },
      ofDatabaseNames,
    )
    if (answer.is === 'forbidden') return [...candidateMonths(now, this.#options)].reverse()
    const months = answer.names.map((name) => this.#options.names.monthOf(name))
    const ours = months.filter((month) => month !== undefined).sort()
    // An empty list is what something else could answer too.
    if (ours.length === 0) await this.#requests.send(call, WHO, ofSession)
    return ours
  }

  async #planOf(call: Call, month: Month, now: EpochMs, graceMs: number): Promise<PurgePlan> {
    const database = this.#databases.nameOf(month)
    const over = isOver(month, now, this.#options, this.#options.purgeGraceMs)
    // What was born in a month that is over can be in use nowhere, so nothing in it needs a grace.
    const until = over ? now : now - graceMs
    const removable = await this.#indexes.count(call, month, 'ends', { endkey: until })
    const lasting = await this.#indexes.rows(call, month, 'ends', { startkey: Math.floor(until) + 1, limit: COUNTED })
    const living = lasting.filter(({ value }) => kindOf(value) === 'session').length
    if (!over) return { database, action: 'purge', removable, living }
    if (living > 0) return { database, action: 'refuse', removable, living }
    // A tombstone that is asked to last longer than its month is waited for.
    return { database, action: lasting.length > 0 ? 'purge' : 'drop', removable, living }
  }

  async #drop(call: Call, month: Month, { removable }: PurgePlan): Promise<number> {
    const request = { method: 'delete', db: this.#databases.nameOf(month) } as const
    const { is } = await this.#requests.send(call, request, ofDropping, { isChange: true })
    this.#databases.forget(month)
    return is === 'dropped' ? removable : 0
  }

  async #doomed(call: Call, months: readonly Month[], now: EpochMs, limit: number): Promise<readonly Doomed[]> {
    const doomed: Doomed[] = []
    for (const month of months)
      for (const { id, key, value } of await this.#indexes.rows(call, month, 'ends', { endkey: now, limit }))
        doomed.push({ month, id, revision: revisionOf(value), endsAt: Number(key) })
    return doomed.sort((one, other) => one.endsAt - other.endsAt).slice(0, limit)
  }

  /** One that was extended or removed since it was seen is left alone: its revision is another. */
  async #remove(call: Call, month: Month, doomed: readonly Doomed[]): Promise<number> {
    const those = doomed.filter((one) => one.month === month)
    let removed = 0
    for (let start = 0; start < those.length; start += LARGEST_REMOVAL)
      removed += await this.#documents.remove(call, month, those.slice(start, start + LARGEST_REMOVAL))
    return removed
  }

  #refusal(call: Call, refused: readonly PurgePlan[]): SessionStoreError {
    const { tier, operation } = this.#requests.context(call)
    const which = refused.map(({ database, living }) => {
      const count =
        living === COUNTED ? `${living} sessions or more` : living === 1 ? '1 session' : `${living} sessions`
      return `${database} with ${count}`
    })
    return new SessionStoreError(
      'E_CONFIG',
      `${tier} keeps ${which.join(', ')} that live longer than \`absoluteTtlMs\` of couchdb() says; all else was purged`,
      { tier, operation },
    )
  }
}

const kindOf = (value: unknown): unknown => (Array.isArray(value) ? value[0] : undefined)

const revisionOf = (value: unknown): string => (Array.isArray(value) ? String(value[1]) : '')
