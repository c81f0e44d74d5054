import type {
  CloseOptions,
  CreateOptions,
  DestroySessionOptions,
  LoadOptions,
  ReadyOptions,
  SaveOptions,
  TouchOptions,
  WriteOptions,
} from '../../contract/session-store.js'
import { invalidOption, refuseUnknownOptions } from '../../errors.js'
import { checkedOption, type Kind, kindOf, trueOrFalse } from '../../tools/options.js'

/** The calls of the store whose options are checked. */
export type CallWithOptions =
  | 'create'
  | 'load'
  | 'save'
  | 'update'
  | 'put'
  | 'touch'
  | 'list'
  | 'close'
  | 'ready'
  | 'regenerate'
  | 'destroy'
  | 'count'

const NONE: ReadonlySet<string> = new Set()
const OF_A_WRITE = ['durable', 'idleTtlMs'] as const satisfies readonly (keyof WriteOptions)[]
const OF_A_SAVE = [...OF_A_WRITE, 'unmergedKeys', 'isolated'] as const satisfies readonly (keyof SaveOptions)[]

/** The options that each call knows. */
const CALL_OPTIONS: Readonly<Record<CallWithOptions, ReadonlySet<string>>> = {
  create: new Set(['id', 'idleTtlMs'] satisfies (keyof CreateOptions)[]),
  load: new Set(['touch'] satisfies (keyof LoadOptions)[]),
  save: new Set(OF_A_SAVE),
  update: new Set(OF_A_WRITE),
  put: new Set(OF_A_WRITE),
  touch: new Set(['idleTtlMs'] satisfies (keyof TouchOptions)[]),
  list: new Set(['limit', 'after']),
  close: new Set(['deadlineMs'] satisfies (keyof CloseOptions)[]),
  ready: new Set(['deadlineMs'] satisfies (keyof ReadyOptions)[]),
  regenerate: NONE,
  destroy: new Set(['isNew'] satisfies (keyof DestroySessionOptions)[]),
  count: NONE,
}

/** What those options may be that no call looks at for itself. */
const KINDS: Readonly<Partial<Record<string, Kind<unknown>>>> = {
  durable: trueOrFalse,
  isolated: trueOrFalse,
  touch: trueOrFalse,
  isNew: trueOrFalse,
  unmergedKeys: kindOf(
    "a list of top-level keys, such as ['cookie']",
    (value) => Array.isArray(value) && value.every((key) => typeof key === 'string'),
  ),
}

/**
 * Refuses what no call could do: a misspelt `durable` must not pass for a durable save, nor a text for a list of its
 * letters.
 *
 * @throws SessionStoreError `E_CONFIG`
 */
export const checkCallOptions = (operation: CallWithOptions, callOptions: object): void => {
  refuseUnknownOptions(callOptions, CALL_OPTIONS[operation])
  for (const [name, value] of Object.entries(callOptions)) {
    const kind = KINDS[name]
    if (kind !== undefined && value !== undefined) checkedOption(name, value, kind)
  }
}

/**
 * The shortest idle time-out. A session with a shorter one would have ended before its visitor's next click; who gives
 * one usually means seconds.
 */
const LEAST_IDLE_TTL_MS = 1_000

/**
 * The idle time-out that a call was given, in ms; `undefined` where it was given none. One that is longer than a
 * session may live at all is cut to that. It has the same lower bound as the store's own.
 *
 * @throws SessionStoreError `E_CONFIG`
 */
export const givenIdleTtl = (
  idleTtlMs: number | undefined,
  { absoluteTtlMs }: { readonly absoluteTtlMs: number },
): number | undefined => {
  if (idleTtlMs !== undefined && (!Number.isInteger(idleTtlMs) || idleTtlMs < LEAST_IDLE_TTL_MS))
    throw invalidOption('idleTtlMs', `a whole number of milliseconds, at least ${LEAST_IDLE_TTL_MS}`, idleTtlMs)
  return idleTtlMs === undefined ? undefined : Math.min(idleTtlMs, absoluteTtlMs)
}
