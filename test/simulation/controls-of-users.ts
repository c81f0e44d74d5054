import type { Backend, Enumerable, KnowsUsers, Page, UserRecord } from '../../src/contract/backend.js'
import type { Locator } from '../../src/contract/locator.js'
import { isSessionStoreError, SessionStoreError } from '../../src/errors.js'
import type { Config, UsersConfig } from './config.js'
import { type Control, ofCalls, over, QUICK, rewriting, where } from './control.js'
import type { FaultKind } from './faults.js'
import type { World } from './world.js'

type UserBackend = Backend & KnowsUsers & Enumerable

/** A world in which nearly all that anybody does is about one user. */
const ofOneUser = (
  faults: readonly FaultKind[],
  users: Partial<UsersConfig> = {},
  changed: Partial<Config> = {},
): ((config: Config) => Config) =>
  where(faults, {
    ...QUICK,
    thinkMs: 3,
    sessions: 3,
    shortSessions: false,
    users: { names: ['alice'], share: 0.8, traps: 6, endsWithLogout: false, ...users },
    ...changed,
  })

/** So many that logins meet one, which few would. */
const MANY_LOGOUTS = { traps: 14, share: 0.95 } as const

const TWO_AT_MOST = { limit: { most: 2, onTooMany: 'end-oldest' } } as const

/** In a world with users each process's backend knows of them. */
const ofUsers = (
  name: string,
  config: (config: Config) => Config,
  altered: (backend: UserBackend, world: World) => Partial<UserBackend>,
): Control => ({
  name,
  config,
  alter: ({ cache, backend, world }) => {
    const users = backend as UserBackend
    return { cache, backend: over(users, altered(users, world)) }
  },
})

/** Tells for each writing of a user's record whether it raises the epoch, by what this process has read before. */
const watchingRaises = (
  backend: UserBackend,
): Pick<UserBackend, 'readUser'> & { isRaise(record: UserRecord, token: string): boolean } => {
  const epochs = new Map<string, number>()
  return {
    readUser: async (user) => {
      const read = await backend.readUser(user)
      epochs.set(read.token, read.record.epoch)
      return read
    },
    isRaise: ({ epoch }, token) => epoch > (epochs.get(token) ?? 0),
  }
}

/** Writes whatever stands there by now. */
const writeBlindly = async (
  backend: UserBackend,
  ...[user, record]: Parameters<KnowsUsers['writeUser']>
): Promise<'written'> => {
  for (;;) {
    const { token } = await backend.readUser(user)
    if ((await backend.writeUser(user, record, token)) === 'written') return 'written'
  }
}

