/** Within what a value is encoded. */
export interface EncodeLimits {
  /**
   * How many bytes its encoding may have: a positive number. A codec that sees that it will have more, gives up then and
   * throws `E_SESSION_TOO_LARGE`; one that does not look may give more bytes, which the store refuses.
   */
  readonly maxBytes: number
  /**
   * How many values it may hold: the values of properties, elements, members of a Set, and keys and values of a Map, all
   * that stand in the value, at whatever depth. Left out: as many as there are. A codec that counts them gives up where
   * there are more and throws `E_SESSION_TOO_LARGE`; a codec need not count them.
   */
  readonly maxValues?: number
}

/**
 * Session data to bytes and back.
 *
 * What `encode` accepts, `decode` gives back equal. What cannot make that journey (a function, a symbol, an
 * instance of a class the codec does not know, a cycle) is refused by `encode`, never dropped or bent.
 */
export interface Codec {
  /** Lower-case, for errors and metrics: 'msgpack'. */
  readonly name: string

  /**
   * Stands in the envelope and in the backend's row, so that a reader knows what it reads: 1 to 255.
   * 1 is msgpack and 2 is json; 1 to 63 are this library's, 64 to 255 are yours.
   */
  readonly id: number

  /**
   * The same value always gives the same bytes, and so does a value that came from `decode`: the store
   * compares bytes to see whether a session changed.
   *
   * @param limits where they are left out, the codec's own
   * @throws SessionStoreError `E_SESSION_DATA`, its `path` naming the offender, and no part of its content; or
   *   `E_SESSION_TOO_LARGE`.
   */
  encode(value: unknown, limits?: EncodeLimits): Uint8Array

  /**
   * A fresh value, sharing no memory with `bytes`. Throws on what it cannot read (other damage is found by the
   * envelope's checksum) without quoting it; never hangs, never crashes the process, never touches a prototype.
   */
  decode(bytes: Uint8Array): unknown
}
