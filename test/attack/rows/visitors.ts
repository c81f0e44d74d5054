import { isSessionStoreError } from '../../../src/errors.js'
import { generateSessionId } from '../../../src/generate-session-id.js'
import { held, type Row } from '../attempt.js'
import type { Data, Ground, Options } from '../ground.js'

/* What a visitor can try, with or without the cookie of another. */

const byUser: Options = { identify: ({ user }) => user as string | undefined }

/** Guesses ids while a hundred sessions live, and sends what is none. */
const guesses = async (ground: Ground, idOf: (at: number) => string): Promise<boolean> => {
  const store = ground.store(byUser)
  for (let at = 0; at < 100; at += 1) await store.create({ user: `user ${at}` }, { id: idOf(at) })
  const guessed = Array.from({ length: 500 }, (_, at) => idOf(at))
  const odd = ['', '\0', '../../etc/passwd', '*', '%', 'x'.repeat(100_000), '__proto__', "' or 1=1 --"]
  for (const id of [...guessed, ...odd]) {
    const found = await store.load(id).catch((error: unknown) => {
      if (!isSessionStoreError(error, 'E_INVALID_ID')) throw error
      return undefined
    })
    if (found !== undefined) return true
  }
  return false
}

const fresh = (): string => generateSessionId()
const counted = (at: number): string => `a session with a counted id, ${String(at).padStart(6, '0')}`

/** Comes back with a stolen id, after what the victim has done about it. */
const comesBack = async (
  ground: Ground,
  victim: (store: ReturnType<Ground['store']>, id: string) => Promise<unknown>,
): Promise<boolean> => {
  const [here, there] = [ground.store(byUser), ground.store(byUser)]
  const { id } = await here.create({ user: 'ada' })
  const stolen = await there.load(id)
  await victim(here, id)
  if (stolen !== undefined) {
    stolen.data['note'] = 'written by the thief'
    await there.save(stolen).catch(() => {})
    await there.put(id, { user: 'ada', note: 'put by the thief' }).catch(() => {})
  }
  return (await there.load(id)) !== undefined || (await here.load(id)) !== undefined
}

const nothing = async (): Promise<void> => {}

/** Plants an id in the victim's browser, waits for the login, and uses the id. */
const fixes = async (ground: Ground, byRegenerate: boolean): Promise<boolean> => {
  const store = ground.store(byUser)
  const { id } = await store.create({ cart: [] })
  const visitor = await store.load(id)
  if (visitor === undefined) throw new Error('the visitor has a session')
  visitor.data['user'] = 'ada'
  if (byRegenerate) await store.regenerate(visitor)
  else await store.save(visitor)
  const his = await ground.store(byUser).load(id)
  return his?.data['user'] === 'ada'
}

/** Uses the handle of another user's session, which his page may have shown him. */
const usesHandle = async (
  ground: Ground,
  use: (store: ReturnType<Ground['store']>, handle: string) => Promise<unknown>,
): Promise<boolean> => {
  const store = ground.store(byUser)
  const { id } = await store.create({ user: 'ada', secret: 'of ada' })
  await store.create({ user: 'mallory' })
  const handle = store.handleOf(id)
  const got = await use(store, handle).catch(() => undefined)
  return JSON.stringify(got ?? '').includes('of ada') || (await store.load(id)) === undefined
}

const readsOrOwnsIt = async (store: ReturnType<Ground['store']>, handle: string): Promise<unknown> => {
  const got: unknown[] = [await store.load(handle).catch(() => undefined)]
  await store.put(handle, { user: 'mallory' }).catch(() => {})
  await store.destroy(handle).catch(() => {})
  await store.destroyByUser('mallory')
  for await (const info of store.listByUser('mallory', { data: true })) got.push(info)
  return got
}

const NESTED_TOO_DEEP = ((): Data => {
  let value: Data = {}
  for (let depth = 0; depth < 10_000; depth += 1) value = { value }
  return value
})()

