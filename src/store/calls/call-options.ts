import type {
  ActivityOptions,
  AskerOptions,
  CallOptions,
  ClientInfo,
  CloseOptions,
  CountOptions,
  CreateOptions,
  DestroyAllOptions,
  DestroyByHandleOptions,
  DestroyByUserOptions,
  DestroySessionOptions,
  EndedBy,
  GivenIdleTtl,
  ListByUserOptions,
  ListSessionsOptions,
  LoadOptions,
  PurgeSessionsOptions,
  ReadyOptions,
  RegenerateOptions,
  SaveOptions,
  TouchOptions,
  WriteOptions,
} from '../../contract/session-store.js'
import { refuseUnknownOptions } from '../../errors.js'
import { LEAST_IDLE_TTL_MS } from '../../session/expiry.js'
import {
  aFunction,
  anAbortSignal,
  checkedOption,
  type Kind,
  kindOf,
  milliseconds,
  oneOf,
  trueOrFalse,
  whole,
} from '../../tools/options.js'
import { anApp } from '../options.js'

/** The calls of the store whose options are checked, and their options. */
interface OptionsOf {
  readonly create: CreateOptions
  readonly load: LoadOptions
  readonly save: SaveOptions
  readonly update: WriteOptions
  readonly put: WriteOptions
  readonly touch: TouchOptions
  readonly regenerate: RegenerateOptions
  readonly destroy: DestroySessionOptions
  readonly list: ListSessionsOptions
  readonly count: CountOptions
  readonly activity: ActivityOptions
  readonly destroyAll: DestroyAllOptions
  readonly clear: CallOptions
  readonly listByUser: ListByUserOptions
  readonly destroyByUser: DestroyByUserOptions
  readonly countByUser: CallOptions
  readonly exportByUser: CallOptions
  readonly inspect: ListByUserOptions
  readonly destroyByHandle: DestroyByHandleOptions
  readonly purge: PurgeSessionsOptions
  readonly ready: ReadyOptions
  readonly close: CloseOptions
}

export type CallWithOptions = keyof OptionsOf

/** What each option may be. Every option has to be named here, so that a new one cannot be forgotten. */
type KindsOf<Options> = { readonly [Name in keyof Options]-?: Kind<unknown> }

/** Anything: the call looks at it itself, as it raises an error of another code, or needs to know more. */
const ANYTHING: Kind<unknown> = kindOf('anything', () => true)

const idleTtl = kindOf<GivenIdleTtl>(
  `a whole number of milliseconds, at least ${LEAST_IDLE_TTL_MS}, or 'default'`,
  (value) => value === 'default' || (Number.isInteger(value) && Number(value) >= LEAST_IDLE_TTL_MS),
)

const listOfKeys = kindOf(
  "a list of top-level keys, such as ['cookie']",
  (value) => Array.isArray(value) && value.every((key) => typeof key === 'string'),
)

/** Longer than any session needs to be kept. */
const TEN_YEARS_MS = 3_650 * 86_400_000

/** How many sessions one page of `list` may hold at most. */
const LIST_LIMIT = 1_000

const CLIENT: ReadonlySet<string> = new Set(['address', 'userAgent'] satisfies (keyof ClientInfo)[])

const client = kindOf<ClientInfo>(
  'an object with the texts `address` and `userAgent`, or one of them',
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    !(value instanceof Promise) &&
    Object.entries(value).every(
      ([name, text]: [string, unknown]) => CLIENT.has(name) && (text === undefined || typeof text === 'string'),
    ),
)

/** How long the name of a caller may be, in characters. */
const LONGEST_CALLER = 255

export const aCaller: Kind<string> = kindOf(
  `a text of 1 to ${LONGEST_CALLER} characters, such as the address of the client`,
  (value) => typeof value === 'string' && value !== '' && value.length <= LONGEST_CALLER,
)

const OF_A_CALL: KindsOf<CallOptions> = { signal: anAbortSignal }
const BY_AN_ID: KindsOf<AskerOptions> = { ...OF_A_CALL, verified: trueOrFalse, caller: aCaller }
const OF_A_WRITE: KindsOf<WriteOptions> = { ...BY_AN_ID, durable: trueOrFalse, idleTtlMs: idleTtl, client }

