import { type Applied, codeIn, SessionStoreError, tierUnavailable } from '../../errors.js'
import { isError } from '../../tools/is-error.js'
import { causeWithoutCertificate } from '../../tools/tls-trouble.js'
import { tlsWords } from './tls-words.js'

/** What went wrong, as far as it decides what to do next. */
export type FaultKind =
  /** A slot is being moved, and some of its keys are here and some there. Nothing was done; it may be asked again. */
  | 'moving'
  /** The server does not know the function by its hash. Nothing was done. */
  | 'unknown-function'
  /** The server answered, and would not. */
  | 'refused'
  /** There was no connection to be had. */
  | 'unreachable'
  /** The connection broke under the command, or what came is no answer of Redis's. */
  | 'lost'
  /** No answer came in time. */
  | 'late'

export interface Fault {
  readonly kind: FaultKind
  readonly error: SessionStoreError
}

/** A failed command: what the call's error would be, and of which kind. */
export class CommandFailed extends Error {
  readonly fault: Fault
  constructor(fault: Fault) {
    super(fault.error.message, { cause: fault.error })
    this.fault = fault
  }
  override get name(): string {
    return 'CommandFailed'
  }
}

/** What the contract's caller gets to see of a failure. */
export const contractError = (raised: unknown): unknown =>
  raised instanceof CommandFailed ? raised.fault.error : raised

export interface FaultContext {
  /** `redis 127.0.0.1:6379` */
  readonly tier: string
  readonly operation: string
  /** A change was asked for, so its error says whether it was applied. */
  readonly isChange: boolean
  /** The command went out, so that a lost answer leaves it open whether it was applied. */
  readonly wasSent: boolean
}

/** A connection that never came to be, in words that follow a colon. */
export class NeverConnected extends Error {
  override get name(): string {
    return 'NeverConnected'
  }
}

interface Meaning {
  readonly says: string
  readonly kind?: FaultKind
  /** Said by a function in its midst, when part of it may be done. */
  readonly maybeApplied?: true
}

/** The first word of an answer that is an error, and what a person should read of it. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  MOVED: { says: 'it is a node of a cluster; give `url` as `redis+cluster://…`, or the client of a cluster' },
  ASK: { says: 'it is a node of a cluster; give `url` as `redis+cluster://…`, or the client of a cluster' },
  TRYAGAIN: { says: 'the slot is being moved to another node', kind: 'moving' },
  CLUSTERDOWN: { says: 'the cluster is down, or no node has the slot' },
  CROSSSLOT: { says: 'the keys of a session are in several slots; look at `prefix`' },
  READONLY: { says: 'it is a replica, and takes no changes' },
  MASTERDOWN: { says: 'it is a replica without its master' },
  LOADING: { says: 'it is loading its data' },
  BUSY: { says: 'it is busy with a function of somebody’s' },
  OOM: { says: 'its memory is full; raise `maxmemory`' },
  MISCONF: { says: 'it cannot write to its disk, and takes no changes until it can' },
  NOREPLICAS: { says: 'too few replicas are connected, as `min-replicas-to-write` asks' },
  NOAUTH: { says: 'it wants a password' },
  WRONGPASS: { says: 'it refused the user or the password' },
  NOPERM: { says: 'it does not allow this to the user; docs/redis.md lists what is needed', maybeApplied: true },
  NOPROTO: { says: 'it does not speak this version of the protocol' },
  NOSCRIPT: { says: 'it has forgotten a function', kind: 'unknown-function' },
  WRONGTYPE: { says: 'something else stands under a key of nonstick’s; choose another `prefix`', maybeApplied: true },
  ERR: { says: 'it answered with an error; the cause of this error says which', maybeApplied: true },
}

/** What a function says of a command that its user may not send, before Redis 7.2 gives it the word of its own. */
const MAY_NOT = /^ERR The user executing the script can't/

/** Texts of node-redis and ioredis, of commands that were never sent. */
const NEVER_SENT: Readonly<Record<string, string>> = {
  'The client is closed': 'the client is closed; a client of your own is to be connected first',
  'The client is offline': 'there is no connection',
  'The command was aborted': 'it could not be sent in time',
  'The queue is full': 'too many commands wait already',
  'All the root nodes are unavailable': 'none of the nodes that were named can be reached',
  'no valid master node': 'the Sentinels name no master that can be reached',
  'Connection timeout': 'it could not be connected in time',
  "Stream isn't writeable and enableOfflineQueue options is false": 'there is no connection',
}

