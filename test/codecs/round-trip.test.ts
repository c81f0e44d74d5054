import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'vitest'
import { jsonCodec, msgpackCodec } from '../../src/codecs/index.js'
import { anyJsonData, anySessionData } from './any-session-data.js'

/** A failure prints the seed and the shrunk value; `FC_SEED` runs it again. */
const seed = process.env['FC_SEED'] === undefined ? {} : { seed: Number(process.env['FC_SEED']) }

test('msgpack: whatever it accepts comes back equal, and encodes to the same bytes again', () => {
  const property = fc.property(anySessionData, (value) => {
    const bytes = msgpackCodec.encode(value)
    const decoded = msgpackCodec.decode(bytes)
    assert.deepStrictEqual(decoded, value)
    assert.ok(Buffer.from(msgpackCodec.encode(decoded)).equals(bytes), 'decoded, it encodes to other bytes')
    assert.ok(Buffer.from(msgpackCodec.encode(value)).equals(bytes), 'encoded twice, it gives other bytes')
  })
  fc.assert(property, { numRuns: 1_000, ...seed })
})

test.each([
  ['msgpack', msgpackCodec, anySessionData],
  ['json', jsonCodec, anyJsonData],
] as const)('%s: a value fits into as many bytes as it has, whatever it is', (_name, codec, values) => {
  const property = fc.property(values as typeof anySessionData, (value) => {
    const bytes = codec.encode(value)
    assert.deepStrictEqual(codec.encode(value, { maxBytes: bytes.length }), bytes)
  })
  fc.assert(property, { numRuns: 1_000, ...seed })
})

test('msgpack: the bytes of a value do not depend on what was encoded before', () => {
  const first = fc
    .sample(anySessionData, { numRuns: 50, seed: 1 })
    .map((value) => [value, msgpackCodec.encode(value)] as const)
  for (let shape = 0; shape < 20_000; shape += 1) msgpackCodec.encode({ [`a${shape}`]: 1, [`b${shape}`]: { c: 1 } })
  for (const [value, bytes] of first) assert.deepStrictEqual(msgpackCodec.encode(value), bytes)
})

test('json: whatever it accepts comes back equal, and encodes to the same bytes again', () => {
  const property = fc.property(anyJsonData, (value) => {
    const bytes = jsonCodec.encode(value)
    const decoded = jsonCodec.decode(bytes)
    assert.deepStrictEqual(decoded, value)
    assert.deepStrictEqual(jsonCodec.encode(decoded), bytes)
  })
  fc.assert(property, { numRuns: 1_000, ...seed })
})

test('json: what msgpack stores is either stored equal or refused, never bent', () => {
  const property = fc.property(anySessionData, (value) => {
    let bytes: Uint8Array
    try {
      bytes = jsonCodec.encode(value)
    } catch (error) {
      assert.equal((error as { code?: unknown }).code, 'E_SESSION_DATA')
      return
    }
    assert.deepStrictEqual(jsonCodec.decode(bytes), value)
  })
  fc.assert(property, { numRuns: 1_000, ...seed })
})
