import { guardAdmits } from '../../src/contract/backend.js'
import {
  afterwardsVerdict,
  confirmVerdict,
  type FlushPolicy,
  flushReason,
  flushVerdict,
  heldVerdict,
  insertVerdict,
  isSameSession,
  owesFlush,
  quarantineVerdict,
  readerShouldFlush,
  ringVerdict,
  verdictOnRow,
} from '../../src/session/decisions.js'
import type { LiveEnvelope } from '../../src/session/envelope.js'
import {
  asDurable,
  born,
  confirmed,
  filled,
  flushGuard,
  halted,
  isUnflushed,
  offered,
  storedSession,
  takenOver,
  takeoverGuard,
  touched,
  trusted,
  type Write,
  written,
} from '../../src/session/transitions.js'

/*
 * The rules that are searched: the store's own decisions and transitions, by reference, and the order of steps
 * in which `src/store` asks them. A negative control replaces one of them.
 */

const decisions = {
  flushReason,
  flushVerdict,
  insertVerdict,
  verdictOnRow,
  confirmVerdict,
  ringVerdict,
  heldVerdict,
  isSameSession,
  afterwardsVerdict,
  owesFlush,
  readerShouldFlush,
  quarantineVerdict,
  guardAdmits,
}

/** The session with the request's own changes, frozen: what a regeneration must not do, for a control. */
const frozen = (base: LiveEnvelope, write: Write): LiveEnvelope => ({ ...written(base, write), frozen: true })

const transitions = {
  born,
  asDurable,
  written,
  touched,
  trusted,
  confirmed,
  filled,
  frozen,
  halted,
  isUnflushed,
  offered,
  takenOver,
  storedSession,
  flushGuard,
  takeoverGuard,
}

/** Where a step of the store could have been another. The first of each is what the store does. */
export interface Steps {
  readonly writeBy: 'cas' | 'set'
  /** What a reader does with an entry that a regeneration has frozen. */
  readonly onFrozen: 'compare' | 'serve'
  readonly fill: 'lease, read, cas' | 'lease, read, set' | 'read, add'
  readonly afterFlush: 'confirm' | 'acknowledge'
  readonly onEmptyConfirm: 'acknowledge' | 'add'
  readonly onConflict: 'remove' | 'acknowledge' | 'leave' | 'delete'
  readonly onLostCas: 'look' | 'acknowledge' | 'flush mine'
  readonly onLostFreeze: 'look' | 'take over'
  readonly onTooLarge: 'freeze' | 'take over'
  readonly onLostUpdate: 'again' | 'acknowledge'
  readonly onRefusedTwice: 'in doubt' | 'not applied'
  readonly onNobodyInDoubt: 'unknown' | 'not applied'
  readonly onRingHit: 'flush and acknowledge' | 'acknowledge'
  readonly afterTakeover: 'look' | 'acknowledge'
  readonly afterRemoval: 'look' | 'acknowledge'
  readonly takeover: 'update' | 'upsert'
  readonly flush: 'update' | 'upsert'
  readonly onTombstoneRow: 'refuse' | 'replace'
  readonly destroy: 'cache, backend, cache' | 'backend, cache' | 'cache, backend'
  readonly destroyAgain: 'both' | 'backend'
  /** When a session that stands in the cache alone is destroyed without a tombstone in the backend. */
  readonly destroyAlone: 'unless it is marked' | 'marked or not' | 'never'
  /** What is done before a session is brought to the backend for the first time. */
  readonly beforeFirstInsert: 'mark the entry' | 'nothing'
  readonly onLostTombstone: 'again' | 'acknowledge'
  readonly create: 'lease, insert, cas' | 'insert, lease, cas' | 'insert, add'
  readonly regenerate: 'freeze' | 'copy'
  readonly regenerateDestroys: 'frozen' | 'any'
  readonly onForeignTombstone: 'reject' | 'take for mine'
  readonly onFailedMove: 'forget' | 'leave'
  readonly onThaw: 'take over' | 'write on'
  readonly onSuperseded: 'confirm' | 'acknowledge'
  /** How a durable save of an unchanged handle proves itself, and what one of a changed handle takes along. */
  readonly ensures: 'the held version' | 'what stands'
  /** By what a handle tells what its caller changed. */
  readonly handleBelieves: 'what was acknowledged' | 'what the cache accepted'
  readonly handleData: 'follows what is stored' | 'stays where nothing was merged'
  /** Whether all tries of one update have one write id, and know of one another's doubt. */
  readonly updateIds: 'kept' | 'new at each try'
  /** What is left to do where the backend has a durable write, and the cache cannot be asked. */
  readonly onInRow: 'repair' | 'leave'
  /** What a look at the cache that got no answer means, while the cache is not away. */
  readonly onFailedLook: 'look again' | 'go round'
  /** By what an entry is judged that a takeover left behind. */
  readonly afterTakeoverBy: 'the row' | 'the copy'
  /** What a takeover is told to be that is in, where the backend cannot be asked what the entry in the cache is. */
  readonly onUntold: 'unknown' | 'durable'
  /** What a handle remembers as not its own, after others' changes were merged into what it saved. */
  readonly anchors: 'with what others changed' | 'as loaded'
  readonly ledgerForgets: 'what is in' | 'what was put'
  readonly freezes: 'as it stands' | 'with the changes'
  readonly onUnansweredMove: 'unknown' | 'failed'
  /** When a regeneration that failed has given back what it froze. */
  readonly givesBack: 'until nothing of its is frozen' | 'once'
  /** When a repair is done. */
  readonly repairs: 'until nothing dead is seen' | 'once'
  /** What becomes of an entry of another lineage that a confirm finds. */
  readonly onForeign: 'compare' | 'remove'
  /** How an entry that a comparison found dead is removed. */
  readonly quarantineRemoves: 'by token' | 'whatever stands there'
  readonly onUnreachableTombstone: 'tell' | 'acknowledge'
  /** Whether an insert counts however late it comes: one of a creation, and one of a session whose creation was put off. */
  readonly inserts: Readonly<Record<'call' | 'life', 'in time' | 'at any time'>>
  /** What a destroy leaves in the backend where nothing stood, under an id that others may know. */
  readonly onNothing: 'leave a tombstone' | 'leave nothing'
  /** How long that is kept. */
  readonly emptyTombstones: 'as long as an insert' | 'as long as a call'
  /** Over what a reader puts the mark that nothing stands in the backend. */
  readonly marks: 'over its lease' | 'whatever stands there'
  /** What becomes of a mark that a creation, or a look at the cache after a flush, meets. */
  readonly onMark: 'take its place' | 'leave it'
  /** When a creation under an id that others may know is acknowledged. */
  readonly creationEnds: 'with a look at the cache' | 'with the insert'
  /** What becomes of a mark that may be from before an outage. */
  readonly onOldMark: 'fill over it' | 'believe'
  /** What becomes of the entry of a session that has expired, when another takes its place. */
  readonly onEndedEntry: 'lease over it' | 'leave it'
  /** Whether a session that takes the place of an entry that has expired may stand in the cache alone. */
  readonly createOver: 'durable' | 'as ever'
  /** The lineage of a session that takes the place of one that has expired. */
  readonly lineageOver: 'its own' | 'of the one before'
  readonly onUnansweredDrain: 'left' | 'nothing left'
  readonly onNobody: 'unavailable' | 'none'
  readonly touchBy: 'cas' | 'set'
  /** Whether a token outlives the connection it came over. */
  readonly tokens: 'die' | 'survive'
  /** Whether a command outlives the connection it was sent on. */
  readonly commands: 'die' | 'survive'
}

