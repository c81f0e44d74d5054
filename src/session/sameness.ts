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

/** Whether two values are stored alike. */
export type Sameness = (a: unknown, b: unknown) => boolean

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
  return (a, b) => {
    if (Object.is(a, b)) return true
    if (isPrimitive(a) && isPrimitive(b)) return false
    const [one, other] = [encodedOf(a), encodedOf(b)]
    return one !== undefined && other !== undefined && sameBytes(one, other)
  }
}

/** Two of these are stored alike only where they are the same. */
const isPrimitive = (value: unknown): boolean =>
  value === null || (typeof value !== 'object' && typeof value !== 'function' && typeof value !== 'symbol')
