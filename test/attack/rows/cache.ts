import type { Runtime } from '../../../src/contract/time.js'
import { isSessionStoreError } from '../../../src/errors.js'
import { systemRuntime } from '../../../src/runtime.js'
import { encodeEnvelope } from '../../../src/session/envelope.js'
import { locate } from '../../../src/session/key.js'
import { openBytes, type SealedPlace, sealBytes, sealKeyOf } from '../../../src/session/seal.js'
import { forged, live } from '../../session/envelopes.js'
import { sealingWith } from '../../support/sealing.js'
import { held, type Row } from '../attempt.js'
import { type Data, type Ground, keyNamed, type Options, SEALED } from '../ground.js'

/* What somebody can do who reads or writes Memcached. */

const SECRETS: Data = { user: 'ada lovelace', card: 'number 4711' }
const CLIENT = { address: '192.0.2.7', userAgent: 'Browser of Ada' }
const WORDS = ['lovelace', '4711', '192.0.2.7', 'Browser']

const FAR = 2 ** 45
const sealed: Options = { sealing: SEALED }
const plain: Options = {}

/** Reads the entry of a session, and tries to use its key as an id. */
const reads = async (ground: Ground, options: Options): Promise<boolean> => {
  const store = ground.store(options)
  const { id } = await store.create(SECRETS, { client: CLIENT })
  const text = (await ground.entry(id))?.toString('latin1') ?? ''
  if (text === '') throw new Error('there is an entry to read')
  return text.includes(id) || WORDS.some((word) => text.includes(word))
}

const usesKey = async (ground: Ground, idOf: (id: string, ground: Ground) => string): Promise<boolean> => {
  const store = ground.store()
  const { id } = await store.create(SECRETS)
  const found = await store.load(idOf(id, ground)).catch(() => undefined)
  return found !== undefined
}

/** What he puts in the place of a session's entry. */
type Plants = (ground: Ground, mine: { readonly id: string; readonly bytes: Buffer }, other: Buffer) => Uint8Array

const believes = async (
  ground: Ground,
  { options, plants }: { readonly options: Options; readonly plants: Plants },
): Promise<boolean> => {
  const store = ground.store({ maxStaleCount: 1, ...options })
  const [victim, other] = [await store.create({ balance: 1 }), await store.create({ balance: 1_000_000 })]
  const [mine, his] = [await ground.entry(victim.id), await ground.entry(other.id)]
  if (mine === undefined || his === undefined) throw new Error('there are entries to change')
  await ground.plant(victim.id, plants(ground, { id: victim.id, bytes: mine }, his))
  try {
    const found = await ground.store({ maxStaleCount: 1, ...options }).load(victim.id)
    return found?.data['balance'] !== 1
  } catch (error) {
    // What says that it is of another release, or sealed with a key of later, is refused, and not believed.
    if (isSessionStoreError(error, 'E_SESSION_FORMAT') || isSessionStoreError(error, 'E_SESSION_SEAL')) return false
    throw error
  }
}

const keyOf = ({ namespace }: Ground, id: string): string => locate(namespace, id).key

const makes: Plants = (ground, { id }) =>
  encodeEnvelope(
    keyOf(ground, id),
    live({
      data: Buffer.from('{"balance":99}'),
      codecId: 2,
      createdAt: systemRuntime.now() - 1_000,
      expiresAt: FAR,
      absoluteExpiresAt: FAR,
    }),
  )

const makesTombstone: Plants = (ground, { id }) =>
  encodeEnvelope(keyOf(ground, id), { kind: 'tombstone', destroyedAt: 1, expiresAt: FAR })

/** Says that nothing stands in the backend, as a reader says who has found nothing. */
const makesMark: Plants = (ground, { id }) => {
  const now = systemRuntime.now()
  return encodeEnvelope(keyOf(ground, id), { kind: 'nothing', trustedAt: now, expiresAt: now + 2_000 })
}

/** Moves the other session's entry here, with the key check and the checksum of this place. */
const moves: Plants = (ground, { id }, other) =>
  forged(other, (copy) => copy.set(encodeEnvelope(keyOf(ground, id), live()).subarray(8, 16), 8), keyOf(ground, id))

