import { describe, expect, test } from 'vitest'
import { guardAdmits, NO_LINEAGE } from '../../src/contract/backend.js'
import { encodeEnvelope, isUserUnproved, type LiveEnvelope, neverDurable } from '../../src/session/envelope.js'
import {
  asDurable,
  type Birth,
  born,
  confirmed,
  filled,
  flushGuard,
  halted,
  type Identification,
  isUnflushed,
  storedSession,
  takenOver,
  takeoverGuard,
  touched,
  usedSince,
  type Write,
  written,
} from '../../src/session/transitions.js'
import { key, live, NOW } from './envelopes.js'

const timings = { touchIntervalMs: 10, touchBackendMs: 100, idleTtlMs: 1 }
const MINE = 'a1a2a3a4a5a6a7a8'
const PARENT = 'b1b2b3b4b5b6b7b8'
const OTHER = 'c1c2c3c4c5c6c7c8'
const NEW = 'd1d2d3d4d5d6d7d8'
const token = Uint8Array.of(9, 9)

const step: Write = {
  now: NOW + 50,
  writeId: 'eeeeeeeeeeeeeeee',
  codecId: 2,
  data: Uint8Array.of(7, 7),
  idleTtlMs: 2_000,
  hasOwnIdleTtl: false,
  timings,
}

/** The fields in which two envelopes differ. */
const changedIn = (before: LiveEnvelope, after: LiveEnvelope): readonly string[] =>
  (Object.keys(before) as (keyof LiveEnvelope)[]).filter((field) => before[field] !== after[field]).sort()

describe('A new session', () => {
  const birth: Omit<Birth, 'idleTtlMs' | 'absoluteTtlMs'> = {
    ...{ now: NOW, lineage: MINE, writeId: '1111111111111111', codecId: 1, data: token, timings },
    ...{ hasOwnIdleTtl: true, app: 'shop', client: { address: '192.0.2.1', userAgent: 'Browser' } },
  }
  const envelope = born({ ...birth, idleTtlMs: 1_000, absoluteTtlMs: 9_000 })

  test('it is at version 1, which no backend has: a creation counts as a write', () => {
    expect(envelope).toMatchObject({ version: 1, writes: 1, reads: 0, durableLineage: NO_LINEAGE, durableVersion: 0 })
    expect(envelope).toMatchObject({ lineage: MINE, writeIds: ['1111111111111111'], frozen: false })
    expect(neverDurable(envelope)).toBe(true)
    expect(isUnflushed(envelope)).toBe(true)
    expect(envelope).toMatchObject({ unflushedAt: NOW, writtenAt: NOW, touchedAt: NOW, trustedAt: NOW })
    expect(envelope).toMatchObject({ seenDurableAt: 0, backendToken: new Uint8Array(0), data: token })
  })

  test('it has the application and the client that it was given, and is nobody’s', () => {
    expect(envelope).toMatchObject({ app: 'shop', address: '192.0.2.1', userAgent: 'Browser' })
    expect(envelope).toMatchObject({ userEpoch: 0, identifiedAt: 0, identifiedVersion: 0 })
  })

  test('one that is a user’s from the beginning has to be proved his, unless there is nothing to prove', () => {
    const becomes: Identification = { userEpoch: 4, identifiedAt: NOW - 1, isProved: false }
    const ends = { idleTtlMs: 1_000, absoluteTtlMs: 9_000 }
    const his = born({ ...birth, ...ends, becomes, over: { version: 8, createdAt: NOW - 1 } })
    expect(his).toMatchObject({ userEpoch: 4, identifiedAt: NOW - 1, version: 9, identifiedVersion: 9 })
    expect(isUserUnproved(his)).toBe(true)
    expect(isUserUnproved(asDurable(his, NOW + 3, token))).toBe(false)
    const proved = born({ ...birth, ...ends, becomes: { ...becomes, isProved: true } })
    expect(isUserUnproved(proved)).toBe(false)
  })

  test('its ends are counted from its birth', () => {
    expect(envelope).toMatchObject({ createdAt: NOW, expiresAt: NOW + 1_010, absoluteExpiresAt: NOW + 9_000 })
    expect(born({ ...birth, idleTtlMs: 9_000, absoluteTtlMs: 9_000 }).expiresAt).toBe(NOW + 9_000)
  })

  test('once its row is in, it is durable and claimed, and the backend knows of its use', () => {
    const known = asDurable(envelope, NOW + 3, token)
    expect(known).toMatchObject({ durableLineage: MINE, durableVersion: 1, unflushedAt: 0 })
    expect(known).toMatchObject({ seenDurableAt: NOW, backendToken: token })
    expect(isUnflushed(known)).toBe(false)
    expect(neverDurable(known)).toBe(false)
  })
})

