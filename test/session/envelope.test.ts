import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type DamagedEnvelope,
  decodeEnvelope,
  ENVELOPE_FORMAT,
  type Envelope,
  type EnvelopeReader,
  encodeEnvelope,
  HEADER_BYTES,
  type LeaseEnvelope,
  type LiveEnvelope,
  LONGEST_HEADER_BYTES,
  readEnvelope,
  type TombstoneEnvelope,
} from '../../src/session/envelope.js'
import { locate } from '../../src/session/key.js'
import { keyNamed, sealingWith } from '../support/sealing.js'
import { rounds, seed } from '../support/seed.js'
import { exampleKey, headerTable, vectors } from './data-format.js'
import { anyLease, anyLive, anyNothing, anyTombstone, forged, key, live, NOW, plain } from './envelopes.js'

const lease: LeaseEnvelope = { kind: 'lease', nonce: '0123456789abcdef', expiresAt: NOW + 5_000 }
const tombstone: TombstoneEnvelope = { kind: 'tombstone', destroyedAt: NOW, expiresAt: NOW + 90_000 }
const token64 = Uint8Array.from({ length: 64 }, (_, index) => index)
const NO_TEXTS = { app: '', address: undefined, userAgent: undefined } as const
const samples: readonly (readonly [string, Envelope])[] = [
  ['live', live()],
  ['live with a full ring, a token and much data', live({ ...fullOf(64), data: new Uint8Array(400).fill(7) })],
  ['live without anything behind its header', live({ ...NO_TEXTS, writeIds: [], data: new Uint8Array(0) })],
  ['frozen', live({ frozen: true })],
  ['lease', lease],
  ['tombstone', tombstone],
  ['large', { kind: 'large', refusedBytes: 3_000_000, expiresAt: 9_999 }],
  ['nothing', { kind: 'nothing', trustedAt: NOW, expiresAt: NOW + 3_000 }],
]

function fullOf(tokenBytes: number): Pick<LiveEnvelope, 'writeIds' | 'backendToken'> {
  return {
    writeIds: Array.from({ length: 8 }, (_, index) => String(index).repeat(16)),
    backendToken: token64.subarray(0, tokenBytes),
  }
}

const formatError = expect.objectContaining({ name: 'SessionStoreError', code: 'E_SESSION_FORMAT' })

