import assert from 'node:assert/strict'
import type { Codec } from '../../contract/codec.js'
import { isSessionStoreError, type SessionStoreError, type SessionStoreErrorCode } from '../../errors.js'

/** One sentence of the contract, and how to see whether a codec keeps it. */
export interface Rule {
  readonly title: string
  run(codec: Codec): void

  /** What is looked at where the codec says it cannot: that it refuses instead of bending. */
  runRefused?(codec: Codec): void
}

/** The values come back equal and encode to the same bytes again; a codec that cannot has to refuse every one of them. */
export const comesBack = (title: string, values: () => readonly unknown[]): Rule => ({
  title,
  run: (codec) => {
    for (const value of values()) {
      const bytes = codec.encode(value)
      const decoded = codec.decode(bytes)
      assert.deepStrictEqual(decoded, value)
      // Also sees what deepStrictEqual passes over: the order of keys and members, the cause of an error.
      assert.deepStrictEqual(codec.encode(decoded), bytes)
    }
  },
  runRefused: (codec) => {
    for (const value of values()) refusalOf(codec, value)
  },
})

/** The error `encode` raises for a value that it must not accept. */
export const refusalOf = (
  codec: Codec,
  value: unknown,
  codes: readonly SessionStoreErrorCode[] = ['E_SESSION_DATA'],
): SessionStoreError => {
  let accepted: Uint8Array
  try {
    accepted = codec.encode(value)
  } catch (error) {
    assert.ok(
      isSessionStoreError(error) && codes.includes(error.code),
      `expected ${codes.join(' or ')}, got ${String(error)}`,
    )
    assert.equal(typeof error.path, 'string')
    return error
  }
  assert.fail(`expected a refusal, got ${accepted.length} bytes`)
}

/** Each value is refused, and the error points at the offender: `data.cart[2].price`. */
export const isRefused = (title: string, values: () => readonly (readonly [path: string, value: unknown])[]): Rule => ({
  title,
  run: (codec) => {
    for (const [path, value] of values()) assert.equal(refusalOf(codec, value).path, path)
  },
})
