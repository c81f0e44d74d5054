/** What the launcher and its app processes tell each other, over the channel that `fork` opens. */
import type { CloseReport, FlushReason, StoreStats } from 'nonstick'

export interface AppConfig {
  /** As the page shows it: `app-1`. */
  readonly name: string
  readonly memcachedServer: string
  readonly backend: BackendPlace
  /** Signs the cookies; the same in every process, new at every run. */
  readonly secret: string
  readonly maxStaleCount: number
  /** The key by which the store seals; `undefined` where it does not. */
  readonly sealingKey: string | undefined
}

/** Where the sessions are behind the cache. */
export type BackendPlace =
  | { readonly kind: 'postgres'; readonly databaseUrl: string }
  | { readonly kind: 'couchdb'; readonly url: string; readonly database: string }
  | { readonly kind: 'redis'; readonly url: string }

export type ToApp =
  /** The configuration goes this way, for a command line can be read by everyone on the machine. */
  | { readonly type: 'start'; readonly config: AppConfig }
  | { readonly type: 'ask'; readonly id: number; readonly question: 'stats' | 'settle' | 'close' }

export type FromApp =
  | { readonly type: 'ready'; readonly port: number }
  | { readonly type: 'failed'; readonly reason: string }
  | { readonly type: 'flush'; readonly reason: FlushReason; readonly count: number }
  | { readonly type: 'fault'; readonly tier: string; readonly operation: string }
  | {
      readonly type: 'answer'
      readonly id: number
      readonly stats: StoreStats
      /** Only to `close`. */
      readonly closed?: CloseReport
    }