describe('What was written is what is read', () => {
  for (const [title, envelopes] of [
    ['live envelope', anyLive],
    ['lease', anyLease],
    ['tombstone', anyTombstone],
    ['nothing', anyNothing],
  ] as const)
    test(`any ${title} comes back with every field as it was`, () => {
      const property = fc.property<[Envelope]>(envelopes, (envelope) => {
        expect(plain(decodeEnvelope(key, encodeEnvelope(key, envelope)))).toStrictEqual(envelope)
      })
      fc.assert(property, { seed, numRuns: rounds(300, 5_000) })
    })

  test('for a release that does not know it, the mark that nothing stands here is a lease that is over', () => {
    const bytes = Buffer.from(encodeEnvelope(key, { kind: 'nothing', trustedAt: NOW, expiresAt: NOW + 3_000 }))
    const at = (field: string): { readonly offset: number; readonly size: number } => {
      const row = headerTable().find((each) => each.field === field)
      if (row === undefined) throw new Error(`The table has no ${field}`)
      return row
    }
    expect(bytes.readUInt8(at('kind').offset)).toBe(2)
    // A lease that ends at 0 has ended by any clock.
    expect(bytes.readUIntBE(at('expiresAt').offset, at('expiresAt').size)).toBe(0)
    expect(bytes.readUInt16BE(at('flags').offset)).toBe(0)
    // And what such a release writes as a lease is one here.
    expect(decodeEnvelope(key, encodeEnvelope(key, { ...lease, expiresAt: 0 }))).toEqual({ ...lease, expiresAt: 0 })
  })

  test('an envelope is read from anywhere in a larger buffer, as a cache client hands it over', () => {
    const bytes = encodeEnvelope(key, live())
    const around = new Uint8Array(bytes.length + 20).fill(0xee)
    around.set(bytes, 7)
    expect(plain(decodeEnvelope(key, around.subarray(7, 7 + bytes.length)))).toStrictEqual(live())
  })

  test('reading leaves the bytes as they were', () => {
    const bytes = encodeEnvelope(key, live())
    const before = Buffer.from(bytes)
    decodeEnvelope(key, bytes)
    expect(before.equals(bytes)).toBe(true)
  })

  test('the header has 144 bytes; a lease and a tombstone are nothing else', () => {
    expect(HEADER_BYTES).toBe(144)
    expect(encodeEnvelope(key, lease)).toHaveLength(144)
    expect(encodeEnvelope(key, tombstone)).toHaveLength(144)
    expect(encodeEnvelope(key, live({ ...NO_TEXTS, writeIds: [], data: new Uint8Array(0) }))).toHaveLength(144)
    const full = { ...NO_TEXTS, ...fullOf(64), data: new Uint8Array(5) }
    expect(encodeEnvelope(key, live(full))).toHaveLength(144 + 64 + 64 + 5)
    expect(encodeEnvelope(key, live({ ...full, app: 'shop' }))).toHaveLength(144 + 64 + 64 + 1 + 4 + 1 + 1 + 5)
  })

  test('nothing that an envelope has besides its data is longer than the store reckons with', () => {
    const longest = 'x'.repeat(255)
    const texts = { app: longest, address: longest, userAgent: longest }
    const longestOfAll = live({ ...texts, ...fullOf(64), data: new Uint8Array(0) })
    const sealed = encodeEnvelope(key, longestOfAll, 0, sealingWith({ keys: [keyNamed('current')] }))
    expect(sealed).toHaveLength(LONGEST_HEADER_BYTES)
  })
})

describe('The data format page is the code', () => {
  test('the page has a vector of a live, a frozen, a lease, a nothing and a tombstone envelope', () => {
    expect(vectors().map(({ title }) => title)).toEqual(['Live', 'Frozen', 'Lease', 'Nothing', 'Tombstone'])
  })

  test('the key on the page is the key of the id on the page', () => {
    const { id, namespace, key: written } = exampleKey()
    expect(locate(namespace, id).key).toBe(written)
  })

  for (const { title, fields, bytes } of vectors()) {
    const envelope = envelopeOf(fields)
    test(`${title}: the fields give exactly the bytes on the page`, () => {
      expect(Buffer.from(encodeEnvelope(exampleKey().key, envelope)).toString('hex')).toBe(bytes.toString('hex'))
    })
    test(`${title}: the bytes give exactly the fields on the page`, () => {
      expect(plain(decodeEnvelope(exampleKey().key, bytes))).toStrictEqual(envelope)
    })
  }

  test('the table of the header covers its 144 bytes without gaps', () => {
    let end = 0
    for (const { offset, size } of headerTable()) {
      expect(offset).toBe(end)
      end = offset + size
    }
    expect(end).toBe(HEADER_BYTES)
  })

  test('each field stands where the table of the header says', () => {
    const fieldOf: Readonly<Record<string, Partial<LiveEnvelope>>> = {
      codec: { codecId: 255 },
      flags: { frozen: true },
      lineage: { lineage: 'ffffffffffffffff' },
      durableLineage: { durableLineage: 'ffffffffffffffff' },
      userEpoch: { userEpoch: 2 ** 32 - 1 },
      reads: { reads: 2 ** 32 - 1 },
      writes: { writes: 2 ** 32 - 1 },
    }
    const zero = live({
      ...{ lineage: '0000000000000000', durableLineage: '0000000000000000', version: 0, durableVersion: 0 },
      ...{
        identifiedAt: 0,
        identifiedVersion: 0,
        unflushedAt: 0,
        createdAt: 0,
        writtenAt: 0,
        touchedAt: 0,
        seenDurableAt: 0,
        trustedAt: 0,
      },
      ...{ expiresAt: 0, absoluteExpiresAt: 0, idleTtlMs: 0, reads: 0, writes: 0, userEpoch: 0, codecId: 0 },
      ...{ ...NO_TEXTS, writeIds: [], data: new Uint8Array(0) },
    })
    const blank = Buffer.from(encodeEnvelope(key, zero))
    for (const { offset, size, field } of headerTable().slice(5)) {
      if (['writeIdCount', 'tokenLength', 'textsLength', 'sealKeyId'].includes(field)) continue
      const change = fieldOf[field] ?? { [field]: 2 ** 48 - 1 }
      const bytes = Buffer.from(encodeEnvelope(key, { ...zero, ...change }, field === 'serverList' ? 2 ** 32 - 1 : 0))
      const touched = [...bytes.keys()].filter((at) => (at < 4 || at >= 8) && bytes[at] !== blank[at])
      expect(touched.length, `${field} stands somewhere`).toBeGreaterThan(0)
      if (field !== 'flags') expect(touched, field).toEqual(Array.from({ length: size }, (_, at) => offset + at))
      else expect(touched, 'frozen is 0x0004, big-endian').toEqual([offset + 1])
    }
  })
})

