import { describe, expect, test } from 'vitest'
import { exactlyVisited } from '../visited.js'
import { CONFIGURATIONS, CONTROLS } from './configurations.js'
import { replicaNames, replicaOutcomeOf } from './job.js'
import { searchConfiguration } from './run.js'

describe('one document of CouchDB on several replicas', () => {
  test.each(CONFIGURATIONS.filter(({ isDeep }) => !isDeep).map(({ configuration }) => [configuration.name]))(
    '%s is searched to the end, and nothing is wrong in it',
    (name) => {
      const outcome = replicaOutcomeOf(name, () => {})
      expect(outcome?.isGood, outcome?.lines.join('\n')).toBe(true)
    },
    120_000,
  )

  test.each(CONTROLS.map(({ configuration, what }) => [configuration.name, what] as const))(
    '%s is noticed: %s',
    (name) => {
      const outcome = replicaOutcomeOf(name, () => {})
      expect(outcome?.isGood, outcome?.lines.join('\n')).toBe(true)
      // The way there is printed, a line for each step and one for what stands then.
      expect(outcome?.lines.length).toBeGreaterThan(4)
    },
    120_000,
  )

  test('worlds are told apart by their hashes as by their numbers', () => {
    const search = CONFIGURATIONS.find(({ configuration }) => configuration.name === 'replicas.n3.create')
    if (search === undefined) throw new Error('The configuration is gone')
    const byHash = searchConfiguration(search.configuration, search.rules, 100_000)
    const byNumbers = searchConfiguration(search.configuration, search.rules, 100_000, { seen: exactlyVisited() })
    expect(byHash.states).toBe(byNumbers.states)
  }, 120_000)

  test('a search that is cut off before its end says so', () => {
    const [search] = CONFIGURATIONS
    expect(search && searchConfiguration(search.configuration, search.rules, 5)).toMatchObject({
      isCapped: true,
      found: undefined,
    })
  })

  test('nobody knows a search of another name', () => {
    expect(replicaNames(true)).not.toContain('i4.n1')
    expect(replicaOutcomeOf('i4.n1', () => {})).toBeUndefined()
  })
})
