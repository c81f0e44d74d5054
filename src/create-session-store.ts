import { memoryBackend } from './backends/memory/index.js'
import { memoryCache } from './caches/memory/index.js'
import { jsonCodec, msgpackCodec } from './codecs/index.js'
import { largestPart } from './codecs/largest-part.js'
import type { Backend } from './contract/backend.js'
import type { FrontCache } from './contract/front-cache.js'
import type { SessionStore } from './contract/session-store.js'
import { SessionStoreError } from './errors.js'
import { runtimeOf } from './runtime.js'
import { conflictOf } from './store/conflict.js'
import { valuesOf } from './store/context.js'
import { idleTtlBy } from './store/idle-ttl.js'
import { audit } from './store/observed/audit.js'
import { telemetry } from './store/observed/telemetry.js'
import { tellingOfCalls, tellingOfFlushes } from './store/observed/telling.js'
import { resolveOptions, type StoreOptions } from './store/options.js'
import { background } from './store/owed/background.js'
import { keyBytes, sealingOf } from './store/sealing.js'
import { sessionStore } from './store/session-store.js'
import { backendTier } from './store/tiers/backend-tier.js'
import { cacheTier } from './store/tiers/cache-tier.js'
import { legacyTier } from './store/tiers/legacy-tier.js'
import { sealedBackend } from './store/tiers/sealed-backend.js'

/**
 * Makes a session store of a cache, a backend and a codec. Nothing is connected before the first call.
 *
 * Without `cache` and `backend` it runs on an embedded pair inside this process, says once that nothing
 * survives a restart, and refuses to start so under `NODE_ENV=production` unless `allowEmbedded` is set.
 *
 * @throws SessionStoreError `E_CONFIG`, naming the option, what was expected and what came.
 */
export const createSessionStore = <Data = Record<string, unknown>>(
  options: StoreOptions<Data> = {},
): SessionStore<Data> => {
  const resolved = resolveOptions(options)
  const runtime = runtimeOf(options.runtime)
  const sealing = sealingOf(options.sealing, runtime)
  const { cache, backend } = tiersOf(options)
  const codec = options.codec ?? msgpackCodec
  const storeTelemetry = telemetry(resolved.namespace)
  const speaker = { runtime, namespace: resolved.namespace }
  const { auditKey } = options
  const values = valuesOf(
    codec,
    [msgpackCodec, jsonCodec],
    options.identify as never,
    resolved.maxSessionBytes,
    largestPart,
  )
  const store = sessionStore<Data>(
    {
      options: resolved,
      runtime,
      telemetry: storeTelemetry,
      audit: audit({
        ...speaker,
        telemetry: storeTelemetry,
        auditKey: auditKey === undefined ? undefined : keyBytes('auditKey', auditKey),
      }),
      cache: cacheTier(cache, { runtime, telemetry: storeTelemetry, sealing, ...resolved }),
      backend: tellingOfFlushes(
        backendTier(sealedBackend(backend, sealing), { runtime, telemetry: storeTelemetry, ...resolved }),
        speaker,
      ),
      legacy:
        options.legacy === undefined
          ? undefined
          : legacyTier(options.legacy, { runtime, telemetry: storeTelemetry, ...resolved }),
      background: background(runtime, storeTelemetry),
      values,
      idleTtl: idleTtlBy(options, resolved, values),
    },
    {
      conflict: conflictOf(options.conflict),
      ...(options.identify === undefined ? {} : { identify: options.identify }),
      ...(options.beforeSave === undefined ? {} : { beforeSave: options.beforeSave }),
    },
  )
  return tellingOfCalls(store, speaker)
}

const tiersOf = <Data>({
  cache,
  backend,
  allowEmbedded = false,
  runtime,
}: StoreOptions<Data>): { readonly cache: FrontCache; readonly backend: Backend } => {
  if (cache !== undefined && backend !== undefined) return { cache, backend }
  if (cache !== undefined || backend !== undefined) {
    const [given, missing] = cache === undefined ? ['backend', 'cache'] : ['cache', 'backend']
    throw new SessionStoreError('E_CONFIG', `Expected \`${missing}\` to be given with \`${given}\`, got nothing`)
  }
  if (process.env['NODE_ENV'] === 'production' && !allowEmbedded)
    throw new SessionStoreError(
      'E_CONFIG',
      'Expected `cache` and `backend` to be given under NODE_ENV=production, got nothing (`allowEmbedded: true` runs without)',
    )
  warnOnce()
  const clock = runtime === undefined ? {} : { runtime }
  return { cache: memoryCache(clock), backend: memoryBackend(clock) }
}

let warned = false
const warnOnce = (): void => {
  if (warned) return
  warned = true
  process.emitWarning(
    'nonstick runs on its embedded cache and backend: sessions live in this process only, and none survives a restart',
    { code: 'NONSTICK_EMBEDDED' },
  )
}