/** Codes of sockets that never came to be. */
const NEVER_CONNECTED = new Set(['ECONNREFUSED', 'ENOENT', 'ENOTFOUND', 'EAI_AGAIN', 'EACCES'])

/** What a client raised, as the contract's error. */
export const faultOf = (raised: unknown, context: FaultContext): Fault => {
  const text = isError(raised) ? raised.message : ''
  const word = /^([A-Z]+)(?: |$)/.exec(text)?.[1]
  const meaning = word === undefined || codeIn(raised) !== undefined ? undefined : meaningOf(word, text)
  if (meaning !== undefined) {
    const applied = meaning.maybeApplied === true && context.wasSent ? 'unknown' : 'no'
    return unavailable(meaning.kind ?? 'refused', { ...context, applied }, meaning.says, withoutData(word, text), true)
  }
  const code = codeIn(raised) ?? ''
  const unencrypted = tlsWords(code)
  if (unencrypted !== undefined)
    return unavailable(
      'unreachable',
      { ...context, applied: context.wasSent ? 'unknown' : 'no' },
      unencrypted,
      causeWithoutCertificate(raised),
    )
  if (raised instanceof NeverConnected)
    return unavailable('unreachable', { ...context, applied: 'no' }, text, raised.cause)
  const unsent = NEVER_SENT[text] ?? (NEVER_CONNECTED.has(code) ? code : undefined)
  if (unsent !== undefined) return unavailable('unreachable', { ...context, applied: 'no' }, unsent, raised)
  const applied = context.wasSent ? 'unknown' : 'no'
  const because = codeIn(raised) ?? 'the connection failed; the cause of this error says how'
  return unavailable(context.wasSent ? 'lost' : 'unreachable', { ...context, applied }, because, raised)
}

/** An error whose word nobody knows here may have been said in the midst of a function, as any other. */
const meaningOf = (word: string, text: string): Meaning | undefined =>
  MEANINGS[MAY_NOT.test(text) ? 'NOPERM' : word] ?? MEANINGS['ERR']

/** The fault of a command whose time has passed. */
export const lateFault = (context: FaultContext): Fault =>
  unavailable('late', { ...context, applied: context.wasSent ? 'unknown' : 'no' }, 'no answer came in time')

/** The fault of an answer that Redis does not give. */
export const oddAnswer = (context: FaultContext): Fault =>
  unavailable('lost', { ...context, applied: 'unknown' }, 'its answer is none that Redis gives')

/** A change that was made, and that too few replicas have. */
export const tooFewReplicas = (context: FaultContext, had: number, wanted: number): Fault =>
  unavailable(
    'refused',
    { ...context, applied: 'unknown' },
    `${had} of ${wanted} replicas had it in time, as \`wait\` asks`,
    undefined,
    true,
  )

/** A value that cannot be kept; trying again will not help. */
export const valueRefused = (
  reason: string,
  cause: unknown,
  { tier, operation, isChange }: Omit<FaultContext, 'wasSent'>,
): SessionStoreError =>
  new SessionStoreError('E_SESSION_DATA', `${tier} cannot keep a value it was given to ${operation}: ${reason}`, {
    cause,
    tier,
    operation,
    ...(isChange ? { applied: 'no' as const } : {}),
  })

/** Data of more bytes than `maxDataBytes`. */
export const tooLarge = (
  bytes: number,
  most: number,
  { tier, operation, isChange }: Omit<FaultContext, 'wasSent'>,
): SessionStoreError =>
  new SessionStoreError(
    'E_SESSION_TOO_LARGE',
    `${tier} cannot keep what it was given to ${operation}: ${bytes} bytes of data, where \`maxDataBytes\` allows ${most}`,
    { tier, operation, ...(isChange ? { applied: 'no' as const } : {}) },
  )

const unavailable = (
  kind: FaultKind,
  { tier, operation, isChange, applied }: FaultContext & { readonly applied: Applied },
  because: string,
  cause?: unknown,
  answered = false,
): Fault => ({
  kind,
  error: tierUnavailable(tier, operation, {
    because,
    answered,
    ...(cause === undefined ? {} : { cause }),
    ...(isChange ? { applied } : {}),
  }),
})

/** The answer without what it may quote: a key, an argument, the name of a user. */
const withoutData = (word: string | undefined, text: string): Error =>
  new Error(
    /^ERR (?:unknown command|syntax error|max number of clients reached|wrong number of arguments)/.exec(text)?.[0] ??
      word,
  )
