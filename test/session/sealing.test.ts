import { createDecipheriv, createHmac, hkdfSync } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { memoryBackend } from '../../src/backends/memory/index.js'
import type { StoredSession } from '../../src/contract/backend.js'
import {
  decodeEnvelope,
  type Envelope,
  encodeEnvelope,
  HEADER_BYTES,
  serverListOf,
} from '../../src/session/envelope.js'
import { locate } from '../../src/session/key.js'
import { SEAL_BYTES, type Sealing } from '../../src/session/seal.js'
import { sealingOf } from '../../src/store/sealing.js'
import { sealedBackend } from '../../src/store/tiers/sealed-backend.js'
import { keyNamed, sealingWith } from '../support/sealing.js'
import { rounds, seed } from '../support/seed.js'
import { exampleKey, sealedVectors, vectors } from './data-format.js'
import { anyLease, anyLive, anyTombstone, forged, key, live, NOW, plain } from './envelopes.js'

const [older, current, stranger] = ['older', 'current', 'stranger'].map(keyNamed) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
]
const sealing = sealingWith({ keys: [current, older] })

const samples: readonly (readonly [string, Envelope])[] = [
  ['a session', live({ data: Buffer.from('a card number') })],
  ['a frozen session', live({ frozen: true })],
  ['a lease', { kind: 'lease', nonce: '0123456789abcdef', expiresAt: NOW + 5_000 }],
  ['a tombstone', { kind: 'tombstone', destroyedAt: NOW, expiresAt: NOW + 90_000 }],
  ['the mark of a large session', { kind: 'large', refusedBytes: 3_000_000, expiresAt: NOW + 9_999 }],
]

const judged = (bytes: Uint8Array, by: Sealing | undefined = sealing, of: string = key): string => {
  const read = decodeEnvelope(of, bytes, by)
  return read.kind === 'damaged' ? read.reason : read.kind
}

const sealError = expect.objectContaining({ name: 'SessionStoreError', code: 'E_SESSION_SEAL' })

describe('What was sealed is what is opened', () => {
  for (const [title, envelopes] of [
    ['session', anyLive],
    ['lease', anyLease],
    ['tombstone', anyTombstone],
  ] as const)
    test(`any ${title} comes back with every field as it was`, () => {
      const property = fc.property<[Envelope]>(envelopes, (envelope) => {
        expect(plain(decodeEnvelope(key, encodeEnvelope(key, envelope, 7, sealing), sealing))).toStrictEqual(envelope)
      })
      fc.assert(property, { seed, numRuns: rounds(200, 5_000) })
    })

  test('the data, the address and what the client calls itself cannot be read in it, and the header can', () => {
    const bytes = Buffer.from(
      encodeEnvelope(
        key,
        live({ data: Buffer.from('a card number'), address: '192.0.2.7', userAgent: 'Browser', app: 'shop' }),
        77,
        sealing,
      ),
    )
    for (const text of ['card', '192.0', 'Browser', 'shop']) expect(bytes.includes(text), text).toBe(false)
    expect(serverListOf(bytes)).toBe(77)
    expect(bytes.readUIntBE(36, 6)).toBe(7)
  })

  test('a seal takes 28 bytes, also of what has nothing behind its header', () => {
    for (const [, envelope] of samples)
      expect(encodeEnvelope(key, envelope, 0, sealing)).toHaveLength(encodeEnvelope(key, envelope).length + SEAL_BYTES)
    expect(encodeEnvelope(key, { kind: 'lease', nonce: '0123456789abcdef', expiresAt: 1 }, 0, sealing)).toHaveLength(
      HEADER_BYTES + 28,
    )
  })

  test('no two seals have the same nonce, nor the same bytes, though the envelope is the same', () => {
    const nonces = new Set<string>()
    for (let time = 0; time < 200; time += 1) {
      const bytes = Buffer.from(
        encodeEnvelope(key, { kind: 'lease', nonce: '0123456789abcdef', expiresAt: 1 }, 0, sealing),
      )
      nonces.add(bytes.toString('hex', HEADER_BYTES, HEADER_BYTES + 12))
    }
    expect(nonces.size).toBe(200)
  })

  test('an older key opens what it has sealed, and the first key seals', () => {
    const before = sealingWith({ keys: [older] })
    const bytes = encodeEnvelope(key, live(), 0, before)
    expect(judged(bytes)).toBe('live')
    const again = encodeEnvelope(key, live(), 0, sealing)
    expect(() => judged(again, before)).toThrow(sealError)
    expect(judged(again, sealingWith({ keys: [stranger, current] }))).toBe('live')
  })
})

