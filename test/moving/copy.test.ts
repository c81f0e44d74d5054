import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Counts } from '../../src/cli/import/copy.js'
import { fingerprintOf, resumeIn } from '../../src/cli/import/resume.js'
import type { Item, Source } from '../../src/cli/import/source.js'
import { systemRuntime as clock } from '../../src/runtime.js'
import { target } from './carrying.js'

const HOUR_MS = 3_600_000

/** A source in this process, in parts of so many. */
const sourceOf = (items: readonly Item[], perPart = 3): Source & { readonly asked: (string | undefined)[] } => {
  const asked: (string | undefined)[] = []
  return {
    asked,
    count: async () => items.length,
    page: async (after) => {
      asked.push(after)
      const from = Number(after ?? 0)
      const next = from + perPart < items.length ? String(from + perPart) : undefined
      return { items: items.slice(from, from + perPart), next, resumeAt: next }
    },
    remove: async () => {},
    close: async () => {},
  }
}

const item = (id: string, data: unknown, more: object = {}): Item => ({ ref: id, id, session: { data, ...more } })
const many = (count: number): Item[] => Array.from({ length: count }, (_, n) => item(`id-${n}`, { n }))

describe('an import', () => {
  test('leaves what stands here, and what was ended here', async () => {
    const { sessions, carry } = target()
    await sessions.create({ mine: true }, { id: 'stands' })
    await sessions.create({}, { id: 'ended' })
    await sessions.destroy('ended')
    const source = sourceOf([item('stands', { theirs: true }), item('ended', {}), item('new', { theirs: true })])
    expect((await carry(source)).counts).toEqual({ found: 3, carried: 1, updated: 0, here: 1, ended: 1, refused: 0 })
    expect((await sessions.load('stands'))?.data).toEqual({ mine: true })
    expect(await sessions.load('ended')).toBeUndefined()
  })

  test('brings a copy up to date that nobody has changed here, and no other', async () => {
    const { sessions, carry, compare } = target()
    const at = (ago: number) => ({ seenAt: clock.now() - ago, idleTtlMs: HOUR_MS })
    await carry(sourceOf([item('a', { n: 1 }, at(600_000)), item('b', { n: 1 }, at(600_000))]))
    await sessions.update('b', (data) => {
      data['here'] = true
    })
    const later = sourceOf([item('a', { n: 2 }, at(1_000)), item('b', { n: 2 }, at(1_000))])
    expect(await compare(later)).toMatchObject({ different: 1, changedHere: 1 })
    expect((await carry(later)).counts).toMatchObject({ updated: 1, here: 1 })
    expect((await sessions.load('a'))?.data).toEqual({ n: 2 })
    expect((await sessions.load('b'))?.data).toEqual({ n: 1, here: true })
  })

  test('brings each later copy up to date, however many there are, and puts none over a change that was made here', async () => {
    const { sessions, carry, compare, purge } = target()
    const used = clock.now() - 600_000
    const nth = (n: number) =>
      sourceOf([item('a', { n }, { seenAt: n === 1 ? used : clock.now() + n * 60_000, idleTtlMs: HOUR_MS })])
    await carry(nth(1))
    for (const n of [2, 3, 4]) {
      expect(await compare(nth(n))).toMatchObject({ different: 1, changedHere: 0 })
      expect(await purge(nth(n), true)).toMatchObject({ different: 1, removed: 0 })
      expect((await carry(nth(n))).counts).toMatchObject({ updated: 1 })
      expect((await sessions.load('a', { touch: false }))?.data).toEqual({ n })
    }
    expect(await purge(nth(4), true)).toMatchObject({ different: 0, removed: 1 })
    await sessions.update('a', (data) => {
      data['here'] = true
    })
    expect(await compare(nth(5))).toMatchObject({ different: 0, changedHere: 1 })
    expect((await carry(nth(5))).counts).toMatchObject({ here: 1, updated: 0 })
    expect((await sessions.load('a'))?.data).toEqual({ n: 4, here: true })
    expect(await purge(nth(5), true)).toMatchObject({ different: 0, removed: 1 })
  })

  test('lets a change go first, and an end, that comes just as it brings a copy up to date', async () => {
    const { sessions, importing, carry } = target()
    const source = (n: number) =>
      sourceOf(
        ['changed', 'ended'].map((id) =>
          item(id, { n }, { seenAt: clock.now() - 600_000 / n ** 2, idleTtlMs: HOUR_MS }),
        ),
      )
    await carry(source(1))
    const between: typeof importing = {
      ...importing,
      load: async (id, options) => {
        const found = await importing.load(id, options)
        if (id === 'ended') await sessions.destroy(id)
        else
          await sessions.update(id, (data) => {
            data['here'] = true
          })
        return found
      },
    }
    expect((await carry(source(2), { sessions: between })).counts).toMatchObject({ updated: 0, here: 1, ended: 1 })
    expect((await sessions.load('changed'))?.data).toEqual({ n: 1, here: true })
    expect(await sessions.load('ended')).toBeUndefined()
  })

  test('carries a session for which a process that knows no old store has asked in vain just now', async () => {
    const { sessions, carry, compare } = target()
    expect(await sessions.load('active')).toBeUndefined()
    expect(sessions.stats()).toMatchObject({ unknownIds: 1 })
    const source = sourceOf([item('active', { n: 1 })])
    expect(await compare(source)).toMatchObject({ missing: 1 })
    expect((await carry(source)).counts).toMatchObject({ carried: 1, ended: 0 })
    expect((await sessions.load('active'))?.data).toEqual({ n: 1 })
  })

  test('tells what it could not carry although nothing here says that it has ended', async () => {
    const { sessions, carry } = target()
    // A store that was not given the old store of the import never asks it.
    const { counts, reasons } = await carry(sourceOf([item('a', {})]), { sessions })
    expect(counts).toMatchObject({ carried: 0, ended: 0, refused: 1 })
    expect(reasons).toMatchObject([{ because: 'others were at work on it; run the import again', count: 1 }])
  })

  describe('where the sessions of a user are limited', () => {
    const identify = (data: Record<string, unknown>) => data['user'] as string
    const old = (id: string): Item => item(id, { user: 'ada' }, { seenAt: clock.now() - 600_000, idleTtlMs: HOUR_MS })

    test.each(['end-oldest', 'refuse'] as const)(
      'ends no session of the user for one that it brings, and tells which it could not (%s)',
      async (onTooManySessions) => {
        const { sessions, carry } = target({ identify, maxSessionsPerUser: 2, onTooManySessions })
        const inUse = await sessions.create({ user: 'ada' })
        const { counts, reasons } = await carry(sourceOf([old('laptop'), old('tablet')], 1))
        expect(counts).toMatchObject({ carried: 1, ended: 0, refused: 1 })
        expect(reasons).toMatchObject([{ because: expect.stringContaining('maxSessionsPerUser'), count: 1 }])
        expect(await sessions.load(inUse.id)).toBeDefined()
        expect(await sessions.load('laptop')).toBeDefined()
        expect(await sessions.load('tablet')).toBeUndefined()
      },
    )

    test('lets a later login end one that it brought before those that were made here', async () => {
      const { sessions, carry } = target({ identify, maxSessionsPerUser: 2 })
      const inUse = await sessions.create({ user: 'ada' })
      await carry(sourceOf([old('laptop')]))
      const later = await sessions.create({ user: 'ada' })
      expect(await sessions.load('laptop')).toBeUndefined()
      for (const { id } of [inUse, later]) expect(await sessions.load(id)).toBeDefined()
    })
  })

  test('tells what cannot be stored by its place, and goes on with the others', async () => {
    const { carry } = target({ maxSessionBytes: 2_048 })
    const source = sourceOf([
      item('a', { cart: [{ run: () => 'secret' }] }),
      item('b', { notes: 'secret '.repeat(1_000) }),
      item('c', {}),
      { ref: 'd', unreadable: 'it is encrypted' },
      { ref: 'e', ended: true },
      item('', {}),
    ])
    for (const isDry of [true, false]) {
      const { counts, reasons } = await carry(source, { isDry, maxSessionBytes: 2_048 })
      expect(counts).toEqual({ found: 6, carried: 1, updated: 0, here: 0, ended: 1, refused: 4 })
      expect(reasons.find(({ path }) => path === 'data.cart[0].run')).toMatchObject({ count: 1 })
      expect(JSON.stringify(reasons)).not.toContain('secret')
    }
  })

  test('that is only tried stores nothing', async () => {
    const { sessions, carry } = target()
    expect((await carry(sourceOf(many(5)), { isDry: true })).counts).toMatchObject({ found: 5, carried: 5 })
    expect(await sessions.count()).toBe(0)
  })

  test('goes on after an interruption where the part under way began, and comes to what it would have come to', async () => {
    const { sessions, carry } = target()
    const source = sourceOf(many(10))
    const asked = new AbortController()
    let kept: { readonly counts: Counts; readonly at: string | undefined } | undefined
    const onPart = async (counts: Counts, at: string | undefined): Promise<void> => {
      kept = { counts, at }
    }
    const cut = await carry(source, {
      signal: asked.signal,
      onPart,
      onItem: ({ found }) => {
        if (found === 5) asked.abort()
      },
    })
    expect(cut.isDone).toBe(false)
    expect(kept).toMatchObject({ at: '3', counts: { found: 3, carried: 3 } })
    const rest = await carry(source, { from: kept?.at, ...(kept === undefined ? {} : { counts: kept.counts }), onPart })
    expect(rest).toMatchObject({ isDone: true, counts: { found: 10, refused: 0 } })
    expect(rest.counts.carried + rest.counts.here).toBe(10)
    expect(source.asked).toEqual([undefined, '3', '3', '6', '9'])
    expect(await sessions.count()).toBe(10)
  })

  test('ends where the source cannot be read any more', async () => {
    const { carry } = target()
    const failing = sourceOf(many(2))
    const source = { ...failing, page: async () => await Promise.reject(new Error('connection refused')) }
    await expect(carry(source)).rejects.toThrow('connection refused')
  })

  test('takes no more in a second than it is told to', async () => {
    const { carry } = target()
    const before = performance.now()
    await carry(sourceOf(many(20), 20), { rate: 40 })
    // The first may begin at once.
    expect(performance.now() - before).toBeGreaterThanOrEqual((19 / 40) * 1_000 - 50)
  })

  test('gives a session its user, so that a logout of the user everywhere ends it', async () => {
    const { sessions, carry } = target({ identify: (data) => data['user'] as string })
    await carry(sourceOf([item('a', { user: 'ada' }), item('b', { user: 'bob' })]))
    expect(await sessions.countByUser('ada')).toBe(1)
    await sessions.destroyByUser('ada')
    expect((await carry(sourceOf([item('a', { user: 'ada' }), item('later', { user: 'ada' })]))).counts).toMatchObject({
      carried: 0,
      ended: 2,
    })
  })
})

