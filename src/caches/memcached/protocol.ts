/** The part of Memcached's binary protocol that we speak. */
export const OPCODE = {
  set: 0x01,
  add: 0x02,
  replace: 0x03,
  delete: 0x04,
  increment: 0x05,
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

/** An answer which says that nothing was done, and why. */
export interface Refusal {
  readonly because: string
  /** It would refuse whoever asks the same: an answer of `add` and `cas`, and not a fault of the connection or the user. */
  readonly isOutcome: boolean
}

const REFUSALS: ReadonlyMap<number, Refusal> = new Map([
  [STATUS.tooLarge, { because: 'the value is too large for it', isOutcome: true }],
  [STATUS.invalidArguments, { because: 'it calls the arguments invalid', isOutcome: true }],
  [STATUS.notStored, { because: 'it did not store the entry', isOutcome: true }],
  [
    STATUS.authenticationError,
    {
      because: 'it wants a username and password, or others than were given: look at `username` and `password`',
      isOutcome: false,
    },
  ],
  [
    STATUS.authenticationContinue,
    { because: 'it wants to sign in in several steps, and only SASL PLAIN is spoken here', isOutcome: false },
  ],
  [STATUS.unknownCommand, { because: 'it does not know the command', isOutcome: true }],
  [STATUS.outOfMemory, { because: 'it is out of memory', isOutcome: true }],
  [STATUS.notSupported, { because: 'it does not support the command', isOutcome: true }],
  [STATUS.busy, { because: 'it is busy', isOutcome: true }],
  [STATUS.temporaryFailure, { because: 'it has a temporary failure', isOutcome: true }],
])

/** What a server that did answer says, if the status means that nothing was done; else `undefined`. */
export const refusalOf = (status: number): Refusal | undefined => REFUSALS.get(status)

export interface CacheRequest {
  readonly opcode: number
  readonly key?: Uint8Array
  readonly value?: Uint8Array
  /** With `set`, `add` and `replace`, which must have it: Memcached's number for when the entry expires. */
  readonly expiration?: number
  /** With `increment`, which must have it: what to add, what to begin with, and for how long, in 20 bytes. */
  readonly extras?: Uint8Array
  /** The command is carried out only on the entry that has this number. */
  readonly cas?: bigint
}

export interface CacheResponse {
  readonly opcode: number
  readonly status: number
  readonly cas: bigint
  /** How many bytes stand before the key: flags, which only a value has. */
  readonly extrasBytes: number
  /** Like the value a view of what was received, which the answers around it share. */
  readonly key: Uint8Array
  readonly value: Uint8Array
  /** How many bytes of key and value were let pass, as they were more than is taken: then both are empty. 0 else. */
  readonly omittedBytes: number
}

const FLAGS_BYTES = 4

/** What a server is told that lied about how long an answer is, or a part of it. */
export const IMPOSSIBLE_LENGTH = 'it sent an answer of an impossible length'

/** What answers other than values have for a body: a sentence, a list of ways to sign in, a number. */
const LONGEST_WORDS_BYTES = 4_096

/** How large the body of an answer may be that carries no value larger than `maxValueBytes`. */
export const longestBody = ({ opcode, key }: CacheRequest, maxValueBytes: number): number =>
  opcode === OPCODE.getKey ? FLAGS_BYTES + (key?.length ?? 0) + maxValueBytes : LONGEST_WORDS_BYTES

/** The answers that say no more than that it was done. */
const BARE: ReadonlySet<number> = new Set([OPCODE.set, OPCODE.add, OPCODE.replace, OPCODE.delete, OPCODE.noop])

/** Why `response` cannot be the answer to `request`; `undefined` when it can. */
export const mismatch = (request: CacheRequest, response: CacheResponse): string | undefined => {
  if (request.opcode !== response.opcode) return 'it answered another command than was sent'
  if (BARE.has(request.opcode) && response.status === STATUS.ok)
    return response.extrasBytes + response.key.length + response.value.length === 0 ? undefined : IMPOSSIBLE_LENGTH
  if (request.opcode !== OPCODE.getKey || response.omittedBytes > 0) return undefined
  if (response.status === STATUS.ok && response.extrasBytes !== FLAGS_BYTES) return IMPOSSIBLE_LENGTH
  if (response.status === STATUS.ok || response.key.length > 0)
    return request.key !== undefined && Buffer.compare(request.key, response.key) === 0
      ? undefined
      : 'it answered for another key than was asked'
  return undefined
}
