import { expect, test } from 'vitest'
import { memoryBackend } from '../../src/backends/memory/index.js'
import type { Backend, PurgeOptions } from '../../src/contract/backend.js'
import { backendContract, backendContractTitles } from '../../src/testing/backend-contract.js'

/** Runs the suite as a test runner would, and gives the titles of the rules that failed. */
const failuresOf = async (change: (backend: Backend) => Partial<Backend>): Promise<string[]> => {
  const tests: { readonly title: string; readonly run: () => Promise<void> }[] = []
  const subject = {
    name: 'broken',
    open: async () => {
      const backend = memoryBackend()
      const bound = new Proxy(backend, {
        get: (target, name) => {
          const own = Reflect.get(changes, name) ?? Reflect.get(target, name)
          return typeof own === 'function' ? own.bind(target) : own
        },
      })
      const changes = change(backend)
      return { backend: bound }
    },
  }
  backendContract((title, run) => tests.push({ title: title.slice('broken: '.length), run }), subject)
  const failed: string[] = []
  for (const { title, run } of tests)
    await run().catch(() => {
      failed.push(title)
    })
  return failed
}

const BREAKAGES: readonly (readonly [string, (backend: Backend) => Partial<Backend>, string])[] = [
  [
    'an update that ignores its guard',
    (backend) => ({
      update: async (entries) =>
        Promise.all(
          entries.map(async (entry) => {
            const standing = await backend.read(entry.locator)
            if (standing.state !== 'live') return { outcome: 'refused' as const, row: standing }
            const { lineage, version } = standing.session
            const guard = { lineage, belowVersion: version + 1, parentLineage: lineage, parentVersion: version }
            return (await backend.update([{ ...entry, guard }]))[0] ?? { outcome: 'refused', row: { state: 'absent' } }
          }),
        ),
    }),
    'a guard admits an older version of its lineage and exactly one version of its parent, nothing else',
  ],
  [
    'outcomes in another order',
    (backend) => ({ update: async (entries) => [...(await backend.update(entries))].reverse() }),
    'outcomes come in the order of the entries, and a refused entry disturbs no neighbour',
  ],
  [
    'a destroy that forgets `only`',
    (backend) => ({
      destroy: (locator, { writeId, at, keepUntil }) => backend.destroy(locator, { writeId, at, keepUntil }),
    }),
    'destroying only one copy spares every other',
  ],
  [
    'a destroy that takes any tombstone for its own',
    (backend) => ({
      destroy: async (locator, options) => {
        const outcome = await backend.destroy(locator, options)
        return outcome === 'already-destroyed' ? 'destroyed' : outcome
      },
    }),
    'a tombstone is whose it was first, and tells its own destroyer from another',
  ],
  [
    'an insert without a time bound',
    (backend) => ({ insert: (locator, session) => backend.insert(locator, session) }),
    'an insert after its time creates nothing',
  ],
  [
    'a purge an hour early',
    (backend) => ({ purge: ({ now, limit }) => backend.purge({ now: now + 3_600_000, limit }) }),
    'a purge removes what has expired and tombstones past their time, and nothing early',
  ],
  [
    'a purge without a grace',
    (backend) => ({ purge: (options) => backend.purge({ graceMs: 0, ...options }) }),
    'a purge leaves a session for the grace after its end, a day unless told, as it may be in use all the same',
  ],
  [
    'a purge that asks nobody',
    (backend) => ({ purge: ({ livesOn: _, ...options }) => backend.purge(options) }),
    'a purge asks which sessions live on and leaves those, and asks about nothing that can be in use nowhere',
  ],
  [
    'a purge that takes no second look',
    (backend) => ({
      // What is extended meanwhile is removed all the same, by a purge of the time after its new end.
      purge: async (options) => {
        let wasAsked = false
        const livesOn: NonNullable<PurgeOptions['livesOn']> = async (keys) => {
          wasAsked = true
          return (await options.livesOn?.(keys)) ?? new Set()
        }
        const outcome = await backend.purge({ ...options, livesOn })
        if (!wasAsked) return outcome
        const { removed } = await backend.purge({ ...options, now: options.now + 10 * 3_600_000 })
        return { ...outcome, removed: outcome.removed + removed }
      },
    }),
    'what changes while a purge asks is left',
  ],
  [
    'moments in whole seconds',
    (backend) => ({
      insert: (locator, session, options) =>
        backend.insert(locator, { ...session, seenAt: Math.floor(session.seenAt / 1_000) * 1_000 }, options),
    }),
    'moments are kept to the millisecond, however far ahead',
  ],
]

test.each(BREAKAGES)('the suite catches %s', async (_, change, title) => {
  expect(await failuresOf(change)).toContain(title)
})

test('the suite finds nothing wrong with the reference', async () => {
  expect(await failuresOf(() => ({}))).toEqual([])
})

test('an exemption is printed with its reason, and one from no rule is refused', () => {
  const [first = ''] = backendContractTitles
  const skipped: string[] = []
  const runner = Object.assign(() => {}, { skip: (title: string) => skipped.push(title) })
  const open = async () => ({ backend: memoryBackend() })
  backendContract(runner, { name: 'some', open, cannot: { [first]: 'it is new' } })
  expect(skipped).toEqual([`some: ${first} (cannot: it is new)`])
  expect(() => backendContract(runner, { name: 'some', open, cannot: { typo: 'x' } })).toThrow(/no rule "typo"/)
})
