import type { SealingKey } from '../../src/store/sealing.js'
import { keyNamed } from '../support/sealing.js'

/** The keys of a world that is sealed. */
export const KEYS: readonly [SealingKey, SealingKey] = [keyNamed('one'), keyNamed('other')]

/** The same keys as a process is given them: each second one seals with the other key, as while keys are changed. */
export const keysOf = (number: number): readonly SealingKey[] => (number % 2 === 0 ? KEYS : [KEYS[1], KEYS[0]])

/** How many random bytes a seal takes; nothing else takes as many. */
export const NONCE_BYTES = 12
