import type { Outcome } from '../job.js'
import { CONFIGURATIONS, CONTROLS, type Control, type Search } from './configurations.js'
import { type Configuration, searchConfiguration } from './run.js'
import { picture } from './steps.js'

/* One search of the replicas and what is said of it, as `../job.ts` does it for the protocol. */

/** More than any of them needs; a search that comes here has shown nothing. */
const CAP = 2_000_000

export const replicaNames = (isDeep: boolean): string[] =>
  [...CONFIGURATIONS.filter((search) => isDeep || !search.isDeep), ...CONTROLS].map(
    ({ configuration }) => configuration.name,
  )

export const replicaOutcomeOf = (name: string, meanwhile: () => void): Outcome | undefined => {
  const search = CONFIGURATIONS.find(({ configuration }) => configuration.name === name)
  if (search !== undefined) return searched(search, meanwhile)
  const control = CONTROLS.find(({ configuration }) => configuration.name === name)
  return control && controlled(control, meanwhile)
}

const searched = ({ configuration, rules }: Search, meanwhile: () => void): Outcome => {
  const { name, asked } = configuration
  const result = searchConfiguration(configuration, rules, CAP, { meanwhile })
  const { states, depth, isCapped, found } = result
  const end = isCapped ? 'CAPPED' : found === undefined ? `searched to the end, ${depth} steps deep` : 'VIOLATED'
  return {
    name,
    isControl: false,
    states,
    isCapped,
    isGood: found === undefined && !isCapped,
    lines: [
      `${name}: ${described(configuration)}, no ${asked.join(', no ')}: ${states} states, ${end}`,
      ...way(result),
    ],
  }
}

/** A control shows the shortest way to what it is caught as: it is what the documents say of it. */
const controlled = ({ configuration, rules, what, caughtAs }: Control, meanwhile: () => void): Outcome => {
  const { name } = configuration
  const result = searchConfiguration(configuration, rules, CAP, { meanwhile })
  const { states, isCapped, found } = result
  const isGood = found?.violation === caughtAs
  const end = isGood
    ? `caught in ${found.steps.length} steps, ${states} states: ${found.violation}`
    : `UNNOTICED in ${states} states`
  return { name, isControl: true, states, isCapped, isGood, lines: [`${name} ${what}: ${end}`, ...way(result)] }
}

const way = ({ found }: ReturnType<typeof searchConfiguration>): string[] =>
  (found?.steps ?? []).flatMap(({ what, world }, index) => [`  ${index + 1}. ${what}`, `       ${picture(world)}`])

const described = ({ replicas, starts, processes, faults = {} }: Configuration): string => {
  const happening = Object.entries(faults).map(([fault, times]) => `${fault} ${times}`)
  return [`n = ${replicas}, ${processes.join(' ')}`, starts, ...happening].join(', ')
}