/**
 * Changes the header of a genuine entry, where it stands readable beside what is sealed. Where nothing checks the header,
 * the entry opens all the same.
 */
const opensChanged = async (
  { random }: Ground,
  { bind }: { readonly bind: (place: SealedPlace) => SealedPlace },
): Promise<boolean> => {
  const key = sealKeyOf(keyNamed('current'), undefined)
  const sealing = sealingWith({ keys: [keyNamed('current')] })
  for (let tries = 0; tries < 200; tries += 1) {
    const header = random.bytes(64)
    const place: SealedPlace = { key: `attack:${tries}`, purpose: 'cache', beside: [header] }
    const bytes = sealBytes(sealing, key, bind(place), random.bytes(100))
    const changed = Buffer.from(header)
    const at = random.below(changed.length)
    changed.writeUInt8((changed.readUInt8(at) + 1 + random.below(255)) % 256, at)
    if (openBytes(key, bind({ ...place, beside: [changed] }), bytes) !== undefined) return true
  }
  return false
}

/** The last byte is the victim's balance, where it can be read. */
const changesData: Plants = (ground, { id, bytes }) =>
  forged(bytes, (copy) => copy.writeUInt8(copy.readUInt8(copy.length - 1) ^ 2, copy.length - 1), keyOf(ground, id))

/** Raises the version, moves the deadline, or changes any other byte of a genuine entry; the checksum is mended. */
const changesBytes: Plants = (ground, { id, bytes }) =>
  forged(
    bytes,
    (copy) => {
      const at = 16 + ground.random.below(copy.length - 16)
      copy.writeUInt8((copy.readUInt8(at) + 1 + ground.random.below(255)) % 256, at)
    },
    keyOf(ground, id),
  )

/** Makes a genuine entry one of a release that this program does not know; the call fails. */
const refuses = async (ground: Ground): Promise<boolean> => {
  const store = ground.store({ ...sealed, maxStaleCount: 1 })
  const { id } = await store.create({ balance: 1 })
  const bytes = await ground.entry(id)
  if (bytes === undefined) throw new Error('there is an entry to change')
  const strange = forged(bytes, (copy) => copy.writeUInt8(255, FORMAT_AT), keyOf(ground, id))
  await ground.plant(id, strange)
  try {
    await store.load(id)
    return false
  } catch (error) {
    return isSessionStoreError(error, 'E_SESSION_FORMAT')
  }
}

/** Collects what is sealed for one session, and looks for a nonce that came twice: then two of them tell about each other. */
const findsNonceTwice = async (ground: Ground, runtime: Runtime): Promise<boolean> => {
  const store = ground.store({ runtime, sealing: { keys: [keyNamed('current')] }, maxStaleCount: 100 })
  const { id } = await store.create({ count: 0 })
  const nonces = new Set<string>()
  const changes = 60
  for (let count = 1; count <= changes; count += 1) {
    await store.update(id, (data) => {
      data['count'] = count
    })
    const bytes = await ground.entry(id)
    if (bytes === undefined) throw new Error('there is an entry to read')
    const nonceAt = HEADER_BYTES + 8 * bytes.readUInt8(WRITE_ID_COUNT_AT) + bytes.readUInt8(TOKEN_LENGTH_AT)
    nonces.add(bytes.toString('hex', nonceAt, nonceAt + NONCE_BYTES))
  }
  return nonces.size < changes
}

/** Of the layout of `docs/data-format.md`. */
const FORMAT_AT = 3
const HEADER_BYTES = 144
const WRITE_ID_COUNT_AT = 120
const TOKEN_LENGTH_AT = 121
const NONCE_BYTES = 12

const unlucky: Runtime = {
  ...systemRuntime,
  randomBytes: (count) => (count === NONCE_BYTES ? new Uint8Array(count) : systemRuntime.randomBytes(count)),
}

