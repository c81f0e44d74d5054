import type { CacheKey, Locator } from '../../contract/locator.js'
import { isSessionStoreError, type SessionStoreError } from '../../errors.js'
import { isError } from '../../tools/is-error.js'
import type { Content, FoundLeaf, Leaf, Revision } from './document.js'
import type { Documents, WriteResult, Written } from './documents.js'
import { RequestFailed, refusedValue } from './faults.js'
import type { Month } from './months.js'
import { partsOf } from './parts.js'
import type { Places } from './places.js'
import type { Call, Requests } from './requests.js'

/** What an entry's document is to become, and over which leaf. */
export interface Replacement {
  readonly month: Month
  readonly revision: Revision
  readonly content: Content
}

/** One kind of write of many entries. What it throws of an entry is the failure of that entry alone. */
export interface WritePlan<Entry, Outcome> {
  /** The replacement of a leaf that the caller has seen itself, which needs no look; `undefined` if it has not. */
  readonly unseen: (entry: Entry) => Replacement | undefined
  /** Over what was found to stand there: what to put, or the outcome where nothing is to be put. */
  readonly judge: (
    entry: Entry,
    found: FoundLeaf | undefined,
  ) => { readonly put: Replacement } | { readonly outcome: Outcome }
  readonly written: (entry: Entry, replacement: Replacement, revision: Revision) => Outcome
  readonly failed: (error: SessionStoreError) => Outcome
}

/** Whom to ask, and by when. */
export interface Desk {
  readonly requests: Requests
  readonly documents: Documents
  readonly places: Places
  readonly call: Call
}

/** A look brings the data along, so it is at fewer at once. */
const LARGEST_LOOK = 50

/** A document that changes between the look and the write is tried again this often. */
const ROUNDS = 32

const BEFORE_ITS_TURN = 'the connection failed before its turn'

/**
 * One outcome per entry, in the order given. A round looks at the documents whose leaf nobody has seen, and writes what
 * may be written; who met another's write is looked at in the next round.
 *
 * @throws SessionStoreError when no server answered to any of them
 */
export const writeAll = <Entry extends { readonly locator: Locator }, Outcome>(
  desk: Desk,
  entries: readonly Entry[],
  plan: WritePlan<Entry, Outcome>,
): Promise<readonly Outcome[]> => new Batch(desk, plan).run(entries)

interface Item<Entry> {
  readonly entry: Entry
  /** Its place in the caller's list. */
  readonly index: number
  readonly key: CacheKey
}

/** An entry with what is to be sent for it. */
interface Ready<Entry> {
  readonly item: Item<Entry>
  readonly put: Replacement
}

class Batch<Entry extends { readonly locator: Locator }, Outcome> {
  readonly #desk: Desk
  readonly #plan: WritePlan<Entry, Outcome>
  readonly #outcomes = new Map<number, Outcome>()
  /** A server said something about at least one entry. */
  #answered = false
  /** Why there is no use in going on. */
  #broken: SessionStoreError | undefined

  constructor(desk: Desk, plan: WritePlan<Entry, Outcome>) {
    this.#desk = desk
    this.#plan = plan
  }

