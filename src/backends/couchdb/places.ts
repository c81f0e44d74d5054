import { LRUCache } from 'lru-cache'
import type { CacheKey, Locator } from '../../contract/locator.js'
import { Creations } from './creations.js'
import type { Databases } from './databases.js'
import { type Content, type FoundLeaf, idOf, type Leaf, movedOf, type Revision } from './document.js'
import type { Documents } from './documents.js'
import { type Month, monthAfter, type Place, placeOf } from './months.js'
import type { ResolvedCouchdbOptions } from './options.js'
import type { Call, Requests } from './requests.js'

export type Created =
  | { readonly created: true; readonly month: Month; readonly revision: Revision }
  | { readonly created: false; readonly found: FoundLeaf }

/** How often a creation is sent that met something which was gone a moment later. */
const ATTEMPTS = 5

/**
 * Which month's database a session is in. Our own ids say it. Of others it is found by looking, newest month first,
 * and kept in mind.
 */
export class Places {
  readonly #requests: Requests
  readonly #databases: Databases
  readonly #documents: Documents
  readonly #creations: Creations
  readonly #options: ResolvedCouchdbOptions
  readonly #remembered: LRUCache<CacheKey, Month>

  constructor(requests: Requests, databases: Databases, documents: Documents, options: ResolvedCouchdbOptions) {
    this.#requests = requests
    this.#databases = databases
    this.#documents = documents
    this.#creations = new Creations(documents, requests, options.runtime)
    this.#options = options
    // Counted as a size: for a `max` room would be taken at once.
    this.#remembered = new LRUCache({ maxSize: options.rememberedMonths, sizeCalculation: () => 1 })
  }

  placeOf(locator: Locator): Place {
    return placeOf(locator, this.#options.runtime.now(), this.#options)
  }

  /** The months to look in, the likeliest first. */
  candidatesOf(locator: Locator): readonly Month[] {
    const { candidates } = this.placeOf(locator)
    const known = locator.bornMonth === undefined ? this.#remembered.get(locator.key) : undefined
    // What is kept in mind may be out of date, but a month that is over is not asked.
    if (known === undefined || !candidates.includes(known)) return candidates
    return [known, ...candidates.filter((month) => month !== known)]
  }

  /** Keeps in mind where a session is whose id does not say it. */
  remember({ key, bornMonth }: Locator, month: Month): void {
    if (bornMonth === undefined) this.#remembered.set(key, month)
  }

  /** What stands there, wherever it is; `undefined` where nothing does. */
  async find(call: Call, locator: Locator): Promise<FoundLeaf | undefined> {
    for (const month of this.candidatesOf(locator)) {
      const found = foundIn(month, await this.#documents.read(call, month, locator.key))
      if (found === undefined) continue
      this.remember(locator, month)
      return found
    }
    this.#remembered.delete(locator.key)
    return undefined
  }

  /**
   * Puts a document where `find` found nothing.
   *
   * @param home where it belongs, of `placeOf`
   */
  async create(call: Call, locator: Locator, content: Content, home: Month): Promise<Created> {
    const { fence } = this.placeOf(locator)
    const blocked = fence !== undefined && fence < home ? await this.#fence(call, locator, fence) : undefined
    const outcome: Created =
      blocked === undefined ? await this.#createIn(call, locator, content, home) : { created: false, found: blocked }
    this.remember(locator, outcome.created ? outcome.month : outcome.found.month)
    return outcome
  }

  /** Removes exactly this leaf, so that another can be made where it belongs by now. `false`: another stands there. */
  async clear(call: Call, locator: Locator, { month, leaf }: FoundLeaf): Promise<boolean> {
    const doomed = { id: idOf(locator.key), revision: leaf.revision }
    return (await this.#documents.remove(call, month, [doomed])) === 1
  }

  /** Takes the place in the month before, so that nothing is made there any more; or finds what was. */
  async #fence(call: Call, { key }: Locator, month: Month): Promise<FoundLeaf | undefined> {
    const { runtime, maxClockSkewMs } = this.#options
    const content = movedOf(runtime.now() + maxClockSkewMs + 86_400_000)
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const written = await this.#documents.write(call, month, { key, revision: undefined, content })
      if (written.result === 'written') return undefined
      if (written.result === 'failed') throw written.error
      // Another process that is still in that month could make the database at this very moment.
      if (written.result === 'no-database') await this.#databases.make(call, month)
      else {
        const leaf = await this.#documents.read(call, month, key)
        if (leaf?.kind === 'moved') return undefined
        const found = foundIn(month, leaf)
        if (found !== undefined) return found
      }
    }
    throw this.#requests.untouched(call, 'what stands there keeps changing')
  }

  async #createIn(call: Call, { key, bornMonth }: Locator, content: Content, home: Month): Promise<Created> {
    let month = home
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const written = await this.#creations.create(call, month, { key, revision: undefined, content })
      if (written.result === 'written') return { created: true, month, revision: written.revision }
      if (written.result === 'failed') throw written.error
      if (written.result === 'no-database') {
        await this.#databases.make(call, month)
        continue
      }
      const leaf = await this.#documents.read(call, month, key)
      const found = foundIn(month, leaf)
      if (found !== undefined) return { created: false, found }
      if (leaf?.kind === 'moved' && bornMonth === undefined) month = monthAfter(month)
      // Otherwise what stood in the way was purged in between.
    }
    throw this.#requests.untouched(call, 'what stands there keeps changing')
  }
}

const foundIn = (month: Month, leaf: Leaf | undefined): FoundLeaf | undefined =>
  leaf === undefined || leaf.kind === 'moved' ? undefined : { month, leaf }
