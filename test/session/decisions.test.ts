import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type BackendCopy,
  type BackendState,
  guardAdmits,
  NO_LINEAGE,
  type StoredSession,
} from '../../src/contract/backend.js'
import {
  afterwardsVerdict,
  confirmVerdict,
  copyVerdict,
  type FlushPolicy,
  flushReason,
  flushVerdict,
  heldVerdict,
  insertVerdict,
  lives,
  owesFlush,
  type PersistOn,
  readerShouldFlush,
  ringVerdict,
  verdictOnRow,
  type WriteSituation,
} from '../../src/session/decisions.js'
import type { LiveEnvelope } from '../../src/session/envelope.js'
import {
  confirmed,
  filled,
  flushGuard,
  storedSession,
  takenOver,
  type Write,
  written,
} from '../../src/session/transitions.js'
import { storedSession as sampleSession } from '../../src/testing/stored-session.js'
import { rounds, seed } from '../support/seed.js'
import { live, NOW } from './envelopes.js'

const timings = { touchIntervalMs: 10, touchBackendMs: 1_000, idleTtlMs: 1 }
const MINE = 'a1a2a3a4a5a6a7a8'
const PARENT = 'b1b2b3b4b5b6b7b8'
const OTHER = 'c1c2c3c4c5c6c7c8'
const token = new Uint8Array(0)

const policy = (changes: Partial<FlushPolicy> = {}): FlushPolicy => ({
  ...{ maxStaleCount: 10, persistOn: 'create', timings },
  ...changes,
})
const plainWrite: WriteSituation = { now: NOW, critical: undefined, identified: false }

/** Claimed by this lineage, and so many writes ahead of the backend, which was told of a use just now. */
const ahead = (unflushed: number, changes: Partial<LiveEnvelope> = {}): LiveEnvelope =>
  live({
    ...{ lineage: MINE, durableLineage: MINE, durableVersion: 20, version: 20 + unflushed },
    ...{ seenDurableAt: NOW, unflushedAt: NOW, ...changes },
  })
/** Created in the cache only, and written so many times, creation included. */
const deferred = (version: number): LiveEnvelope =>
  live({ lineage: MINE, durableLineage: NO_LINEAGE, durableVersion: 0, version, seenDurableAt: 0, unflushedAt: NOW })

