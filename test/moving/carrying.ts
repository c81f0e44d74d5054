import { memoryBackend } from '../../src/backends/memory/index.js'
import { memoryCache } from '../../src/caches/memory/index.js'
import { type Comparison, compare } from '../../src/cli/import/compare.js'
import { Carrier, type Counts, copy, NO_COUNTS } from '../../src/cli/import/copy.js'
import { type Purged, purgeSource } from '../../src/cli/import/purge.js'
import { type Reason, Reasons } from '../../src/cli/import/reasons.js'
import type { Source, SourceOptions } from '../../src/cli/import/source.js'
import { SOURCES } from '../../src/cli/import/sources/index.js'
import { msgpackCodec } from '../../src/codecs/index.js'
import { createSessionStore, type SessionStore, type StoreOptions } from '../../src/index.js'
import { systemRuntime } from '../../src/runtime.js'

export type Data = Record<string, unknown>

/** What sessions are carried to, as the command `nonstick import` does it, on tiers in this process. */
export interface Target {
  /** The store of an application that works on the same tiers meanwhile, and knows of no import. */
  readonly sessions: SessionStore<Data>
  /** The store that the import itself makes on them. */
  readonly importing: SessionStore<Data>
  carry(
    source: Source,
    how?: Partial<Parameters<typeof copy>[0]>,
  ): Promise<{
    readonly counts: Counts
    readonly isDone: boolean
    readonly reasons: readonly Reason[]
  }>
  compare(source: Source): Promise<Comparison & { readonly reasons: readonly Reason[] }>
  purge(source: Source, isDry?: boolean): Promise<Purged>
}

export const target = (options: StoreOptions<Data> = {}): Target => {
  const here = { cache: memoryCache(), backend: memoryBackend(), purgeEveryMs: 0, ...options }
  const sessions = createSessionStore<Data>(here)
  const carrier = new Carrier()
  const importing = createSessionStore<Data>(carrier.optionsOf(here))
  const signal = new AbortController().signal
  return {
    sessions,
    importing,
    carry: async (source, how = {}) => {
      const reasons = new Reasons()
      const ended = await copy({
        ...{
          sessions: importing,
          carrier,
          source,
          reasons,
          runtime: systemRuntime,
          isDry: false,
          rate: undefined,
          signal,
        },
        ...{ codec: msgpackCodec, maxSessionBytes: 4_194_304, from: undefined, counts: NO_COUNTS },
        ...{ onPart: async () => {}, onItem: () => {} },
        ...how,
      })
      return { ...ended, reasons: reasons.list }
    },
    compare: async (source) => {
      const reasons = new Reasons()
      const comparison = await compare({
        sessions: importing,
        source,
        reasons,
        runtime: systemRuntime,
        signal,
        onItem: () => {},
      })
      return { ...comparison, reasons: reasons.list }
    },
    purge: async (source, isDry = false) =>
      await purgeSource({ sessions: importing, source, isDry, signal, onPart: () => {} }),
  }
}

/** Opens a source by its name, as the command does. */
export const openSource = async (
  name: string,
  options: Partial<SourceOptions> & Pick<SourceOptions, 'at'>,
): Promise<Source> => {
  const kind = SOURCES[name]
  if (kind === undefined) throw new Error(`there is no source ${name}`)
  return await kind.open({
    prefix: undefined,
    table: undefined,
    idleTtlMs: undefined,
    runtime: systemRuntime,
    ...options,
  })
}