describe('A write', () => {
  const base = live({ durableVersion: 7, version: 7, idleTtlMs: 1_000 })

  test('it is one version more, under its own id, with its own data and a new deadline', () => {
    expect(written(base, step)).toMatchObject({
      ...{ version: 8, writes: base.writes + 1, codecId: 2, data: step.data, idleTtlMs: 2_000 },
      ...{ writtenAt: step.now, touchedAt: step.now, expiresAt: step.now + 2_010 },
      writeIds: [...base.writeIds, step.writeId],
    })
  })

  test('it inherits lineage, trust, creation and all that is known of the backend (rule 3, M43)', () => {
    expect(changedIn(base, written(base, step))).toEqual(
      [
        ...['codecId', 'data', 'expiresAt', 'idleTtlMs', 'touchedAt', 'unflushedAt', 'version'],
        ...['writeIds', 'writes', 'writtenAt'],
      ].sort(),
    )
  })

  test('it takes up what is known of the client by now, and leaves that as it is where nothing is said of it', () => {
    expect(written(base, step)).toMatchObject({ address: base.address, userAgent: base.userAgent, app: base.app })
    const client = { address: '198.51.100.2', userAgent: undefined }
    expect(written(base, { ...step, client })).toMatchObject(client)
  })

  test('one that makes it another user’s is the version by which that has to be proved', () => {
    const becomes: Identification = { userEpoch: 3, identifiedAt: step.now, isProved: false }
    const his = written(base, { ...step, becomes })
    expect(his).toMatchObject({ userEpoch: 3, identifiedAt: step.now, identifiedVersion: 8 })
    expect(isUserUnproved(his)).toBe(true)
    expect(isUserUnproved(written(his, { ...step, now: step.now + 1 })), 'the next write proves nothing').toBe(true)
    const taken = takenOver(base, { ...step, becomes }, NEW, 10)
    expect(taken.identifiedVersion, 'a takeover is a version of its own').toBe(taken.version)
  })

  test('it says whether the idle time-out is the session’s own', () => {
    expect(written(base, { ...step, hasOwnIdleTtl: true })).toMatchObject({ idleTtlMs: 2_000, hasOwnIdleTtl: true })
    const own = live({ hasOwnIdleTtl: true })
    expect(written(own, step)).toMatchObject({ idleTtlMs: 2_000, hasOwnIdleTtl: false })
    expect(touched(own, NOW, own.idleTtlMs, timings, false).hasOwnIdleTtl).toBe(true)
    expect(storedSession(own, undefined, timings).hasOwnIdleTtl).toBe(true)
    expect(filled(storedSession(own, undefined, timings), token, NEW, NOW).hasOwnIdleTtl).toBe(true)
  })

  test('the oldest write the backend does not have sets the time by which it must', () => {
    const first = written(base, step)
    expect(first.unflushedAt).toBe(step.now)
    expect(written(first, { ...step, now: step.now + 1_000 }).unflushedAt).toBe(step.now)
  })

  test('the absolute end is not moved, and not passed', () => {
    const late = written(live({ absoluteExpiresAt: NOW + 100 }), step)
    expect(late).toMatchObject({ absoluteExpiresAt: NOW + 100, expiresAt: NOW + 100 })
  })

  test('the ring remembers the last eight writes, newest last', () => {
    let envelope = live({ writeIds: [] })
    for (let index = 0; index < 12; index += 1)
      envelope = written(envelope, { ...step, writeId: index.toString(16).repeat(16) })
    expect(envelope.writeIds.map((id) => id[0]).join('')).toBe('456789ab')
  })

  test('its base is left as it was', () => {
    const before = Buffer.from(encodeEnvelope(key, base))
    written(base, step)
    expect(before.equals(encodeEnvelope(key, base))).toBe(true)
  })
})

