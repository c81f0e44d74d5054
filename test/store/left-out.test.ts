/** The page about configuration says of every option that `undefined` counts as leaving it out. The types say so too. */
import { describe, expect, expectTypeOf, test } from 'vitest'
import type { AdonisStoreOptions } from '../../src/adapters/adonis.js'
import type { Auth0StoreOptions } from '../../src/adapters/auth0.js'
import type { GivenStoreOptions, OwnStoreOptions } from '../../src/adapters/express.js'
import type { KeysOptions } from '../../src/adapters/keys-options.js'
import type { Manners } from '../../src/adapters/redis-sessions/manners.js'
import type { CookieOptions } from '../../src/adapters/session-cookie.js'
import type { CouchdbOptions } from '../../src/backends/couchdb/index.js'
import type { MemoryBackendOptions } from '../../src/backends/memory/options.js'
import type { PostgresOptions } from '../../src/backends/postgres/index.js'
import type { RedisOptions } from '../../src/backends/redis/index.js'
import type { MemcachedOptions } from '../../src/caches/memcached/index.js'
import type { MemcachedTls } from '../../src/caches/memcached/tls.js'
import type { MemoryCacheOptions } from '../../src/caches/memory/index.js'
import type {
  CountOptions,
  CreateOptions,
  DestroyAllOptions,
  DestroyByUserOptions,
  DestroySessionOptions,
  ListSessionsOptions,
  LoadOptions,
  PurgeSessionsOptions,
  RegenerateOptions,
  SaveOptions,
  TouchOptions,
} from '../../src/contract/index.js'
import { createSessionStore } from '../../src/create-session-store.js'
import type { FromEnvOptions } from '../../src/from-env.js'
import type { DrainOnSignalOptions } from '../../src/shutdown/drain-on-signal.js'
import type { DrainWorkersOnSignalOptions } from '../../src/shutdown/drain-workers-on-signal.js'
import type { StoreOptions } from '../../src/store/options.js'
import type { SealingOptions } from '../../src/store/sealing.js'

interface Shop {
  readonly userId?: string
}

type Optional<Options> = { [Name in keyof Options]-?: object extends Pick<Options, Name> ? Name : never }[keyof Options]

/** The options that may be left out and may not be `undefined`. */
type Strict<Options> = {
  [Name in Optional<Options>]: { readonly [Only in Name]: undefined } extends Pick<Options, Name> ? never : Name
}[Optional<Options>]

describe('an option that is undefined', () => {
  test('is allowed by the types wherever the option can be left out, also with exactOptionalPropertyTypes', () => {
    expectTypeOf<
      Strict<{ readonly a?: string; readonly b?: string | undefined; readonly c: string }>
    >().toEqualTypeOf<'a'>()
    type Everywhere =
      | Strict<StoreOptions<Shop>>
      | Strict<FromEnvOptions<Shop>>
      | Strict<SealingOptions>
      | Strict<MemcachedOptions>
      | Strict<MemcachedTls>
      | Strict<PostgresOptions>
      | Strict<CouchdbOptions>
      | Strict<RedisOptions>
      | Strict<MemoryCacheOptions>
      | Strict<MemoryBackendOptions>
      | Strict<GivenStoreOptions>
      | Strict<OwnStoreOptions>
      | Strict<KeysOptions>
      | Strict<AdonisStoreOptions>
      | Strict<Auth0StoreOptions>
      | Strict<Manners>
      | Strict<CookieOptions>
      | Strict<DrainOnSignalOptions>
      | Strict<DrainWorkersOnSignalOptions>
      | Strict<CreateOptions>
      | Strict<LoadOptions>
      | Strict<SaveOptions>
      | Strict<TouchOptions>
      | Strict<RegenerateOptions>
      | Strict<DestroySessionOptions>
      | Strict<PurgeSessionsOptions>
      | Strict<CountOptions>
      | Strict<ListSessionsOptions>
      | Strict<DestroyByUserOptions>
      | Strict<DestroyAllOptions>
    expectTypeOf<Everywhere>().toBeNever()
  })

  test('counts as left out, in the options of a store and of its calls', async () => {
    const sessions = createSessionStore<Shop>({
      cache: undefined,
      backend: undefined,
      identify: undefined,
      beforeSave: undefined,
      idleTtlMs: undefined,
      namespace: undefined,
      conflict: undefined,
      sealing: undefined,
    })
    const nothing = { signal: undefined, verified: undefined, caller: undefined }
    const session = await sessions.create(
      {},
      { signal: undefined, id: undefined, idleTtlMs: undefined, app: undefined },
    )
    expect(session.idleTtlMs).toBe(86_400_000)
    await sessions.save(session, { ...nothing, durable: undefined, unmergedKeys: undefined, client: undefined })
    await sessions.touch(session, { ...nothing, idleTtlMs: undefined })
    const renewed = await sessions.regenerate(session, { ...nothing, id: undefined, keepDeadline: undefined })
    expect((await sessions.load(renewed.id, { ...nothing, touch: undefined }))?.data).toEqual({})
    let after: string | undefined
    do {
      const page = await sessions.list({ after, limit: undefined, app: undefined, seenWithinMs: undefined })
      expect(page).toHaveLength(1)
      after = page.next
    } while (after !== undefined)
    await sessions.destroy(renewed.id, { signal: undefined, isNew: undefined })
    await sessions.close({ deadlineMs: undefined })
  })
})
