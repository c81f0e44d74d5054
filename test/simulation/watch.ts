import type { StoredSession } from '../../src/contract/backend.js'
import type { CacheKey } from '../../src/contract/locator.js'
import { lives } from '../../src/session/decisions.js'
import type { LiveEnvelope } from '../../src/session/envelope.js'
import type { FaultKind } from './faults.js'
import { type Operation, type SessionHistory, writesOf } from './history.js'
import { mayBePutOver, withdrawnIn } from './judge.js'
import { tokensIn, type World } from './world.js'

/** What is known of one session's copies, whoever made them. */
interface Copies {
  /** Lineage, version and newest write id of each that was sent to a tier. */
  readonly sent: Set<string>
  /** Every token that was ever in one of them. */
  readonly tokens: Set<string>
  /** By write id: the tokens that this write brought, and all that stood with them when it was accepted last. */
  readonly writes: Map<string, { readonly brought: ReadonlySet<string>; accepted: ReadonlySet<string> | undefined }>
}

type Copy = Pick<StoredSession, 'lineage' | 'version' | 'writeIds' | 'data'>

/** So many looks at one session in a row, each soon after the last, and nobody waits for them. */
const LOOKS_OF_A_POLL = 150
const SOON_MS = 200

/**
 * Judges what the commands of the store show by themselves, the moment they show it: a step that begins after its caller
 * was told, a write that takes away what another one had stored, a living entry that is removed, a poll without end.
 */
export class Watch {
  readonly #world: World
  readonly #copies = new Map<CacheKey, Copies>()
  readonly #looks = new Map<string, { count: number; at: number }>()

  constructor(world: World) {
    this.#world = world
  }

  /**
   * A process sends a copy to a tier. One that nobody has sent before is a step of a write; it is late if all whose write
   * it is have been told how their calls ended.
   */
  onSent(process: string, session: SessionHistory, copy: Copy): void {
    const copies = this.#of(session.key)
    const writeId = copy.writeIds.at(-1)
    const name = `${copy.lineage} ${copy.version} ${writeId}`
    if (copies.sent.has(name) || writeId === undefined) return
    copies.sent.add(name)
    const tokens = tokensIn(copy.data)
    const write = copies.writes.get(writeId) ?? {
      brought: new Set([...tokens].filter((token) => !copies.tokens.has(token))),
      accepted: undefined,
    }
    copies.writes.set(writeId, write)
    for (const token of tokens) copies.tokens.add(token)
    const owners = session.operations.filter(
      (operation) =>
        operation.process === process && writesOf(operation).some(({ token = '' }) => write.brought.has(token)),
    )
    const { now } = this.#world.clock
    const wasTold = ({ completed = now, outcome }: Operation): boolean => completed < now && outcome.is === 'failed'
    // What an earlier save was told of, a later one of the same handle may store.
    const isSavedAgain = session.operations.some(
      ({ process: of, completed, holds = [] }) =>
        of === process && completed === undefined && holds.some((token) => write.brought.has(token)),
    )
    if (owners.length > 0 && owners.every(wasTold) && !isSavedAgain)
      this.#world.violated(
        'late step',
        session.name,
        `${process} goes on with ${owners.map(({ kind, order }) => `${kind} ${order}`).join(', ')}, whose caller was told before`,
      )
  }

  /** The tokens that the last write of a copy brought, of those that are known; all that it has under a new id. */
  broughtBy(key: CacheKey, { writeIds, data }: Pick<Copy, 'writeIds' | 'data'>): ReadonlySet<string> {
    const copies = this.#copies.get(key)
    return copies === undefined ? tokensIn(data) : (copies.writes.get(writeIds.at(-1) ?? '')?.brought ?? new Set())
  }

  /** A tier has taken a copy, over another one if there was one: nothing that stood is gone. */
  onAccepted(session: SessionHistory, before: Uint8Array | undefined, copy: Copy, where: string): void {
    const after = tokensIn(copy.data)
    const write = this.#of(session.key).writes.get(copy.writeIds.at(-1) ?? '')
    if (write !== undefined) write.accepted = after
    if (before === undefined) return
    const isOfOneBefore = (token: string): boolean =>
      session.follows !== undefined && token.startsWith(`${session.follows}.`)
    const gone = this.#promised(
      session,
      [...tokensIn(before)].filter((token) => !after.has(token) && !isOfOneBefore(token)),
    )
    if (gone.length > 0)
      this.#world.violated('I3', session.name, `a write takes ${gone.join(' ')} out of what stands in the ${where}`)
  }

  /** An entry was removed by its token. It may be, where it does not descend from what stands in the backend. */
  onDropped(session: SessionHistory, envelope: LiveEnvelope, row: StoredSession): void {
    if (!lives(envelope, row)) return
    const inRow = tokensIn(row.data)
    const gone = this.#promised(
      session,
      [...tokensIn(envelope.data)].filter((token) => !inRow.has(token)),
    )
    if (gone.length > 0)
      this.#world.violated('I3', session.name, `a living entry is removed, and with it ${gone.join(' ')}`)
  }

  /** What a handle holds after its save of this token was acknowledged: what that save had stored, and all beside it. */
  onSaved(session: SessionHistory, token: string, held: ReadonlySet<string>): void {
    for (const { brought, accepted } of this.#of(session.key).writes.values()) {
      if (!brought.has(token) || accepted === undefined) continue
      const missing = this.#promised(
        session,
        [...accepted].filter((each) => !held.has(each)),
      )
      if (missing.length > 0)
        this.#world.violated('handle', session.name, `after its save of ${token} a handle lacks ${missing.join(' ')}`)
    }
  }

  /** A process looks at an entry. Where no call of its own waits for that, it does not go on and on. */
  onLook(process: string, session: SessionHistory): void {
    const { now } = this.#world.clock
    const key = `${process} ${session.name}`
    const looks = this.#looks.get(key) ?? { count: 0, at: now }
    this.#looks.set(key, looks)
    const isWaitedFor = session.operations.some((each) => each.process === process && each.completed === undefined)
    looks.count = isWaitedFor || now - looks.at > SOON_MS ? 0 : looks.count + 1
    looks.at = now
    if (looks.count === LOOKS_OF_A_POLL)
      this.#world.violated('poll', session.name, `${process} asks for it over and over, and nobody waits for that`)
  }

  /** Those tokens that no put may have replaced, and no handle has taken back. */
  #promised(session: SessionHistory, tokens: readonly string[]): readonly string[] {
    if (tokens.length === 0 || session.operations.some(({ kind }) => kind === 'put')) return []
    const withdrawn = withdrawnIn(session)
    return tokens.filter((token) => !withdrawn.has(token))
  }

  #of(key: CacheKey): Copies {
    const known = this.#copies.get(key) ?? { sent: new Set(), tokens: new Set(), writes: new Map() }
    this.#copies.set(key, known)
    return known
  }
}