const steps: Steps = {
  writeBy: 'cas',
  onFrozen: 'compare',
  fill: 'lease, read, cas',
  afterFlush: 'confirm',
  onEmptyConfirm: 'acknowledge',
  onConflict: 'remove',
  onLostCas: 'look',
  onLostFreeze: 'look',
  onTooLarge: 'freeze',
  onLostUpdate: 'again',
  onRefusedTwice: 'in doubt',
  onNobodyInDoubt: 'unknown',
  onRingHit: 'flush and acknowledge',
  afterTakeover: 'look',
  afterRemoval: 'look',
  takeover: 'update',
  flush: 'update',
  onTombstoneRow: 'refuse',
  destroy: 'cache, backend, cache',
  destroyAgain: 'both',
  destroyAlone: 'unless it is marked',
  beforeFirstInsert: 'mark the entry',
  onLostTombstone: 'again',
  create: 'lease, insert, cas',
  regenerate: 'freeze',
  regenerateDestroys: 'frozen',
  onForeignTombstone: 'reject',
  onFailedMove: 'forget',
  onThaw: 'take over',
  onSuperseded: 'confirm',
  ensures: 'the held version',
  handleBelieves: 'what was acknowledged',
  handleData: 'follows what is stored',
  updateIds: 'kept',
  onInRow: 'repair',
  onFailedLook: 'look again',
  afterTakeoverBy: 'the row',
  onUntold: 'unknown',
  anchors: 'with what others changed',
  ledgerForgets: 'what is in',
  freezes: 'as it stands',
  onUnansweredMove: 'unknown',
  givesBack: 'until nothing of its is frozen',
  repairs: 'until nothing dead is seen',
  onForeign: 'compare',
  quarantineRemoves: 'by token',
  onUnreachableTombstone: 'tell',
  inserts: { call: 'in time', life: 'in time' },
  onNothing: 'leave a tombstone',
  emptyTombstones: 'as long as an insert',
  marks: 'over its lease',
  onMark: 'take its place',
  creationEnds: 'with a look at the cache',
  onOldMark: 'fill over it',
  onEndedEntry: 'lease over it',
  createOver: 'durable',
  lineageOver: 'its own',
  onUnansweredDrain: 'left',
  onNobody: 'unavailable',
  touchBy: 'cas',
  tokens: 'die',
  commands: 'die',
}

export type Decisions = typeof decisions
export type Transitions = typeof transitions

export interface Rules extends Decisions, Transitions {
  readonly steps: Steps
}

export const RULES: Rules = { ...decisions, ...transitions, steps }

/** The same with a ring that forgets sooner, so that few writes suffice to overflow it. */
export const withRing = (rules: Rules, size: number): Rules => {
  const short = (envelope: LiveEnvelope): LiveEnvelope => ({ ...envelope, writeIds: envelope.writeIds.slice(-size) })
  return {
    ...rules,
    written: (base, write) => short(rules.written(base, write)),
    frozen: (base, write) => short(rules.frozen(base, write)),
    halted: (base, writeId, now) => short(rules.halted(base, writeId, now)),
    takenOver: (base, write, lineage, count) => short(rules.takenOver(base, write, lineage, count)),
    ringVerdict: (seen, id, base) => rules.ringVerdict(seen, id, base, size),
    heldVerdict: (seen, held) => rules.heldVerdict(seen, held, size),
  }
}

/** What the searched store is configured with. */
export interface Settings {
  readonly policy: FlushPolicy
  readonly maxAttempts: number
  /** Writes that the cache refuses, as a mask: they are too large for it. */
  readonly tooLarge: number
}
