import { crc32 } from 'node:zlib'
import { decodeEnvelope, encodeEnvelope, HEADER_BYTES, serverListOf } from '../../../src/session/envelope.js'
import { keyCheck, locate } from '../../../src/session/key.js'
import { type Sealing, sealBytes } from '../../../src/session/seal.js'
import { type SealingOptions, sealingOf } from '../../../src/store/sealing.js'
import { key, live, NOW } from '../../session/envelopes.js'
import { everythingSealed, keyNamed } from '../../support/sealing.js'
import type { Chance } from '../chance.js'
import { anyBytes, SECRET } from '../mutate.js'
import { assertEqual, type Target, targetOf } from '../target.js'

const ENVELOPES = [
  live({ data: Buffer.from(`{"name":"${SECRET}"}`), app: '', address: undefined, userAgent: undefined }),
  live({ data: Buffer.alloc(300, 7), userAgent: SECRET, backendToken: Buffer.alloc(42, 3) }),
  live({ frozen: true, hasOwnIdleTtl: true, writeIds: Array.from({ length: 8 }, () => 'ffffffffffffffff') }),
  { kind: 'lease', nonce: '0123456789abcdef', expiresAt: NOW } as const,
  { kind: 'tombstone', destroyedAt: NOW, expiresAt: NOW + 1 } as const,
  { kind: 'large', refusedBytes: 5_000_000, expiresAt: NOW } as const,
]

/** The same nonce each time, so that a case is the same each time. */
const sealingWith = (options: SealingOptions): Sealing | undefined =>
  sealingOf(options, { randomBytes: (size) => Buffer.alloc(size, 9) })

const sealing = sealingWith(everythingSealed)
const rotated = sealingWith({ keys: [keyNamed('next'), keyNamed('current')], acceptUnsealed: true })

const FLAG_SEALED = 1
const AT = { checksum: 4, keyCheck: 8, flags: 18, sealKeyId: 134 } as const

/** The bytes as if whoever changed them could reckon the checksum, as anybody can. */
const summed = (bytes: Buffer): Buffer => {
  if (bytes.length < HEADER_BYTES) return bytes
  bytes.write('nsk\u0001', 0, 'latin1')
  bytes.set(keyCheck(key), AT.keyCheck)
  const sum = crc32(bytes.subarray(AT.keyCheck), crc32(bytes.subarray(0, AT.checksum), crc32(key)))
  bytes.writeUInt32BE(sum, AT.checksum)
  return bytes
}

/** The bytes behind `end` as if somebody who has the key had written them: what is behind the seal must be read with care too. */
const resealed = (bytes: Buffer, end: number, by: Sealing): Buffer => {
  const sealKey = by.current()
  if (sealKey === undefined || bytes.length < HEADER_BYTES) return bytes
  const head = Buffer.from(bytes.subarray(0, end))
  head.write('nsk\u0001', 0, 'latin1')
  head.set(keyCheck(key), AT.keyCheck)
  head.writeUInt16BE(head.readUInt16BE(AT.flags) | FLAG_SEALED, AT.flags)
  head.writeUInt32BE(sealKey.id, AT.sealKeyId)
  const beside = [key, head.subarray(0, AT.checksum), head.subarray(AT.keyCheck)]
  return Buffer.concat([head, sealBytes(by, sealKey, { key, purpose: 'cache', beside }, bytes.subarray(end))])
}

const tokenEnd = (bytes: Buffer): number => HEADER_BYTES + (bytes[120] ?? 0) * 8 + (bytes[121] ?? 0)

interface Input {
  readonly bytes: Buffer
  readonly sealing: Sealing | undefined
}

const inputWith =
  (sealings: readonly (Sealing | undefined)[]) =>
  (chance: Chance): Input => {
    const by = chance.pick(sealings)
    const samples = ENVELOPES.map((envelope) => encodeEnvelope(key, envelope, 9, by))
    const plain = ENVELOPES.map((envelope) => encodeEnvelope(key, envelope, 9))
    if (by !== undefined && chance.oneIn(2)) {
      const bytes = anyBytes(chance, plain)
      return { bytes: summed(resealed(bytes, Math.min(bytes.length, tokenEnd(bytes)), by)), sealing: by }
    }
    const bytes = anyBytes(chance, [...samples, ...plain])
    return { bytes: chance.oneIn(5) ? bytes : summed(bytes), sealing: by }
  }

const envelopeTarget = (
  name: string,
  sealings: readonly (Sealing | undefined)[],
  more: Partial<Parameters<typeof targetOf<Input, unknown>>[0]> = {},
): Target =>
  targetOf<Input, ReturnType<typeof decodeEnvelope>>({
    name,
    make: inputWith(sealings),
    bytesOf: ({ bytes }) => bytes,
    parse: (input) => decodeEnvelope(key, input.bytes, input.sealing),
    check: (envelope, { bytes, sealing: by }) => {
      if (envelope.kind === 'damaged') return
      const again = encodeEnvelope(key, envelope, serverListOf(bytes), by)
      assertEqual('an envelope that was read and written', decodeEnvelope(key, again, by), envelope)
    },
    cut: live({ lineage: 'a1a2a3a4a5a6a7' }),
    ...(more as object),
  })

export const envelope = envelopeTarget('envelope', [undefined], {
  faults: {
    'takes damage for what stood there': (parse) => (input) => {
      const read = parse(input) as ReturnType<typeof decodeEnvelope>
      return read.kind === 'damaged' ? live({ writeIds: ['short'] }) : read
    },
  },
})

const other = locate('test', 'another id').key

export const sealedEnvelope = envelopeTarget('sealed-envelope', [sealing, rotated], {
  faults: {
    'hands on what stands behind the seal unread': (parse) => (input) => {
      const read = parse(input) as ReturnType<typeof decodeEnvelope>
      return read.kind === 'live' ? { ...read, app: 'x'.repeat(300), address: other } : read
    },
  },
})
