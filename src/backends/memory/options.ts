import type { Runtime } from '../../contract/time.js'
import { systemRuntime } from '../../runtime.js'
import { aRuntime, checkOptions, type Kinds } from '../../tools/options.js'

/** What the memory backend may be told. */
export interface MemoryBackendOptions {
  /** Clock of `notAfter`; nothing else in this backend reads a clock. @default systemRuntime */
  readonly runtime?: Runtime | undefined
}

const KINDS: Kinds<MemoryBackendOptions> = { runtime: aRuntime }

/** @throws SessionStoreError `E_CONFIG` */
export const resolveMemoryOptions = (options: MemoryBackendOptions): { readonly runtime: Runtime } => {
  checkOptions('memoryBackend(options)', options, KINDS)
  return Object.freeze({ runtime: options.runtime ?? systemRuntime })
}
