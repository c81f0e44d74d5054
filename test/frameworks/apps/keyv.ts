import Keyv5 from 'keyv'
import { Keyv as Keyv6 } from 'keyv6'
import { NonstickKeyv, NonstickKeyv5 } from '../../../src/adapters/keyv.js'
import type { Framework } from '../framework.js'
import { LIMITS_OF_KEYS, startKeyed } from './keyed.js'

const SUBPATH = 'nonstick/keyv'
const COSTS = { reading: { cache: 1, backend: 0 }, changing: { cache: 4, backend: 1 } }

export const keyv5: Framework = {
  name: 'Keyv 5',
  subpath: SUBPATH,
  packages: ['keyv'],
  limits: LIMITS_OF_KEYS,
  costs: COSTS,
  start: (routes, { sessions, ...options }) => {
    const keyv = new Keyv5<Record<string, unknown>>({ store: new NonstickKeyv5({ sessions }), throwOnErrors: true })
    return startKeyed(routes, options, keyv)
  },
}

export const keyv6: Framework = {
  name: 'Keyv 6',
  subpath: SUBPATH,
  packages: ['keyv6'],
  limits: LIMITS_OF_KEYS,
  costs: COSTS,
  start: (routes, { sessions, ...options }) => {
    // Nobody listens to its event `error`, so that its calls reject.
    const keyv = new Keyv6<Record<string, unknown>>({ store: new NonstickKeyv({ sessions }) })
    return startKeyed(routes, options, keyv as never)
  },
}
