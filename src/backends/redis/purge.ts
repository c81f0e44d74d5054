import type { PurgeForecast, PurgeForecastOptions, PurgeOptions, PurgeOutcome } from '../../contract/backend.js'
import { purgeGraceOf } from '../../contract/backend.js'
import type { CacheKey } from '../../contract/locator.js'
import type { EpochMs, Runtime } from '../../contract/time.js'
import { butNotApplied } from '../../errors.js'
import type { Calls, Manner, Run } from './calls.js'
import { contractError } from './faults.js'
import { END_TURN, ENDED, REMOVE_SESSION, REMOVE_TOMBSTONE } from './functions.js'
import { GROUPS, hashIn, type Keys, type Place } from './keys.js'
import { numberIn, textIn } from './rows.js'

/** A process that dies over a purge keeps the others from it for so long, in ms. */
const TURN_MS = 120_000

/** So many of a group are asked for at first. */
const FIRST_OF_A_GROUP = 8

/** So many commands are sent at once. */
const AT_ONCE = 1_024

/** What has ended, as an index has it. */
interface Ended {
  readonly place: Place
  readonly kind: 'session' | 'tombstone'
  readonly member: string
  /** When it ended: `expiresAt` of a session, `keepUntil` of a tombstone. */
  readonly at: EpochMs
}

/** The same, with what stands there. */
interface Candidate extends Ended {
  readonly key: CacheKey
  readonly lineage: string
  readonly version: string
  /** It may be in use by way of the cache. */
  readonly mayLive: boolean
}

interface GroupOf {
  readonly namespace: string
  readonly group: number
}

/** What has ended in all namespaces is looked for, asked about, and removed if it has not changed, by one process at a time. */
export class Purge {
  readonly #calls: Calls
  readonly #keys: Keys
  readonly #runtime: Runtime
  /** Namespaces that this process has written in. */
  readonly #known: () => readonly string[]

  constructor(calls: Calls, keys: Keys, runtime: Runtime, known: () => readonly string[]) {
    this.#calls = calls
    this.#keys = keys
    this.#runtime = runtime
    this.#known = known
  }

