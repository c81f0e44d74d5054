import { NO_LINEAGE } from '../../src/contract/backend.js'
import { isUnflushed } from '../../src/session/transitions.js'
import type { Configuration } from './configuration.js'
import { RULES, type Rules, type Steps } from './rules.js'

/*
 * Negative controls: the rules of protocol.md section 5, each weakened in one place, and a configuration in
 * which the search must notice. One that goes unnoticed means that the search, not the rule, is worth nothing.
 */

export interface Mutation {
  readonly name: string
  readonly what: string
  readonly rules: Rules
  readonly configuration: Configuration
  /** The beginning of what is found, where the mutation is caught as what it is. */
  readonly caughtAs: RegExp
}

const withRules = (changes: Partial<Rules>): Rules => ({ ...RULES, ...changes })
const withSteps = (changes: Partial<Steps>): Rules => ({ ...RULES, steps: { ...RULES.steps, ...changes } })

const mutation = (
  name: string,
  what: string,
  rules: Rules,
  caughtAs: RegExp,
  configuration: Pick<Configuration, 'processes'> & Partial<Configuration>,
): Mutation => ({
  name,
  what,
  rules,
  caughtAs,
  configuration: { name, starts: 'warm', maxStaleCount: 2, ...configuration },
})

const LOSS = { losses: 1 } as const

/** The rule of distance alone: a freshly filled lineage is flushed no sooner than any other. */
const withoutClaim: Rules['flushReason'] = (envelope, situation, policy) =>
  RULES.flushReason(envelope, situation, policy) === 'claim' && envelope.durableLineage !== NO_LINEAGE
    ? envelope.version - envelope.durableVersion >= policy.maxStaleCount
      ? 'count'
      : undefined
    : RULES.flushReason(envelope, situation, policy)

