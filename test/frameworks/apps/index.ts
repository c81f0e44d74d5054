import type { Framework } from '../framework.js'
import { express5 } from './express5.js'
import { web } from './web.js'

/** Every adapter, in the order of the table of the frameworks. */
export const FRAMEWORKS: readonly Framework[] = [express5, web]