/** Has what he sends stored, and looks whether it reached more than his own session. */
const storesHarm = async (
  ground: Ground,
  store: (into: ReturnType<Ground['store']>, data: Data) => Promise<unknown>,
) => {
  const sessions = ground.store()
  const sent: readonly Data[] = [
    JSON.parse('{"__proto__":{"isAdmin":true}}') as Data,
    JSON.parse('{"a":{"constructor":{"prototype":{"isAdmin":true}}}}') as Data,
    { text: 'x'.repeat(5_000_000) },
    NESTED_TOO_DEEP,
  ]
  const ids: string[] = []
  try {
    for (const data of sent) {
      const given = await store(sessions, data).catch((error: unknown) => {
        if (!isSessionStoreError(error)) throw error
        return undefined
      })
      if (typeof given === 'string') ids.push(given)
    }
    for (const id of ids) {
      const loaded = await sessions.load(id)
      if (JSON.stringify(loaded?.data ?? {}).length > 4_194_304) return true
    }
    return 'isAdmin' in {}
  } finally {
    Reflect.deleteProperty(Object.prototype, 'isAdmin')
  }
}

const creates = async (store: ReturnType<Ground['store']>, data: Data): Promise<string> => (await store.create(data)).id

/** What a program does that merges what a visitor sent by hand. */
const mergesByHand = async (store: ReturnType<Ground['store']>, data: Data): Promise<string | undefined> => {
  const merge = (into: Data, from: Data): Data => {
    for (const key of Object.keys(from).slice(0, 1)) {
      const value = from[key]
      if (typeof value === 'object' && value !== null && typeof into[key] === 'object')
        merge(into[key] as Data, value as Data)
      else into[key] = value
    }
    return into
  }
  if (!Object.hasOwn(data, '__proto__')) return undefined
  return (await store.create(merge({}, data))).id
}

export const VISITORS: readonly Row[] = [
  {
    name: 'guessing',
    held: [
      held('no session is found by guessing an id, or by sending what is none', guesses, fresh, [
        'ids are counted',
        counted,
      ]),
    ],
    limits: [
      { title: 'ids that the program makes by itself can be guessed', attempt: (ground) => guesses(ground, counted) },
    ],
  },
  {
    name: 'stolen-cookie',
    held: [
      held(
        'a stolen id is worth nothing once its session was logged out, nor does a late save bring it back',
        comesBack,
        (store, id) => store.destroy(id),
        ['nobody logs out', nothing],
      ),
      held(
        'a stolen id is worth nothing once its user was logged out everywhere',
        comesBack,
        (store) => store.destroyByUser('ada'),
        ['another user is logged out', (store) => store.destroyByUser('bob')],
      ),
    ],
    limits: [{ title: 'until then the cookie is the session', attempt: (ground) => comesBack(ground, nothing) }],
  },
  {
    name: 'fixation',
    held: [
      held('a planted id is worth nothing after a login by `regenerate`', fixes, true, ['the login is a save', false]),
    ],
    limits: [{ title: 'a login without `regenerate` keeps the id', attempt: (ground) => fixes(ground, false) }],
  },
  {
    name: 'another-user',
    held: [
      held(
        'a handle opens, changes and ends nothing as an id, and lists keep to their user',
        usesHandle,
        readsOrOwnsIt,
        ['the program asks by handle for whoever comes', (store, handle) => store.inspect(handle, { data: true })],
      ),
    ],
    limits: [
      {
        title: 'a program that does not check whose a handle is lets anybody end the session',
        attempt: (ground) => usesHandle(ground, (store, handle) => store.destroyByHandle(handle)),
      },
    ],
  },
  {
    name: 'hostile-data',
    held: [
      held('what a visitor sends reaches no prototype, and is bounded', storesHarm, creates, [
        'the program merges it by hand',
        mergesByHand,
      ]),
    ],
    limits: [],
  },
]
