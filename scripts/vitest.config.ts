import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { QUIET } from './test-runner/quiet.js'

const ALL = 'test/**/*.test.ts'

export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  // NestJS has the decorators that TypeScript had before the language had any.
  oxc: { decorator: { legacy: true } },
  test: {
    // The servers and their clients want a processor too. What needs quiet comes last, one file at a time.
    projects: [
      {
        extends: true,
        test: { name: 'together', include: [ALL], exclude: [...QUIET], maxWorkers: 2, sequence: { groupOrder: 0 } },
      },
      {
        extends: true,
        test: { name: 'alone', include: [...QUIET], maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
    globalSetup: ['test/support/global-setup.ts'],
    // Processes rather than threads: tests send signals and load native addons.
    pool: 'forks',
    // Most tests make faults, and listen to none: what a program is warned of then is no news here.
    execArgv: [
      '--disable-warning=NONSTICK_FAULT',
      '--disable-warning=NONSTICK_ABANDONED',
      '--disable-warning=NONSTICK_DROPPED',
    ],
    // For what hangs, on a machine that may have much else to do; no test's promise.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    allowOnly: false,
    // Seeds are drawn once per run, so that one number repeats all of it.
    env: { NONSTICK_SEED: process.env['NONSTICK_SEED'] ?? String(Date.now() % 2 ** 31) },
  },
})
