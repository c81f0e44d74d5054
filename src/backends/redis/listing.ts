import type { KeyListOptions, ListedSession, ListOptions, Page, StoredSession, Which } from '../../contract/backend.js'
import type { CacheKey } from '../../contract/locator.js'
import { isSessionStoreError } from '../../errors.js'
import type { Call, Calls, Run } from './calls.js'
import { COUNT, PAGE } from './functions.js'
import { GROUPS, type Keys, type Place, placeOfKey, userHashOf } from './keys.js'
import { ALL_FIELDS, HEADER_FIELDS, isTombstone, numberIn, sessionOf, stands, textIn } from './rows.js'

/** In one group a page passes over at most so many sessions that are not meant. */
const PASSED_OVER = 1_000

/** So many groups are asked at once, at first and later. Whoever wants ten of a million needs the first group alone. */
const FIRST_WAVE = 1
const LARGEST_WAVE = 64

/** What the groups of a namespace hold together, group after group, and within a group in the order of the keys. */
export class Listing {
  readonly #calls: Calls
  readonly #keys: Keys

  constructor(calls: Calls, keys: Keys) {
    this.#calls = calls
    this.#keys = keys
  }

  async listKeys(call: Call, options: KeyListOptions): Promise<Page<CacheKey>> {
    const { namespace, limit, after } = options
    const start = after === undefined ? undefined : placeOfKey(after)
    const found: CacheKey[] = []
    let wave = options.userId === undefined ? FIRST_WAVE : LARGEST_WAVE
    for (let group = start?.group ?? 0; group < GROUPS; wave = Math.min(wave * 4, LARGEST_WAVE)) {
      const groups = Array.from({ length: Math.min(wave, GROUPS - group) }, (_, at) => group + at)
      const asked = { ...options, limit: limit - found.length }
      const answers = await this.#calls.runAll(
        call,
        groups.map((each) => this.#page(asked, each, each === start?.group ? start : undefined)),
      )
      for (const answer of answers) {
        const { hashes, last, isCut } = this.#partOf(call, answer)
        const taken = hashes.slice(0, limit - found.length).map((hash) => `${namespace}:${hash}`)
        found.push(...taken)
        if (found.length === limit) return { entries: found, next: found.at(-1) }
        if (isCut) return { entries: found, next: `${namespace}:${last}` }
      }
      group += groups.length
    }
    return { entries: found, next: undefined }
  }