/** Weaker in what ends a user's sessions, and in what limits their number. */
export const CONTROLS_OF_USERS: readonly Control[] = [
  ofUsers(
    'U01 the epoch is not read again once the session is in the backend',
    ofOneUser(['message delayed', 'backend slow']),
    (backend) => {
      const sent = new Set<string>()
      const unread = new Map<string, number>()
      /** What the next reading of the record will be told, in place of what stands there. */
      const onSent = (key: string, userId: string | undefined, userEpoch: number): void => {
        if (userId === undefined || sent.has(`${key} ${userId} ${userEpoch}`)) return
        sent.add(`${key} ${userId} ${userEpoch}`)
        unread.set(userId, userEpoch)
      }
      return {
        insert: async (locator, session, options) => {
          const outcome = await backend.insert(locator, session, options)
          onSent(locator.key, session.userId, session.userEpoch)
          return outcome
        },
        update: async (entries) => {
          const outcomes = await backend.update(entries)
          for (const { locator, session } of entries) onSent(locator.key, session.userId, session.userEpoch)
          return outcomes
        },
        readUser: async (user) => {
          const epoch = unread.get(user.userId)
          unread.delete(user.userId)
          const read = await backend.readUser(user)
          return epoch === undefined ? read : { ...read, record: { ...read.record, epoch } }
        },
      }
    },
  ),
  {
    ...rewriting('U02 a login that nobody has proved is served', (envelope) => ({ ...envelope, identifiedVersion: 0 })),
    config: ofOneUser(['message delayed', 'backend slow', 'process died'], MANY_LOGOUTS, { thinkMs: 1, sessions: 2 }),
  },
  ofUsers(
    'U03 whoever fills the cache does not ask whether the user was logged out',
    ofOneUser(['process died', 'message delayed', 'entry evicted']),
    (backend) => ({
      read: async (locator) => {
        const copy = await backend.read(locator)
        return copy.state === 'live' ? { state: 'live', session: copy.session, token: copy.token } : copy
      },
    }),
  ),
  ofUsers(
    'U04 what is to end is listed before the epoch is raised',
    ofOneUser(['message delayed', 'backend slow']),
    (backend, { epochNow }) => {
      const { readUser, isRaise } = watchingRaises(backend)
      const listed = new Map<string, Page<Locator>>()
      return {
        readUser,
        writeUser: async (user, record, token) => {
          if (isRaise(record, token))
            listed.set(user.userId, await backend.listKeys({ ...user, now: epochNow(), limit: 1_000 }))
          return await backend.writeUser(user, record, token)
        },
        listKeys: async (options) => {
          const page = listed.get(options.userId ?? '')
          listed.delete(options.userId ?? '')
          return page ?? (await backend.listKeys(options))
        },
      }
    },
  ),
  ofUsers(
    'U05 the session that stays keeps the epoch that was',
    ofOneUser(['entry evicted'], { names: ['alice', 'bob', 'carol', 'dave'], share: 0.5, traps: 0 }),
    (backend, { backendServer }) => ({
      update: (entries) =>
        backend.update(
          entries.map((entry) => {
            const { userId, userEpoch } = entry.session
            const { epoch } = backendServer.recordOf(userId ?? '')
            return { ...entry, session: { ...entry.session, userEpoch: Math.min(userEpoch, epoch) } }
          }),
        ),
    }),
  ),
  ofUsers(
    'U06 the epoch is raised over whatever stands there',
    ofOneUser(
      ['message delayed', 'backend slow'],
      { ...TWO_AT_MOST, traps: 14, share: 0.9 },
      { thinkMs: 1, sessions: 4 },
    ),
    (backend) => {
      const { readUser, isRaise } = watchingRaises(backend)
      return {
        readUser,
        writeUser: async (user, record, token) =>
          isRaise(record, token)
            ? await writeBlindly(backend, user, record, token)
            : await backend.writeUser(user, record, token),
      }
    },
  ),
  ofUsers(
    'U07 a seat is taken once the session is written',
    ofOneUser(['message delayed'], TWO_AT_MOST),
    (backend, { clock }) => {
      const { readUser, isRaise } = watchingRaises(backend)
      const takeLater = async (...[user, { seats = [] }]: Parameters<KnowsUsers['writeUser']>): Promise<void> => {
        const { record, token } = await backend.readUser(user)
        const mine = seats.slice(-1)
        await backend.writeUser(user, { ...record, seats: [...(record.seats ?? []), ...mine] }, token)
      }
      return {
        readUser,
        writeUser: async (user, record, token) => {
          if (isRaise(record, token)) return await backend.writeUser(user, record, token)
          clock.after(20, () => void takeLater(user, record, token).catch(() => {}))
          return 'written'
        },
      }
    },
  ),
  ofUsers(
    'U08 a seat is taken over whatever stands there',
    ofOneUser(['message delayed', 'backend slow'], TWO_AT_MOST),
    (backend) => {
      const { readUser, isRaise } = watchingRaises(backend)
      return {
        readUser,
        writeUser: async (user, record, token) =>
          isRaise(record, token)
            ? await backend.writeUser(user, record, token)
            : await writeBlindly(backend, user, record, token),
      }
    },
  ),
  ofUsers(
    'U09 the session that is to make room is not ended',
    ofOneUser(['message delayed'], TWO_AT_MOST),
    (backend) => {
      let isMakingRoom = false
      return {
        list: async (options) => {
          isMakingRoom = true
          return await backend.list(options)
        },
        destroy: async (locator, options) => (isMakingRoom ? 'destroyed' : await backend.destroy(locator, options)),
        writeUser: async (user, record, token) => {
          isMakingRoom = false
          return await backend.writeUser(user, record, token)
        },
      }
    },
  ),
  {
    ...ofCalls('U10 a creation that others may have seen says that nothing happened', (store) => ({
      create: async (data, options) => {
        try {
          return await store.create(data, options)
        } catch (error) {
          if (!isSessionStoreError(error, 'E_SESSION_DESTROYED')) throw error
          throw new SessionStoreError(error.code, error.message, { applied: 'no' })
        }
      },
    })),
    config: ofOneUser(['message delayed', 'backend slow', 'commit unanswered'], {}, { leaseWaitMs: 5 }),
  },
]