describe('When a write must reach the backend before it is acknowledged (rule 4)', () => {
  for (const [maxStaleCount, unflushed, reason] of [
    [10, 1, undefined],
    [10, 9, undefined],
    [10, 10, 'count'],
    [10, 11, 'count'],
    [10, 500, 'count'],
    [2, 1, undefined],
    [2, 2, 'count'],
    [1, 1, 'count'],
    [1, 2, 'count'],
  ] as const)
    test(`distance: with N = ${maxStaleCount}, ${unflushed} unflushed is ${reason === undefined ? 'not ' : ''}due (M02, M03)`, () => {
      expect(flushReason(ahead(unflushed), plainWrite, policy({ maxStaleCount }))).toBe(reason)
    })

  test('distance goes by what is unflushed, not by the version: every remainder of N is due at the N-th (M02)', () => {
    for (let durableVersion = 1; durableVersion <= 40; durableVersion += 1) {
      const at = (version: number): LiveEnvelope => ahead(0, { durableVersion, version })
      for (let unflushed = 1; unflushed < 10; unflushed += 1)
        expect(flushReason(at(durableVersion + unflushed), plainWrite, policy())).toBeUndefined()
      expect(flushReason(at(durableVersion + 10), plainWrite, policy())).toBe('count')
    }
  })

  test('claim: the first write of a freshly filled lineage is due, whatever N (M04)', () => {
    for (const maxStaleCount of [1, 2, 10, 1_000])
      expect(flushReason(ahead(1, { durableLineage: PARENT }), plainWrite, policy({ maxStaleCount }))).toBe('claim')
  })

  test('claim: as long as it is not confirmed it stays due', () => {
    expect(flushReason(ahead(2, { durableLineage: PARENT }), plainWrite, policy())).toBe('claim')
  })

  for (const critical of ['durable', 'identify', 'regenerate'] as const)
    test(`a write that is critical (${critical}) is due, claimed or not, deferred or not`, () => {
      const situation = { ...plainWrite, critical }
      for (const persistOn of ['create', 'identify', 'due'] as const)
        for (const envelope of [ahead(1), ahead(1, { durableLineage: PARENT }), deferred(1)])
          expect(flushReason(envelope, situation, policy({ persistOn }))).toBe(critical)
    })

  test('what is in the backend already is not due, critical or not (rule 4)', () => {
    for (const critical of [undefined, 'durable', 'identify'] as const)
      expect(flushReason(ahead(0), { ...plainWrite, critical }, policy({ maxStaleCount: 1 }))).toBeUndefined()
  })

  test("a fresh fill that nobody has written to is not due: it is the backend's own copy", () => {
    const fill = filled(storedSession(live(), undefined, timings), token, OTHER, NOW)
    expect(flushReason(fill, { ...plainWrite, now: NOW + 1_000_000 }, policy())).toBeUndefined()
  })

  test('a write takes along what the backend must hear of the use of the session', () => {
    const envelope = ahead(1, { seenDurableAt: NOW - 1_000 })
    expect(flushReason(envelope, plainWrite, policy())).toBe('time')
    expect(flushReason(envelope, { ...plainWrite, now: NOW - 1 }, policy())).toBeUndefined()
  })

  for (const [persistOn, version, identified, reason] of [
    ['create', 1, false, 'claim'],
    ['create', 2, true, 'claim'],
    ['identify', 1, false, undefined],
    ['identify', 500, false, undefined],
    ['identify', 1, true, 'identify'],
    ['identify', 500, true, 'identify'],
    ['due', 1, false, undefined],
    ['due', 9, false, undefined],
    ['due', 9, true, undefined],
    ['due', 10, false, 'count'],
    ['due', 11, true, 'count'],
  ] as const)
    test(`persistOn '${persistOn}': write ${version} of a session no backend has, ${identified ? 'with a user' : 'anonymous'}: ${reason ?? 'not due'}`, () => {
      expect(flushReason(deferred(version), { ...plainWrite, identified }, policy({ persistOn }))).toBe(reason)
    })

  test('once it is durable, a session whose creation was deferred follows the same rules as others', () => {
    for (const persistOn of ['identify', 'due'] as const) {
      expect(flushReason(ahead(9), plainWrite, policy({ persistOn }))).toBeUndefined()
      expect(flushReason(ahead(10), plainWrite, policy({ persistOn }))).toBe('count')
      expect(flushReason(ahead(1, { durableLineage: PARENT }), plainWrite, policy({ persistOn }))).toBe('claim')
    }
  })

  test('over any run of writes, fills and losses, no acknowledged write leaves the backend N behind (I4)', () => {
    const step = (data: number, now: number): Write => ({
      ...{ now, writeId: data.toString(16).padStart(16, '0'), codecId: 1, data: Uint8Array.of(data) },
      ...{ idleTtlMs: 1_000, hasOwnIdleTtl: false, timings },
    })
    const runs = fc.array(fc.constantFrom('write', 'write', 'write', 'lose'), { maxLength: 60 })
    const property = fc.property(fc.integer({ min: 1, max: 6 }), runs, (maxStaleCount, steps) => {
      let row = storedSession(live({ version: 1 }), undefined, timings)
      let envelope = filled(row, token, MINE, NOW)
      for (const [index, what] of steps.entries()) {
        if (what === 'lose') {
          expect(envelope.version - row.version, 'lost').toBeLessThanOrEqual(maxStaleCount - 1)
          envelope = filled(row, token, (index + 1).toString(16).padStart(16, '0'), NOW)
          continue
        }
        envelope = written(envelope, step(index, NOW))
        if (flushReason(envelope, plainWrite, policy({ maxStaleCount })) !== undefined) {
          expect(guardAdmits(flushGuard(envelope), row), 'what is due may go in').toBe(true)
          row = storedSession(envelope, undefined, timings)
          envelope = confirmed(envelope, envelope, NOW, token)
        }
        expect(row.lineage, 'claimed before the first acknowledgement').toBe(envelope.lineage)
        expect(envelope.version - row.version).toBeLessThanOrEqual(maxStaleCount - 1)
      }
    })
    fc.assert(property, { seed, numRuns: rounds(300, 5_000) })
  })
})