describe('Nothing that somebody else has made is believed', () => {
  for (const [title, envelope] of samples) {
    const bytes = encodeEnvelope(key, envelope, 7, sealing)

    test(`${title}: whatever bit is changed, with a checksum that fits, it is not believed`, () => {
      for (let bit = 0; bit < bytes.length * 8; bit += 1) {
        const at = bit >> 3
        if (at >= 4 && at < 8) continue // the checksum, which is reckoned anew
        const changed = forged(bytes, (copy) => copy.writeUInt8(copy.readUInt8(at) ^ (1 << (bit & 7)), at))
        let found: string
        try {
          found = judged(changed)
        } catch (error) {
          // A format, a flag, a kind or a key that this program does not know may be those of a newer one.
          found = (error as { readonly code: string }).code
          expect([3, 16, 18, 19, 134, 135, 136, 137], `byte ${at}`).toContain(at)
        }
        const expected = [
          'not an envelope',
          'foreign',
          'seal',
          'unsealed',
          'malformed',
          'E_SESSION_FORMAT',
          'E_SESSION_SEAL',
        ]
        expect(expected, `bit ${bit & 7} of byte ${at}`).toContain(found)
      }
    })

    test(`${title}: cut off anywhere, or with anything behind it, it is not believed`, () => {
      for (let length = HEADER_BYTES; length < bytes.length; length += 1)
        expect(['seal', 'malformed']).toContain(judged(forged(bytes.subarray(0, length), () => {})))
      expect(judged(forged(Buffer.concat([bytes, Buffer.of(0)]), () => {}))).toBe('seal')
    })

    test(`${title}: under the key of another session, or in another namespace, it is not believed`, () => {
      for (const other of [locate('test', 'the id of another').key, locate('other', 'an id for tests').key]) {
        // Its key check is that of the other session, so that nothing but the seal tells.
        const own = encodeEnvelope(other, envelope)
        const moved = forged(bytes, (copy) => copy.set(own.subarray(8, 16), 8), other)
        expect(judged(moved, sealing, other)).toBe('seal')
      }
    })

    test(`${title}: made without a key, it is not believed unless unsealed ones are accepted`, () => {
      const unsealed = encodeEnvelope(key, envelope)
      expect(judged(unsealed)).toBe('unsealed')
      expect(judged(unsealed, sealingWith({ keys: [current], acceptUnsealed: true }))).toBe(envelope.kind)
    })

    test(`${title}: a process without the key, or without any, is told so, and does not take it for nothing`, () => {
      expect(() => judged(bytes, sealingWith({ keys: [stranger] }))).toThrow(sealError)
      expect(() => decodeEnvelope(key, bytes)).toThrow(sealError)
      expect(() => decodeEnvelope(key, bytes)).toThrow('was given no `sealing`')
    })
  }

  test('what somebody without a key would like to change is damage by its seal', () => {
    const bytes = encodeEnvelope(key, live(), 7, sealing)
    const late = 2 ** 47
    const wishes: Readonly<Record<string, (copy: Buffer) => void>> = {
      'another lineage': (copy) => copy.fill(0xee, 20, 28),
      'a higher version': (copy) => copy.writeUIntBE(late, 36, 6),
      'a higher durable version': (copy) => copy.writeUIntBE(late, 42, 6),
      'a later deadline': (copy) => copy.writeUIntBE(late, 90, 6),
      'a later end': (copy) => copy.writeUIntBE(late, 96, 6),
      'frozen for ever': (copy) => copy.writeUInt16BE(copy.readUInt16BE(18) | 0x0004, 18),
      'trusted for ever': (copy) => copy.writeUIntBE(late, 84, 6),
      'a higher epoch of the user': (copy) => copy.writeUInt32BE(99, 116),
      'another write id': (copy) => copy.fill(0xee, HEADER_BYTES, HEADER_BYTES + 8),
      'another codec': (copy) => copy.writeUInt8(2, 17),
      'a tombstone': (copy) => copy.writeUInt8(3, 16),
    }
    for (const [wish, change] of Object.entries(wishes)) expect(judged(forged(bytes, change)), wish).toBe('seal')
    const lease = encodeEnvelope(key, { kind: 'lease', nonce: '0123456789abcdef', expiresAt: NOW }, 0, sealing)
    const endless = forged(lease, (copy) => copy.writeUIntBE(late, 90, 6))
    expect(judged(endless)).toBe('seal')
  })

  test('a session is not opened where users are hashed by another key, or by none', () => {
    const hashing = sealingWith({ keys: [current], hashUserIds: keyNamed('users') })
    const bytes = encodeEnvelope(key, live(), 0, hashing)
    expect(judged(bytes, hashing)).toBe('live')
    expect(() => judged(bytes, sealingWith({ keys: [current] }))).toThrow(sealError)
    expect(() => judged(bytes, sealingWith({ keys: [current], hashUserIds: keyNamed('others') }))).toThrow(sealError)
  })
})

