import { type Configuration, described } from './configuration.js'
import { CONFIGURATIONS } from './configurations.js'
import { MUTATIONS, type Mutation } from './mutations.js'
import { replicaNames, replicaOutcomeOf } from './replicas/job.js'
import { picture } from './report.js'
import { RULES } from './rules.js'
import { searchConfiguration } from './run.js'
import { userNames, userOutcomeOf } from './users/job.js'

/* One search and what is said of it: the work that `main.ts` hands to its processes by name. */

/** More than any of them needs; a search that comes here has shown nothing. */
const CAP = 40_000_000

export interface Outcome {
  readonly name: string
  readonly isControl: boolean
  readonly states: number
  readonly isCapped: boolean
  /** Of a configuration, that nothing was found; of a control, that it was caught as what it is. */
  readonly isGood: boolean
  readonly lines: readonly string[]
}

export const allNames = (isDeep: boolean): string[] => [
  ...CONFIGURATIONS.filter((configuration) => isDeep || !configuration.isDeep).map(({ name }) => name),
  ...MUTATIONS.map(({ name }) => name),
  ...replicaNames(isDeep),
  ...userNames(isDeep),
]

export const outcomeOf = (name: string, meanwhile: () => void): Outcome => {
  const configuration = CONFIGURATIONS.find((each) => each.name === name)
  if (configuration !== undefined) return searched(configuration, meanwhile)
  const mutation = MUTATIONS.find((each) => each.name === name)
  if (mutation !== undefined) return controlled(mutation, meanwhile)
  const ofOthers = replicaOutcomeOf(name, meanwhile) ?? userOutcomeOf(name, meanwhile)
  if (ofOthers === undefined) throw new Error(`Nothing is called ${name}`)
  return ofOthers
}

const searched = (configuration: Configuration, meanwhile: () => void): Outcome => {
  const { states, depth, isCapped, found } = searchConfiguration(configuration, CAP, RULES, { meanwhile })
  const end = isCapped ? 'CAPPED' : found === undefined ? `searched to the end, ${depth} steps deep` : 'VIOLATED'
  const lines = [`${configuration.name}: ${described(configuration)}: ${states} states, ${end}`]
  if (found !== undefined) {
    lines.push(`  ${found.violation}, by a shortest way:`)
    found.steps.forEach(({ what, world }, index) => {
      lines.push(`  ${index + 1}. ${what}`, `       ${picture(world)}`)
    })
  }
  const isGood = found === undefined && !isCapped
  return { name: configuration.name, isControl: false, states, isCapped, isGood, lines }
}

const controlled = ({ name, what, rules, configuration, caughtAs }: Mutation, meanwhile: () => void): Outcome => {
  const { states, isCapped, found } = searchConfiguration(configuration, CAP, rules, { meanwhile })
  const isGood = found !== undefined && caughtAs.test(found.violation)
  const end = isGood
    ? `caught in ${found.steps.length} steps, ${states} states: ${found.violation}`
    : `UNNOTICED in ${states} states${found === undefined ? '' : `, though: ${found.violation}`}`
  return { name, isControl: true, states, isCapped, isGood, lines: [`${name} ${what}: ${end}`] }
}
