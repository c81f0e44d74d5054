import type { Session, SessionStore, WriteOptions } from '../contract/session-store.js'
import type { EpochMs, Runtime } from '../contract/time.js'
import { described, isSessionStoreError, SessionStoreError } from '../errors.js'
import { LONGEST_MS } from '../store/options.js'
import { isPlainObject } from '../tools/is-plain-object.js'
import { limiter } from '../tools/limiter.js'
import type { ResolvedKeysOptions } from './keys-options.js'

/** What stands under a key. */
export interface Entry {
  readonly value: unknown
  /** When it ends; `undefined` for a key that was given no time to live. */
  readonly until: EpochMs | undefined
}

/**
 * What is stored as the data of a session. A key that was deleted keeps this without a value for a while: the next value
 * follows it as a change follows another, whereas a session that was destroyed refuses every successor.
 */
interface Stored {
  /** The id, so that a listing can tell the key, and so that nothing else of the store is taken for one. */
  readonly id: string
  readonly value?: unknown
  /** `null`: for as long as the store lets anything live. */
  readonly until?: EpochMs | null
}

/** As long an id is at most that a session store takes. */
const LONGEST_ID = 1_024
const LEAST_IDLE_TTL_MS = 1_000
/** For how long a deleted key is remembered as one, so that setting it again is a change and no creation. */
const DELETED_TTL_MS = 60_000
const PAGE_SIZE = 1_000
const AT_ONCE = 16
/** How often a step is taken anew that met another one, of a process that came between. */
const ATTEMPTS = 1_000

/** Thrown in an update, so that nothing is written. It leaves this file nowhere. */
const LEAVE = new Error('Nothing is to be written')

/**
 * Keys with a time to live, on a session store. Each key is the data of one session.
 *
 * Every change is in the backend when its call resolves, whatever `maxStaleCount` says. All changes of one key follow one
 * another: whoever reads a key after a change has resolved finds that change, or a later one. A call rejects where the
 * store could not know or would not (`docs/errors.md`), and then a change may be in or not, as its `applied` says. After
 * a `set` or a deletion that was rejected, doing it again is right; after a rejected `increment` or `take` it is not told
 * whether it counted.
 *
 * A key is a text. With the prefix and a colon it has at most 1_024 characters; any other rejects with `E_INVALID_ID`.
 */
export class Keys {
  readonly sessions: SessionStore<unknown>
  readonly #owned: boolean
  readonly #runtime: Runtime
  readonly #prefix: string
  readonly #many = limiter(AT_ONCE)
  #hasWarned = false

  constructor({ sessions, owned, runtime, prefix }: ResolvedKeysOptions) {
    this.sessions = sessions
    this.#owned = owned
    this.#runtime = runtime
    this.#prefix = `${prefix}:`
  }

  /** The moment, by the clock that decides when a key ends. */
  now(): EpochMs {
    return this.#runtime.now()
  }

  /** What stands under a key; `undefined` where nothing does, or where its time is over. */
  async get(key: string): Promise<Entry | undefined> {
    const id = this.#idOf(key)
    const session = await this.sessions.load(id, { touch: false })
    return session && this.#entryOf(id, session.data)
  }

  /**
   * Stores a value, whatever stands there. With `until` it ends at that moment, and one that is over leaves nothing there.
   * Without, it stays until it is deleted, or the store's `absoluteTtlMs` ends it.
   */
  async set(key: string, value: unknown, until?: EpochMs): Promise<void> {
    const id = this.#idOf(key)
    const leftMs = until === undefined ? LONGEST_MS : until - this.now()
    if (leftMs <= 0) {
      await this.delete(key)
      return
    }
    const stored: Stored = { id, value, until: until ?? null }
    this.#checkLife(await this.sessions.put(id, stored, writing(leftMs)), until)
  }

  /** Removes a key. `false` where nothing stood there. The key can be set again at once. */
  async delete(key: string): Promise<boolean> {
    return (await this.take(key)) !== undefined
  }

