import type { Runtime } from '../../contract/time.js'
import { invalidOption } from '../../errors.js'
import { systemRuntime } from '../../runtime.js'

/** What the memory backend may be told. */
export interface MemoryBackendOptions {
  /** Clock of `notAfter`; nothing else in this backend reads a clock. @default systemRuntime */
  readonly runtime?: Runtime
}

/** @throws SessionStoreError `E_CONFIG` */
export const resolveMemoryOptions = (options: MemoryBackendOptions): { readonly runtime: Runtime } => {
  if (typeof options !== 'object' || options === null) throw invalidOption('memoryBackend()', 'an object', options)
  for (const [name, value] of Object.entries(options))
    if (name !== 'runtime') throw invalidOption(name, 'left out: there is no such option', value)
  const runtime = options.runtime ?? systemRuntime
  if (typeof runtime.now !== 'function') throw invalidOption('runtime', 'a Runtime', runtime)
  return Object.freeze({ runtime })
}