describe('Which sessions the time bound holds for', () => {
  const nobody = (): boolean => false
  const somebody = (): boolean => true
  for (const [persistOn, envelope, what, identified, owed] of [
    ['create', ahead(1), 'unflushed', nobody, true],
    ['identify', ahead(1), 'unflushed', nobody, true],
    ['due', ahead(1), 'unflushed', nobody, true],
    ['create', ahead(0), 'flushed', somebody, false],
    ['create', ahead(1, { durableLineage: PARENT }), 'not claimed', nobody, true],
    ['create', deferred(1), 'never durable', nobody, true],
    ['identify', deferred(5), 'never durable, anonymous', nobody, false],
    ['identify', deferred(1), 'never durable, with a user', somebody, true],
    ['due', deferred(1), 'never durable, never changed', somebody, false],
    ['due', deferred(2), 'never durable, changed once', nobody, true],
  ] as const)
    test(`persistOn '${persistOn}', ${what}: ${owed ? 'owed' : 'not owed'}`, () => {
      expect(owesFlush(envelope, policy({ persistOn }), identified)).toBe(owed)
    })

  test('whose session it is is asked only where it matters, as it costs decoding the data', () => {
    const asked = (): boolean => {
      throw new Error('was asked')
    }
    for (const persistOn of ['create', 'due'] as const) owesFlush(deferred(2), policy({ persistOn }), asked)
    owesFlush(ahead(1), policy({ persistOn: 'identify' }), asked)
    owesFlush(ahead(0), policy({ persistOn: 'identify' }), asked)
    expect(() => owesFlush(deferred(2), policy({ persistOn: 'identify' }), asked)).toThrow('was asked')
  })
})

describe('When a reader flushes what another process owes', () => {
  const should = (envelope: LiveEnvelope, now: number, persistOn: PersistOn = 'create', identified = false): boolean =>
    readerShouldFlush(envelope, now, { maxStaleMs: 1_000, policy: policy({ persistOn }), identified: () => identified })

  for (const [after, flushes] of [
    [0, false],
    [1_000, false],
    [1_249, false],
    [1_250, true],
    [99_999, true],
    // A moment ahead of the reader's clock: whose clock is wrong does not matter, the change is not to wait for it.
    [-1_249, false],
    [-1_250, true],
    [-3_600_000, true],
  ] as const)
    test(`${after} ms after the oldest unflushed write, with a bound of 1000 ms: ${flushes ? 'it does' : 'it does not'}`, () => {
      expect(should(ahead(1, { unflushedAt: NOW }), NOW + after)).toBe(flushes)
    })

  test('never what is flushed, and never what is kept from the backend on purpose', () => {
    expect(should(ahead(0, { unflushedAt: 0 }), NOW)).toBe(false)
    expect(should(deferred(1), NOW + 99_999, 'due')).toBe(false)
    expect(should(deferred(5), NOW + 99_999, 'identify')).toBe(false)
    expect(should(deferred(5), NOW + 99_999, 'identify', true)).toBe(true)
  })

  test('an envelope that does not say since when is left to its process', () => {
    expect(should(ahead(1, { unflushedAt: 0 }), NOW)).toBe(false)
  })
})

const row = (lineage: string, version: number): Extract<BackendState, { state: 'live' }> => ({
  ...{ state: 'live', lineage, version, writeIds: [], token },
})

