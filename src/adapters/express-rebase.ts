import { isDeepStrictEqual } from 'node:util'
import { deserialize, serialize } from 'node:v8'

type Data = Readonly<Record<string, unknown>>

/** What a request's session looked like at one of its saves: a copy, as the application goes on changing it. */
export interface Snapshot {
  readonly keys: ReadonlySet<string>
  /** `undefined` where the data could not be copied. */
  readonly bytes: Buffer | undefined
}

/** v8's serializer knows what the codecs know: Map, Set, Date, BigInt, typed arrays, Buffer. */
export const snapshotOf = (data: Data): Snapshot => {
  const keys = new Set(Object.keys(data))
  try {
    return { keys, bytes: serialize(data) }
  } catch {
    // A function, for instance. Where the codec refuses it too, the save says so.
    return { keys, bytes: undefined }
  }
}

/**
 * The stored state with what the request changed since it saved last.
 *
 * That save merged another request's changes. They stand in the store's copy and not in this request's
 * `req.session`; saved as it is, it would undo them: what the other added would look deleted.
 *
 * @param stored the data as that save left it
 * @param then the request's session at that save
 * @param mine the request's session now
 */
export const rebase = <Mine extends Data>(stored: Data, then: Snapshot, mine: Mine): Mine => {
  const before = then.bytes === undefined ? {} : (deserialize(then.bytes) as Data)
  const isUntouched = (key: string): boolean => Object.hasOwn(before, key) && isDeepStrictEqual(before[key], mine[key])
  const result = new Map<string, unknown>()
  for (const [key, value] of Object.entries(mine)) {
    if (!isUntouched(key)) result.set(key, value)
    else if (Object.hasOwn(stored, key)) result.set(key, stored[key])
  }
  for (const [key, value] of Object.entries(stored))
    if (!then.keys.has(key) && !Object.hasOwn(mine, key)) result.set(key, value)
  return Object.fromEntries(result) as Mine
}
