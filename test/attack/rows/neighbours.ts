import { channel } from 'node:diagnostics_channel'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { createSessionStore } from '../../../src/create-session-store.js'
import { locate } from '../../../src/session/key.js'
import { run } from '../../backends/postgres/reload-support.js'
import { held, type Row } from '../attempt.js'
import { type Data, type Ground, keyNamed, SEALED } from '../ground.js'

/* Who stands beside the application: another one on the same servers, whoever runs them, and whoever reads what they say. */

/** Another application lists, counts, loads and ends what it finds. */
const meddles = async (ground: Ground, namespace: string): Promise<boolean> => {
  const store = ground.store()
  const { id } = await store.create({ balance: 1 })
  const other = ground.store({ namespace })
  const seen = [await other.load(id), ...(await other.list()), ...((await other.count()) > 0 ? ['counted'] : [])]
  await other.put(id, { balance: 99 })
  await other.destroy(id)
  await other.destroyAll()
  const mine = await store.load(id)
  return seen.some((each) => each !== undefined) || mine?.data['balance'] !== 1
}

const meddlesIn = (ground: Ground, suffix: string): Promise<boolean> => meddles(ground, `${ground.namespace}${suffix}`)

/** It copies its own genuine entry into ours. */
const copies = async (ground: Ground, isSealed: boolean): Promise<boolean> => {
  const sealingOf = (name: string) => (isSealed ? { sealing: { keys: [keyNamed(name)] } } : {})
  const store = ground.store(sealingOf('ours'))
  const { id } = await store.create({ balance: 1 })
  const hisKeys = ground.store(sealingOf('theirs'))
  await ground.removeEntry(id)
  await ground.sql(`delete from ${ground.table} where namespace = $1`, [ground.namespace])
  await hisKeys.put(id, { balance: 99 })
  return (await store.load(id).catch(() => undefined))?.data['balance'] === 99
}

/** From the source, so that nothing has to be built before. */
const COMMAND = fileURLToPath(new URL('../../../src/cli/main.ts', import.meta.url))

const nonstick = (args: readonly string[], env: Readonly<Record<string, string>>): ReturnType<typeof run> =>
  run(process.execPath, ['--import', 'tsx', COMMAND, ...args], { env })

/** Runs the command, without the keys or with them, and reads what it says. */
const runsCommand = async (ground: Ground, env: Readonly<Record<string, string>>): Promise<boolean> => {
  const store = ground.store({ sealing: { keys: [keyNamed('current')] } })
  const { id } = await store.create({ card: 'number 4711' })
  const tiers = {
    NONSTICK_CACHE: `memcached://${ground.memcached.address}`,
    NONSTICK_BACKEND: ground.postgres.adminUrl,
    NONSTICK_SCHEMA: ground.schema,
    NONSTICK_NAMESPACE: ground.namespace,
    ...env,
  }
  const said = [
    await nonstick(['list', '--json'], tiers),
    await nonstick(['inspect', store.handleOf(id), '--data', '--json'], tiers),
    await nonstick(['inspect', id], tiers),
  ]
  const text = said.map(({ stdout, stderr }) => `${stdout}\n${stderr}`).join('\n')
  return text.includes('4711') || text.includes(id)
}

const endsByCommand = async (ground: Ground): Promise<boolean> => {
  const store = ground.store({ sealing: SEALED })
  const { id } = await store.create({ balance: 1 })
  await ground.store().destroyByHandle(store.handleOf(id))
  return (await store.load(id).catch(() => undefined)) === undefined
}

const EVENTS = ['fault', 'breaker', 'damaged', 'flush', 'abandoned'] as const

/** Lives a whole life of sessions with faults, and collects all that the store says meanwhile. */
const listens = async (ground: Ground, more: (id: string, data: Data) => string): Promise<boolean> => {
  const said: string[] = []
  const say = (what: unknown): void => {
    said.push(inspect(what, { depth: 10, showHidden: true }))
  }
  const { cache, backend } = ground.tiers()
  const store = createSessionStore<Data>({
    ...{ cache, backend, namespace: ground.namespace, purgeEveryMs: 0 },
    identify: ({ user }) => user as string | undefined,
  })
  ground.afterwards(() => store.close())
  const on = store.on.bind(store) as (event: string, listener: (what: unknown) => void) => unknown
  for (const event of EVENTS) on(event, say)
  const listener = (message: unknown): void => say(message)
  const channels = ['read', 'write', 'flush', 'destroy', 'fault'].map((name) => channel(`nonstick:${name}`))
  for (const each of channels) each.subscribe(listener)
  ground.afterwards(() => {
    for (const each of channels) each.unsubscribe(listener)
  })

  const data: Data = { user: 'ada lovelace', card: 'number 4711' }
  const { id } = await store.create(data)
  said.push(more(id, data))
  await ground.plant(id, Buffer.from('no envelope at all'))
  await store.load(id)
  await store.create({ text: 'number 4711'.repeat(1_000_000) }).catch(say)
  await store.create({ card: () => 'number 4711' } as Data).catch(say)
  await store
    .update(id, () => {
      throw new Error('of the application')
    })
    .catch(() => {})
  await store.create({ user: 'ada lovelace' }, { id }).catch(say)
  await store.destroyByUser('ada lovelace')
  await store.update(id, (each) => each).catch(say)
  say(await store.health())
  say(store.stats())
  const password = new URL(ground.postgres.adminUrl).password
  const text = said.join('\n')
  if (said.length < 6) throw new Error('the store has said nothing')
  const secrets = [id, locate(ground.namespace, id).key, 'lovelace', '4711', ...(password === '' ? [] : [password])]
  return secrets.some((secret) => text.includes(secret))
}

export const NEIGHBOURS: readonly Row[] = [
  {
    name: 'another-application',
    held: [
      held('in a namespace of its own it finds, lists, counts and ends nothing', meddlesIn, '-of-another', [
        'it has the same namespace',
        '',
      ]),
      held('with other keys it is not believed, also in the same namespace', copies, true, ['sealing is off', false]),
    ],
    limits: [],
  },
  {
    name: 'operator',
    held: [
      held('the command shows no id, and without the keys no sealed data', runsCommand, {}, [
        'he has the keys',
        { NONSTICK_SEALING_KEYS: Buffer.from(keyNamed('current')).toString('base64') },
      ]),
    ],
    limits: [{ title: 'without the keys he can still end any session', attempt: endsByCommand }],
  },
  {
    name: 'log-reader',
    held: [
      held(
        'no event, channel, error, counter or health report has an id, a key, a user, data or a password',
        listens,
        () => '',
        ['the application logs the session by itself', (id, data) => `${id} ${JSON.stringify(data)}`],
      ),
    ],
    limits: [],
  },
]
