import type { Outcome } from '../job.js'
import { CONFIGURATIONS, CONTROLS, type Configuration, searchUsers } from './configurations.js'

/* One search of a user's sessions and what is said of it, as `../job.ts` does it for the protocol. */

/** More than any of them needs; a search that comes here has shown nothing. */
const CAP = 3_000_000

export const userNames = (isDeep: boolean): string[] =>
  [...CONFIGURATIONS.filter((each) => isDeep || each.isDeep !== true), ...CONTROLS].map(({ name }) => name)

export const userOutcomeOf = (name: string, meanwhile: () => void): Outcome | undefined => {
  const configuration = CONFIGURATIONS.find((each) => each.name === name)
  if (configuration !== undefined) return searched(configuration, meanwhile)
  const control = CONTROLS.find((each) => each.name === name)
  const weakened = CONFIGURATIONS.find((each) => each.name === control?.configuration)
  if (control === undefined || weakened === undefined) return undefined
  const { states, isCapped, found } = searchUsers(weakened, control.weaker, CAP, { meanwhile })
  const isGood = found?.violation === control.caughtAs
  const end = isGood
    ? `caught in ${found.steps.length} steps, ${states} states: ${found.violation}`
    : `UNNOTICED in ${states} states${found === undefined ? '' : `, though: ${found.violation}`}`
  return { name, isControl: true, states, isCapped, isGood, lines: [`${name} ${control.what}: ${end}`] }
}

const searched = (configuration: Configuration, meanwhile: () => void): Outcome => {
  const { name, sessions, actors, losses = 0, limit } = configuration
  const { states, depth, isCapped, found } = searchUsers(configuration, {}, CAP, { meanwhile })
  const end = isCapped ? 'CAPPED' : found === undefined ? `searched to the end, ${depth} steps deep` : 'VIOLATED'
  const seats = limit === undefined ? '' : `, at most ${limit} for the user`
  const steps = (found?.steps ?? []).map(({ what }, index) => `  ${index + 1}. ${what}`)
  const wrong = found === undefined ? [] : [`  ${found.violation}, by a shortest way:`]
  return {
    ...{ name, isControl: false, states, isCapped, isGood: found === undefined && !isCapped },
    lines: [
      `${name}: sessions ${sessions.join(', ')}; ${actors.join(' ')}, losses ${losses}${seats}: ${states} states, ${end}`,
      ...wrong,
      ...steps,
    ],
  }
}