  async purge({ now, limit, graceMs, livesOn, knownToStay = 0 }: PurgeOptions): Promise<PurgeOutcome> {
    const grace = purgeGraceOf(graceMs)
    const turn = await this.#takeTurn()
    if (turn === undefined) return { removed: 0, more: true, isBusy: true }
    try {
      const most = limit + knownToStay
      const candidates = await this.#look(await this.#oldest(now, grace, most), now).catch((error) => {
        throw butNotApplied(contractError(error))
      })
      const more = candidates.length === most
      const inQuestion = candidates.filter(({ mayLive }) => mayLive).map(({ key }) => key)
      const living = inQuestion.length === 0 ? undefined : await livesOn?.(inQuestion)
      const doomed = candidates.filter(({ key }) => living?.has(key) !== true).slice(0, limit)
      return { removed: await this.#remove(doomed), more }
    } finally {
      await this.#endTurn(turn)
    }
  }

  async planPurge({ now, graceMs }: PurgeForecastOptions): Promise<readonly PurgeForecast[]> {
    const ended = now - purgeGraceOf(graceMs)
    const call = this.#calls.call('plan a purge', 'reads')
    const commands = (await this.#groups()).flatMap(({ namespace, group }) => {
      const { ends, tombs } = this.#keys.indexes(namespace, group)
      return [
        { key: ends, args: ['ZCOUNT', ends, '-inf', String(ended)] },
        { key: tombs, args: ['ZCOUNT', tombs, '-inf', String(now)] },
      ]
    })
    const counts = await this.#calls.askAll(call, commands)
    return [{ removable: counts.reduce<number>((sum, count) => sum + numberIn(count), 0) }]
  }

  /** The name of this purge; `undefined` where another one has the turn. */
  async #takeTurn(): Promise<string | undefined> {
    const name = Buffer.from(this.#runtime.randomBytes(16)).toString('hex')
    const key = this.#keys.purger
    const call = this.#calls.call('purge', 'changes')
    return (await this.#calls.ask(call, key, 'SET', key, name, 'NX', 'PX', String(TURN_MS))) === null ? undefined : name
  }

  /** A turn that cannot be given back ends by itself, so that nothing need be said of it. */
  async #endTurn(name: string): Promise<void> {
    const call = this.#calls.call('purge', 'changes')
    await this.#calls.run(call, { function: END_TURN, keys: [this.#keys.purger], args: [name] }).catch(() => {})
  }

  async #groups(): Promise<readonly GroupOf[]> {
    const key = this.#keys.namespaces
    const reply = await this.#calls.ask(this.#calls.call('purge', 'reads'), key, 'SMEMBERS', key)
    const kept = Array.isArray(reply) ? reply.map((name) => textIn(name) ?? '') : []
    const namespaces = [...new Set([...kept, ...this.#known()])]
    return namespaces.flatMap((namespace) => Array.from({ length: GROUPS }, (_, group) => ({ namespace, group })))
  }

  /** The `most` that ended first, over all groups. A group is asked for more where it may have more of them. */
  async #oldest(now: EpochMs, graceMs: number, most: number): Promise<readonly Ended[]> {
    const groups = (await this.#groups()).map((of) => ({ of, asked: FIRST_OF_A_GROUP, found: [] as readonly Ended[] }))
    let unsure = groups
    for (;;) {
      const runs = unsure.map(({ of: { namespace, group }, asked }): Run => {
        const { ends, tombs } = this.#keys.indexes(namespace, group)
        return { function: ENDED, keys: [ends, tombs], args: [String(now - graceMs), String(now), String(asked)] }
      })
      const answers = await this.#inParts(runs, 'reads')
      for (const [at, each] of unsure.entries()) each.found = endedIn(each.of, answers[at])
      const oldest = groups
        .flatMap(({ found }) => found)
        .sort((one, other) => one.at - other.at)
        .slice(0, most)
      const end = oldest.length < most ? Number.POSITIVE_INFINITY : (oldest.at(-1)?.at ?? 0)
      unsure = groups.filter(({ found, asked }) => mayHaveMore(found, asked, end) && asked < most)
      if (unsure.length === 0) return oldest
      for (const each of unsure) each.asked = Math.min(each.asked * 8, most)
    }
  }

  async #look(ended: readonly Ended[], now: EpochMs): Promise<readonly Candidate[]> {
    const rows: unknown[] = []
    for (let start = 0; start < ended.length; start += AT_ONCE) {
      const commands = ended.slice(start, start + AT_ONCE).map(({ place }) => {
        const key = this.#keys.session(place)
        return { key, args: ['HMGET', key, 'l', 'v', 'a'] }
      })
      rows.push(...(await this.#calls.askAll(this.#calls.call('purge', 'reads'), commands)))
    }
    return ended.map((each, at) => {
      const row = rows[at]
      const [lineage, version, absolute] = Array.isArray(row) ? (row as readonly unknown[]) : []
      return {
        ...each,
        key: `${each.place.namespace}:${each.place.hash}`,
        lineage: textIn(lineage) ?? '',
        version: textIn(version) ?? '0',
        mayLive: each.kind === 'session' && numberIn(absolute) > now,
      }
    })
  }

  async #remove(doomed: readonly Candidate[]): Promise<number> {
    const runs = doomed.map(({ place, kind, member, lineage, version, at }): Run => {
      const keys = this.#keys.all(place)
      return kind === 'session'
        ? { function: REMOVE_SESSION, keys, args: [member, lineage, version, String(at)] }
        : { function: REMOVE_TOMBSTONE, keys, args: [member, String(at)] }
    })
    return (await this.#inParts(runs, 'changes')).reduce<number>((sum, removed) => sum + numberIn(removed), 0)
  }

  /** Each part is a call of its own, with a time of its own. */
  async #inParts(runs: readonly Run[], manner: Manner): Promise<readonly unknown[]> {
    const replies: unknown[] = []
    for (let start = 0; start < runs.length; start += AT_ONCE)
      replies.push(...(await this.#calls.runAll(this.#calls.call('purge', manner), runs.slice(start, start + AT_ONCE))))
    return replies
  }
}

/** As many as were asked for came, and the last of them is not behind the end. */
const mayHaveMore = (found: readonly Ended[], asked: number, end: EpochMs): boolean =>
  (['session', 'tombstone'] as const).some((kind) => {
    const ofKind = found.filter((each) => each.kind === kind)
    return ofKind.length === asked && (ofKind.at(-1)?.at ?? 0) <= end
  })

const endedIn = ({ namespace, group }: GroupOf, answer: unknown): readonly Ended[] => {
  const [sessions, tombstones] = Array.isArray(answer) ? (answer as readonly unknown[]) : []
  const placed = (kind: Ended['kind'], pairs: unknown): readonly Ended[] =>
    pairsOf(pairs).map(({ member, score }) => ({
      kind,
      member,
      at: score,
      place: { namespace, group, hash: kind === 'session' ? hashIn(member) : member },
    }))
  return [...placed('session', sessions), ...placed('tombstone', tombstones)]
}

const pairsOf = (flat: unknown): readonly { readonly member: string; readonly score: number }[] => {
  if (!Array.isArray(flat)) return []
  return Array.from({ length: flat.length / 2 }, (_, at) => ({
    member: textIn(flat[2 * at]) ?? '',
    score: numberIn(flat[2 * at + 1]),
  }))
}
