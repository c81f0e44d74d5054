import type { Runtime } from '../../contract/time.js'
import { invalidOption, refuseUnknownOptions } from '../../errors.js'
import { systemRuntime } from '../../runtime.js'

/** What the memory backend may be told. */
export interface MemoryBackendOptions {
  /** Clock of `notAfter`; nothing else in this backend reads a clock. @default systemRuntime */
  readonly runtime?: Runtime
}

const OPTION_NAMES: ReadonlySet<string> = new Set(['runtime'] satisfies (keyof MemoryBackendOptions)[])

/** @throws SessionStoreError `E_CONFIG` */
export const resolveMemoryOptions = (options: MemoryBackendOptions): { readonly runtime: Runtime } => {
  if (typeof options !== 'object' || options === null)
    throw invalidOption('memoryBackend(options)', 'an object', options)
  refuseUnknownOptions(options, OPTION_NAMES)
  const runtime = options.runtime ?? systemRuntime
  if (typeof runtime.now !== 'function') throw invalidOption('runtime', 'a Runtime', runtime)
  return Object.freeze({ runtime })
}
