import type {
  CallOptions,
  CloseOptions,
  CreateOptions,
  DestroySessionOptions,
  ListSessionsOptions,
  LoadOptions,
  PurgeSessionsOptions,
  ReadyOptions,
  SaveOptions,
  TouchOptions,
  WriteOptions,
} from '../../contract/session-store.js'
import { refuseUnknownOptions } from '../../errors.js'
import {
  aFunction,
  anAbortSignal,
  checkedOption,
  type Kind,
  kindOf,
  milliseconds,
  trueOrFalse,
  whole,
} from '../../tools/options.js'

/** The calls of the store whose options are checked, and their options. */
interface OptionsOf {
  readonly create: CreateOptions
  readonly load: LoadOptions
  readonly save: SaveOptions
  readonly update: WriteOptions
  readonly put: WriteOptions
  readonly touch: TouchOptions
  readonly regenerate: CallOptions
  readonly destroy: DestroySessionOptions
  readonly list: ListSessionsOptions
  readonly count: CallOptions
  readonly clear: CallOptions
  readonly purge: PurgeSessionsOptions
  readonly ready: ReadyOptions
  readonly close: CloseOptions
}

export type CallWithOptions = keyof OptionsOf

/** What each option may be. Every option has to be named here, so that a new one cannot be forgotten. */
type KindsOf<Options> = { readonly [Name in keyof Options]-?: Kind<unknown> }

/** Anything: the call looks at it itself, as it raises an error of another code, or needs to know more. */
const ANYTHING: Kind<unknown> = kindOf('anything', () => true)

/**
 * The shortest idle time-out. A session with a shorter one would have ended before its visitor's next click; who gives
 * one usually means seconds.
 */
const LEAST_IDLE_TTL_MS = 1_000

const idleTtl = kindOf<number>(
  `a whole number of milliseconds, at least ${LEAST_IDLE_TTL_MS}`,
  (value) => Number.isInteger(value) && Number(value) >= LEAST_IDLE_TTL_MS,
)

const listOfKeys = kindOf(
  "a list of top-level keys, such as ['cookie']",
  (value) => Array.isArray(value) && value.every((key) => typeof key === 'string'),
)

/** Longer than any session needs to be kept. */
const TEN_YEARS_MS = 3_650 * 86_400_000

/** How many sessions one page of `list` may hold at most. */
const LIST_LIMIT = 1_000

const OF_A_CALL: KindsOf<CallOptions> = { signal: anAbortSignal }
const OF_A_WRITE: KindsOf<WriteOptions> = { ...OF_A_CALL, durable: trueOrFalse, idleTtlMs: idleTtl }

const CALLS: { readonly [Call in CallWithOptions]: KindsOf<OptionsOf[Call]> } = {
  create: { ...OF_A_CALL, id: ANYTHING, idleTtlMs: idleTtl },
  load: { ...OF_A_CALL, touch: trueOrFalse },
  save: { ...OF_A_WRITE, unmergedKeys: listOfKeys, isolated: trueOrFalse },
  update: OF_A_WRITE,
  put: OF_A_WRITE,
  touch: { ...OF_A_CALL, idleTtlMs: idleTtl },
  regenerate: OF_A_CALL,
  destroy: { ...OF_A_CALL, isNew: trueOrFalse },
  list: { ...OF_A_CALL, limit: whole(1, LIST_LIMIT), after: ANYTHING },
  count: OF_A_CALL,
  clear: OF_A_CALL,
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
  idleTtlMs: number | undefined,
  { absoluteTtlMs }: { readonly absoluteTtlMs: number },
): number | undefined => (idleTtlMs === undefined ? undefined : Math.min(idleTtlMs, absoluteTtlMs))