  /** The hashes of a group are found by its indexes; what stands there by then decides. */
  async list(call: Call, { maxBytes, withData, ...options }: ListOptions): Promise<Page<ListedSession>> {
    const { entries: keys, next } = await this.listKeys(call, options)
    const places = keys.map((key) => ({ key, session: this.#keys.session(placeOfKey(key)) }))
    const wanted = withData ? places.slice(0, await this.#fitting(call, places, maxBytes)) : places
    const fields = withData ? ALL_FIELDS : HEADER_FIELDS
    const rows = await this.#calls.askAll(
      call,
      wanted.map(({ session }) => ({ key: session, args: ['HMGET', session, ...fields] })),
    )
    const entries: ListedSession[] = []
    let bytes = 0
    for (const [at, { key }] of wanted.entries()) {
      const listed = listedOf(key, rows[at], options)
      if (listed === undefined) continue
      const more = 'session' in listed ? listed.session.data.byteLength : 0
      // It may have grown since its size was asked for.
      if (withData && entries.length > 0 && bytes + more > maxBytes) return { entries, next: wanted[at - 1]?.key }
      bytes += more
      entries.push(listed)
    }
    return { entries, next: wanted.length < keys.length ? wanted.at(-1)?.key : next }
  }

  async count(call: Call, which: Which): Promise<number> {
    if (which.userId !== undefined) return (await this.#ofUser(call, which)).length
    if (which.app === undefined && which.seenSince === undefined) return this.#countAll(call, which)
    const answers = await this.#countIn(call, which, false)
    return answers.reduce((sum, { count }) => sum + count, 0)
  }

  async countUsers(call: Call, which: Which): Promise<number> {
    if (which.userId !== undefined) return Math.min(1, (await this.#ofUser(call, which)).length)
    const answers = await this.#countIn(call, which, true)
    return new Set(answers.flatMap(({ users }) => users)).size
  }

  async #countAll(call: Call, { namespace, now }: Which): Promise<number> {
    const counts = await this.#calls.askAll(
      call,
      allGroups().map((group) => {
        const { ends } = this.#keys.indexes(namespace, group)
        return { key: ends, args: ['ZCOUNT', ends, `(${now}`, '+inf'] }
      }),
    )
    return counts.reduce<number>((sum, count) => sum + numberIn(count), 0)
  }

  async #countIn(
    call: Call,
    { namespace, now, app, seenSince }: Which,
    wantsUsers: boolean,
  ): Promise<readonly { readonly count: number; readonly users: readonly string[] }[]> {
    const args = [String(now), ...appArgs(app), seenText(seenSince), wantsUsers ? '1' : '0']
    const runs = allGroups().map((group): Run => {
      const { ends, seen } = this.#keys.indexes(namespace, group)
      return { function: COUNT, keys: [ends, seen], args }
    })
    return (await this.#calls.runAll(call, runs)).map((answer) => {
      if (!Array.isArray(answer) || !Array.isArray(answer[1])) throw this.#calls.odd(call)
      return { count: numberIn(answer[0]), users: answer[1].map((user) => textIn(user) ?? '') }
    })
  }

  /** One user has few sessions. */
  async #ofUser(call: Call, which: Which): Promise<readonly CacheKey[]> {
    const all: CacheKey[] = []
    for (let after: CacheKey | undefined; ; ) {
      const page = await this.listKeys(call, {
        ...which,
        limit: PASSED_OVER,
        ...(after === undefined ? {} : { after }),
      })
      all.push(...page.entries)
      if (page.next === undefined) return all
      after = page.next
    }
  }

  #page({ namespace, limit, now, app, userId, seenSince }: KeyListOptions, group: number, after?: Place): Run {
    const { listed, users, ends, seen } = this.#keys.indexes(namespace, group)
    const before = userId === undefined ? '' : `${userHashOf(userId)}:`
    // A member goes on with a colon behind the hash, and a semicolon comes after the colon.
    const first = after === undefined ? (before === '' ? '-' : `[${before}`) : `(${before}${after.hash};`
    const last = before === '' ? '+' : `(${before.slice(0, -1)};`
    return {
      function: PAGE,
      keys: [userId === undefined ? listed : users, ends, seen],
      args: [
        first,
        last,
        String(limit),
        String(Math.max(limit, PASSED_OVER)),
        String(now),
        ...appArgs(app),
        seenText(seenSince),
      ],
    }
  }

  #partOf(
    call: Call,
    answer: unknown,
  ): { readonly hashes: readonly string[]; readonly last: string; readonly isCut: boolean } {
    if (!Array.isArray(answer) || !Array.isArray(answer[2])) throw this.#calls.odd(call)
    const hashes = answer[2].map((hash) => textIn(hash) ?? '')
    return { hashes, last: textIn(answer[1]) ?? '', isCut: numberIn(answer[0]) === 1 }
  }

  /** How many of them have no more bytes of data together than `maxBytes`; one at least. */
  async #fitting(call: Call, places: readonly { readonly session: string }[], maxBytes: number): Promise<number> {
    const sizes = await this.#calls.askAll(
      call,
      places.map(({ session }) => ({ key: session, args: ['HSTRLEN', session, 'd'] })),
    )
    let bytes = 0
    const end = sizes.findIndex((size, at) => {
      bytes += numberIn(size)
      return at > 0 && bytes > maxBytes
    })
    return end < 0 ? places.length : end
  }
}

const allGroups = (): readonly number[] => Array.from({ length: GROUPS }, (_, group) => group)

const appArgs = (app: string | undefined): readonly [string, string] => (app === undefined ? ['0', ''] : ['1', app])

const seenText = (seenSince: number | undefined): string => (seenSince === undefined ? '' : String(seenSince))

/** `undefined` where it has gone, ended or become another's meanwhile. */
const listedOf = (key: CacheKey, fields: unknown, which: Which): ListedSession | undefined => {
  if (!stands(fields) || isTombstone(fields)) return undefined
  try {
    const session = sessionOf(fields)
    return isMeant(session, which) ? { locator: { key }, session } : undefined
  } catch (unreadable) {
    if (!isSessionStoreError(unreadable, 'E_SESSION_FORMAT')) throw unreadable
    return { locator: { key }, unreadable }
  }
}

const isMeant = (session: StoredSession, { now, app, userId, seenSince }: Which): boolean =>
  session.expiresAt > now &&
  (app === undefined || session.app === app) &&
  (userId === undefined || session.userId === userId) &&
  (seenSince === undefined || session.seenAt >= seenSince)