  /** Removes a key and gives what stood there. Of several calls at once, in whatever processes, one is given it. */
  async take(key: string): Promise<Entry | undefined> {
    const id = this.#idOf(key)
    let taken: Entry | undefined
    const took = await this.#update(id, writing(DELETED_TTL_MS), (entry) => {
      if (entry === undefined) throw LEAVE
      taken = entry
      return { id }
    })
    return took === 'done' ? taken : undefined
  }

  /**
   * Adds one to the number under a key, and gives the sum. Where nothing stands, it begins with 1, which ends after
   * `ttlMs`; a later call does not lengthen that.
   *
   * @throws SessionStoreError `E_SESSION_DATA` where something else than a number stands there
   */
  async increment(key: string, ttlMs: number): Promise<number> {
    const id = this.#idOf(key)
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      let sum = 0
      const counted = await this.#update(id, { durable: true }, (entry) => {
        if (entry === undefined) throw LEAVE
        sum = numberIn(entry.value) + 1
        return { id, value: sum, until: entry.until ?? null }
      })
      if (counted === 'done') return sum
      if (await this.#begin(id, counted, ttlMs)) return 1
    }
    throw new SessionStoreError('E_SESSION_CONFLICT', 'The key could not be counted, as others always came between', {
      applied: 'no',
    })
  }

  /** What stands under several keys, in their order. */
  getMany(keys: readonly string[]): Promise<(Entry | undefined)[]> {
    return this.each(keys, (key) => this.get(key))
  }

  /** Removes several keys; for each, whether something stood there. */
  deleteMany(keys: readonly string[]): Promise<boolean[]> {
    return this.each(keys, (key) => this.delete(key))
  }

  /** Does something for each of many, a few at once. The first that fails rejects it, and the others go on. */
  each<Given, Result>(many: readonly Given[], work: (one: Given) => Promise<Result>): Promise<Result[]> {
    return Promise.all(many.map((one) => this.#many.run(() => work(one))))
  }

  /**
   * All keys that begin with a text, and what stands under them. It asks the backend alone, page by page, and goes through
   * all that the store's namespace has. What cannot be read is left out; the store's event `fault` tells of it.
   */
  async *entries(beginning = ''): AsyncGenerator<readonly [key: string, entry: Entry]> {
    const start = this.#prefix + beginning
    let after: { readonly after?: string } = {}
    for (;;) {
      const page = await this.sessions.list({ limit: PAGE_SIZE, data: true, ...after })
      const { next } = page
      for (const { data } of page) {
        const id = isPlainObject(data) ? data['id'] : undefined
        if (typeof id !== 'string' || !id.startsWith(start)) continue
        const entry = this.#entryOf(id, data)
        if (entry !== undefined) yield [id.slice(this.#prefix.length), entry]
      }
      if (next === undefined) return
      after = { after: next }
    }
  }

  /** Removes all keys that begin with a text: those that were set before the call. */
  async clear(beginning = ''): Promise<void> {
    let found: string[] = []
    const remove = async (): Promise<void> => {
      await this.deleteMany(found)
      found = []
    }
    for await (const [key] of this.entries(beginning)) if (found.push(key) >= PAGE_SIZE) await remove()
    await remove()
  }

  /** Closes the store if it was made for these keys. */
  async close(): Promise<void> {
    if (this.#owned) await this.sessions.close()
  }

  /** The first count of a key. `false` where another process was faster. */
  async #begin(id: string, found: 'absent' | 'left', ttlMs: number): Promise<boolean> {
    const until = this.now() + ttlMs
    const stored: Stored = { id, value: 1, until }
    const options = writing(ttlMs)
    if (found === 'left') {
      // A value whose time is over, or a deleted one, is followed by the first count.
      const begun = await this.#update(id, options, (entry) => {
        if (entry !== undefined) throw LEAVE
        return stored
      })
      return begun === 'done'
    }
    try {
      this.#checkLife(await this.sessions.create(stored, { id, idleTtlMs: options.idleTtlMs }), until)
      return true
    } catch (error) {
      if (isSessionStoreError(error, 'E_SESSION_CONFLICT')) return false
      throw error
    }
  }

  /**
   * Changes what stands there, as one step. `left`: the change left it as it is. `absent`: there is no session, also none
   * of a deleted key.
   *
   * @param change is given what stands there, and called anew where another change came between
   */
  async #update(
    id: string,
    options: WriteOptions,
    change: (entry: Entry | undefined) => Stored,
  ): Promise<'done' | 'left' | 'absent'> {
    try {
      const session = await this.sessions.update(id, (data) => change(this.#entryOf(id, data)), options)
      return session === undefined ? 'absent' : 'done'
    } catch (error) {
      if (error === LEAVE) return 'left'
      // It ended between the reading and the writing.
      if (isSessionStoreError(error, 'E_SESSION_DESTROYED')) return 'absent'
      throw error
    }
  }

  #entryOf(id: string, data: unknown): Entry | undefined {
    if (!isPlainObject(data) || data['id'] !== id || !('value' in data)) return undefined
    const until = typeof data['until'] === 'number' ? data['until'] : undefined
    return until !== undefined && until <= this.now() ? undefined : { value: data['value'], until }
  }

  /** @throws SessionStoreError `E_INVALID_ID` */
  #idOf(key: unknown): string {
    const longest = LONGEST_ID - this.#prefix.length
    if (typeof key === 'string' && key.length <= longest) return this.#prefix + key
    const got = typeof key === 'string' ? `one of ${key.length}` : described(key, true)
    throw new SessionStoreError(
      'E_INVALID_ID',
      `Expected a key to be a text of at most ${longest} characters, got ${got}`,
    )
  }

  /** A key that ends before its time, as the store lets nothing live longer, is told once. */
  #checkLife({ absoluteExpiresAt }: Session<unknown>, until: EpochMs | undefined): void {
    if (this.#hasWarned || until === undefined || until <= absoluteExpiresAt) return
    this.#hasWarned = true
    process.emitWarning(
      'A key was given a longer time to live than its store lets it live, counted from when it was first set: make the store with a longer `absoluteTtlMs`. Further ones will not be told.',
      { code: 'NONSTICK_KEYS' },
    )
  }
}

/** How a value is written that has so long to live. Its own moment ends it, and the session a little later. */
const writing = (leftMs: number): { readonly durable: true; readonly idleTtlMs: number } => ({
  durable: true,
  idleTtlMs: Math.min(LONGEST_MS, Math.max(LEAST_IDLE_TTL_MS, Math.ceil(leftMs))),
})

/** @throws SessionStoreError `E_SESSION_DATA` */
const numberIn = (value: unknown): number => {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value
  throw new SessionStoreError(
    'E_SESSION_DATA',
    'Expected a whole number under the key that is counted, got another value',
    {
      applied: 'no',
    },
  )
}