/** The fields of a vector: bytes are hexadecimal digits there. */
function envelopeOf(fields: Readonly<Record<string, unknown>>): Envelope {
  const bytes = (name: string): Uint8Array => Uint8Array.from(Buffer.from(String(fields[name]), 'hex'))
  const text = (name: string): string | undefined => fields[name] as string | undefined
  const all =
    fields['kind'] === 'live'
      ? {
          ...{ address: text('address'), userAgent: text('userAgent') },
          ...{ backendToken: bytes('backendToken'), data: bytes('data') },
        }
      : {}
  return { ...fields, ...all } as unknown as Envelope
}

describe('Damage is recognised before anything is believed (I1)', () => {
  for (const [title, envelope] of samples) {
    const bytes = encodeEnvelope(key, envelope)
    const isDamaged = (given: Uint8Array): boolean => decodeEnvelope(key, given).kind === 'damaged'

    test(`${title}: every single flipped bit is damage`, () => {
      for (let bit = 0; bit < bytes.length * 8; bit += 1) {
        const flipped = Buffer.from(bytes)
        flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
        expect(isDamaged(flipped), `bit ${bit & 7} of byte ${bit >> 3}`).toBe(true)
      }
    })

    test(`${title}: cut off anywhere, or with anything behind it, it is damaged`, () => {
      for (let length = 0; length < bytes.length; length += 1)
        expect(isDamaged(bytes.subarray(0, length)), `${length} bytes`).toBe(true)
      expect(isDamaged(Buffer.concat([bytes, Buffer.of(0)]))).toBe(true)
      expect(isDamaged(Buffer.concat([bytes, bytes]))).toBe(true)
    })

    test(`${title}: under the key of another session it is foreign`, () => {
      const other = locate('test', 'the id of another').key
      expect(decodeEnvelope(other, bytes)).toEqual({ kind: 'damaged', reason: 'foreign' })
    })

    test(`${title}: under the same id in another namespace it is damaged`, () => {
      for (const namespace of ['tess', 'other', 'test2', 't']) {
        const other = locate(namespace, 'an id for tests').key
        expect(decodeEnvelope(other, bytes)).toEqual({ kind: 'damaged', reason: 'checksum' })
      }
    })
  }

  test('each kind of damage has its name, for the event that tells of it', () => {
    const bytes = Buffer.from(encodeEnvelope(key, live()))
    const reason = (given: Uint8Array): DamagedEnvelope['reason'] | string => {
      const read = decodeEnvelope(key, given)
      return read.kind === 'damaged' ? read.reason : read.kind
    }
    const flipped = (at: number): Buffer => {
      const copy = Buffer.from(bytes)
      copy.writeUInt8(copy.readUInt8(at) ^ 1, at)
      return copy
    }
    expect(reason(bytes)).toBe('live')
    expect(reason(bytes.subarray(0, 19))).toBe('truncated')
    expect(reason(bytes.subarray(0, 20))).toBe('checksum')
    expect(reason(flipped(0))).toBe('not an envelope')
    expect(reason(Buffer.from('{"a session":"of another program"}'))).toBe('not an envelope')
    expect(reason(flipped(8))).toBe('foreign')
    expect(reason(flipped(bytes.length - 1))).toBe('checksum')
    expect(reason(forged(bytes.subarray(0, 100), () => {}))).toBe('truncated')
    // With data enough for a longer ring and a longer token, so that it is not for want of bytes.
    const long = encodeEnvelope(key, live({ ...NO_TEXTS, data: new Uint8Array(400) }))
    expect(reason(forged(long, (copy) => copy.writeUInt8(8, 120)))).toBe('live')
    expect(reason(forged(long, (copy) => copy.writeUInt8(9, 120)))).toBe('malformed')
    expect(reason(forged(long, (copy) => copy.writeUInt8(64, 121)))).toBe('live')
    expect(reason(forged(long, (copy) => copy.writeUInt8(65, 121)))).toBe('malformed')
    expect(reason(forged(bytes.subarray(0, 150), () => {})), 'a ring that is cut off').toBe('malformed')
  })

  test('texts of the header that are no such texts are damage', () => {
    const bytes = Buffer.from(encodeEnvelope(key, live({ ...fullOf(0), data: new Uint8Array(800).fill(1) })))
    const from = 144 + 64
    const length = bytes.readUInt16BE(132)
    const [app, address] = [from, from + 1 + 4]
    const judged = (change: (bytes: Buffer) => void): string => {
      const read = decodeEnvelope(key, forged(bytes, change))
      return read.kind === 'damaged' ? read.reason : read.kind
    }
    expect(bytes.subarray(app, address).toString('latin1')).toBe('\x04shop')
    expect(judged(() => {})).toBe('live')
    const mistakes: Readonly<Record<string, (copy: Buffer) => void>> = {
      'a section that ends in the middle of a text': (copy) => copy.writeUInt16BE(length - 1, 132),
      'a section that ends before the last text': (copy) => copy.writeUInt16BE(1 + 4 + 1 + 9, 132),
      'a section that ends after the first text': (copy) => copy.writeUInt16BE(1 + 4, 132),
      'a section of one byte': (copy) => copy.writeUInt16BE(1, 132),
      'a section with something behind the texts': (copy) => copy.writeUInt16BE(length + 1, 132),
      'a section that is longer than the envelope': (copy) => copy.writeUInt16BE(0xffff, 132),
      'a text that is longer than its section': (copy) => copy.writeUInt8(255, app),
      'a text that is shorter than it was': (copy) => copy.writeUInt8(3, app),
      'bytes that are no UTF-8': (copy) => copy.writeUInt8(0xff, app + 1),
      'half of a character': (copy) => copy.writeUInt8(0xc3, address - 1),
      'half of a surrogate pair': (copy) => copy.set([0xed, 0xa0, 0x80], app + 1),
    }
    for (const [what, change] of Object.entries(mistakes)) expect(judged(change), what).toBe('malformed')
  })

  test('random bytes are damage, and never throw', () => {
    const property = fc.property(fc.uint8Array({ maxLength: 400, size: 'max' }), (bytes) => {
      expect(decodeEnvelope(key, bytes).kind).toBe('damaged')
    })
    fc.assert(property, { seed, numRuns: rounds(1_000, 20_000) })
  })

  test('random bytes under a fitting prefix and checksum are an envelope, damage or a format error, and nothing else', () => {
    const property = fc.property(fc.uint8Array({ minLength: 20, maxLength: 400, size: 'max' }), (bytes) => {
      const candidate = forged(bytes, (copy) => {
        copy.set(Buffer.from(encodeEnvelope(key, lease)).subarray(0, 16))
        copy.writeUInt8(copy.readUInt8(16) % 4, 16)
        copy.writeUInt16BE(copy.readUInt16BE(18) & 0x0006, 18)
      })
      try {
        expect(['live', 'lease', 'tombstone', 'nothing', 'damaged']).toContain(decodeEnvelope(key, candidate).kind)
      } catch (error) {
        expect(error).toEqual(formatError)
      }
    })
    fc.assert(property, { seed, numRuns: rounds(1_000, 20_000) })
  })
})

