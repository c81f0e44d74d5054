import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    // Processes rather than threads: tests send signals and load native addons.
    pool: 'forks',
    // The servers and their clients want a processor too.
    maxWorkers: 2,
    // For what hangs, on a machine that may have much else to do; no test's promise.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    allowOnly: false,
    // Seeds are drawn once per run, so that one number repeats all of it.
    env: { NONSTICK_SEED: process.env['NONSTICK_SEED'] ?? String(Date.now() % 2 ** 31) },
  },
})
