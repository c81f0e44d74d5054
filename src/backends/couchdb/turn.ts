import type { EpochMs } from '../../contract/time.js'
import { ofDocument, ofWrite } from './answers.js'
import type { Databases } from './databases.js'
import type { Revision } from './document.js'
import { RequestFailed } from './faults.js'
import type { Month } from './months.js'
import type { ResolvedCouchdbOptions } from './options.js'
import type { Call } from './requests.js'

/** It is in no index, in no replica and in no list of documents. */
const ID = '_local/nonstick-purge'

/** For how long a turn is taken: longer than the call can last for which it is taken. */
export const TURN_MS = 120_000

/**
 * Sees to it that one process purges at a time, by a document that says until when somebody does. No removal depends on
 * it, as each names the revision that it removes. So where the document cannot be had, a purge goes on without it.
 */
export class Turn {
  readonly #databases: Databases
  readonly #options: Pick<ResolvedCouchdbOptions, 'runtime' | 'maxClockSkewMs'>

  constructor(databases: Databases, options: Pick<ResolvedCouchdbOptions, 'runtime' | 'maxClockSkewMs'>) {
    this.#databases = databases
    this.#options = options
  }

  /**
   * Does the work, unless another process has its turn: then resolves to `undefined`. A process that died over its turn
   * keeps it for `TURN_MS` at most.
   *
   * @param month in whose database the document is
   */
  async run<Result>(call: Call, month: Month, work: () => Promise<Result>): Promise<Result | undefined> {
    const taken = await this.#take(call, month)
    if (taken === 'another') return undefined
    try {
      return await work()
    } finally {
      // Where this fails, the turn ends by itself.
      if (taken !== 'nobody') await this.#write(call, month, taken, 0).catch(() => {})
    }
  }

  /** The revision under which the turn is ours. `nobody`: there is no document to be had, so that nobody takes turns. */
  async #take(call: Call, month: Month): Promise<Revision | 'another' | 'nobody'> {
    const now = this.#options.runtime.now()
    try {
      const found = await this.#databases.ask(call, month, { method: 'get', path: ID }, ofDocument(ID))
      if (found.is === 'no-database') return 'nobody'
      const standing = found.is === 'document' ? found.document : undefined
      if (this.#isTaken(standing?.['until'], now)) return 'another'
      const revision = typeof standing?.['_rev'] === 'string' ? standing['_rev'] : undefined
      return await this.#write(call, month, revision, now + TURN_MS)
    } catch (raised) {
      const isThere = !(raised instanceof RequestFailed && ['refused', 'schema'].includes(raised.fault.kind))
      if (isThere) throw raised
      return 'nobody'
    }
  }

  /** A moment that is too far ahead is one of a clock that was wrong. */
  #isTaken(until: unknown, now: EpochMs): boolean {
    return typeof until === 'number' && until > now && until <= now + TURN_MS + this.#options.maxClockSkewMs
  }

  async #write(
    call: Call,
    month: Month,
    revision: Revision | undefined,
    until: EpochMs,
  ): Promise<Revision | 'another' | 'nobody'> {
    const body = { _id: ID, ...(revision === undefined ? {} : { _rev: revision }), until }
    const request = { method: 'put', path: ID, body } as const
    const answer = await this.#databases.ask(call, month, request, ofWrite(ID), { isChange: true })
    if (answer.is === 'no-database') return 'nobody'
    return answer.is === 'written' ? answer.revision : 'another'
  }
}