describe('A touch (rule 11)', () => {
  const base = live({ version: 9, durableVersion: 7, unflushedAt: NOW - 10, idleTtlMs: 1_000, expiresAt: NOW + 900 })

  test('it moves the time of use and the deadline and counts, and changes nothing else', () => {
    const after = touched(base, NOW + 50, 1_000, timings, false)
    expect(changedIn(base, after)).toEqual(['expiresAt', 'reads', 'touchedAt'])
    expect(after).toMatchObject({ touchedAt: NOW + 50, expiresAt: NOW + 1_060, reads: base.reads + 1 })
  })

  test('where the backend was told, the envelope says so', () => {
    const after = touched(base, NOW + 50, 1_000, timings, true)
    expect(changedIn(base, after)).toEqual(['expiresAt', 'reads', 'seenDurableAt', 'touchedAt'])
    expect(after.seenDurableAt).toBe(NOW + 50)
  })

  test('a clock that is behind ends the session no earlier, unless its idle time-out is another now', () => {
    expect(touched(base, NOW - 500, 1_000, timings, false)).toMatchObject({
      touchedAt: NOW - 500,
      expiresAt: NOW + 900,
    })
    expect(touched(base, NOW + 50, 500, timings, false).expiresAt).toBe(NOW + 560)
  })

  test('version, lineage, data and trust stay the very same, whatever it is told (M35, M36, M36b)', () => {
    for (const told of [true, false])
      for (const ttl of [1, 1_000, 5_000]) {
        const after = touched(base, NOW + 50, ttl, timings, told)
        for (const field of ['version', 'lineage', 'data', 'trustedAt', 'durableVersion', 'durableLineage'] as const)
          expect(after[field]).toBe(base[field])
        for (const field of ['writeIds', 'writes', 'unflushedAt', 'writtenAt', 'createdAt', 'frozen'] as const)
          expect(after[field]).toBe(base[field])
      }
  })

  test('a header that says less is as long as before, and its data stays where it was', () => {
    const before = encodeEnvelope(key, base)
    const after = encodeEnvelope(key, touched(base, NOW + 50, 1_000, timings, true))
    expect(after.length).toBe(before.length)
    expect(Buffer.from(after).subarray(144).equals(Buffer.from(before).subarray(144))).toBe(true)
  })
})

describe('A confirm (rule 6)', () => {
  const flushed = live({ version: 9, durableVersion: 5, durableLineage: PARENT, unflushedAt: NOW - 400 })

  test('what was flushed is durable; data, version, ring, trust and deadline are left alone', () => {
    const after = confirmed(flushed, flushed, NOW, token)
    expect(after).toMatchObject({ durableLineage: MINE, durableVersion: 9, backendToken: token })
    expect(after.unflushedAt).toBe(0)
    expect(isUnflushed(after)).toBe(false)
    const may = ['backendToken', 'durableLineage', 'durableVersion', 'seenDurableAt', 'unflushedAt']
    for (const field of changedIn(flushed, after)) expect(may).toContain(field)
  })

  test('an envelope that has moved on gets the flushed version, never its own (M07)', () => {
    const current = live({ version: 12, durableVersion: 5, durableLineage: PARENT, unflushedAt: NOW - 400 })
    const after = confirmed(current, flushed, NOW, token)
    expect(after).toMatchObject({ version: 12, durableLineage: MINE, durableVersion: 9 })
    expect(isUnflushed(after)).toBe(true)
  })

  test('what came after the flushed write is owed since then at the latest, not since the first of all', () => {
    const current = live({ version: 12, durableVersion: 5, writtenAt: NOW, unflushedAt: NOW - 400 })
    const earlier = live({ ...flushed, writtenAt: NOW - 200 })
    expect(confirmed(current, earlier, NOW, token).unflushedAt).toBe(NOW - 200)
  })

  test('the backend knows of the use that was flushed, and what it knew before is not forgotten', () => {
    const known = (seenDurableAt: number, touchedAt: number): number =>
      confirmed(live({ seenDurableAt }), live({ touchedAt }), NOW, token).seenDurableAt
    expect(known(NOW - 500, NOW - 100)).toBe(NOW - 100)
    expect(known(NOW - 50, NOW - 100)).toBe(NOW - 50)
  })

  test('a moment ahead of now, by which the backend was told, is of a wrong clock and is not kept', () => {
    const known = confirmed(live({ seenDurableAt: NOW + 5_000 }), live({ touchedAt: NOW - 100 }), NOW, token)
    expect(known.seenDurableAt).toBe(NOW)
  })
})

