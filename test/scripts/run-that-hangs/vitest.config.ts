/** A run of vitest that does not come to its end by itself, for `test/scripts/test-runner.test.ts`. */
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: { include: ['*.hanging.ts'], testTimeout: 0, pool: 'forks', maxWorkers: 2 },
})
