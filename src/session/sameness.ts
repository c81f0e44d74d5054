/** A value as a codec wrote it, and which codec that was. */
export interface Encoded {
  readonly codecId: number
  readonly data: Uint8Array
}

/** A codec, as far as comparing needs it. */
export interface Encoder {
  readonly id: number
  encode(value: unknown): Uint8Array
}

/** What can be said of two values by what is stored of them. */
export interface Sameness {
  /** Whether both are stored alike. */
  isSame(a: unknown, b: unknown): boolean
  /** Something to find a value by in a Map: of two values that are stored alike it is the same. */
  tokenOf(value: unknown): unknown
}

export const sameBytes = (a: Encoded, b: Encoded): boolean =>
  a.codecId === b.codecId && Buffer.compare(a.data, b.data) === 0

/**
 * The one way in which parts of the data are compared: two values are the same where they are stored as the same bytes.
 * So nothing counts as changed that is stored as it was, and nothing as unchanged that is not.
 *
 * A value that no codec takes is like no other, not even like itself: nobody can tell whether it was changed, so whoever
 * holds it is taken to have changed it.
 *
 * @param encoders the store's own codec first, then those that wrote what others have stored
 */
export const samenessOf = (encoders: readonly Encoder[]): Sameness => {
  const encodedOf = (value: unknown): Encoded | undefined => {
    for (const encoder of encoders)
      try {
        return { codecId: encoder.id, data: encoder.encode(value) }
      } catch {
        // The next one may know what this one refuses.
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
  }
}

const tokenOfBytes = ({ codecId, data: { buffer, byteOffset, length } }: Encoded): string =>
  `codec ${codecId} ${Buffer.from(buffer, byteOffset, length).toString('latin1')}`

/** Two of these are stored alike only where they are the same. */
const isPrimitive = (value: unknown): boolean =>
  value === null || (typeof value !== 'object' && typeof value !== 'function' && typeof value !== 'symbol')