describe('the file that remembers how far an import is', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nonstick-resume-'))
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))
  const counts: Counts = { found: 3, carried: 2, updated: 0, here: 1, ended: 0, refused: 0 }
  const fingerprint = fingerprintOf(['connect-redis', 'redis://user:a-password@host:6379', undefined, undefined])

  test('gives back where it was, and holds no password', async () => {
    const file = join(folder, 'import.json')
    expect((await resumeIn(file, fingerprint)).state).toBeUndefined()
    await (await resumeIn(file, fingerprint)).keep({ at: '17', counts, isDone: false })
    expect((await resumeIn(file, fingerprint)).state).toMatchObject({ at: '17', counts, isDone: false })
    expect(await readFile(file, 'utf8')).not.toContain('a-password')
  })

  test('says nothing more once all is done, so that the next import begins anew', async () => {
    const file = join(folder, 'import.json')
    await (await resumeIn(file, fingerprint)).keep({ at: undefined, counts, isDone: true })
    expect((await resumeIn(file, fingerprint)).state).toBeUndefined()
  })

  test('is refused where it is of another source, or is none', async () => {
    const file = join(folder, 'import.json')
    await (await resumeIn(file, fingerprint)).keep({ at: '17', counts, isDone: false })
    await expect(resumeIn(file, fingerprintOf(['another']))).rejects.toThrow('the file of this source')
    await writeFile(file, 'something else')
    await expect(resumeIn(file, fingerprint)).rejects.toThrow('a file that an import has written')
  })
})
