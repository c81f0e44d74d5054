import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { TARGETS } from './targets.js'

interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const fuzz = (...words: readonly string[]): Promise<Ended> =>
  new Promise((resolve) => {
    const program = fileURLToPath(new URL('main.ts', import.meta.url))
    execFile(process.execPath, ['--import', 'tsx', program, ...words], (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
    )
  })

describe('scripts/fuzz', () => {
  test('prints the seed, and how much was done, of each target and in all', async () => {
    const { code, stdout } = await fuzz('--count', String(3 * TARGETS.length), '--seed', '7')
    const lines = stdout.trim().split('\n')
    expect(lines[0]).toBe('seed: 7')
    expect(lines.filter((line) => / 3 cases, /.test(line))).toHaveLength(TARGETS.length)
    expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ seed: 7, cases: 3 * TARGETS.length, failures: 0 })
    expect(code).toBe(0)
  })

  test('runs one case of one target again', async () => {
    const { stdout } = await fuzz('--target', 'msgpack', '--seed', '7', '--case', '12')
    expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({ cases: 1 })
  })

  test.each([[['--target', 'nothing']], [['--case', '1']], [['--count', 'many']], [['--shrot']]])(
    'says what is wrong with %j, and how it is used',
    async (words) => {
      const { code, stderr } = await fuzz(...words)
      expect(code).toBe(2)
      expect(stderr).toContain('Usage: scripts/fuzz')
    },
  )
})
