import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished } from 'vitest'
import type { EpochMs } from '../../../src/contract/time.js'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const suite = join(root, 'node_modules/redis-sessions/dist/test/test.js')

/** The SHA-256 of `dist/test/test.js` as redis-sessions 4.0.0 has it on npm. */
const PUBLISHED = '3886319d97b9af0cad2d6c577cde5292d3be2695cb1be9a94383987f046b0b13'

/** Where the sessions of a run of the suite are kept, in words that go to another process. */
export type SuitePlace = { readonly namespace: string; readonly startsAt: EpochMs } & (
  | { readonly kind: 'memory' }
  | {
      readonly kind: 'postgres'
      readonly cacheAddress: string
      readonly options: { readonly connectionString: string; readonly schema: string }
    }
  | {
      readonly kind: 'couchdb'
      readonly cacheAddress: string
      readonly options: { readonly url: string; readonly database: string; readonly absoluteTtlMs: number }
    }
)

/** For what hangs: the suite makes a thousand sessions, which takes a machine that has much else to do a while. */
export const HANGING_MS = 900_000

export interface SuiteOutcome {
  readonly passed: number
  /** The titles of the tests that failed, with the number that the reporter gave each. */
  readonly failed: readonly string[]
  readonly output: string
}

/**
 * Runs the published suite of redis-sessions, byte by byte as it is, with another module in the place of redis-sessions.
 * What passed is counted from the reporter's lines: the suite itself ends its process with 0, whatever happened.
 *
 * @param index the CommonJS module that the suite takes for redis-sessions
 */
export const runPublishedSuite = async (index: string, env: NodeJS.ProcessEnv = {}): Promise<SuiteOutcome> => {
  const bytes = readFileSync(suite)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  if (sha256 !== PUBLISHED) throw new Error(`The suite of redis-sessions is not the published one: ${sha256}`)
  const folder = mkdtempSync(join(tmpdir(), 'nonstick-redis-sessions-'))
  try {
    mkdirSync(join(folder, 'test'))
    copyFileSync(suite, join(folder, 'test/test.js'))
    writeFileSync(join(folder, 'index.js'), index)
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
    const mocha = ['node_modules/mocha/bin/mocha.js', '--reporter', 'spec', '--no-color', '--timeout', '0']
    const output = await outputOf(['--import', 'tsx', ...mocha, join(folder, 'test/test.js')], env)
    const lines = output.split('\n')
    return {
      passed: lines.filter((line) => /^\s+✔ /.test(line)).length,
      failed: lines.filter((line) => /^\s+\d+\) /.test(line)).map((line) => line.trim()),
      output,
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const outputOf = async (args: readonly string[], env: NodeJS.ProcessEnv): Promise<string> =>
  await new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd: root, env: { ...process.env, ...env } })
    // A test that was given up must leave no process behind.
    onTestFinished(() => void child.kill('SIGKILL'))
    let output = ''
    const gather = (chunk: Buffer): void => {
      output += chunk.toString('utf8')
    }
    child.stdout.on('data', gather)
    child.stderr.on('data', gather)
    child.once('error', reject)
    child.once('close', () => resolve(output))
  })

/** Runs the suite on the facade of this project, and expects that every test of it passes. */
export const expectAllToPass = async (place: SuitePlace): Promise<void> => {
  const { passed, failed, output } = await runPublishedSuite(ourFacade, { REDIS_SESSIONS_PLACE: JSON.stringify(place) })
  expect(failed, output).toEqual([])
  expect(passed, output).toBe(88)
}

/** The module by which the suite meets it. */
const ourFacade = `module.exports = require(${JSON.stringify(join(root, 'test/adapters/redis-sessions/suite-adapter.ts'))})\n`
