import type { Runtime } from './contract/time.js'
import { systemRuntime } from './runtime.js'
import { sessionIdFrom } from './session/id.js'

/**
 * A new session id of nonstick's own form: the UTC month of its birth (`2611` for November 2026), which tells
 * a sharded backend where to look, and 256 bits from a CSPRNG; 47 characters of base64url.
 */
export const generateSessionId = (runtime: Runtime = systemRuntime): string =>
  sessionIdFrom(runtime.now(), runtime.randomBytes(32))
