/** The part of Memcached's binary protocol that we speak. */
export const OPCODE = {
  set: 0x01,
  add: 0x02,
  replace: 0x03,
  delete: 0x04,
  noop: 0x0a,
  /** A GET that answers with the key, so that an answer can be held against the question. */
  getKey: 0x0c,
  saslMechanisms: 0x20,
  saslAuthenticate: 0x21,
} as const

export const STATUS = {
  ok: 0x00,
  notFound: 0x01,
  exists: 0x02,
  tooLarge: 0x03,
  invalidArguments: 0x04,
  notStored: 0x05,
  authenticationError: 0x20,
  authenticationContinue: 0x21,
  unknownCommand: 0x81,
  outOfMemory: 0x82,
  notSupported: 0x83,
  busy: 0x85,
  temporaryFailure: 0x86,
} as const

const REFUSALS: ReadonlyMap<number, string> = new Map([
  [STATUS.tooLarge, 'the value is too large for it'],
  [STATUS.invalidArguments, 'it calls the arguments invalid'],
  [STATUS.notStored, 'it did not store the entry'],
  [STATUS.authenticationError, 'it wants a username and password, or others than were given'],
  [STATUS.authenticationContinue, 'it wants to go on authenticating'],
  [STATUS.unknownCommand, 'it does not know the command'],
  [STATUS.outOfMemory, 'it is out of memory'],
  [STATUS.notSupported, 'it does not support the command'],
  [STATUS.busy, 'it is busy'],
  [STATUS.temporaryFailure, 'it has a temporary failure'],
])

/** Why a server that did answer refused, if the status says that nothing was done; else `undefined`. */
export const refusalOf = (status: number): string | undefined => REFUSALS.get(status)

export interface CacheRequest {
  readonly opcode: number
  readonly key?: Uint8Array
  readonly value?: Uint8Array
  /** With `set`, `add` and `replace`, which must have it: Memcached's number for when the entry expires. */
  readonly expiration?: number
  /** The command is carried out only on the entry that has this number. */
  readonly cas?: bigint
}

export interface CacheResponse {
  readonly opcode: number
  readonly status: number
  readonly cas: bigint
  /** Like the value a view of what was received, which the answers around it share. */
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** Why `response` cannot be the answer to `request`; `undefined` when it can. */
export const mismatch = (request: CacheRequest, response: CacheResponse): string | undefined => {
  if (request.opcode !== response.opcode) return 'it answered another command than was sent'
  if (request.opcode !== OPCODE.getKey) return undefined
  if (response.status === STATUS.ok || response.key.length > 0)
    return request.key !== undefined && Buffer.compare(request.key, response.key) === 0
      ? undefined
      : 'it answered for another key than was asked'
  return undefined
}