describe('What a flush found (rule 5)', () => {
  const E = live({ lineage: MINE, version: 9, durableLineage: PARENT, durableVersion: 6 })
  for (const [what, outcome, verdict] of [
    ['it was applied', { outcome: 'applied' }, 'applied'],
    ['this very version stands there', { outcome: 'refused', row: row(MINE, 9) }, 'superseded'],
    ['a newer version of my lineage stands there', { outcome: 'refused', row: row(MINE, 10) }, 'superseded'],
    [
      'an older version of my lineage stands there, and it was refused all the same',
      { outcome: 'refused', row: row(MINE, 8) },
      'conflict',
    ],
    ['another lineage at my version stands there', { outcome: 'refused', row: row(OTHER, 9) }, 'conflict'],
    ['another lineage at a newer version stands there', { outcome: 'refused', row: row(OTHER, 99) }, 'conflict'],
    ['a newer copy of my parent stands there', { outcome: 'refused', row: row(PARENT, 9) }, 'conflict'],
    ['a tombstone stands there', { outcome: 'refused', row: { state: 'destroyed' } }, 'destroyed'],
    ['nothing stands there', { outcome: 'refused', row: { state: 'absent' } }, 'absent'],
  ] as const)
    test(`${what}: ${verdict}`, () => {
      expect(flushVerdict(E, outcome)).toBe(verdict)
      if (outcome.outcome === 'refused') expect(verdictOnRow(E, outcome.row)).toBe(verdict)
    })
})

describe('Whether an entry descends from what stands in the backend', () => {
  const E = live({ lineage: MINE, version: 9, durableLineage: PARENT, durableVersion: 6 })
  for (const [what, lineage, version, alive] of [
    ['an older version of its lineage', MINE, 8, true],
    ['its own version', MINE, 9, true],
    ['a newer version of its lineage', MINE, 10, true],
    ['the copy it was filled from', PARENT, 6, true],
    ['a newer copy of its parent', PARENT, 7, false],
    ['an older copy of its parent', PARENT, 5, false],
    ['another lineage at the version it was filled from (M44)', OTHER, 6, false],
    ['another lineage at its own version (M44)', OTHER, 9, false],
    ['another lineage at an older version (M44)', OTHER, 2, false],
  ] as const)
    test(`${what}: ${alive ? 'it lives' : 'it is dead'}`, () => {
      expect(lives(E, { lineage, version })).toBe(alive)
    })

  test('what may be flushed lives, and what lives but may not be flushed is in the backend already', () => {
    for (const lineage of [MINE, PARENT, OTHER])
      for (let version = 1; version < 15; version += 1) {
        const stands = { lineage, version }
        const admitted = guardAdmits(flushGuard(E), stands)
        if (admitted) expect(lives(E, stands), `${lineage} ${version}`).toBe(true)
        else
          expect(lives(E, stands), `${lineage} ${version}`).toBe(
            verdictOnRow(E, row(lineage, version)) === 'superseded',
          )
      }
  })

  test('an entry that a takeover went past is dead', () => {
    const write: Write = {
      now: NOW,
      writeId: 'e'.repeat(16),
      codecId: 1,
      data: token,
      idleTtlMs: 1_000,
      hasOwnIdleTtl: false,
      timings,
    }
    expect(lives(E, takenOver(E, write, OTHER, 10))).toBe(false)
  })
})

describe('What a look at the cache after a flush means (rule 6)', () => {
  const flushed = live({ lineage: MINE, version: 9 })
  for (const [what, seen, verdict] of [
    ['the flushed envelope itself', { lineage: MINE, version: 9 }, 'confirm'],
    ['a successor of it', { lineage: MINE, version: 12 }, 'confirm'],
    ['an older version of it: a server that returned with old contents', { lineage: MINE, version: 8 }, 'again'],
    ['a lineage that was filled from it', { lineage: OTHER, durableLineage: MINE, durableVersion: 9 }, 'acknowledge'],
    [
      'a lineage that was filled from a successor',
      { lineage: OTHER, durableLineage: MINE, durableVersion: 11 },
      'acknowledge',
    ],
    [
      'a lineage that was filled from an older version',
      { lineage: OTHER, durableLineage: MINE, durableVersion: 8 },
      'again',
    ],
    ['a lineage filled from another one (M06)', { lineage: OTHER, durableLineage: PARENT, durableVersion: 9 }, 'again'],
    [
      'a lineage filled from another one at a newer version (M06)',
      { lineage: OTHER, version: 30, durableLineage: PARENT, durableVersion: 29 },
      'again',
    ],
    [
      'a lineage with writes of its own in the backend: only the ring can tell',
      { lineage: OTHER, durableLineage: OTHER, durableVersion: 20 },
      'again',
    ],
  ] as const)
    test(`${what}: ${verdict}`, () => {
      expect(confirmVerdict(live(seen), flushed)).toBe(verdict)
    })
})

