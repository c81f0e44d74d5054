import { createHash } from 'node:crypto'
import type { Sealing } from '../../src/session/seal.js'
import { type SealingOptions, sealingOf } from '../../src/store/sealing.js'
import { movableRuntime } from '../../src/testing/movable-runtime.js'

/** A key of 32 bytes that is the same for the same name. */
export const keyNamed = (name: string): Uint8Array => createHash('sha256').update(`a key for tests: ${name}`).digest()

/** How a store with these options seals. */
export const sealingWith = (options: SealingOptions): Sealing => {
  const sealing = sealingOf(options, movableRuntime())
  if (sealing === undefined) throw new Error('options were given')
  return sealing
}

/** Sealing with everything switched on. */
export const everythingSealed: SealingOptions = { keys: [keyNamed('current')], hashUserIds: keyNamed('users') }