export const MUTATIONS: readonly Mutation[] = [
  mutation('M01', 'a blind set instead of a compare-and-set', withSteps({ writeBy: 'set' }), /^I3/, {
    processes: ['W', 'W'],
  }),
  mutation(
    'M02',
    'flushes when the version divides by N, not by distance',
    withRules({
      flushReason: (envelope, situation, policy) =>
        RULES.flushReason(envelope, situation, policy) === 'claim'
          ? 'claim'
          : isUnflushed(envelope) && envelope.version % policy.maxStaleCount === 0
            ? 'count'
            : undefined,
    }),
    /^I4/,
    { processes: ['WW', 'W', 'W'], faults: LOSS },
  ),
  mutation(
    'M03',
    'flushes one write too late',
    withRules({
      flushReason: (envelope, situation, policy) =>
        RULES.flushReason(envelope, situation, { ...policy, maxStaleCount: policy.maxStaleCount + 1 }),
    }),
    /^I4/,
    { processes: ['W', 'W'], faults: LOSS },
  ),
  mutation(
    'M04b',
    'no claim: the first write of a fresh lineage may stay in the cache, N = 3',
    withRules({ flushReason: withoutClaim }),
    /^I4/,
    { processes: ['WWWW', 'F', 'F'], maxStaleCount: 3, faults: LOSS },
  ),
  mutation(
    'M05',
    'acknowledges after the backend update, without a look',
    withSteps({ afterFlush: 'acknowledge' }),
    /^I[45]/,
    {
      processes: ['W', 'D'],
      faults: LOSS,
    },
  ),
  mutation('M06', 'confirms whatever lineage stands there', withRules({ confirmVerdict: () => 'confirm' }), /^I[45]/, {
    processes: ['D', 'W'],
    faults: LOSS,
  }),
  mutation(
    'M07',
    'confirms the version that stands there, not the flushed one',
    withRules({
      confirmed: (envelope, flushed, now, token) => ({
        ...RULES.confirmed(envelope, flushed, now, token),
        durableVersion: envelope.version,
        unflushedAt: 0,
      }),
    }),
    /^I4/,
    { processes: ['WWWW', 'F'], maxStaleCount: 3, faults: LOSS },
  ),
  mutation(
    'M08',
    'guards by the version alone',
    withRules({ guardAdmits: (guard, row) => row.version < guard.belowVersion }),
    /^I7/,
    { processes: ['W', 'D', 'D'], faults: LOSS },
  ),
  mutation(
    'M09',
    'guards by the lineage without the version',
    withRules({
      guardAdmits: (guard, row) =>
        row.lineage === guard.lineage || (row.lineage === guard.parentLineage && row.version === guard.parentVersion),
    }),
    /^I7/,
    { processes: ['W', 'D', 'F'] },
  ),
  mutation(
    'M10',
    'guards the parent by its lineage alone',
    withRules({
      guardAdmits: (guard, row) =>
        (row.lineage === guard.lineage && row.version < guard.belowVersion) || row.lineage === guard.parentLineage,
    }),
    /^I7/,
    { processes: ['D', 'D'], faults: LOSS },
  ),
  mutation('M13', 'a flush may replace a tombstone', withSteps({ onTombstoneRow: 'replace' }), /^I2/, {
    processes: ['D', 'X'],
  }),
  mutation('M14', 'a flush creates a row that is missing', withSteps({ flush: 'upsert' }), /^I2/, {
    processes: ['D', 'XP'],
  }),
  mutation('M15', 'fills without a lease, by adding a copy read before', withSteps({ fill: 'read, add' }), /^I2/, {
    processes: ['R', 'X'],
    starts: 'cold',
    faults: LOSS,
  }),
  mutation('M16', 'fills by a set', withSteps({ fill: 'lease, read, set' }), /^I[235]/, {
    processes: ['R', 'D', 'W'],
    starts: 'cold',
    faults: { leaseExpiries: 1 },
  }),
  mutation(
    'M17',
    'a fill keeps the lineage of the row',
    withRules({ filled: (row, token, _lineage, now) => RULES.filled(row, token, row.lineage, now) }),
    /^I[45]/,
    { processes: ['D', 'W', 'W'], faults: LOSS },
  ),
  mutation('M18', 'acknowledges a flush that was refused', withSteps({ onConflict: 'acknowledge' }), /^I[45]/, {
    processes: ['D', 'D'],
    faults: LOSS,
  }),
  mutation('M19', 'leaves a dead lineage in the cache', withSteps({ onConflict: 'leave' }), /^GAVE UP/, {
    processes: ['D', 'D'],
    faults: LOSS,
    maxAttempts: 6,
    nobodyGivesUp: true,
  }),
  mutation('M20', 'drops a dead lineage whatever stands there', withSteps({ onConflict: 'delete' }), /^I[34]/, {
    processes: ['WD', 'WW'],
    faults: LOSS,
  }),
  mutation('M21', 'destroys in the cache first, and not again', withSteps({ destroy: 'cache, backend' }), /^I2/, {
    processes: ['R', 'X'],
    faults: LOSS,
  }),
  mutation('M25', 'destroys again in the backend only', withSteps({ destroyAgain: 'backend' }), /^I2/, {
    processes: ['R', 'X'],
    faults: { ...LOSS, backendOutages: 1 },
  }),
  mutation(
    'M26',
    'acknowledges a destroy whose answer was lost',
    withSteps({ onLostTombstone: 'acknowledge' }),
    /^I2/,
    {
      processes: ['X', 'R'],
      faults: { ...LOSS, lostInCache: 1 },
    },
  ),
  mutation(
    'M27',
    'acknowledges a write whose flush got no answer',
    withSteps({ onLostUpdate: 'acknowledge' }),
    /^I[45]/,
    {
      processes: ['D', 'W'],
      faults: { ...LOSS, lostInBackend: 1 },
    },
  ),
  mutation('M28', 'takes an unanswered compare-and-set for applied', withSteps({ onLostCas: 'acknowledge' }), /^I3/, {
    processes: ['W', 'R'],
    faults: { lostInCache: 1 },
  }),
  mutation(
    'M29',
    'after an unanswered compare-and-set, equality of version decides',
    withRules({ ringVerdict: (seen, _id, base) => (seen.version === base + 1 ? 'in' : 'not in') }),
    /^I3/,
    { processes: ['W', 'W'], faults: { lostInCache: 1 } },
  ),
  mutation(
    'M30',
    'after an unanswered compare-and-set, flushes its own envelope',
    withSteps({ onLostCas: 'flush mine' }),
    /^I[35]/,
    {
      processes: ['W', 'W'],
      faults: { lostInCache: 1 },
    },
  ),
  mutation('M31', 'no write ids', withRules({ ringVerdict: () => 'not in' }), /^DOUBLE APPLY/, {
    processes: ['W', 'R'],
    faults: { lostInCache: 1 },
  }),
  mutation(
    'M31b',
    'remembers the last write id only',
    withRules({
      ringVerdict: (seen, id) => (seen.writeIds.includes(id) ? 'in' : 'not in'),
    }),
    /^DOUBLE APPLY/,
    { processes: ['W', 'W'], ring: 1, faults: { lostInCache: 1 } },
  ),
  mutation(
    'M31c',
    'a ring of two that overflowed is believed, three writers',
    withRules({
      ringVerdict: (seen, id) => (seen.writeIds.includes(id) ? 'in' : 'not in'),
    }),
    /^DOUBLE APPLY/,
    { processes: ['W', 'W', 'W'], ring: 2, faults: { lostInCache: 1 } },
  ),
  mutation(
    'M32',
    'the row forgets the write ids',
    withRules({
      storedSession: (envelope, user, timings) => ({ ...RULES.storedSession(envelope, user, timings), writeIds: [] }),
    }),
    /^DOUBLE APPLY/,
    { processes: ['W', 'D'], faults: { ...LOSS, lostInCache: 1 } },
  ),
  mutation('M33', 'adds its own copy where the cache has none', withSteps({ onEmptyConfirm: 'add' }), /^I2/, {
    processes: ['D', 'X'],
    faults: { losses: 2 },
  }),
  mutation(
    'M34',
    'a write found in the ring is acknowledged without asking for a flush',
    withSteps({ onRingHit: 'acknowledge' }),
    /^I4/,
    {
      processes: ['W', 'W'],
      faults: { ...LOSS, lostInCache: 1 },
    },
  ),
  mutation('M35', 'touches by a set', withSteps({ touchBy: 'set' }), /^I3/, { processes: ['W', 'T'] }),
  mutation('M37', 'a token is used across a restart', withSteps({ tokens: 'survive' }), /^I[35]/, {
    processes: ['W', 'D'],
    faults: { restarts: 1 },
  }),
  mutation('M37c', 'a command outlives its connection', withSteps({ commands: 'survive' }), /^I[345]/, {
    processes: ['W', 'D'],
    faults: { restarts: 1, lateInCache: 1 },
  }),
  mutation('M37d', 'a token is used across a restart, by a touch', withSteps({ tokens: 'survive' }), /^I[345]/, {
    processes: ['T', 'D'],
    faults: { restarts: 1 },
  }),
  mutation(
    'M39',
    'a takeover keeps the lineage',
    withRules({
      takenOver: (base, write, _lineage, count) => RULES.takenOver(base, write, base.lineage, count),
    }),
    /^I5/,
    { processes: ['W', 'W'], faults: { outages: 1 } },
  ),
  mutation('M40', 'a takeover creates a row that is missing', withSteps({ takeover: 'upsert' }), /^I2/, {
    processes: ['W', 'XP'],
    faults: { outages: 1 },
  }),
  mutation(
    'M41',
    'a takeover is acknowledged without a look at the cache',
    withSteps({ afterTakeover: 'acknowledge' }),
    /^I5/,
    {
      processes: ['W', 'W'],
      faults: { outages: 1 },
    },
  ),
  mutation('M49', 'a creation adds a live envelope', withSteps({ create: 'insert, add' }), /^I2/, {
    processes: ['C', 'X'],
    starts: 'new',
    faults: { ...LOSS, lateInCache: 1 },
  }),
  mutation('M49b', 'a creation takes its lease after the insert', withSteps({ create: 'insert, lease, cas' }), /^I2/, {
    processes: ['C', 'X'],
    starts: 'new',
    faults: LOSS,
  }),
  mutation('M51', 'regenerates without freezing', withSteps({ regenerate: 'copy' }), /^REGENERATE/, {
    processes: ['N', 'W'],
  }),
  mutation(
    'M52',
    'regenerates and destroys whatever stands there',
    withSteps({ regenerateDestroys: 'any' }),
    /^REGENERATE/,
    {
      processes: ['N', 'W', 'W'],
      faults: LOSS,
    },
  ),
  mutation(
    'M60',
    'drops what a takeover left behind, without another look',
    withSteps({ afterRemoval: 'acknowledge' }),
    /^I5/,
    {
      processes: ['W', 'T'],
      faults: { outages: 1 },
    },
  ),
  mutation(
    'M61',
    'a write in doubt that finds nobody to ask is said not to be applied',
    withSteps({ onNobodyInDoubt: 'not applied' }),
    /^A WRITE THAT WAS SAID/,
    { processes: ['W', 'W'], faults: { losses: 1, lostInCache: 1 } },
  ),
  mutation(
    'M62',
    'a regeneration whose freezing got no answer takes over without a look',
    withSteps({ onLostFreeze: 'take over' }),
    /^REGENERATE/,
    { processes: ['W', 'N'], faults: { lostInCache: 1 } },
  ),
  mutation(
    'M63',
    'a write that is too large takes over from a copy that others have written to since',
    withSteps({ onTooLarge: 'take over' }),
    /^I3/,
    { processes: ['W', 'W'], tooLarge: [0] },
  ),
  mutation(
    'M64',
    "takes another's tombstone for its own",
    withSteps({ onForeignTombstone: 'take for mine' }),
    /^(TWO REGENERATIONS|REGENERATED OVER)/,
    { processes: ['N', 'X'] },
  ),
  mutation(
    'M64b',
    "takes another regeneration's tombstone for its own",
    withSteps({ onForeignTombstone: 'take for mine' }),
    /^(TWO REGENERATIONS|REGENERATED OVER)/,
    { processes: ['N', 'N'] },
  ),
  mutation(
    'M64c',
    'leaves the new session of a regeneration that failed',
    withSteps({ onFailedMove: 'leave' }),
    /^THE NEW SESSION/,
    { processes: ['N', 'X'] },
  ),
  mutation(
    'M65',
    'a takeover that is refused when sent again is taken for not applied',
    withSteps({ onRefusedTwice: 'not applied' }),
    /^DOUBLE APPLY/,
    { processes: ['W', 'W'], ring: 1, faults: { outages: 1, lostInBackend: 1 } },
  ),
  mutation(
    'M36',
    'a touch refreshes the trust stamp',
    withRules({
      touched: (base, now, idleTtlMs, timings, told) =>
        RULES.trusted(RULES.touched(base, now, idleTtlMs, timings, told), now),
    }),
    /^I5/,
    { processes: ['D', 'T', 'R'], isAsymmetric: true, view: 'own', faults: { outages: 1 } },
  ),
  mutation('M42', 'only those who saw the outage ask the backend, and all are to see', RULES, /^I5/, {
    processes: ['D', 'R'],
    view: 'own',
    faults: { outages: 1 },
  }),
  mutation('M42b', 'the same, a destroy', RULES, /^I2/, {
    processes: ['X', 'R'],
    view: 'own',
    faults: { outages: 1 },
  }),
  mutation(
    'M43',
    'a write refreshes the trust stamp',
    withRules({ written: (base, write) => RULES.trusted(RULES.written(base, write), write.now) }),
    /^I5/,
    { processes: ['D', 'W', 'R'], isAsymmetric: true, view: 'own', faults: { outages: 1 } },
  ),
  mutation(
    'M44',
    'quarantine compares the versions alone',
    withRules({
      quarantineVerdict: (envelope, row) =>
        row.state === 'live'
          ? row.version > envelope.version
            ? 'remove'
            : 'believe'
          : RULES.quarantineVerdict(envelope, row),
    }),
    /^I5/,
    { processes: ['W', 'W', 'W'], maxStaleCount: 1, faults: { outages: 1 } },
  ),
  mutation(
    'M45',
    'quarantine drops whatever stands there',
    withSteps({ quarantineRemoves: 'whatever stands there' }),
    /^I[345]/,
    { processes: ['D', 'R', 'WW'], faults: { outages: 1 } },
  ),
  mutation(
    'M46',
    'a destroy that cannot reach a cache that others reach is acknowledged',
    withSteps({ onUnreachableTombstone: 'acknowledge' }),
    /^I2/,
    { processes: ['X', 'R'], isAsymmetric: true, faults: { cuts: 1 } },
  ),
  mutation('M47', 'what one does who is cut off, all are to see at once', RULES, /^I5/, {
    processes: ['D', 'R'],
    faults: { cuts: 1 },
  }),
  mutation(
    'M50',
    'a deferred insert comes however late',
    withSteps({ inserts: { call: 'in time', life: 'at any time' } }),
    /^I2/,
    {
      processes: ['C', 'W', 'XP'],
      starts: 'new',
      persistOn: 'due',
      faults: { lateInBackend: 1 },
    },
  ),
  mutation('M53', 'thaws by time, without claiming the row', withSteps({ onThaw: 'write on' }), /^REGENERATE/, {
    processes: ['N', 'W'],
  }),
  mutation('M54', 'reads never go back, also where the cache is lost', RULES, /^I6/, {
    processes: ['RR', 'D', 'R'],
    faults: LOSS,
    readsNeverGoBack: true,
  }),
  mutation(
    'M55',
    'a write that the row has already is acknowledged without a look at the cache',
    withSteps({ onSuperseded: 'acknowledge' }),
    /^I[45]/,
    { processes: ['D', 'D', 'R'], faults: LOSS },
  ),
  mutation(
    'M56',
    'a foreign lineage is dropped without comparing it with the row',
    withSteps({ onForeign: 'remove' }),
    /^I[34]/,
    { processes: ['D', 'WW'], faults: LOSS },
  ),
  mutation(
    'M68',
    'a drain that could not reach the backend leaves nothing',
    withSteps({ onUnansweredDrain: 'nothing left' }),
    /^I8/,
    { processes: ['WZ'], faults: { ...LOSS, backendOutages: 1 } },
  ),
  mutation('M69', 'a backend that does not answer has no session', withSteps({ onNobody: 'none' }), /^I9/, {
    processes: ['R'],
    starts: 'cold',
    faults: { backendOutages: 1 },
  }),
  mutation('M67', 'what is done with one list of servers, all are to see at once', RULES, /^I[235]/, {
    processes: ['X', 'R'],
    faults: { moves: 1 },
  }),
  mutation(
    'M67b',
    'a fill keeps the lineage of the row, where lists of servers differ',
    withRules({ filled: (row, token, _lineage, now) => RULES.filled(row, token, row.lineage, now) }),
    /^I[3457]/,
    { processes: ['WW', 'WW'], isAsymmetric: true, faults: { moves: 1 } },
  ),
  mutation(
    'M67d',
    'a flush that finds a tombstone is taken for superseded, where lists of servers differ',
    withRules({
      flushVerdict: (envelope, outcome) => {
        const verdict = RULES.flushVerdict(envelope, outcome)
        return verdict === 'destroyed' ? 'superseded' : verdict
      },
    }),
    /^I2/,
    { processes: ['X', 'D'], isAsymmetric: true, faults: { moves: 1 } },
  ),
  mutation('M67c', 'no claim, where lists of servers differ', withRules({ flushReason: withoutClaim }), /^I[34]/, {
    processes: ['WW', 'WW'],
    isAsymmetric: true,
    faults: { moves: 1 },
  }),
  mutation(
    'M70',
    'a durable save of an unchanged handle makes durable what stands, whatever the handle holds',
    withSteps({ ensures: 'what stands' }),
    /^I5/,
    { processes: ['We', 'W'], faults: LOSS },
  ),
  mutation(
    'M70b',
    'the same, where one look at the cache fails',
    withSteps({ ensures: 'what stands', onFailedLook: 'go round' }),
    /^I[35]/,
    { processes: ['We', 'W'], faults: { lostLooks: 1 } },
  ),
  mutation('M70c', 'the same, of a handle that was only loaded', withSteps({ ensures: 'what stands' }), /^I5/, {
    processes: ['Re', 'W'],
    faults: LOSS,
  }),
  mutation(
    'M70d',
    'a durable save of a changed handle forgets what an earlier one had put into the cache',
    withSteps({ ensures: 'what stands' }),
    /^I5/,
    { processes: ['Wd', 'W'], faults: LOSS },
  ),
  mutation(
    'M70e',
    "what is written anew takes along others' changes that were merged into it",
    withSteps({ anchors: 'as loaded' }),
    /^DOUBLE APPLY/,
    { processes: ['We', 'W'], maxStaleCount: 3, faults: { ...LOSS, lostInCache: 1 } },
  ),
  mutation(
    'M71',
    'a handle takes for stored what the cache accepted, whatever became of the save',
    withSteps({ handleBelieves: 'what the cache accepted' }),
    /^I4/,
    { processes: ['Ws', 'W'], maxStaleCount: 1, faults: { ...LOSS, backendOutages: 1 } },
  ),
  mutation(
    'M72',
    "a handle keeps the data of a try that came to nothing, with the base of the one that didn't",
    withSteps({ handleBelieves: 'what the cache accepted', handleData: 'stays where nothing was merged' }),
    /^I[357]/,
    { processes: ['Ww', 'D'], faults: LOSS },
  ),
  mutation(
    'M73',
    'each try of an update has a write id of its own, and forgets the doubt of those before',
    withSteps({ updateIds: 'new at each try' }),
    /^(DOUBLE APPLY|A WRITE THAT WAS SAID)/,
    { processes: ['U', 'W', 'F'], faults: { ...LOSS, lostInCache: 1 } },
  ),
  mutation(
    'M74',
    'a durable write that the row has, where the cache cannot be asked, leaves no repair behind',
    withSteps({ onInRow: 'leave' }),
    /^I5 DURABLE WRITE MISSED FOR GOOD/,
    { processes: ['We', 'F', 'R'], isAsymmetric: true, faults: { ...LOSS, cuts: 1 } },
  ),
  mutation(
    'M75',
    'one look at the cache without an answer counts as an outage',
    withSteps({ onFailedLook: 'go round' }),
    /^I3/,
    { processes: ['W', 'WW'], faults: { lostLooks: 1, lostInCache: 1 } },
  ),
  mutation('M75b', 'looks fail as often as one looks, and nobody is to lose anything', RULES, /^I3/, {
    processes: ['W', 'WW'],
    faults: { lostLooks: 2, lostInCache: 1 },
  }),
  mutation(
    'M76',
    'after a takeover that was refused the entry is judged by the copy that was not stored',
    withSteps({ afterTakeoverBy: 'the copy' }),
    /^I3/,
    { processes: ['W', 'FW'], ring: 1, isAsymmetric: true, faults: { lostInCache: 1, cuts: 1 } },
  ),
  mutation(
    'M76b',
    'a look that comes late judges the entry by a copy that the backend has left behind',
    withSteps({ afterTakeoverBy: 'the copy' }),
    /^I3/,
    { processes: ['W', 'WW'], ring: 1, faults: { outages: 1 } },
  ),
  mutation(
    'M76c',
    'a takeover is acknowledged where nobody can tell whether the entry it meets is dead',
    withSteps({ onUntold: 'durable' }),
    /^I5/,
    { processes: ['W', 'W'], starts: 'cold', faults: { outages: 1, backendOutages: 1 } },
  ),
  mutation(
    'M77',
    'the ledger forgets up to the version that a takeover was to put',
    withSteps({ ledgerForgets: 'what was put' }),
    /^I8/,
    {
      processes: ['W', '+WZ', 'F'],
      maxAttempts: 2,
      isAsymmetric: true,
      faults: { lostInCache: 1, cuts: 1 },
    },
  ),
  mutation(
    'M78',
    'a regeneration freezes with the changes of its request',
    withSteps({ freezes: 'with the changes' }),
    /^WHAT IS FOR THE NEW ID/,
    { processes: ['N', 'R'] },
  ),
  mutation(
    'M79',
    'a regeneration that does not know whether it ended the old session says that it did not',
    withSteps({ onUnansweredMove: 'failed' }),
    /^A REGENERATION THAT WAS SAID/,
    { processes: ['N', 'R'], faults: { lostInBackend: 2 } },
  ),
  mutation(
    'M80',
    'a frozen entry that another marked meanwhile is not given back',
    withSteps({ givesBack: 'once' }),
    /^FROZEN FOR GOOD/,
    { processes: ['N', 'W'], faults: { lostInBackend: 2, lostInCache: 1 } },
  ),
  mutation(
    'M81',
    'a repair is done although somebody kept the dead entry by changing it',
    withSteps({ repairs: 'once' }),
    /^I5 DURABLE WRITE MISSED FOR GOOD/,
    { processes: ['W', 'D'], isAsymmetric: true, faults: { lostInCache: 1, cuts: 1 } },
  ),
  mutation(
    'M81b',
    'a repair is done although a lease stands there, whose holder read the row before',
    withSteps({ repairs: 'once' }),
    /^I5 DURABLE WRITE MISSED FOR GOOD/,
    { processes: ['R', 'D'], isAsymmetric: true, faults: { ...LOSS, cuts: 1 } },
  ),
  mutation(
    'M82',
    'a late save of a session that has expired is merged into the one that was made under its id since',
    withRules({ isSameSession: () => true }),
    /^A LATE SAVE/,
    { processes: ['W', 'K'], faults: { expiries: 1 } },
  ),
  mutation(
    'M83',
    'a session that takes the place of one that has expired leaves the entry of that one in the cache',
    withSteps({ onEndedEntry: 'leave it' }),
    /^I5/,
    { processes: ['K'], faults: { expiries: 1 } },
  ),
  mutation(
    'M84',
    'a session that takes the place of one that has expired goes on with its lineage',
    withSteps({ lineageOver: 'of the one before' }),
    /^I[57]/,
    { processes: ['WW', 'K'], maxStaleCount: 1, faults: { expiries: 1, lateInBackend: 1 } },
  ),
  mutation(
    'M84b',
    'a session that takes the place of one that has expired stands in the cache alone, as a late flush of that one comes in',
    withSteps({ createOver: 'as ever' }),
    /^I3/,
    { processes: ['K', 'W', 'K'], starts: 'new', persistOn: 'due', faults: { expiries: 1 } },
  ),
  mutation(
    'M85',
    'where nothing stood, a destroy leaves nothing, though others may know the id',
    withSteps({ onNothing: 'leave nothing' }),
    /^I2/,
    { processes: ['K', 'X'], starts: 'new', faults: { lateInBackend: 1 } },
  ),
  mutation(
    'M98',
    'a session that stands in the cache alone is brought to the backend without a mark that says so',
    withSteps({ beforeFirstInsert: 'nothing' }),
    /^I2/,
    { processes: ['C', 'D', 'X'], starts: 'new', persistOn: 'due', faults: { losses: 1 } },
  ),
  mutation(
    'M99',
    'where the cache alone has the session, a destroy leaves nothing, though it is being brought to the backend',
    withSteps({ destroyAlone: 'marked or not' }),
    /^I2/,
    { processes: ['C', 'D', 'X'], starts: 'new', persistOn: 'due', faults: { losses: 1 } },
  ),
  mutation(
    'M86',
    'the insert of a creation counts however late it comes, and the tombstone of nobody is over before',
    withSteps({ inserts: { call: 'at any time', life: 'in time' } }),
    /^I2/,
    { processes: ['K', 'XP'], starts: 'new', faults: { lateInBackend: 1 } },
  ),
  mutation(
    'M87',
    'the tombstone of nobody is kept as long as a call may take, also where creations are put off',
    withSteps({ emptyTombstones: 'as long as a call' }),
    /^I2/,
    { processes: ['C', 'W', 'XP'], starts: 'new', persistOn: 'due', faults: { lateInBackend: 1 } },
  ),
  mutation(
    'M97c',
    'a reader serves what a regeneration has frozen, whose process may be dead',
    withSteps({ onFrozen: 'serve' }),
    /^THE OLD ID IS SERVED/,
    { processes: ['N', 'R'], faults: { crashes: 1 } },
  ),
  mutation(
    'M98',
    'the mark that nothing stands in the backend survives the creation of a session',
    withSteps({ onMark: 'leave it' }),
    /^I5 DURABLE WRITE MISSED$/,
    { processes: ['K', 'R'], starts: 'new' },
  ),
  mutation(
    'M98b',
    'the mark survives the flush of a session whose creation was put off',
    withSteps({ onMark: 'leave it' }),
    /^I5 DURABLE WRITE MISSED$/,
    { processes: ['C', 'WW', 'R'], starts: 'new', persistOn: 'due', faults: LOSS },
  ),
  mutation(
    'M99',
    'a reader whose lease was overtaken puts the mark all the same',
    withSteps({ marks: 'whatever stands there' }),
    /^I5 DURABLE WRITE MISSED$/,
    { processes: ['K', 'R'], starts: 'new', faults: { leaseExpiries: 1 } },
  ),
  mutation(
    'M100',
    'a creation is acknowledged with its insert, though its lease was overtaken by a reader',
    withSteps({ creationEnds: 'with the insert' }),
    /^I5 DURABLE WRITE MISSED$/,
    { processes: ['K', 'R'], starts: 'new', faults: { leaseExpiries: 1 } },
  ),
  mutation(
    'M101',
    'a mark from before an outage is believed, though the session was created meanwhile',
    withSteps({ onOldMark: 'believe' }),
    /^I9/,
    { processes: ['K', 'RR'], starts: 'new', faults: { outages: 1 } },
  ),
  mutation(
    'M102',
    'a session is created by who cannot reach the cache, and all are to see it at once',
    RULES,
    /^I5 DURABLE WRITE MISSED$/,
    { processes: ['K', 'R'], starts: 'new', faults: { cuts: 1 } },
  ),
]