describe('What an entry means for a copy that is known to have stood in the backend (rule 9)', () => {
  const mine = 'ffffffffffffffff'
  const taken = live({ lineage: MINE, version: 20, durableLineage: PARENT, durableVersion: 7 })
  for (const [what, seen, verdict] of [
    ['one filled from it', { lineage: OTHER, durableLineage: MINE, durableVersion: 20 }, 'contained'],
    ['one that holds the write', { lineage: PARENT, version: 8, writeIds: [mine] }, 'contained'],
    ['the entry it left behind (M41)', { lineage: PARENT, version: 8 }, 'compare'],
    ['one filled from an older copy', { lineage: OTHER, durableLineage: PARENT, durableVersion: 7 }, 'compare'],
    ['one with a newer version of another lineage', { lineage: OTHER, version: 30 }, 'compare'],
  ] as const)
    test(`${what}: ${verdict}`, () => {
      expect(afterwardsVerdict(live(seen), taken, mine)).toBe(verdict)
    })
})

describe('Whether what stands has all that a caller holds', () => {
  const mine = 'ffffffffffffffff'
  const held = { lineage: MINE, version: 9, writeId: mine }
  const fullRing = Array.from({ length: 8 }, (_, index) => `${index}000000000000000`)
  for (const [what, seen, verdict] of [
    ['the version itself', { lineage: MINE, version: 9 }, 'in'],
    ['a later one of its lineage', { lineage: MINE, version: 11 }, 'in'],
    ['an older one of its lineage', { lineage: MINE, version: 8 }, 'not in'],
    ['one filled from it', { lineage: OTHER, durableLineage: MINE, durableVersion: 9 }, 'in'],
    [
      'one filled from an older one',
      { lineage: OTHER, version: 12, durableLineage: MINE, durableVersion: 8 },
      'not in',
    ],
    ['another lineage that remembers the write', { lineage: OTHER, version: 30, writeIds: [mine] }, 'in'],
    ['another lineage that does not', { lineage: OTHER, version: 10 }, 'not in'],
    ['another lineage, too many writes later', { lineage: OTHER, version: 30, writeIds: fullRing }, 'cannot tell'],
    ['another lineage, far ahead, whose ring has room', { lineage: OTHER, version: 30 }, 'not in'],
  ] as const)
    test(`${what}: ${verdict}`, () => {
      const envelope = live({ durableLineage: PARENT, durableVersion: 1, writeIds: [], ...seen })
      expect(heldVerdict(envelope, held)).toBe(verdict)
    })

  test('what was written by others is not in another lineage, whatever that remembers', () => {
    const envelope = live({ lineage: OTHER, version: 30, durableLineage: PARENT, writeIds: [mine] })
    expect(heldVerdict(envelope, { ...held, writeId: undefined })).toBe('not in')
  })
})