describe('A fill (rule 2)', () => {
  const source = live({ version: 9, lineage: PARENT, idleTtlMs: 1_000, touchedAt: NOW - 30, userEpoch: 3 })
  const row = storedSession(source, 'ada', timings)
  const envelope = filled(row, token, NEW, NOW)

  test("it is the row's copy under a lineage of its own, which knows exactly what it was filled from (M17)", () => {
    expect(envelope).toMatchObject({ lineage: NEW, version: 9, durableLineage: PARENT, durableVersion: 9 })
    expect(envelope).toMatchObject({ data: source.data, codecId: source.codecId, backendToken: token, userEpoch: 3 })
    expect(envelope).toMatchObject({ unflushedAt: 0, frozen: false, trustedAt: NOW })
    expect(isUnflushed(envelope)).toBe(false)
  })

  test('the ring comes along, so that a write whose answer was lost is still found (M32)', () => {
    expect(envelope.writeIds).toEqual(source.writeIds)
  })

  test('moments of the session are those of the row, and no use is made up', () => {
    expect(envelope).toMatchObject({ createdAt: source.createdAt, touchedAt: NOW - 30, seenDurableAt: NOW - 30 })
    expect(envelope).toMatchObject({ expiresAt: row.expiresAt, absoluteExpiresAt: source.absoluteExpiresAt })
    expect(envelope.idleTtlMs).toBe(1_000)
  })

  test('what a flush of it would write is what stands there', () => {
    expect(storedSession(envelope, 'ada', timings)).toEqual({ ...row, lineage: NEW })
  })
})

describe('Freezing (rule 14)', () => {
  test('it is a version of its own that changes nothing but who may write', () => {
    const base = live({ frozen: false })
    const { version, writeIds, writtenAt, unflushedAt, frozen, ...rest } = halted(base, step.writeId, NOW)
    expect(rest).toStrictEqual(
      (({ version: _, writeIds: __, writtenAt: ___, unflushedAt: ____, frozen: _____, ...others }) => others)(base),
    )
    expect({ version, frozen, writtenAt }).toEqual({ version: base.version + 1, frozen: true, writtenAt: NOW })
    expect(writeIds.at(-1)).toBe(step.writeId)
    expect(unflushedAt).toBeGreaterThan(0)
  })
})

describe('What the backend knows of a later use', () => {
  const base = live({ touchedAt: NOW - 1_000, seenDurableAt: NOW - 5_000, expiresAt: NOW - 1 })

  test('an earlier use changes nothing', () => {
    expect(usedSince(base, { seenAt: NOW - 1_000, expiresAt: NOW + 1_000 }, NOW)).toBe(base)
  })

  test('a later use extends the session, and never shortens it', () => {
    const seenAt = NOW - 10
    expect(usedSince(base, { seenAt, expiresAt: NOW + 1_000 }, NOW)).toStrictEqual({
      ...base,
      touchedAt: seenAt,
      seenDurableAt: seenAt,
      expiresAt: NOW + 1_000,
    })
    expect(usedSince(base, { seenAt, expiresAt: NOW - 900 }, NOW).expiresAt).toBe(base.expiresAt)
  })
})

describe('What the backend keeps', () => {
  test('each field of the envelope that outlives the cache is in the row, with the deadline padded', () => {
    const envelope = live({ idleTtlMs: 1_000, touchedAt: NOW, expiresAt: NOW + 1_010 })
    expect(storedSession(envelope, 'ada', timings)).toStrictEqual({
      ...{ lineage: envelope.lineage, version: 7, writeIds: envelope.writeIds, codecId: 1, data: envelope.data },
      ...{ userId: 'ada', userEpoch: 2, identifiedAt: envelope.identifiedAt, app: 'shop', reads: 3, writes: 7 },
      ...{ address: envelope.address, userAgent: envelope.userAgent },
      ...{ createdAt: envelope.createdAt, seenAt: NOW, expiresAt: NOW + 1_110 },
      ...{ absoluteExpiresAt: envelope.absoluteExpiresAt, idleTtlMs: 1_000, hasOwnIdleTtl: false },
    })
    expect(storedSession(envelope, undefined, timings).userId).toBeUndefined()
  })

  test('its end is counted from the last use, not from the moment of the flush', () => {
    const envelope = live({ idleTtlMs: 1_000, touchedAt: NOW - 500, expiresAt: NOW + 510 })
    expect(storedSession(envelope, undefined, timings).expiresAt).toBe(NOW + 610)
  })

  test('it ends no earlier than the cached copy, also where the last use was told by a clock that is behind', () => {
    const envelope = live({ idleTtlMs: 1_000, touchedAt: NOW - 5_000, expiresAt: NOW + 510 })
    expect(storedSession(envelope, undefined, timings).expiresAt).toBe(NOW + 510)
  })
})

