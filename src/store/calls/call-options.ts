import type {
  CloseOptions,
  CreateOptions,
  LoadOptions,
  SaveOptions,
  TouchOptions,
  WriteOptions,
} from '../../contract/session-store.js'
import { invalidOption } from '../../errors.js'

/** The calls that take options, or refuse any. */
export type CallWithOptions =
  | 'create'
  | 'load'
  | 'save'
  | 'update'
  | 'put'
  | 'touch'
  | 'list'
  | 'close'
  | 'regenerate'
  | 'destroy'
  | 'count'

const NONE: ReadonlySet<string> = new Set()
const OF_A_WRITE = ['durable', 'idleTtlMs'] as const satisfies readonly (keyof WriteOptions)[]
const OF_A_SAVE = [...OF_A_WRITE, 'unmergedKeys', 'isolated'] as const satisfies readonly (keyof SaveOptions)[]

/** The options that each call knows. Others are refused: a misspelt `durable` must not pass for a durable save. */
export const CALL_OPTIONS: Readonly<Record<CallWithOptions, ReadonlySet<string>>> = {
  create: new Set(['id', 'idleTtlMs'] satisfies (keyof CreateOptions)[]),
  load: new Set(['touch'] satisfies (keyof LoadOptions)[]),
  save: new Set(OF_A_SAVE),
  update: new Set(OF_A_WRITE),
  put: new Set(OF_A_WRITE),
  touch: new Set(['idleTtlMs'] satisfies (keyof TouchOptions)[]),
  list: new Set(['limit', 'after']),
  close: new Set(['deadlineMs'] satisfies (keyof CloseOptions)[]),
  regenerate: NONE,
  destroy: NONE,
  count: NONE,
}

/**
 * The idle time-out that a call was given, no longer than a session may live at all; `undefined` where it was given none.
 *
 * @throws SessionStoreError `E_CONFIG`
 */
export const givenIdleTtl = (
  idleTtlMs: number | undefined,
  { absoluteTtlMs }: { readonly absoluteTtlMs: number },
): number | undefined => {
  if (idleTtlMs !== undefined && (!Number.isInteger(idleTtlMs) || idleTtlMs < 1))
    throw invalidOption('idleTtlMs', 'a positive whole number of milliseconds', idleTtlMs)
  return idleTtlMs === undefined ? undefined : Math.min(idleTtlMs, absoluteTtlMs)
}