describe('A rolling deploy eats no sessions', () => {
  const bytes = encodeEnvelope(key, live())
  const withFormat = (format: number): Buffer => forged(bytes, (copy) => copy.writeUInt8(format, 3))

  for (const format of [0, 2, 3, 255])
    test(`an envelope of format ${format}, under a fitting checksum, is an error and never a miss`, () => {
      expect(() => decodeEnvelope(key, withFormat(format))).toThrow(formatError)
      const short = forged(withFormat(format).subarray(0, 20), () => {})
      expect(() => decodeEnvelope(key, short), 'also one shorter than our header').toThrow(formatError)
    })

  test('the error says what was met and what is known, and holds neither key nor data', () => {
    expect(() => decodeEnvelope(key, withFormat(2))).toThrow(
      'Stored session has envelope format 2; this program knows 1. Was it written by a newer release?',
    )
  })

  test('a format that is not known is judged only under a fitting checksum', () => {
    const flipped = Buffer.from(bytes)
    flipped.writeUInt8(2, 3)
    expect(decodeEnvelope(key, flipped)).toEqual({ kind: 'damaged', reason: 'checksum' })
  })

  test("a program of the next release reads its own format and its predecessor's, and no other", () => {
    const format1: EnvelopeReader = (given) => decodeEnvelope(key, given)
    /** A made-up format: behind the common prefix there is the data, and nothing else. */
    const format2: EnvelopeReader = (given) => live({ data: Uint8Array.from(given.subarray(20)) })
    const next = new Map([
      [1, format1],
      [2, format2],
    ])
    const written = forged(Buffer.concat([bytes.subarray(0, 20), Buffer.from('tea')]), (copy) => copy.writeUInt8(2, 3))
    expect(plain(readEnvelope(next, key, bytes))).toStrictEqual(live())
    expect(plain(readEnvelope(next, key, written))).toStrictEqual(live({ data: Uint8Array.from(Buffer.from('tea')) }))
    for (const format of [0, 3]) expect(() => readEnvelope(next, key, withFormat(format))).toThrow(formatError)
    expect(() => readEnvelope(next, key, withFormat(3))).toThrow('this program knows 1 and 2')

    // What the prefix tells is told alike in every format.
    expect(readEnvelope(next, locate('test', 'another').key, written)).toEqual({ kind: 'damaged', reason: 'foreign' })
    written.writeUInt8(written.readUInt8(21) ^ 1, 21)
    expect(readEnvelope(next, key, written)).toEqual({ kind: 'damaged', reason: 'checksum' })
  })

  test('this release writes format 1', () => {
    expect(ENVELOPE_FORMAT).toBe(1)
    expect(bytes[3]).toBe(1)
  })

  for (const [name, flag] of [
    ['compressed', 0x0002],
    ['sealed and compressed', 0x0003],
    ['a flag of the future', 0x8000],
  ] as const)
    test(`an envelope that is ${name} is an error, since its data cannot be read as it stands`, () => {
      for (const [, envelope] of samples) {
        const flagged = forged(encodeEnvelope(key, envelope), (copy) => copy.writeUInt16BE(flag, 18))
        expect(() => decodeEnvelope(key, flagged)).toThrow(formatError)
      }
    })

  for (const kind of [0, 5, 255])
    test(`an envelope of kind ${kind} is an error`, () => {
      expect(() =>
        decodeEnvelope(
          key,
          forged(bytes, (copy) => copy.writeUInt8(kind, 16)),
        ),
      ).toThrow(formatError)
    })

  test('a codec this program does not know is no matter of the envelope: it is handed on', () => {
    expect(decodeEnvelope(key, encodeEnvelope(key, live({ codecId: 200 })))).toMatchObject({ codecId: 200 })
  })

  test('the list of servers, and the key of a seal that is not there, are overlooked', () => {
    const filled = forged(bytes, (copy) => copy.fill(0xff, 122, 126).fill(0xff, 134, 138))
    expect(plain(decodeEnvelope(key, filled))).toStrictEqual(live())
  })
})

