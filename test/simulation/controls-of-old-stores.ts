import { type Control, over, where } from './control.js'
import { OF_OLD_STORES } from './faults.js'

const DAY_MS = 86_400_000

/** Sessions of an old store, which some processes of the old release use still. */
const OLD = where(OF_OLD_STORES, {
  oldStore: { share: 1, removes: false },
  // The old store ends none of them by itself.
  idleTtlMs: DAY_MS,
  absoluteTtlMs: 30 * DAY_MS,
  tombstoneTtlMs: 31 * DAY_MS,
})

/** Weaker in what is taken over from an old store, and in what becomes of it there. */
export const CONTROLS_OF_OLD_STORES: readonly Control[] = [
  {
    name: 'L01 nothing remembers a logout of a session that was taken over, and the old store is not told',
    alter: ({ cache, backend, world }) => ({
      // Nothing is left where the tombstones would stand.
      cache: over(cache, {
        set: async (key) => {
          for (const { entries } of world.cacheServers) entries.delete(key)
        },
      }),
      backend: over(backend, {
        destroy: async (locator, options) => {
          const outcome = await backend.destroy(locator, options)
          world.backendServer.rows.delete(locator.key)
          return outcome
        },
      }),
    }),
    oldStore: (legacy) => over(legacy, { destroy: async () => {} }),
    config: OLD,
  },
  {
    name: 'L02 an old store that cannot be asked passes for one that has no such session',
    oldStore: (legacy) =>
      over(legacy, {
        get: async (id) => {
          try {
            return await legacy.get(id)
          } catch {
            return undefined
          }
        },
      }),
    config: OLD,
  },
  {
    name: 'L03 what the old store said once is believed, after a logout there too',
    oldStore: (legacy, world) =>
      over(legacy, {
        get: async (id) => {
          const found = await legacy.get(id)
          if (found !== undefined) return found
          const session = [...world.sessions.values()].find((each) => each.id === id)
          const [created] = session?.operations ?? []
          return created?.process === 'old' ? { data: { log: [created.token] } } : undefined
        },
      }),
    config: OLD,
  },
  {
    name: 'L04 what the backend and then the old store do not have counts as absent, though it may have been moved between',
    oldStore: (legacy, world) => {
      /** Removes it once it stands in the backend, as the store does, which is told that nothing is removed. */
      const removeOnceMoved = async (id: string): Promise<void> => {
        const key = [...world.sessions.values()].find((session) => session.id === id)?.key
        for (let waited = 0; key !== undefined && waited < 1_000; waited += 1) {
          if (world.backendServer.rows.has(key)) return world.oldStore?.remove(id)
          await world.clock.sleep(1)
        }
      }
      return over(legacy, {
        remove: false,
        get: async (id) => {
          const found = await legacy.get(id)
          if (found !== undefined) void removeOnceMoved(id)
          return found
        },
      })
    },
    config: (drawn) => ({ ...OLD(drawn), faults: drawn.faults, noise: 0.12 }),
  },
]