const endedBy: Kind<EndedBy> = oneOf('request', 'user', 'operator')

const span = milliseconds(1, Number.MAX_SAFE_INTEGER)

const OF_A_COUNT: KindsOf<CountOptions> = { ...OF_A_CALL, app: anApp, seenWithinMs: span }

const CALLS: { readonly [Call in CallWithOptions]: KindsOf<OptionsOf[Call]> } = {
  create: { ...OF_A_CALL, id: ANYTHING, idleTtlMs: idleTtl, app: anApp, client },
  load: { ...BY_AN_ID, touch: trueOrFalse },
  save: { ...OF_A_WRITE, unmergedKeys: listOfKeys, isolated: trueOrFalse },
  update: OF_A_WRITE,
  put: OF_A_WRITE,
  touch: { ...BY_AN_ID, idleTtlMs: idleTtl },
  regenerate: {
    ...BY_AN_ID,
    ...{ keepDeadline: trueOrFalse, id: ANYTHING, idleTtlMs: idleTtl, isolated: trueOrFalse, client },
  },
  destroy: { ...OF_A_CALL, isNew: trueOrFalse, by: endedBy },
  list: { ...OF_A_COUNT, limit: whole(1, LIST_LIMIT), after: ANYTHING, data: trueOrFalse, newest: trueOrFalse },
  count: OF_A_COUNT,
  activity: { ...OF_A_CALL, app: anApp, withinMs: span },
  destroyAll: { ...OF_A_CALL, app: anApp, by: endedBy, onProgress: aFunction() },
  clear: OF_A_CALL,
  listByUser: { ...OF_A_CALL, data: trueOrFalse },
  destroyByUser: { ...OF_A_CALL, except: ANYTHING, by: endedBy },
  countByUser: OF_A_CALL,
  exportByUser: OF_A_CALL,
  inspect: { ...OF_A_CALL, data: trueOrFalse },
  destroyByHandle: { ...OF_A_CALL, by: endedBy },
  purge: { ...OF_A_CALL, limit: whole(1), graceMs: milliseconds(0, TEN_YEARS_MS), onProgress: aFunction() },
  ready: { ...OF_A_CALL, deadlineMs: milliseconds(0) },
  close: { deadlineMs: milliseconds(0) },
}

const KINDS: ReadonlyMap<string, ReadonlyMap<string, Kind<unknown>>> = new Map(
  Object.entries(CALLS).map(([call, kinds]) => [call, new Map(Object.entries<Kind<unknown>>(kinds))]),
)
const NO_KINDS: ReadonlyMap<string, Kind<unknown>> = new Map()

/** What a call goes by that was given no options. It is always this one object, so that nothing is made for it. */
export const NO_OPTIONS: Readonly<Record<string, never>> = Object.freeze({})

/**
 * Refuses what no call could do: a misspelt `durable` must not pass for a durable save, nor a text for a list of its
 * letters. An option that is `undefined` counts as left out.
 *
 * @throws SessionStoreError `E_CONFIG`
 */
export const checkCallOptions = (operation: CallWithOptions, callOptions: object): void => {
  if (callOptions === NO_OPTIONS) return
  const kinds = KINDS.get(operation) ?? NO_KINDS
  refuseUnknownOptions(callOptions, kinds)
  for (const [name, value] of Object.entries(callOptions)) {
    const kind = kinds.get(name)
    if (kind !== undefined && value !== undefined) checkedOption(name, value, kind)
  }
}

/**
 * The idle time-out that a call was given, in ms; `undefined` where it was given none. One that is longer than a
 * session may live at all is cut to that.
 */
export const givenIdleTtl = (
  idleTtlMs: GivenIdleTtl | undefined,
  { absoluteTtlMs }: { readonly absoluteTtlMs: number },
): GivenIdleTtl | undefined => (typeof idleTtlMs === 'number' ? Math.min(idleTtlMs, absoluteTtlMs) : idleTtlMs)