describe('What has no place is refused, or kept as far as there is place', () => {
  const reread = (envelope: LiveEnvelope): unknown => plain(decodeEnvelope(key, encodeEnvelope(key, envelope)))

  test('a backend token has at most 64 bytes', () => {
    expect(reread(live({ backendToken: token64 }))).toStrictEqual(live({ backendToken: token64 }))
    expect(() => encodeEnvelope(key, live({ backendToken: new Uint8Array(65) }))).toThrow(RangeError)
  })

  test('a text has at most 255 bytes, however many characters that are', () => {
    const pairs = '\u{1F600}'.repeat(63) // 252 bytes
    for (const field of ['app', 'address', 'userAgent'] as const) {
      for (const text of ['x'.repeat(255), `${pairs}xyz`, 'ö'.repeat(127)])
        expect(reread(live({ [field]: text })), field).toStrictEqual(live({ [field]: text }))
      for (const text of ['x'.repeat(256), `${pairs}\u{1F600}`, 'ö'.repeat(128)])
        expect(() => encodeEnvelope(key, live({ [field]: text })), field).toThrow(RangeError)
    }
  })

  test('an empty text of the client is one that is not there', () => {
    expect(reread(live({ address: '', userAgent: '' }))).toStrictEqual(
      live({ address: undefined, userAgent: undefined }),
    )
    expect(reread(live({ ...NO_TEXTS, userAgent: 'x' }))).toStrictEqual(live({ ...NO_TEXTS, userAgent: 'x' }))
  })

  test('half of a surrogate pair is stored as the replacement that UTF-8 has for it', () => {
    expect(reread(live({ userAgent: 'a\ud83db\ude00' }))).toStrictEqual(live({ userAgent: 'a\ufffdb\ufffd' }))
  })

  test('of more than eight write ids the newest eight are kept, newest last', () => {
    const writeIds = Array.from({ length: 11 }, (_, index) => index.toString(16).repeat(16))
    expect(reread(live({ writeIds }))).toStrictEqual(live({ writeIds: writeIds.slice(3) }))
  })

  test('reads and writes stop at 2^32 - 1 rather than begin again', () => {
    const most = 2 ** 32 - 1
    expect(reread(live({ reads: most + 1, writes: most + 1_000 }))).toStrictEqual(live({ reads: most, writes: most }))
  })

  test('moments, durations and versions go up to 2^48 - 1, and beyond that are refused', () => {
    const most = 2 ** 48 - 1
    const changes = { expiresAt: most, absoluteExpiresAt: most, idleTtlMs: most, version: most, durableVersion: most }
    expect(reread(live(changes))).toStrictEqual(live(changes))
    for (const field of ['expiresAt', 'createdAt', 'version', 'idleTtlMs', 'unflushedAt', 'identifiedAt'] as const) {
      expect(() => encodeEnvelope(key, live({ [field]: most + 1 })), field).toThrow(RangeError)
      expect(() => encodeEnvelope(key, live({ [field]: -1 })), field).toThrow(RangeError)
    }
    expect(() => encodeEnvelope(key, { ...tombstone, destroyedAt: most + 1 })).toThrow(RangeError)
  })

  test('a name that is not sixteen hexadecimal digits is refused, where Node would write zeros for it', () => {
    for (const name of ['', 'a1', 'a1a2a3a4a5a6a7zz', 'zzzzzzzzzzzzzzzz', 'a1a2a3a4a5a6a7a8a9', 'a1a2a3a4a5a6a7a8a']) {
      expect(() => encodeEnvelope(key, live({ lineage: name })), name).toThrow(TypeError)
      expect(() => encodeEnvelope(key, live({ durableLineage: name })), name).toThrow(TypeError)
      expect(() => encodeEnvelope(key, live({ writeIds: [name] })), name).toThrow(TypeError)
      expect(() => encodeEnvelope(key, { ...lease, nonce: name }), name).toThrow(TypeError)
    }
  })
})
