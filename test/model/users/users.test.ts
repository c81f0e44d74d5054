import { describe, expect, test } from 'vitest'
import { exactlyVisited } from '../visited.js'
import { CONFIGURATIONS, CONTROLS, searchUsers } from './configurations.js'
import { userNames, userOutcomeOf } from './job.js'

describe('the sessions of one user', () => {
  test.each(CONFIGURATIONS.filter(({ isDeep }) => isDeep !== true).map(({ name }) => [name]))(
    '%s is searched to the end, and nothing is wrong in it',
    (name) => {
      const outcome = userOutcomeOf(name, () => {})
      expect(outcome?.isGood, outcome?.lines.join('\n')).toBe(true)
    },
    240_000,
  )

  test.each(CONTROLS.map(({ name, what }) => [name, what] as const))(
    '%s is noticed: %s',
    (name) => {
      const outcome = userOutcomeOf(name, () => {})
      expect(outcome?.isGood, outcome?.lines.join('\n')).toBe(true)
    },
    240_000,
  )

  test('worlds are told apart by their hashes as by their numbers', () => {
    const configuration = CONFIGURATIONS.find(({ name }) => name === 'users.seats') ?? expect.fail()
    const byHash = searchUsers(configuration, {}, 1_000_000)
    const byNumbers = searchUsers(configuration, {}, 1_000_000, { seen: exactlyVisited() })
    expect(byHash.states).toBe(byNumbers.states)
  }, 240_000)

  test('a search that is cut off before its end says so', () => {
    const [configuration] = CONFIGURATIONS
    expect(configuration && searchUsers(configuration, {}, 5)).toMatchObject({ isCapped: true, found: undefined })
  })

  test('nobody knows a search of another name', () => {
    expect(userNames(true)).not.toContain('i4.n1')
    expect(userOutcomeOf('i4.n1', () => {})).toBeUndefined()
  })
})
