import type { SealingOptions } from '../../../src/store/sealing.js'
import { held, type Row } from '../attempt.js'
import { type Data, type Ground, type Options, SEALED } from '../ground.js'

/* What somebody can do who reads or writes the database, or has an old copy of it. */

const SECRETS: Data = { user: 'ada lovelace', card: 'number 4711' }
const CLIENT = { address: '192.0.2.7', userAgent: 'Browser of Ada' }
const WORDS = ['lovelace', '4711', '192.0.2.7', 'Browser', 'shop-of-ada']

const byUser: Options = { identify: ({ user }) => user as string | undefined, app: 'shop-of-ada' }

const rowOf = async (ground: Ground, id: string): Promise<Record<string, unknown> | undefined> => {
  const [row] = await ground.sql(`select * from ${ground.table} where namespace = $1 and id_hash = $2`, [
    ground.namespace,
    ground.rowIdOf(id),
  ])
  return row
}

const reads = async (ground: Ground, sealing: SealingOptions | undefined): Promise<boolean> => {
  const store = ground.store({ ...byUser, ...(sealing === undefined ? {} : { sealing }) })
  const { id } = await store.create(SECRETS, { client: CLIENT })
  const row = await rowOf(ground, id)
  if (row === undefined) throw new Error('there is a row to read')
  const text = Object.values(row)
    .map((value) => (value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : String(value)))
    .join('\n')
  return text.includes(id) || WORDS.some((word) => text.includes(word))
}

/** Changes the row of a session, and lets the application read it with an empty cache. */
const changes = async (
  ground: Ground,
  { sealing, change }: { readonly sealing: SealingOptions | undefined; readonly change: 'moves' | 'makes' },
): Promise<boolean> => {
  const options: Options = sealing === undefined ? {} : { sealing }
  const store = ground.store(options)
  const victim = await store.create({ balance: 1 })
  const other = await store.create({ balance: 1_000_000 })
  const values =
    change === 'moves' ? 'data = other.data, address = other.address' : `data = $4, codec = 2, address = null`
  await ground.sql(
    `update ${ground.table} as mine set ${values} from ${ground.table} as other
     where mine.namespace = $1 and other.namespace = $1 and mine.id_hash = $2 and other.id_hash = $3`,
    [
      ground.namespace,
      ground.rowIdOf(victim.id),
      ground.rowIdOf(other.id),
      ...(change === 'moves' ? [] : [Buffer.from('{"balance":99}')]),
    ],
  )
  await ground.removeEntry(victim.id)
  const found = await ground
    .store(options)
    .load(victim.id)
    .catch(() => 'an error' as const)
  // An error is no session and no "no session": the visitor is not logged out for it.
  if (found === undefined) return true
  return found !== 'an error' && found.data['balance'] !== 1
}

const deletes = async (ground: Ground): Promise<boolean> => {
  const store = ground.store({ sealing: SEALED })
  const { id } = await store.create({ balance: 1 })
  await ground.sql(`delete from ${ground.table} where namespace = $1`, [ground.namespace])
  await ground.removeEntry(id)
  return (await store.load(id)) === undefined
}

/** Puts a row back that was destroyed since, and looks whether its session is served. */
const putsBack = async (
  ground: Ground,
  after: (store: ReturnType<Ground['store']>) => Promise<unknown>,
): Promise<boolean> => {
  const store = ground.store({ sealing: SEALED })
  const { id } = await store.create({ balance: 1 })
  const copy = `copy_of_${ground.namespace.replaceAll(/\W/g, '_')}`
  await ground.sql(`create table ${ground.schema}.${copy} as select * from ${ground.table} where namespace = $1`, [
    ground.namespace,
  ])
  await store.destroy(id)
  await ground.sql(`delete from ${ground.table} where namespace = $1`, [ground.namespace])
  const columns = await ground.sql(
    `select column_name from information_schema.columns
     where table_schema = $1 and table_name = 'session' and is_generated = 'NEVER'`,
    [ground.schema],
  )
  const names = columns.map((column) => String(column['column_name'])).join(', ')
  await ground.sql(`insert into ${ground.table} (${names}) select ${names} from ${ground.schema}.${copy}`)
  await ground.removeEntry(id)
  await after(store)
  return (await store.load(id)) !== undefined
}

export const BACKEND: readonly Row[] = [
  {
    name: 'backend-reader',
    held: [
      held('no data, user, application, address or browser is read in a sealed row, and no id in any', reads, SEALED, [
        'sealing is off',
        undefined,
      ]),
    ],
    limits: [{ title: 'without sealing all of it is read', attempt: (ground) => reads(ground, undefined) }],
  },
  {
    name: 'backend-writer',
    held: (['moves', 'makes'] as const).map((change) =>
      held(
        change === 'moves'
          ? "another session's row is not opened in this one's place"
          : 'no row that he makes is believed',
        changes,
        { sealing: SEALED as SealingOptions | undefined, change },
        ['sealing is off', { sealing: undefined, change }],
      ),
    ),
    limits: [{ title: 'he can end a session, by deleting its row', attempt: deletes }],
  },
  {
    name: 'old-backup',
    held: [
      held('after `destroyAll` nothing of a backup is served', putsBack, (store) => store.destroyAll(), [
        'nobody calls it',
        async () => {},
      ]),
    ],
    limits: [
      {
        title: 'a backup that is put back brings ended sessions back',
        attempt: (ground) => putsBack(ground, async () => {}),
      },
    ],
  },
]
