import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { CONFIGURATIONS } from './configurations.js'
import { searchConfiguration } from './run.js'
import { exactlyVisited } from './visited.js'

const program = fileURLToPath(new URL('../../scripts/model', import.meta.url))

const runModel = (...options: string[]): { code: number | null; output: string } => {
  const { status, stdout, stderr } = spawnSync(program, options, { encoding: 'utf8' })
  return { code: status, output: stdout + stderr }
}

describe('the search of the protocol', () => {
  test('comes to the end of every configuration without a violation, and notices every weakened rule', () => {
    const { code, output } = runModel()
    const summary: unknown = JSON.parse(output.trim().split('\n').at(-1) ?? '')
    expect({ code, summary }, output).toMatchObject({ code: 0, summary: { capped: 0, violations: 0 } })
  }, 600_000)

  test('tells worlds apart by their hashes as it does by their numbers', () => {
    const configuration = CONFIGURATIONS.find(({ name }) => name === 'i4.n1')
    if (configuration === undefined) throw new Error('The configuration is gone')
    const byHash = searchConfiguration(configuration, 1_000_000)
    const byNumbers = searchConfiguration(configuration, 1_000_000, undefined, { seen: exactlyVisited() })
    expect(byHash.states).toBe(byNumbers.states)
  })

  test('a search that is cut off before its end says so', () => {
    const [configuration] = CONFIGURATIONS
    expect(configuration && searchConfiguration(configuration, 5)).toMatchObject({ isCapped: true, found: undefined })
  })

  test.each([[['--unknown']], [['--only']], [['--only', 'nothing-is-called-this']]])('refuses %j', (options) => {
    expect(runModel(...options).code).toBe(2)
  })
})
