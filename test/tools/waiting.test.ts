import { expect, test } from 'vitest'
import { movableRuntime } from '../../src/testing/movable-runtime.js'
import { pauseAfter } from '../../src/tools/waiting.js'

test('pauses grow from failure to failure up to the longest, and no two processes pause alike', () => {
  const at = (random: number, failures: number): number =>
    pauseAfter({ ...movableRuntime(), random: () => random }, { firstMs: 100, longestMs: 700 }, failures)
  expect([0, 1, 2, 3, 4, 5_000].map((failures) => at(0.5, failures))).toEqual([0, 100, 200, 400, 700, 700])
  expect([at(0, 3), at(0.25, 3), at(1, 3)]).toEqual([200, 300, 600])
})
