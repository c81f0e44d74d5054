/** A value as a codec wrote it, and which codec that was. */
export interface Encoded {
  readonly codecId: number
  readonly data: Uint8Array
}

/** The part of a codec that comparing needs. */
export interface Encoder {
  readonly id: number
  encode(value: unknown): Uint8Array
}

/** How two values are compared, by the bytes that would be stored of them. */
export interface Sameness {
  /** Whether both are stored alike. */
  isSame(a: unknown, b: unknown): boolean
  /** Gives a token under which a Map can keep the value. Two values that are stored alike have the same token. */
  tokenOf(value: unknown): unknown
  /** How many bytes were made so far to compare them. */
  readonly comparedBytes: number
}

export const sameBytes = (a: Encoded, b: Encoded): boolean =>
  a.codecId === b.codecId && Buffer.compare(a.data, b.data) === 0

/**
 * Makes the one way in which parts of the data are compared: two values are the same if they are stored as the same
 * bytes. So nothing counts as changed that is stored as it was, and nothing counts as unchanged that is not.
 *
 * A value that no codec takes is the same as no other, not even as itself. Nobody can tell whether it was changed, so
 * whoever holds it counts as having changed it.
 *
 * @param encoders the store's own codec first, then those that wrote what others have stored
 */
export const samenessOf = (encoders: readonly Encoder[]): Sameness => {
  let comparedBytes = 0
  const encodedOf = (value: unknown): Encoded | undefined => {
    for (const encoder of encoders)
      try {
        const data = encoder.encode(value)
        comparedBytes += data.length
        return { codecId: encoder.id, data }
      } catch {
        // The next codec may take what this one refuses.
      }
    return undefined
  }
  return {
    isSame: (a, b) => {
      if (Object.is(a, b)) return true
      if (isPrimitive(a) && isPrimitive(b)) return false
      const [one, other] = [encodedOf(a), encodedOf(b)]
      return one !== undefined && other !== undefined && sameBytes(one, other)
    },
    tokenOf: (value) => {
      if (Object.is(value, -0)) return '-0'
      if (typeof value === 'string') return `text ${value}`
      if (isPrimitive(value)) return value
      const encoded = encodedOf(value)
      return encoded === undefined ? Symbol('like no other') : tokenOfBytes(encoded)
    },
    get comparedBytes() {
      return comparedBytes
    },
  }
}

const tokenOfBytes = ({ codecId, data: { buffer, byteOffset, length } }: Encoded): string =>
  `codec ${codecId} ${Buffer.from(buffer, byteOffset, length).toString('latin1')}`

/** Whether a value is one of those of which two are stored alike only if they are the same. */
const isPrimitive = (value: unknown): boolean =>
  value === null || (typeof value !== 'object' && typeof value !== 'function' && typeof value !== 'symbol')