describe('Whether a write whose answer was lost is in (rule 3)', () => {
  const mine = 'ffffffffffffffff'
  const step = (index: number): Write => ({
    ...{ now: NOW, writeId: index.toString(16).padStart(16, '0'), codecId: 1, data: token },
    ...{ idleTtlMs: 1_000, hasOwnIdleTtl: false, timings },
  })
  /** A session at version 5 with a full ring, then mine if it was applied, then so many writes of others. */
  const sessionWith = (applied: boolean, others: number): LiveEnvelope => {
    let envelope = live({ version: 5, writeIds: Array.from({ length: 8 }, (_, index) => step(100 + index).writeId) })
    if (applied) envelope = written(envelope, { ...step(0), writeId: mine })
    for (let index = 0; index < others; index += 1) envelope = written(envelope, step(index))
    return envelope
  }

  for (let others = 0; others < 12; others += 1) {
    const inRing = others < 8 ? 'in' : 'cannot tell'
    test(`applied, and ${others} others followed: ${inRing} (M31)`, () => {
      expect(ringVerdict(sessionWith(true, others), mine, 5)).toBe(inRing)
    })
    const notIn = others <= 8 ? 'not in' : 'cannot tell'
    test(`not applied, and ${others} others came: ${notIn}`, () => {
      expect(ringVerdict(sessionWith(false, others), mine, 5)).toBe(notIn)
    })
  }

  test('equality of version and lineage says nothing: another write may have taken the place (M29)', () => {
    const another = sessionWith(false, 1)
    expect(another.version).toBe(sessionWith(true, 0).version)
    expect(ringVerdict(another, mine, 5)).toBe('not in')
  })

  test('a write that was flushed is found in the fill of a lineage that came after (M32)', () => {
    const refilled = filled(storedSession(sessionWith(true, 2), undefined, timings), token, OTHER, NOW)
    expect(ringVerdict(written(refilled, step(50)), mine, 5)).toBe('in')
  })

  test('a write that was lost with the cache is not in what was filled from an older row', () => {
    const refilled = filled(storedSession(live({ version: 3 }), undefined, timings), token, OTHER, NOW)
    expect(ringVerdict(refilled, mine, 5)).toBe('not in')
  })

  test('a takeover by another is many versions ahead: where it does not hold mine, that is no proof, and no guess is made', () => {
    const base = sessionWith(false, 0)
    const other = takenOver(base, step(1), OTHER, 10)
    expect(ringVerdict(other, mine, 5)).toBe('cannot tell')
    const heldMine = takenOver(sessionWith(true, 0), step(1), OTHER, 10)
    expect(ringVerdict(heldMine, mine, 5)).toBe('in')
  })

  test('a ring that is not full has forgotten nothing, however far a takeover has raised the version', () => {
    const other = takenOver(live({ version: 5, writeIds: [step(100).writeId] }), step(1), OTHER, 10)
    expect(ringVerdict(other, mine, 5)).toBe('not in')
    expect(heldVerdict(other, { lineage: 'd1d2d3d4d5d6d7d8', version: 6, writeId: mine })).toBe('not in')
  })
})

describe('What an insert found (rules 5, 9 and 13)', () => {
  const E = live({ lineage: MINE, version: 3, durableLineage: NO_LINEAGE, durableVersion: 0 })
  for (const [what, outcome, verdict] of [
    ['it was inserted', { outcome: 'inserted', token }, 'applied'],
    ['it came after its time', { outcome: 'too-late' }, 'absent'],
    ['this very version stands there', { outcome: 'exists', row: row(MINE, 3) }, 'superseded'],
    ['a newer version of my lineage stands there', { outcome: 'exists', row: row(MINE, 4) }, 'superseded'],
    ['an older version of my lineage stands there', { outcome: 'exists', row: row(MINE, 2) }, 'older of mine'],
    ['another lineage stands there', { outcome: 'exists', row: row(PARENT, 3) }, 'conflict'],
    ['a tombstone stands there', { outcome: 'exists', row: { state: 'destroyed' } }, 'destroyed'],
    ['nothing stands there any more', { outcome: 'exists', row: { state: 'absent' } }, 'absent'],
  ] as const)
    test(`${what}: ${verdict}`, () => {
      expect(insertVerdict(E, outcome)).toBe(verdict)
    })
})

describe('What a copy from the backend means for a reader (rule 2)', () => {
  const at = 1_000
  const copy = (session: Partial<StoredSession>): BackendCopy => ({
    ...{ state: 'live', token, session: sampleSession({ createdAt: 0, absoluteExpiresAt: 9_000, ...session }) },
  })
  for (const [what, given, verdict] of [
    ['nothing', { state: 'absent' }, 'absent'],
    ['a tombstone', { state: 'destroyed' }, 'destroyed'],
    ['a session before its end', copy({ expiresAt: at + 1 }), 'live'],
    ['a session at its end', copy({ expiresAt: at }), 'expired'],
  ] as const)
    test(`${what}: ${verdict}`, () => {
      expect(copyVerdict(given, at)).toBe(verdict)
    })
})