  async run(entries: readonly Entry[]): Promise<readonly Outcome[]> {
    let ready: Ready<Entry>[] = []
    let unseen: readonly Item<Entry>[] = entries.map((entry, index) => ({ entry, index, key: entry.locator.key }))
    unseen = unseen.filter((item) =>
      this.#try(item, () => {
        const put = this.#plan.unseen(item.entry)
        if (put !== undefined) ready.push({ item, put })
        return put === undefined
      }),
    )
    for (let round = 1; round <= ROUNDS && unseen.length + ready.length > 0; round++) {
      ready.push(...(await this.#look(unseen)))
      unseen = await this.#write(ready)
      ready = []
    }
    this.#failAll(unseen, this.#untouched('what stands there keeps changing'))
    if (!this.#answered && this.#broken !== undefined) throw this.#broken
    return entries.map((_, index) => this.#outcomes.get(index) as Outcome)
  }

  /** Finds the leaf of each, newest month first, and judges it. */
  async #look(items: readonly Item<Entry>[]): Promise<readonly Ready<Entry>[]> {
    const ready: Ready<Entry>[] = []
    let left = items.map((item) => ({ item, months: this.#desk.places.candidatesOf(item.entry.locator) }))
    while (left.length > 0) {
      const asking = new Map<Month, (typeof left)[number][]>()
      for (const looking of left) {
        const [month] = looking.months
        if (month === undefined) this.#judge(looking.item, undefined, ready)
        else push(asking, month, looking)
      }
      left = []
      for (const [month, those] of asking)
        for (let start = 0; start < those.length; start += LARGEST_LOOK) {
          const part = those.slice(start, start + LARGEST_LOOK)
          const leaves = await this.#lookIn(
            month,
            part.map(({ item }) => item),
          )
          if (leaves === undefined) continue
          for (const { item, months } of part) {
            const leaf = leaves.get(item.key)
            if (leaf === undefined || leaf.kind === 'moved') left.push({ item, months: months.slice(1) })
            else this.#judge(item, { month, leaf }, ready)
          }
        }
    }
    return ready
  }

  /** `undefined` if it could not be asked; then all of them have failed. */
  async #lookIn(month: Month, items: readonly Item<Entry>[]): Promise<ReadonlyMap<CacheKey, Leaf> | undefined> {
    const { documents, call } = this.#desk
    if (this.#broken !== undefined) this.#failAll(items, this.#untouched(BEFORE_ITS_TURN))
    else
      try {
        const leaves = await documents.look(
          call,
          month,
          items.map(({ key }) => key),
        )
        this.#answered = true
        return leaves
      } catch (raised) {
        this.#failAll(items, this.#brokenBy(raised))
      }
    return undefined
  }

  #judge(item: Item<Entry>, found: FoundLeaf | undefined, ready: Ready<Entry>[]): void {
    const { places } = this.#desk
    if (found !== undefined) places.remember(item.entry.locator, found.month)
    this.#try(item, () => {
      const judged = this.#plan.judge(item.entry, found)
      if ('put' in judged) ready.push({ item, put: judged.put })
      else this.#outcomes.set(item.index, judged.outcome)
      return true
    })
  }

  /** Gives those that met another's write. */
  async #write(ready: readonly Ready<Entry>[]): Promise<readonly Item<Entry>[]> {
    const months = new Map<Month, Ready<Entry>[]>()
    for (const one of ready) push(months, one.put.month, one)
    const conflicts: Item<Entry>[] = []
    for (const [month, those] of months)
      for (const part of partsOf(those, ({ put }) => put.content))
        conflicts.push(...(await this.#writePart(month, part)))
    return conflicts
  }

  async #writePart(month: Month, part: readonly Ready<Entry>[]): Promise<readonly Item<Entry>[]> {
    const { documents, call } = this.#desk
    const items = part.map(({ item }) => item)
    if (this.#broken !== undefined) {
      this.#failAll(items, this.#untouched(BEFORE_ITS_TURN))
      return []
    }
    let results: readonly WriteResult[]
    try {
      const written = part.map(({ item: { key }, put }): Written => ({ key, ...put }))
      results = await documents.writeMany(call, month, written)
    } catch (raised) {
      this.#failAll(items, this.#brokenBy(raised))
      return []
    }
    this.#answered = true
    return part.flatMap(({ item, put }, at) => {
      const result = results[at]
      if (result?.result === 'written') {
        this.#desk.places.remember(item.entry.locator, month)
        this.#outcomes.set(item.index, this.#plan.written(item.entry, put, result.revision))
      } else if (result?.result === 'failed') this.#failAll([item], result.error)
      else return [item]
      return []
    })
  }

  /** What `work` gives; an error in the entry itself is its failure, and `false`. */
  #try(item: Item<Entry>, work: () => boolean): boolean {
    try {
      return work()
    } catch (cause) {
      const { requests, call } = this.#desk
      const reason = isError(cause) ? cause.message : 'unreadable'
      const error = isSessionStoreError(cause)
        ? cause
        : refusedValue('E_SESSION_DATA', reason, requests.context(call), cause)
      this.#answered = true
      this.#failAll([item], error)
      return false
    }
  }

  /** The rest is not tried after it: it would only wait for the same. */
  #brokenBy(raised: unknown): SessionStoreError {
    if (!(raised instanceof RequestFailed)) throw raised
    this.#broken ??= raised.fault.error
    return raised.fault.error
  }

  #untouched(because: string): SessionStoreError {
    return this.#desk.requests.untouched(this.#desk.call, because)
  }

  #failAll(items: readonly Item<Entry>[], error: SessionStoreError): void {
    for (const { index } of items) this.#outcomes.set(index, this.#plan.failed(error))
  }
}

const push = <Key, Value>(groups: Map<Key, Value[]>, key: Key, value: Value): void => {
  const group = groups.get(key)
  if (group === undefined) groups.set(key, [value])
  else group.push(value)
}
