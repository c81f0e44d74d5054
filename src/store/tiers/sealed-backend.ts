import {
  type Backend,
  canEnumerate,
  type Enumerable,
  type ForeseesPurge,
  foreseesPurge,
  type GuardedUpdate,
  type KnowsUsers,
  knowsUsers,
  type ListedSession,
  type StoredSession,
  type UserLocator,
  type Which,
} from '../../contract/backend.js'
import { type CacheKey, splitKey } from '../../contract/locator.js'
import { isSessionStoreError } from '../../errors.js'
import { openBytes, type Sealing, type SealPurpose, sealBytes, sealError, sealedForOthers } from '../../session/seal.js'

/**
 * What the address of a sealed session begins with. No client can send it, as a session keeps no control characters of
 * an address.
 */
const SEALED_ADDRESS = '\u0002sealed:'

/**
 * The first byte of sealed data. No value of MessagePack and no text of JSON begins with it, so that a program which does
 * not know of sealing cannot read the data as something else.
 */
const SEALED_DATA = 0xc1

const ID_BYTES = 4

/** What is sealed apart from the data, as listings show it without the data. */
type Facts = Pick<StoredSession, 'address' | 'userAgent' | 'app' | 'userId'>

/**
 * A backend in which each session stands sealed. It satisfies the contract of a backend like the one below it, which sees
 * sealed bytes in the place of the data, and sealed facts in the place of the client's address.
 *
 * A session that does not open is an error (`E_SESSION_SEAL`), and never one that is not there: a process that lacks a
 * key must not log everybody out. In a listing it is one that cannot be read.
 *
 * @param sealing `undefined` in a store that seals nothing. It then refuses what others have sealed.
 */
export const sealedBackend = (backend: Backend, sealing: Sealing | undefined): Backend => {
  const sealed = (key: CacheKey, session: StoredSession): StoredSession =>
    sealing === undefined ? session : sealRow(sealing, key, session)
  const named = <Of extends Which>(which: Of): Of => {
    const { namespace, app, userId } = which
    return {
      ...which,
      ...(app === undefined ? {} : { app: appBelow(sealing, namespace, app) }),
      ...(userId === undefined ? {} : { userId: userBelow(sealing, namespace, userId) }),
    }
  }
  const userNamed = ({ namespace, userId }: UserLocator): UserLocator => ({
    namespace,
    userId: userBelow(sealing, namespace, userId),
  })

  const openListed = (entry: ListedSession, withData: boolean): ListedSession => {
    if ('unreadable' in entry) return entry
    const { locator, session } = entry
    try {
      return { locator, session: openRow(sealing, locator.key, session, withData) }
    } catch (error) {
      if (!isSessionStoreError(error, 'E_SESSION_SEAL')) throw error
      return { locator, unreadable: error }
    }
  }

  const listing = (lister: Enumerable): Enumerable => ({
    list: async (options) => {
      const { entries, next } = await lister.list(named(options))
      return { entries: entries.map((entry) => openListed(entry, options.withData)), next }
    },
    listKeys: (options) => lister.listKeys(named(options)),
    count: (which) => lister.count(named(which)),
    countUsers: (which) => lister.countUsers(named(which)),
  })

  const withUsers = (keeper: KnowsUsers): KnowsUsers => ({
    readUser: (user) => keeper.readUser(userNamed(user)),
    writeUser: (user, record, token) => keeper.writeUser(userNamed(user), record, token),
  })

  const planned = (planner: ForeseesPurge): ForeseesPurge => ({ planPurge: (options) => planner.planPurge(options) })

  const calls: Backend = {
    name: backend.name,
    read: async (locator) => {
      const copy = await backend.read(locator)
      return copy.state === 'live' ? { ...copy, session: openRow(sealing, locator.key, copy.session, true) } : copy
    },
    insert: async (locator, session, options) => await backend.insert(locator, sealed(locator.key, session), options),
    update: async (entries) =>
      await backend.update(
        entries.map((entry): GuardedUpdate => ({ ...entry, session: sealed(entry.locator.key, entry.session) })),
      ),
    extend: (entries) => backend.extend(entries),
    destroy: (locator, options) => backend.destroy(locator, options),
    purge: (options) => backend.purge(options),
    setUp: () => backend.setUp(),
    health: () => backend.health(),
    close: () => backend.close(),
  }
  return {
    ...calls,
    ...(canEnumerate(backend) ? listing(backend) : {}),
    ...(knowsUsers(backend) ? withUsers(backend) : {}),
    ...(foreseesPurge(backend) ? planned(backend) : {}),
  }
}