/** I5: what was acknowledged as durable stands in the backend, seen past every fault. */
export const judgeDurable = (world: World, session: SessionHistory, operation: Operation): void => {
  if (operation.outcome.is !== 'ok' || operation.outcome.durability !== 'backend' || operation.kind === 'put') return
  const inRow = world.tokensInRow(session.key)
  if (inRow === undefined) return
  const withdrawn = withdrawnIn(session)
  for (const write of writesOf(operation)) {
    const { token = '' } = write
    if (inRow.has(token) || withdrawn.has(token) || mayBePutOver(session.operations, write)) continue
    if (operation.kind === 'save shared') continue
    world.violated(
      'I5',
      session.name,
      `${token}, acknowledged as durable by ${operation.kind} ${operation.order}, is not in the backend`,
    )
  }
}

/** Whoever they strike may leave a lease or a frozen entry behind, for which others wait. */
const STRIKES_AT_PROCESSES: readonly FaultKind[] = [
  'process died',
  'process paused',
  'outage slept through',
  'server list changed',
  'troubles together',
  'callback hung',
]

/** I12: a cache that answers, and takes no new value, is of no use, and in nobody's way: the backend serves. */
export const judgeRefused = (world: World, session: SessionHistory, operation: Operation): void => {
  const { outcome, refusals = 0, cacheFailures, backendFailures, userFailures = 0, kind, order } = operation
  if (outcome.is !== 'failed' || refusals === 0 || cacheFailures + backendFailures + userFailures > 0) return
  // Another user's session is not merged; a put is by nobody.
  const changesUser: readonly Operation['kind'][] = ['save user', 'put']
  const isMerged =
    world.config.conflict === 'merge' &&
    session.operations.every(({ kind, becomes }) => !changesUser.includes(kind) && becomes === undefined)
  const isByPolicy = outcome.code === 'E_SESSION_CONFLICT' && !isMerged
  if (isByPolicy || (outcome.code !== 'E_SESSION_CONFLICT' && outcome.code !== 'E_SESSION_UNAVAILABLE')) return
  if (STRIKES_AT_PROCESSES.some((strike) => world.happened[strike] > 0)) return
  // An id that neither tier knows is none only where the old store has said so.
  if (world.happened['old store unanswered'] > 0) return
  if (session.operations.some((each) => each.kind === 'regenerate' || each.cacheFailures + each.backendFailures > 0))
    return
  world.violated('I12', session.name, `${kind} ${order} failed with ${outcome.code}, as the cache takes no new value`)
}
