import { memcached } from '../../../src/caches/memcached/index.js'
import { generateSessionId } from '../../../src/generate-session-id.js'
import { systemRuntime } from '../../../src/runtime.js'
import { entriesOf } from '../../flood/entries.js'
import { brokenBy, flood, type Known } from '../../flood/flood.js'
import { PATIENT, visit } from '../../robots/visitors.js'
import { held, type Row } from '../attempt.js'
import type { Ground } from '../ground.js'

/* What robots can do who send more than the application can read. */

/**
 * Asks for unknown ids, more than the backend can read, while visitors come. `scripts/flood` does it for longer, and judges
 * how long they wait; here a visitor counts who is served at all, as the machine may have much else to do.
 */
const floods = async (ground: Ground, known: Known): Promise<boolean> => {
  const { memcached: server } = ground
  const before = await entriesOf(server.port)
  const report = await flood({
    runtime: systemRuntime,
    cache: memcached({ servers: server.address }),
    entries: async () => (await entriesOf(server.port)) - before,
    pause: () => new Promise((resolve) => setTimeout(resolve, 2)),
    ...{ backendMs: 20, durationMs: 3_000, unknownPerSecond: 3_000, visitorsPerSecond: 20 },
    ...{ inTimeMs: 60_000, seed: ground.random.below(2 ** 31), known },
  })
  return brokenBy(report).length > 0
}

/** Asks for an id before its session is created, so that those who come for the session find nothing. */
const hides = async (ground: Ground, doesMarkStay: boolean): Promise<boolean> => {
  const store = ground.store()
  const id = generateSessionId()
  await ground.store().load(id)
  const mark = await ground.entry(id)
  if (mark === undefined) throw new Error('there is a mark that nothing stands under the id')
  await store.put(id, { balance: 1 })
  if (doesMarkStay) await ground.plant(id, mark)
  return (await ground.store().load(id)) === undefined
}

const VISITORS = 150

/** Comes as many visitors who never log in, from three processes, and calls what he can; looks what is left in the backend. */
const visits = async (ground: Ground, persistOn: 'identify' | 'create'): Promise<boolean> => {
  const stores = [1, 2, 3].map(() =>
    ground.store({ persistOn, identify: (data) => data['user'] as string | undefined, ...PATIENT.store }),
  )
  await visit({ stores, visitors: VISITORS, seed: ground.random.below(2 ** 31) })
  const [found] = await ground.sql(`select count(*)::int as left_behind from ${ground.table} where namespace = $1`, [
    ground.namespace,
  ])
  return Number(found?.['left_behind']) > 0
}

export const FLOODS: readonly Row[] = [
  {
    name: 'robot',
    held: [
      held('with `persistOn: identify` visitors who never log in leave no row and no tombstone', visits, 'identify', [
        'persistOn is `create`',
        'create',
      ]),
    ],
    limits: [
      { title: 'with `persistOn: create` each visitor is a row', attempt: (ground) => visits(ground, 'create') },
    ],
  },
  {
    name: 'flood',
    held: [
      held('a session is found at once, though its id was asked for before', hides, false, [
        'the mark that nothing stands there survives the creation',
        true,
      ]),
      held(
        'visitors whose cookies were checked are served beside a flood of unknown ids, and no row is written',
        floods,
        'verified',
        ['the store is told nothing of who asks', 'nothing'],
      ),
    ],
    limits: [
      { title: 'who is not told apart from the flood waits with it', attempt: (ground) => floods(ground, 'nothing') },
    ],
  },
]