describe('The page about the data format is the code', () => {
  const [key32, users] = [0, 0x20].map((from) => Uint8Array.from({ length: 32 }, (_, at) => from + at)) as [
    Uint8Array,
    Uint8Array,
  ]
  /** Each byte is one more than that before, as in the nonces on the page. */
  const counting = (): { randomBytes(size: number): Uint8Array } => {
    let last = -1
    return {
      randomBytes: (size) =>
        Uint8Array.from({ length: size }, () => {
          last += 1
          return last
        }),
    }
  }
  const { key: example } = exampleKey()
  const page = sealedVectors()

  /** Opens what the page has, by the page's own words rather than by the code's. */
  const openByHand = (salt: Uint8Array, purpose: string, beside: Uint8Array, sealed: Uint8Array): Buffer => {
    const root = Buffer.from(hkdfSync('sha256', key32, salt, 'nonstick seal 1', 32))
    const cipherKey = createHmac('sha256', root).update(`${purpose}\0${example}`).digest()
    const decipher = createDecipheriv('aes-256-gcm', cipherKey, sealed.subarray(0, 12))
    decipher.setAAD(beside)
    decipher.setAuthTag(sealed.subarray(12, 28))
    return Buffer.concat([decipher.update(sealed.subarray(28)), decipher.final()])
  }

  for (const { title, fields, bytes } of vectors().filter((vector) => page.envelopes.has(vector.title)))
    test(`${title}: sealed, it is exactly the bytes on the page, which open by hand`, () => {
      const sealed = page.envelopes.get(title) ?? Buffer.alloc(0)
      const read = decodeEnvelope(example, bytes)
      if (read.kind === 'damaged') throw new Error(`${title} is damaged`)
      expect(read.kind).toBe(fields['kind'])
      const by = sealingOf({ keys: [key32] }, counting())
      expect(Buffer.from(encodeEnvelope(example, read, 0, by)).toString('hex')).toBe(sealed.toString('hex'))
      expect(plain(decodeEnvelope(example, sealed, by))).toStrictEqual(plain(read))
      const end = HEADER_BYTES + 8 * sealed.readUInt8(120) + sealed.readUInt8(121)
      const beside = Buffer.concat([Buffer.from(example), sealed.subarray(0, 4), sealed.subarray(8, end)])
      const behind = openByHand(new Uint8Array(0), 'cache', beside, sealed.subarray(end))
      expect(behind.toString('hex')).toBe(bytes.subarray(end).toString('hex'))
    })

  test('a row is kept exactly as the page has it, and opens by hand', async () => {
    const session = { ...page.row, data: Buffer.from(String(page.row['data']), 'hex') } as unknown as StoredSession
    const below = memoryBackend()
    const backend = sealedBackend(below, sealingOf({ keys: [key32], hashUserIds: users }, counting()))
    await backend.insert({ key: example }, session)
    const copy = await below.read({ key: example })
    if (copy.state !== 'live') throw new Error('there is no row')
    const { app, userId, address, userAgent, data } = copy.session
    expect({ app, userId, address, data: Buffer.from(data).toString('hex') }).toEqual(page.kept)
    expect(userAgent).toBeUndefined()

    const besideOf = (purpose: string): Buffer =>
      Buffer.from(
        JSON.stringify([
          ...['nonstick row 1', purpose, example, session.lineage, session.version, session.writeIds, session.codecId],
          ...[app, userId, session.userEpoch, session.identifiedAt, session.reads, session.writes, session.createdAt],
          ...[session.absoluteExpiresAt, session.idleTtlMs, session.hasOwnIdleTtl],
        ]),
      )
    const facts = Buffer.from(String(address).slice('\u0002sealed:'.length), 'base64url')
    expect(JSON.parse(openByHand(users, 'facts', besideOf('facts'), facts.subarray(4)).toString())).toEqual([
      ...[session.address, session.userAgent, session.app, session.userId],
    ])
    expect(data[0]).toBe(0xc1)
    expect(openByHand(users, 'data', besideOf('data'), data.subarray(5)).toString('hex')).toBe(page.row['data'])
  })
})