describe('What a flush may replace (rule 5)', () => {
  const E = live({ lineage: MINE, version: 9, durableLineage: PARENT, durableVersion: 6 })
  for (const [what, lineage, version, flush, takeover] of [
    ['an older version of my lineage', MINE, 8, true, true],
    ['a much older version of my lineage', MINE, 1, true, true],
    ['this version of my lineage', MINE, 9, false, true],
    ['a newer version of my lineage: an older batch after a newer (M09)', MINE, 10, false, false],
    ['exactly the copy my lineage was filled from', PARENT, 6, true, true],
    ['a newer copy of the parent (M10)', PARENT, 7, false, false],
    ['a newer copy of the parent with my version', PARENT, 9, false, false],
    ['an older copy of the parent (M12)', PARENT, 5, false, false],
    ['another lineage at an older version (M08)', OTHER, 5, false, false],
    ['another lineage at the version I was filled from (M11)', OTHER, 6, false, false],
    ['another lineage at my version', OTHER, 9, false, false],
    ['another lineage at a newer version', OTHER, 10, false, false],
  ] as const)
    test(`${what}: a flush ${flush ? 'may' : 'may not'}, a takeover with this base (rule 9) ${takeover ? 'may' : 'may not'}`, () => {
      expect(guardAdmits(flushGuard(E), { lineage, version })).toBe(flush)
      expect(guardAdmits(takeoverGuard(E), { lineage, version })).toBe(takeover)
    })

  test('once claimed, only the own lineage may be replaced', () => {
    const claimed = live({ lineage: MINE, version: 9, durableLineage: MINE, durableVersion: 7 })
    for (const version of [1, 7, 8]) expect(guardAdmits(flushGuard(claimed), { lineage: MINE, version })).toBe(true)
    for (const version of [9, 10]) expect(guardAdmits(flushGuard(claimed), { lineage: MINE, version })).toBe(false)
    expect(guardAdmits(flushGuard(claimed), { lineage: PARENT, version: 7 })).toBe(false)
  })

  test('a row read round the cache is replaced only if it is still that row (rule 9a)', () => {
    const base = filled(storedSession(live({ lineage: PARENT, version: 6 }), undefined, timings), token, PARENT, NOW)
    expect(guardAdmits(takeoverGuard(base), { lineage: PARENT, version: 6 })).toBe(true)
    expect(guardAdmits(takeoverGuard(base), { lineage: PARENT, version: 7 })).toBe(false)
    for (const version of [5, 6, 7]) expect(guardAdmits(takeoverGuard(base), { lineage: OTHER, version })).toBe(false)
  })
})

describe('A takeover (rule 9)', () => {
  const base = live({ version: 9, durableVersion: 5, durableLineage: PARENT, frozen: true })

  test('it is the write under a new lineage, well ahead of any version the cache may hold (M39)', () => {
    for (const N of [1, 10, 1_000]) {
      const taken = takenOver(base, step, NEW, N)
      expect(taken).toMatchObject({ lineage: NEW, version: 10 + N, data: step.data })
      expect(taken.writeIds.at(-1)).toBe(step.writeId)
      // Until its N-th unflushed write the old lineage stays below it.
      expect(taken.version).toBeGreaterThan(base.durableVersion + N)
    }
  })

  test('a frozen session that is taken over is not frozen any more', () => {
    expect(takenOver(base, step, NEW, 10).frozen).toBe(false)
  })

  test('no flush of the lineage that was taken over can replace it', () => {
    const taken = takenOver(base, step, NEW, 10)
    for (const version of [8, 9, 10, 19, 20, 21, 99])
      expect(guardAdmits(flushGuard(live({ ...base, version })), taken), `version ${version}`).toBe(false)
  })

  test('apart from lineage, version and frost it is what the same write would have been', () => {
    expect(changedIn(written(base, step), takenOver(base, step, NEW, 10)).filter((it) => it !== 'writeIds')).toEqual([
      ...['frozen', 'lineage', 'version'],
    ])
  })
})

describe('What is unflushed', () => {
  for (const [version, durableVersion, unflushed] of [
    [7, 7, false],
    [8, 7, true],
    [1, 0, true],
  ] as const)
    test(`version ${version} where ${durableVersion} is durable: ${unflushed ? 'unflushed' : 'flushed'}`, () => {
      expect(isUnflushed(live({ version, durableVersion }))).toBe(unflushed)
    })
})
