import type { Row } from '../attempt.js'
import { BACKEND } from './backend.js'
import { CACHE } from './cache.js'
import { FLOODS } from './floods.js'
import { NEIGHBOURS } from './neighbours.js'
import { NETWORKS } from './networks.js'
import { RELEASE } from './release.js'
import { VISITORS } from './visitors.js'

/** Every row of the threat model that a program can try. */
export const ROWS: readonly Row[] = [
  ...VISITORS,
  ...FLOODS,
  ...NETWORKS,
  ...CACHE,
  ...BACKEND,
  ...NEIGHBOURS,
  ...RELEASE,
]
