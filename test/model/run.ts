import { beginning } from './actors/index.js'
import { type Configuration, firstWorld, settingsOf } from './configuration.js'
import { encoder } from './encode.js'
import { successors } from './faults.js'
import { violation } from './properties.js'
import { RULES, type Rules, withRing } from './rules.js'
import { type Result, search } from './search.js'
import type { Searched } from './steps.js'
import { taking } from './taking.js'
import type { Visited } from './visited.js'
import type { World } from './world.js'

/** Searches one configuration, under the rules as they are or weakened ones, to the end or to the cap. */
export const searchConfiguration = (
  configuration: Configuration,
  cap: number,
  given: Rules = RULES,
  watching: { readonly seen?: Visited; readonly meanwhile?: () => void } = {},
): Result<World> => {
  const settings = settingsOf(configuration)
  const first = firstWorld(configuration)
  const { ring } = configuration
  const rules = ring === undefined ? given : withRing(given, ring)
  const { encode, numbers } = encoder(first, rules, ring !== undefined)
  const {
    losses = 0,
    restarts = 0,
    outages = 0,
    lostLooks = 0,
    cuts = 0,
    moves = 0,
    lostInCache = 0,
    lateInCache = 0,
    lateInBackend = 0,
    crashes = 0,
    rebirths = 0,
  } = configuration.faults ?? {}
  if (moves > 0 && lateInCache > 0) throw new RangeError('A late command does not say to which cache it goes')
  const isAsymmetric = configuration.isAsymmetric ?? false
  const searched: Searched = {
    rules,
    settings,
    taking: taking(beginning(rules, settings)),
    isAsymmetric,
    nobodyGivesUp: configuration.nobodyGivesUp ?? false,
    startsLive: configuration.starts !== 'new',
    // A value that is too large may cost the cache its entry.
    isHealthy:
      configuration.readsNeverGoBack === true ||
      losses + restarts + outages + lostLooks + cuts + moves + settings.tooLarge === 0,
    outageIsSeenByAll: outages > 0 && !isAsymmetric,
  }
  const whoNoticedSees =
    configuration.view === 'own' && outages === 1 && cuts + lostLooks + moves + lostInCache + lateInCache === 0
  const judged = {
    maxStaleCount: configuration.maxStaleCount,
    isAsymmetric,
    whoNoticedSees,
    moving: movingWrites(first),
    endsWell: crashes + rebirths + moves + lateInCache + lateInBackend === 0,
  }
  return search(
    {
      first,
      successors: (world, emit) => successors(world, searched, emit),
      encode,
      numbers,
      violation: (world) => violation(world, judged),
    },
    cap,
    watching,
  )
}

const movingWrites = ({ actors }: World): number => {
  let mask = 0
  for (const { ops } of actors) for (const op of ops) if (op.do === 'regenerate') mask |= 1 << op.write
  return mask
}