/** The id of a user as the backend below has it. */
const userBelow = (sealing: Sealing | undefined, namespace: string, userId: string): string =>
  sealing?.hashed?.('user', namespace, userId) ?? userId

/** The name of an application as the backend below has it. Sessions of none are those of none there, too. */
const appBelow = (sealing: Sealing | undefined, namespace: string, app: string): string =>
  app === '' ? '' : (sealing?.hashed?.('app', namespace, app) ?? app)

/**
 * What the sealed bytes of a row are bound to: its key, and all that only an insert or an update writes. A touch writes
 * `seenAt` and `expiresAt` alone, which are bound to nothing.
 */
const besideOf = (purpose: SealPurpose, key: CacheKey, session: StoredSession): string =>
  JSON.stringify([
    ...['nonstick row 1', purpose, key, session.lineage, session.version, session.writeIds, session.codecId],
    ...[session.app, session.userId ?? null, session.userEpoch, session.identifiedAt],
    ...[session.reads, session.writes, session.createdAt, session.absoluteExpiresAt],
    ...[session.idleTtlMs, session.hasOwnIdleTtl],
    ...(session.origin === undefined ? [] : [session.origin]),
  ])

const factsOf = ({ address, userAgent, app, userId }: StoredSession): string =>
  JSON.stringify([address ?? null, userAgent ?? null, app, userId ?? null])

const factsIn = (text: string): Facts => {
  const [address, userAgent, app, userId] = JSON.parse(text) as [string | null, string | null, string, string | null]
  return { address: address ?? undefined, userAgent: userAgent ?? undefined, app, userId: userId ?? undefined }
}

const sealRow = (sealing: Sealing, key: CacheKey, session: StoredSession): StoredSession => {
  const sealKey = sealing.current()
  if (sealKey === undefined) return session
  const { namespace } = splitKey(key)
  const stored: StoredSession = {
    ...session,
    app: appBelow(sealing, namespace, session.app),
    userId: session.userId === undefined ? undefined : userBelow(sealing, namespace, session.userId),
    userAgent: undefined,
  }
  const id = Buffer.alloc(ID_BYTES)
  id.writeUInt32BE(sealKey.id)
  const seal = (purpose: SealPurpose, plain: Uint8Array): Uint8Array =>
    sealBytes(sealing, sealKey, { key, purpose, beside: [besideOf(purpose, key, stored)] }, plain)
  const facts = Buffer.concat([id, seal('facts', Buffer.from(factsOf(session), 'utf8'))])
  return {
    ...stored,
    address: `${SEALED_ADDRESS}${facts.toString('base64url')}`,
    data: Buffer.concat([Uint8Array.of(SEALED_DATA), id, seal('data', session.data)]),
  }
}

/**
 * A session as it was before it was sealed, whatever stands in the row.
 *
 * @throws SessionStoreError `E_SESSION_SEAL`
 */
export const openRow = (
  sealing: Sealing | undefined,
  key: CacheKey,
  stored: StoredSession,
  withData: boolean,
): StoredSession => {
  if (stored.address?.startsWith(SEALED_ADDRESS) !== true) {
    if (sealing === undefined || sealing.acceptsUnsealed) return stored
    throw sealError('is not sealed, and `sealing.acceptUnsealed` is not set')
  }
  if (sealing === undefined) throw sealedForOthers()
  const open = (purpose: SealPurpose, bytes: Buffer): Buffer => {
    if (bytes.length < ID_BYTES) throw doesNotOpen()
    const sealKey = sealing.keyOf(bytes.readUInt32BE(0))
    const place = { key, purpose, beside: [besideOf(purpose, key, stored)] }
    const plain = openBytes(sealKey, place, bytes.subarray(ID_BYTES))
    if (plain === undefined) throw doesNotOpen()
    return plain
  }
  const facts = factsIn(open('facts', Buffer.from(stored.address.slice(SEALED_ADDRESS.length), 'base64url')).toString())
  if (!withData) return { ...stored, ...facts }
  const { data } = stored
  if (data[0] !== SEALED_DATA) throw doesNotOpen()
  const plain = open('data', Buffer.from(data.buffer, data.byteOffset + 1, data.byteLength - 1))
  return { ...stored, ...facts, data: plain }
}

const doesNotOpen = (): ReturnType<typeof sealError> =>
  sealError('does not open: it was changed or moved by somebody who has no key')