/** Puts an older genuine entry back, after the session has gone on. */
const replays = async (
  ground: Ground,
  { ends, sees }: { readonly ends: boolean; readonly sees: 'a writer' | 'a reader' },
): Promise<boolean> => {
  const options: Options = { ...sealed, maxStaleCount: 1 }
  const store = ground.store(options)
  const { id } = await store.create({ balance: 100 })
  const old = await ground.entry(id)
  if (old === undefined) throw new Error('there is an entry to keep')
  if (ends) await store.destroy(id)
  else
    await store.update(id, (data) => {
      data['balance'] = 0
    })
  await ground.plant(id, old)
  const later = ground.store(options)
  const back = await later.load(id)
  if (sees === 'a reader') return back?.data['balance'] === 100
  if (back === undefined) return false
  back.data['spent'] = 50
  try {
    await later.save(back)
  } catch (error) {
    if (!isSessionStoreError(error, 'E_SESSION_DESTROYED')) throw error
  }
  const [row] = await ground.sql(`select destroyed_at from ${ground.table} where namespace = $1 and id_hash = $2`, [
    ground.namespace,
    ground.rowIdOf(id),
  ])
  return row?.['destroyed_at'] === null
}

/** Removes the entry while it has changes that the backend does not have. */
const removes = async (ground: Ground, maxStaleCount: number): Promise<boolean> => {
  const store = ground.store({ ...sealed, maxStaleCount })
  const { id } = await store.create({ count: 0 })
  for (let count = 1; count <= 3; count += 1)
    await store.update(id, (data) => {
      data['count'] = count
    })
  await ground.removeEntry(id)
  return (await store.load(id))?.data['count'] !== 3
}

const bound = { bind: (place: SealedPlace): SealedPlace => place }
const unbound = { bind: (place: SealedPlace): SealedPlace => ({ ...place, beside: [] }) }

export const CACHE: readonly Row[] = [
  {
    name: 'memcached-reader',
    held: [
      held('nobody is let in by a key that he reads', usesKey, (id, { namespace }) => locate(namespace, id).key, [
        'the key were the id',
        (id) => id,
      ]),
      held('no data, address or browser is read in a sealed entry', reads, sealed, ['sealing is off', plain]),
    ],
    limits: [{ title: 'without sealing all data is read', attempt: (ground) => reads(ground, plain) }],
  },
  {
    name: 'memcached-writer',
    held: [
      ...(
        [
          ['no session that he makes is believed', makes],
          ['no tombstone that he makes is believed', makesTombstone],
          ['no mark of his, that nothing stands there, is believed', makesMark],
          ["another session's entry is not believed in this one's place", moves],
        ] as const
      ).map(([title, plants]) =>
        held(title, believes, { options: sealed, plants }, ['sealing is off', { options: plain, plants }]),
      ),
      held('a version, deadline or any other byte that he changes is noticed', opensChanged, bound, [
        'the header is not bound to what is sealed',
        unbound,
      ]),
      held(
        'a changed byte of a whole entry changes nothing that is read',
        async (ground, options: Options) => {
          for (let tries = 0; tries < 8; tries += 1)
            if (await believes(ground, { options, plants: tries === 0 ? changesData : changesBytes })) return true
          return false
        },
        sealed,
        ['sealing is off', plain],
      ),
      held('no nonce comes twice under one key', findsNonceTwice, systemRuntime, ['chance has failed', unlucky]),
    ],
    limits: [
      {
        title: 'without sealing he makes any session',
        attempt: (ground) => believes(ground, { options: plain, plants: makes }),
      },
      {
        title: 'he can remove an entry, and with it up to maxStaleCount - 1 changes',
        attempt: (ground) => removes(ground, 10),
      },
      {
        title: 'he can make the calls of a session fail, for as long as his entry stands',
        attempt: (ground) => refuses(ground),
      },
    ],
  },
  {
    name: 'memcached-replay',
    held: [
      held(
        'an older entry of a session that has ended gives it no writer',
        replays,
        { ends: true, sees: 'a writer' as const },
        ['the session has not ended', { ends: false, sees: 'a writer' as const }],
      ),
      held('with maxStaleCount 1 nothing is lost with a removed entry', removes, 1, ['maxStaleCount is 10', 10]),
    ],
    limits: [
      {
        title: 'readers are served the older state',
        attempt: (ground) => replays(ground, { ends: false, sees: 'a reader' }),
      },
    ],
  },
]
